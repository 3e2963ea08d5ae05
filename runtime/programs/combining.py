"""How cores combine partial results along mesh axes: who adds whose words, on which colours (docs/fabric.md)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.collectives import parents
from wsec.runtime.programs.flow import make_flow, words_of_positions
from wsec.runtime.programs.links import grid_cores
from wsec.runtime.programs.settings import broken
from wsec.runtime.programs.unsupported import not_simulated
from wsec.runtime.programs.words import at_index_zero
from wsec.runtime.simulator.instructions import (
    Join,
    Receive,
    ReceiveCombine,
    ReceiveCombineSend,
    Send,
    Start,
)
from wsec.runtime.simulator.routes import Port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Collective, Kernel
    from wsec.runtime.programs.context import Combine
    from wsec.runtime.programs.events import Transfers
    from wsec.runtime.programs.settings import Settings
    from wsec.runtime.simulator.instructions import Instruction


@dataclass(frozen=True, slots=True)
class Part:
    """What a core does in a step of a collective.

    Attributes:
        receives: The colours on which the words of its children come, in order; in a broadcast the one of the result.
        sends: The colour on which it sends; -1 if it does not.
        combines: Whether it combines what it receives; else it takes it as it is.
    """

    receives: tuple[int, ...] = ()
    sends: int = -1
    combines: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class CombineStep:
    """One axis of a reduction, or one side of a broadcast.

    Attributes:
        parts: What cores may do.
        part: int64 [cores], which of these each does.
        circuits: The settings that it uses.
        words: For each of them the words that pass each position when each core has one word; int64 [entries, 4].
    """

    parts: tuple[Part, ...]
    part: NDArray[np.int64]
    circuits: tuple[Settings, ...]
    words: tuple[NDArray[np.int64], ...]

    def transfer(self, count: int, transfers: Transfers) -> None:
        """The turns of the routers when each core has `count` words."""
        for settings, words in zip(self.circuits, self.words, strict=True):
            transfers.pass_words(settings, words * count)

    def instructions(self, part: int, combine: Combine, _first_task: int) -> list[Instruction]:
        """What a core with this part does."""
        return _instructions(self.parts[part], combine)


@dataclass(frozen=True, slots=True, eq=False)
class RingStep:
    """A reduction to one part of the words on each core, and a gather of these: each part goes twice around a ring.

    A core sends in tasks of their own, one for each step, as all send and receive at once.

    Attributes:
        colours: For each core of the ring, on which it receives and on which it sends.
        part: int64 [cores], the number of each core in the ring.
        circuits: The settings that it uses.
        passed: For each of them and each core of the ring 1 where what it sends passes, int64 [entries, 4, ring].
    """

    colours: tuple[tuple[int, int], ...]
    part: NDArray[np.int64]
    circuits: tuple[Settings, ...]
    passed: tuple[NDArray[np.int64], ...]

    @property
    def steps(self) -> int:
        """Twice as many as there are other cores."""
        return 2 * (len(self.colours) - 1)

    def transfer(self, count: int, transfers: Transfers) -> None:
        """The turns of the routers when each core has `count` words; a core sends every part but two, twice."""
        ring = len(self.colours)
        sent = [
            sum(self._span(count, self._sent(number, step))[1] for step in range(self.steps))
            for number in range(ring)
        ]
        for settings, passed in zip(self.circuits, self.passed, strict=True):
            transfers.pass_words(settings, passed @ np.array(sent))

    def instructions(self, number: int, combine: Combine, first_task: int) -> list[Instruction]:
        """What a core of the ring does; `first_task` and those behind it send, a step each."""
        colour = self.colours[number][0]
        steps: list[Instruction] = []
        for step in range(self.steps):
            start, words = self._span(combine.count, self._sent(number - 1, step))
            address = combine.address + start
            steps.append(Start(first_task + step))
            if words and step < len(self.colours) - 1:
                steps.append(ReceiveCombine(combine.operation, colour, words, address))
            elif words:
                steps.append(Receive(colour, words, address))
            steps.append(Join(first_task + step))
        return steps

    def sends(self, number: int, combine: Combine, step: int) -> list[Instruction]:
        """What a core of the ring sends in a step."""
        start, words = self._span(combine.count, self._sent(number, step))
        return [Send(self.colours[number][1], words, combine.address + start)] if words else []

    def _sent(self, number: int, step: int) -> int:
        """The part that a core sends: first those that are summed up, beginning behind their owners, then whole ones."""
        ring = len(self.colours)
        return (number - 1 - step if step < ring - 1 else number - (step - ring + 1)) % ring

    def _span(self, count: int, part: int) -> tuple[int, int]:
        """Where a part begins, and its words."""
        size = -(-count // len(self.colours))
        return part * size, max(0, min(size, count - part * size))


def _instructions(part: Part, combine: Combine) -> list[Instruction]:
    operation, count, address = combine.operation, combine.count, combine.address
    if not part.combines:
        taken: list[Instruction] = [Receive(colour, count, address) for colour in part.receives]
        return [*taken, *([Send(part.sends, count, address)] if part.sends >= 0 else [])]
    in_stream = part.sends >= 0 and len(part.receives) > 0 and part.receives[-1] != part.sends
    first = part.receives[:-1] if in_stream else part.receives
    steps: list[Instruction] = [ReceiveCombine(operation, colour, count, address) for colour in first]
    if in_stream:
        steps.append(ReceiveCombineSend(operation, part.receives[-1], part.sends, count, address))
    elif part.sends >= 0:
        steps.append(Send(part.sends, count, address))
    return steps


def combine_steps(
    kernel: Kernel,
    axes: Sequence[str],
    reduces: dict[str, list[Settings]],
    broadcasts: dict[str, list[Settings]],
    *,
    everywhere: bool,
) -> list[CombineStep | RingStep]:
    """The steps by which partial results are combined along axes of a kernel's mesh.

    Args:
        kernel: Gives mesh and algorithms.
        axes: Names, in the order of the mesh.
        reduces: Settings of its `reduce` circuits, by whether they join the cores of `rows` or `columns`.
        broadcasts: Settings of its `broadcast` circuits, likewise.
        everywhere: Whether the result comes back to all cores.

    Raises:
        WsecError: WSEC591 the circuits do not carry them, WSEC596 an algorithm cannot be simulated.
    """
    mesh = kernel.mesh
    steps: list[CombineStep | RingStep] = []
    done: list[str] = []
    if any(_algorithm(kernel, name).algorithm == "ring" for name in axes):
        return [_ring(kernel, axes, reduces.get(_along(mesh.axes[mesh.index(axes[0])].side), []))]
    for name in reversed(axes):
        steps.append(_reduce(kernel, name, done, reduces.get(_along(mesh.axes[mesh.index(name)].side), [])))
        done.append(name)
    if not everywhere:
        return steps
    last = mesh.axes[mesh.index(axes[-1])].side
    sides = [side for side in ("rows", "columns") if any(mesh.axes[mesh.index(a)].side == side for a in axes)]
    sides.sort(key=lambda side: side == last)
    for number, side in enumerate(sides):
        mine = [name for name in axes if mesh.axes[mesh.index(name)].side == side]
        later = [name for name in axes if mesh.axes[mesh.index(name)].side in sides[number + 1 :]]
        steps.append(_broadcast(kernel, mine, later, broadcasts.get(_along(side), [])))
    return steps


def _along(side: str) -> str:
    """Axes on the columns of a mesh join cores of a row."""
    return "rows" if side == "columns" else "columns"


def _algorithm(kernel: Kernel, axis: str) -> Collective:
    for collective in kernel.collectives:
        if collective.axis == axis:
            return collective
    raise broken(f"kernel {kernel.name}", f"a collective along axis {axis}", "none")


def _reduce(kernel: Kernel, axis: str, done: Sequence[str], circuits: Sequence[Settings]) -> CombineStep:
    """Partial results go to index 0 of an axis, among the cores at index 0 of the axes that are done."""
    mesh = kernel.mesh
    collective = _algorithm(kernel, axis)
    try:
        parent = parents(collective.algorithm, collective.group, mesh.size(axis))
    except ValueError:
        where = f"kernel {kernel.name}, axis {axis}"
        raise not_simulated(where, f"the algorithm {collective.algorithm}") from None
    index = np.broadcast_to(mesh.coordinate(axis), (mesh.height, mesh.width)).reshape(-1)
    taking_part = at_index_zero(mesh, done)
    lines = _Lines(kernel, circuits, on_columns=mesh.axes[mesh.index(axis)].side == "columns")
    sends = np.full(index.size, -1, np.int64)
    received: list[list[int]] = [[] for _ in range(index.size)]
    stride = mesh.spacing(axis)
    for child in range(1, len(parent)):  # by rising index, which is the order in which children are added
        cores = np.flatnonzero((index == child) & taking_part)
        distance = (child - parent[child]) * stride
        sends[cores] = lines.join(cores, distance, f"{collective.algorithm} along {axis}")
        for core in cores.tolist():
            received[core - distance * lines.stride].append(int(sends[core]))
    parts = [Part(tuple(colours), sent) for colours, sent in zip(received, sends.tolist(), strict=True)]
    numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
    part = np.array([numbers[each] for each in parts], np.int64)
    return CombineStep(tuple(numbers), part, tuple(circuits), tuple(lines.words))


def _ring(kernel: Kernel, axes: Sequence[str], circuits: Sequence[Settings]) -> RingStep:
    """Rings over the cores of the only axis that is combined, one for each line or segment of it."""
    mesh = kernel.mesh
    if len(axes) > 1:
        where = f"kernel {kernel.name}, axes {', '.join(axes)}"
        raise not_simulated(where, "a ring over several axes", "compile with `--collective chain`")
    axis, size, stride = axes[0], mesh.size(axes[0]), mesh.spacing(axes[0])
    index = np.broadcast_to(mesh.coordinate(axis), (mesh.height, mesh.width)).reshape(-1)
    lines = _Lines(kernel, circuits, on_columns=mesh.axes[mesh.index(axis)].side == "columns")
    colours, passed = [], []
    for number in range(size):
        before = [words.copy() for words in lines.words]
        distance = (size - 1 if number == size - 1 else -1) * stride
        used = np.unique(lines.join(np.flatnonzero(index == number), distance, f"ring along {axis}"))
        if used.size > 1:
            where = f"kernel {kernel.name}, ring along {axis}"
            raise broken(where, f"one colour for the words of cores {number}", f"{used.size}")
        colours.append(int(used[0]))
        passed.append([words - old for words, old in zip(lines.words, before, strict=True)])
    received = [colours[number - 1] for number in range(size)]
    return RingStep(
        tuple(zip(received, colours, strict=True)),
        index,
        tuple(circuits),
        tuple(np.stack([each[number] for each in passed], axis=-1) for number in range(len(circuits))),
    )


class _Lines:
    """Counts the messages that pass each position of the circuits along one side, in words of one each."""

    def __init__(self, kernel: Kernel, circuits: Sequence[Settings], *, on_columns: bool) -> None:
        self.kernel, self.circuits = kernel, circuits
        self.lower, self.upper = (Port.WEST, Port.EAST) if on_columns else (Port.NORTH, Port.SOUTH)
        self.words = [np.zeros((each.core.size, 4), np.int64) for each in circuits]
        wide = circuits[0].width if circuits else 0
        self.cores = grid_cores(kernel.rectangle, wide)
        self.step = 1 if on_columns else wide
        self.stride = 1 if on_columns else kernel.mesh.width

    def join(self, cores: NDArray[np.int64], distance: int, what: str) -> NDArray[np.int64]:
        """The colour on which each of these cores sends to the one at a distance before it, behind it where negative."""
        towards, back = (self.lower, self.upper) if distance > 0 else (self.upper, self.lower)
        hops = abs(distance)
        ways = [(Port.RAMP, towards), *[(back, towards)] * (hops - 1), (back, Port.RAMP)]
        colour = np.full(cores.size, -1, np.int64)
        step = self.step if distance > 0 else -self.step
        for number, settings in enumerate(self.circuits):
            places = [
                _position(settings, self.cores[cores] - step * hop, *way) for hop, way in enumerate(ways)
            ]
            mine = (colour < 0) & np.logical_and.reduce([found for _, _, found in places])
            for entry, position, _ in places:
                np.add.at(self.words[number], (entry[mine], position[mine]), 1)
            colour[mine] = settings.colour
        if (colour < 0).any():
            y, x = divmod(int(cores[colour < 0][0]), self.kernel.mesh.width)
            raise broken(
                f"kernel {self.kernel.name}, {what}",
                f"a circuit from column {x}, row {y} over {hops} hops to the {towards.name.lower()}",
                f"none of {len(self.circuits)} circuits has the settings",
            )
        return colour


def _position(
    settings: Settings, cores: NDArray[np.int64], source: Port, output: Port
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Entries and positions through which words of these cores pass from one port to another, and whether there is one."""
    entry = settings.find(cores)
    only = (settings.source == source) & settings.outputs[:, :, output] & (settings.outputs.sum(axis=2) == 1)
    found = only[entry] & (entry >= 0)[:, None]
    return entry, found.argmax(axis=1), found.any(axis=1)


