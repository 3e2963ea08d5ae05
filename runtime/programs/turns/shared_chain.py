"""Chains that several cores of a line share: a piece of the result goes to each, and what it makes of it comes back to the root."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.programs.kinds.registry import chain_steps
from wsec.runtime.programs.kinds.writer import Pool
from wsec.runtime.programs.turns.lines import reduced_first
from wsec.runtime.simulator.instructions import Receive, Send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.runtime.programs.context import Block, KernelContext
    from wsec.runtime.programs.events import Transfers
    from wsec.runtime.programs.settings import Settings
    from wsec.runtime.programs.turns.lines import Lines
    from wsec.runtime.simulator.instructions import Instruction

    Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SharedChain:
    """What the cores of a kernel do in its chain.

    Attributes:
        part: int64 [cores], the number of the piece of each core, from 1; 0 of those that have none.
        programs: For each piece, after an empty one.
        circuits: On which words go out and come back.
    """

    part: Numbers
    programs: tuple[tuple[Instruction, ...], ...]
    circuits: tuple[Settings, ...]


@dataclass(frozen=True, slots=True)
class _Pieces:
    """Equal pieces of a block, along the first dimension that is longer than one, on neighbours of a line.

    Attributes:
        dimension: Along which it is cut.
        size: Positions of a piece, but for the last.
        extent: Positions of the block.
        words: Of a position.
        first: The place on the line of the core with the first piece.
        count: How many there are.
        root: The number of the root's.
    """

    dimension: int
    size: int
    extent: int
    words: int
    first: int
    count: int
    root: int

    def positions(self, piece: int) -> tuple[int, int]:
        """The first of a piece, and how many."""
        first = piece * self.size
        return first, min(self.size, self.extent - first)

    def span(self, piece: int) -> tuple[int, int]:
        """Where the words of a piece begin in the block, and how many they are."""
        first, count = self.positions(piece)
        return first * self.words, count * self.words


@dataclass(frozen=True, slots=True)
class _Scattered:
    """A block that goes out: a piece to each core, or all of its words where it is not cut like the output."""

    address: int
    whole: int = 0


def share_chain(
    context: KernelContext, lines: Lines, blocks: tuple[Block, Block], transfers: Transfers
) -> SharedChain:
    """The program of a chain that `chain_cores` of the kernel share.

    Args:
        context: Of the kernel.
        lines: Of its turn.
        blocks: The result of the kernel's own operator, whole at the root, and the output.
        transfers: Takes the turns of the switches.
    """
    kernel, (result, output) = context.kernel, blocks
    axes = reduced_first(kernel)
    axis = max(axes, key=kernel.mesh.size)
    pieces = _pieces(output, kernel.chain_cores, kernel.mesh.size(axis), lines.root(axis))
    others = tuple(each for each in axes if each != axis)
    scattered = [_Scattered(result.address)]
    for item in kernel.inputs:
        if item.role[:1] == "e" and not item.constant:
            block = context.block(item.role)
            cut = block.shape[pieces.dimension] == pieces.extent
            scattered.append(_Scattered(block.address, 0 if cut else block.words))
    out, back = lines.pieces(
        axis, others, range(pieces.first, pieces.first + pieces.count), pieces.first + pieces.root
    )
    pool = Pool(context)
    programs: list[tuple[Instruction, ...]] = [()]
    for piece in range(pieces.count):
        own = chain_steps(context, pool, blocks, (pieces.dimension, *pieces.positions(piece)))
        if piece == pieces.root:
            sent = [step for block in scattered for step in _sent(block, pieces, out)]
            taken = [
                Receive(
                    back[other > pieces.root].colour,
                    pieces.span(other)[1],
                    output.address + pieces.span(other)[0],
                )
                for other in sorted(_others(pieces), key=lambda other: (abs(other - pieces.root), other))
            ]
            programs.append((*sent, *own, *taken))
        else:
            behind = piece > pieces.root
            received = [_received(block, pieces, piece, out[behind]) for block in scattered]
            start, words = pieces.span(piece)
            programs.append((*received, *own, Send(back[behind].colour, words, output.address + start)))
    _count_words(scattered, pieces, (lines, axis), (out, back), transfers)
    place = np.broadcast_to(lines.mesh.coordinate(axis), (lines.mesh.height, lines.mesh.width)).reshape(-1)
    there = (place >= pieces.first) & (place < pieces.first + pieces.count) & lines.at_roots(others)
    part = np.where(there, place - pieces.first + 1, 0)
    used = [circuit for circuit in (*out, *back) if circuit.core.size]
    return SharedChain(part, tuple(programs), tuple(used))


def _pieces(output: Block, cores: int, line: int, root: int) -> _Pieces:
    dimension = next((at for at, extent in enumerate(output.shape) if extent > 1), 0)
    extent = output.shape[dimension]
    size = -(-extent // cores)
    count = -(-extent // size)
    first = min(max(0, root - count // 2), line - count)
    return _Pieces(dimension, size, extent, output.words // extent, first, count, root - first)


def _others(pieces: _Pieces) -> list[int]:
    return [piece for piece in range(pieces.count) if piece != pieces.root]


def _words(block: _Scattered, pieces: _Pieces, piece: int) -> tuple[int, int]:
    """Where what a piece needs of a block begins, and how many words."""
    return (0, block.whole) if block.whole else pieces.span(piece)


def _sent(block: _Scattered, pieces: _Pieces, out: Sequence[Settings]) -> list[Instruction]:
    """By the root, the farthest first."""
    order = sorted(_others(pieces), key=lambda other: (-abs(other - pieces.root), other))
    spans = [(out[other > pieces.root].colour, *_words(block, pieces, other)) for other in order]
    return [Send(colour, words, block.address + start) for colour, start, words in spans]


def _received(block: _Scattered, pieces: _Pieces, piece: int, circuit: Settings) -> Instruction:
    start, words = _words(block, pieces, piece)
    return Receive(circuit.colour, words, block.address + start)


def _count_words(
    scattered: Sequence[_Scattered],
    pieces: _Pieces,
    line: tuple[Lines, str],
    circuits: tuple[Sequence[Settings], Sequence[Settings]],
    transfers: Transfers,
) -> None:
    """The turns of the switches on both sides of the root, out and back."""
    lines, axis = line
    out, back = circuits
    for behind in (False, True):
        for block in scattered:
            words = [_words(block, pieces, at)[1] for at in range(pieces.count)]
            of_core, beyond = _by_place(pieces, lines.mesh.size(axis), words, behind=behind)
            _add_turns(out[behind], lines, axis, (beyond, of_core), transfers)
        words = [pieces.span(at)[1] for at in range(pieces.count)]
        of_core, beyond = _by_place(pieces, lines.mesh.size(axis), words, behind=behind)
        _add_turns(back[behind], lines, axis, (of_core, beyond), transfers)


def _by_place(pieces: _Pieces, line: int, words: Sequence[int], *, behind: bool) -> tuple[Numbers, Numbers]:
    """Words of each place of a line on one side of the root, and of all places beyond it on that side."""
    own = np.zeros(line, np.int64)
    for piece in _others(pieces):
        if (piece > pieces.root) == behind:
            own[pieces.first + piece] = words[piece]
    running = np.cumsum(own)
    beyond = running[-1] - running if behind else running - own
    return own, np.where(own > 0, beyond, 0)


def _add_turns(
    circuit: Settings, lines: Lines, axis: str, words: tuple[Numbers, Numbers], transfers: Transfers
) -> None:
    """Words of the two positions of each switch, by place: out, what passes on and what the core takes; back, its own and what passes on."""
    place = np.broadcast_to(lines.mesh.coordinate(axis), (lines.mesh.height, lines.mesh.width)).reshape(-1)
    entry = circuit.find(lines.cores)
    there = entry >= 0
    table = np.zeros((circuit.core.size, 4), np.int64)
    for position, each in enumerate(words):
        table[entry[there], position] = each[place[there]]
    transfers.pass_words(circuit, table)
