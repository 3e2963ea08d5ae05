"""The program of a resharding: words of one tensor from how it lies behind a turn to how a later one needs it (docs/modes.md).

Every core has the block of the source, the block of the target and words that it passes on. Words that it holds already it copies
behind its turn in the first exchange, while others come.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan import Circuit, Exchange, Rectangle, RouterArea
from wsec.compiler.sharding import Mesh, MeshAxis
from wsec.runtime.programs.events import Transfers
from wsec.runtime.programs.exchanges import words_of_exchange
from wsec.runtime.programs.flow import make_flow, words_of_positions
from wsec.runtime.programs.links import grid_cores
from wsec.runtime.programs.ragged import Ragged, ragged
from wsec.runtime.programs.settings import expand
from wsec.runtime.programs.storage import as_lists
from wsec.runtime.programs.turns.lines import reduced_first
from wsec.runtime.programs.turns.routing import segments_of, sent_words
from wsec.runtime.programs.words import block_words
from wsec.runtime.simulator.instructions import (
    CopyListed,
    CoreProgram,
    Join,
    ProgramArea,
    ReceiveListed,
    SendListed,
    Start,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, Link
    from wsec.runtime.collectives import Root
    from wsec.runtime.programs.settings import Settings
    from wsec.runtime.programs.turns.routing import Sent
    from wsec.runtime.programs.words import BlockWords
    from wsec.runtime.simulator.instructions import Instruction, WordLists

    Flags = NDArray[np.bool_]
    Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """The cores that a resharding uses, from the first of the region on, and who holds and needs what.

    Attributes:
        width: Columns.
        height: Rows.
        held: bool [rows, columns, elements].
        needed: Likewise.
        places_held: int64, where each word of `held` lies in its block, in the order of `np.nonzero`.
        places_needed: Likewise of `needed`.
        words: Of the blocks of source and target.
    """

    width: int
    height: int
    held: Flags
    needed: Flags
    places_held: Numbers
    places_needed: Numbers
    words: tuple[int, int]

    @property
    def mesh(self) -> Mesh:
        """All cores by row and column."""
        return Mesh((MeshAxis("y", self.height, "rows"), MeshAxis("x", self.width, "columns")))


@dataclass(frozen=True, slots=True, eq=False)
class ReshardingPrograms:
    """What the simulator is given for a resharding.

    Attributes:
        grid: Who holds and needs what.
        area: The program of all cores.
        settings: Of the circuits.
        transfers: Turns of their switches, and words that cores let pass.
        sent: The words of each exchange.
    """

    grid: Grid
    area: ProgramArea
    settings: tuple[Settings, ...]
    transfers: Transfers
    sent: tuple[Sent, ...]


def make_grid(link: Link, source: Kernel, target: Kernel) -> Grid:
    """Who holds and needs the words of a link; what a chain alone reads is needed where partial results come together."""
    made = next(item for item in source.outputs if item.tensor == link.tensor)
    entry = next(item for item in target.inputs if item.role == link.role)
    width = max(source.mesh.width, target.mesh.width)
    height = max(source.mesh.height, target.mesh.height)
    held = block_words(replace(made.sharding, root=()), source.mesh)
    needs = block_words(replace(entry.sharding, root=()), target.mesh)
    total = max(held.total, 1)
    held_flags, held_places = _flags(held, source.mesh, (height, width, total))
    flags, places = _flags(needs, target.mesh, (height, width, total))
    if link.role[:1] == "e" and reduced_first(target):
        keep = np.zeros((height, width), np.bool_)
        keep[: target.mesh.height, : target.mesh.width] = _at_roots(target)
        places = places[keep[np.nonzero(flags)[:2]]]
        flags = flags & keep[:, :, None]
    return Grid(
        width,
        height,
        held_flags,
        flags,
        held_places,
        places,
        (made.sharding.block_elements, entry.sharding.block_elements),
    )


def _flags(words: BlockWords, mesh: Mesh, shape: tuple[int, int, int]) -> tuple[Flags, Numbers]:
    """Holdings on the grid, and the places of the words in their order there."""
    row, column = np.divmod(words.elements.rows, mesh.width)
    flags = np.zeros(shape, np.bool_)
    flags[row, column, words.elements.values] = True
    order = np.argsort((row * shape[1] + column) * shape[2] + words.elements.values, kind="stable")
    return flags, words.places.values[order]


def _at_roots(kernel: Kernel) -> Flags:
    """The cores at which the kernel's partial results come together, [rows, columns]."""
    from wsec.runtime.collectives import root_of

    found = np.ones((kernel.mesh.height, kernel.mesh.width), np.bool_)
    by_axis = {item.axis: item for item in kernel.collectives}
    for axis in reduced_first(kernel):
        item, size = by_axis.get(axis), kernel.mesh.size(axis)
        root: Root = "first" if item is None else item.root
        at = 0 if item is None else root_of(item.algorithm, item.group, size, root)
        found = found & (kernel.mesh.coordinate(axis) == at)
    return found