def _broadcast(
    kernel: Kernel, axes: Sequence[str], later: Sequence[str], circuits: Sequence[Settings]
) -> CombineStep:
    """The result goes from index 0 of axes on one side to all cores of them, at index 0 of the axes of a later step."""
    mesh = kernel.mesh
    taking_part = at_index_zero(mesh, later)
    root = taking_part & at_index_zero(mesh, axes)
    for settings in circuits:
        entry = settings.find(grid_cores(kernel.rectangle, settings.width))
        if (entry[taking_part] < 0).any():
            continue
        sent = np.zeros(settings.core.size, np.int64)
        sent[entry[root]] = 1
        words = words_of_positions(make_flow(settings), sent)
        into_core = (words * settings.outputs[:, :, Port.RAMP]).sum(axis=1)
        reached = np.where(entry >= 0, into_core[entry], 0)
        if (reached == (taking_part & ~root)).all():
            part = np.where(root, 1, np.where(taking_part, 2, 0))
            colour = settings.colour
            parts = (Part(), Part(sends=colour, combines=False), Part((colour,), combines=False))
            return CombineStep(parts, part, (settings,), (words,))
    raise broken(
        f"kernel {kernel.name}",
        f"a circuit that broadcasts along {', '.join(axes)}",
        "none reaches these cores alone",
    )