def resharding_programs(link: Link, grid: Grid, region: tuple[int, int]) -> ReshardingPrograms:
    """Routes and programs of a link that has exchanges.

    Raises:
        WsecError: WSEC597 the exchanges do not bring every word.
    """
    sent = sent_words(grid.held, grid.needed, link.exchanges, link.name)
    store = _Store(grid, sent)
    cores = grid_cores(Rectangle(0, 0, grid.width, grid.height), region[0] + 2)
    transfers, settings = Transfers(), []
    lists: list[WordLists] = [store.held(store.kept), store.taken(store.kept)]
    main: list[Instruction] = []
    tasks: list[tuple[Instruction, ...]] = []
    for number, (exchange, words) in enumerate(zip(link.exchanges, sent, strict=True)):
        if not words.element.size:
            continue
        moved = words_of_exchange(
            exchange,
            (words.source, words.target, words.element),
            np.ones(words.element.size, np.bool_),
            grid.mesh,
            late=True,
        )
        circuit = _settings(link.name, exchange, number, grid, region)
        here = np.where(circuit.find(cores) >= 0, circuit.colour, -1)
        passed = np.zeros(circuit.core.size, np.int64)
        passed[circuit.find(cores[here >= 0])] = moved.sent.lengths[here >= 0]
        transfers.pass_words(circuit, words_of_positions(make_flow(circuit), passed))
        transfers.take(cores, here, moved.index, moved.passing)
        settings.append(circuit)
        lists += [store.held(moved.sent), store.taken(moved.taken)]
        copies = () if tasks else (CopyListed(0, 1),)
        tasks.append((SendListed(number, len(lists) - 2), *copies))
        main += [Start(len(tasks)), ReceiveListed(number, len(lists) - 1), Join(len(tasks))]
    area = ProgramArea(
        1, 0, grid.width, grid.height, CoreProgram(tuple(main), tuple(tasks)), store.words, tuple(lists)
    )
    return ReshardingPrograms(grid, area, tuple(settings), transfers, tuple(sent))


def _settings(name: str, exchange: Exchange, colour: int, grid: Grid, region: tuple[int, int]) -> Settings:
    """Each core in turn to all others of its segment."""
    rows = exchange.along == "rows"
    lower, higher = ("W", "E") if rows else ("N", "S")
    areas: list[RouterArea] = []

    def add(first: int, last: int, positions: tuple[str, ...]) -> None:
        if last > first and rows:
            areas.append(RouterArea(first, 0, last - first, grid.height, positions))
        elif last > first:
            areas.append(RouterArea(0, first, grid.width, last - first, positions))

    for segment in segments_of(exchange, grid.width if rows else grid.height):
        if segment.stop - segment.start < 2:
            continue
        inner = (f"{lower}>{higher}R", f"R>{lower}{higher}", f"{higher}>{lower}R")
        add(segment.start, segment.start + 1, (f"R>{higher}", f"{higher}>R"))
        add(segment.start + 1, segment.stop - 1, inner)
        add(segment.stop - 1, segment.stop, (f"{lower}>R", f"R>{lower}"))
    circuit = Circuit(
        colour, "exchange", name, tuple(areas), exchange.along, exchange.segment, exchange.offset
    )
    return expand(circuit, width=region[0], height=region[1], edges=False)


class _Store:
    """Where words lie in the memory of a core: block of the source, block of the target, words to pass on."""

    def __init__(self, grid: Grid, sent: list[Sent]) -> None:
        self._total = grid.held.shape[2]
        self._cores = grid.width * grid.height
        self._held = np.flatnonzero(grid.held.reshape(-1))
        self._needed = np.flatnonzero(grid.needed.reshape(-1))
        self._held_places = grid.places_held
        self._needed_places = grid.places_needed + grid.words[0]
        none = np.zeros(0, np.int64)  # of a link without exchanges
        arriving = np.concatenate([none, *(each.target * self._total + each.element for each in sent)])
        self._passing = np.setdiff1d(arriving, self._needed)
        rank = np.arange(self._passing.size) - np.searchsorted(
            self._passing, self._passing // self._total * self._total
        )
        self._passing_places = rank + sum(grid.words)
        self.words = sum(grid.words) + int(rank.max(initial=-1)) + 1
        kept = np.intersect1d(self._held, self._needed, assume_unique=True)
        self.kept = ragged(kept // self._total, kept % self._total, self._cores)

    def held(self, words: Ragged) -> WordLists:
        """The addresses of words that cores hold or took."""
        keys = words.rows * self._total + words.values
        found, own = _look_up(self._held, self._held_places, keys)
        later = self._taken(keys[~own])
        found[~own] = later
        return as_lists(words.with_values(found))

    def taken(self, words: Ragged) -> WordLists:
        """The addresses to which words go that come."""
        return as_lists(words.with_values(self._taken(words.rows * self._total + words.values)))

    def _taken(self, keys: Numbers) -> Numbers:
        found, needed = _look_up(self._needed, self._needed_places, keys)
        passing, known = _look_up(self._passing, self._passing_places, keys)
        if not (needed | known).all():
            raise ValueError("a word that the core never had")
        result: Numbers = np.where(needed, found, passing)
        return result


def _look_up(keys: Numbers, values: Numbers, wanted: Numbers) -> tuple[Numbers, Flags]:
    """The values of ascending keys, and whether they are there."""
    if not keys.size:
        return np.zeros(wanted.size, np.int64), np.zeros(wanted.size, np.bool_)
    place = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return values[place], keys[place] == wanted
