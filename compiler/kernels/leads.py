"""Which loop leads on the rows of each kernel, and what its splits are then worth, words inside rectangles included.

Words come to a kernel row by row, and words that land on a row where they are not needed cross the rectangle along its
columns: one a cycle and column. Few do where the rows of both kernels begin with the same dimension of the tensor, cut
in the same order: row `i` of `n` of the consumer then needs about what row `i` of `n` of the producer holds. The axis that lies
outermost on the rows *leads*. Each kernel has one leading loop, chosen together with those of its neighbours; its splits are
those that this loop leads, and what crosses columns and rows counts in the cycles to expect of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.kernels.graph import HOST_INDEX
from wsec.compiler.kernels.loop_nest import LoopRole
from wsec.compiler.kernels.splits import arranged_splits, some_options
from wsec.compiler.placement.problem import ShapeOptions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import GraphLink, KernelGraph
    from wsec.compiler.kernels.loop_nest import LoopNest, Operand
    from wsec.compiler.kernels.splits import SplitTable
    from wsec.compiler.target import Target

    Cycles = NDArray[np.int64]

NO_LEAD: Final = -1
_FEWEST_PARTS: Final = 6
"""Parts of a loop that leads, where it has as many positions: words go astray within a part of the producer's."""
_ASTRAY: Final = 2
"""Parts of a leading loop that a word may be away from where it is needed, about."""
_ASTRAY_WITH_HALO: Final = 4
"""The same where parts overlap: words go to both neighbours, in two tilings."""
_OUT_OF_ORDER: Final = 8.0
"""How often words in another order count. They cross all columns once in an exchange, as every core of a line sees every word; how
often they pass a column where lanes gather and spread them is not known before routes are. An assumption (docs/fabric.md): of 1, 2,
3, 4 and 8 the one with which plans of seven models were fastest, so that leads in order are kept where they can be.
"""
_DISORDER: Final = 0.05
"""What an input in another order is worth, as a part of the kernel's cores: lanes then go any way they find."""
_GATHERED_UNEVENLY: Final = 1.5
"""How often words count that lie on some rows alone: lanes of others pass these too. An assumption (docs/fabric.md): 1 if no lane
of another row passes, 2 if as many words pass as a row has itself."""
_MOST_SWEEPS: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class LedSplits:
    """All splits of a kernel that fit, by what leads on their rows.

    Attributes:
        table: The splits; shapes have the cycles of the kernel alone.
        leads: Position of the loop that lies outermost on the rows, [options]; `NO_LEAD` for one row.
        word_bytes: Of the fabric.
        region: Cores of the region.
        areas: Least cores by lead, inputs in order and interval, as far as asked for.
        priced: Tables by lead and inputs in order, as far as asked for.
    """

    table: SplitTable
    leads: NDArray[np.int64]
    word_bytes: int
    region: int
    areas: dict[tuple[int, tuple[bool, ...], int], float] = field(default_factory=dict, repr=False)
    priced: dict[tuple[int, tuple[bool, ...]], SplitTable] = field(default_factory=dict, repr=False)

    @property
    def choices(self) -> list[int]:
        """What may lead."""
        return [int(each) for each in np.unique(self.leads)]

    def priced_for(self, lead: int, in_order: tuple[bool, ...]) -> SplitTable:
        """The splits that this loop leads, with the cycles to expect; for each height those that no narrower one beats.

        Args:
            lead: Position of a loop, or `NO_LEAD`.
            in_order: Of each input that is no constant, whether its producer's rows begin with the same dimension.
        """
        key = lead, in_order
        if key not in self.priced:
            found = some_options(self.table, np.flatnonzero(self.leads == lead))
            expected = _expected(found, lead, in_order, self.word_bytes)
            shapes = ShapeOptions(found.shapes.widths, found.shapes.heights, expected)
            self.priced[key] = some_options(replace(found, shapes=shapes), _best_by_height(shapes))
        return self.priced[key]

    def area(self, lead: int, in_order: tuple[bool, ...], interval: int) -> float:
        """Least cores that keep the interval; where none do, the whole region, as often as they are slower."""
        key = lead, in_order, interval
        if key not in self.areas:
            shapes = self.priced_for(lead, in_order).shapes
            cores = shapes.widths * shapes.heights
            fast = shapes.cycles <= interval
            if fast.any():
                self.areas[key] = float(cores[fast].min()) * (1 + _DISORDER * in_order.count(False))
            else:
                self.areas[key] = self.region * float(shapes.cycles.min()) / max(interval, 1)
        return self.areas[key]


def led_splits(nest: LoopNest, target: Target) -> LedSplits:
    """All splits of `nest`, by what leads on their rows.

    Raises:
        WsecError: WSEC301 where no split fits the memory of a core and the region.
    """
    table = arranged_splits(nest, target)
    leads = np.full(len(table.turns), NO_LEAD, np.int64)
    for index in reversed(nest.mesh_order()):
        leads[(table.parts[:, index] > 1) & table.on_rows[:, index]] = index
    kept = leads == NO_LEAD
    for index, loop in enumerate(nest.loops):
        kept |= (leads == index) & (table.parts[:, index] >= min(loop.extent, _FEWEST_PARTS))
    if not kept.any():
        kept[:] = True
    chosen = np.flatnonzero(kept)
    return LedSplits(some_options(table, chosen), leads[chosen], target.fabric.word_bytes, target.grid.cores)


def choose_leads(
    graph: KernelGraph, splits: Sequence[LedSplits], interval: int
) -> tuple[list[SplitTable], list[bool]]:
    """A table of splits for each kernel, all with the same lead; and of each link whether words keep their order on it.

    Leads are changed one by one as long as all kernels together then need fewer cores at `interval`.
    """
    choice = _Choice(graph, splits, interval)
    choice.settle()
    nests = graph.nests
    tables = [
        replace(each.priced_for(lead, choice.in_order(at, lead)), nest=nest)
        for at, (each, lead, nest) in enumerate(zip(splits, choice.leads, nests, strict=True))
    ]
    ordered = [HOST_INDEX not in (link.source, link.target) and choice.keeps(link) for link in graph.links]
    return tables, ordered


class _Choice:
    """The leads chosen so far, by kernel."""

    def __init__(self, graph: KernelGraph, splits: Sequence[LedSplits], interval: int) -> None:
        self._nests = graph.nests
        self._links = graph.links
        self._splits = splits
        self._interval = interval
        self._producers: list[dict[str, int]] = [{} for _ in graph.nests]
        self._consumers: list[list[int]] = [[] for _ in graph.nests]
        for link in graph.links:
            if link.target != HOST_INDEX:
                self._producers[link.target][link.role] = link.source
                if link.source != HOST_INDEX:
                    self._consumers[link.source].append(link.target)
        self.leads = [
            min(each.choices, key=lambda lead: self._alone(at, lead)) for at, each in enumerate(splits)
        ]

    def settle(self) -> None:
        """Change leads while that saves cores: of both ends of a link at once, those of most words first, and of single kernels."""
        pairs = [
            (link.source, link.target)
            for link in sorted(self._links, key=lambda link: -link.words)
            if HOST_INDEX not in (link.source, link.target)
        ]
        groups = [*dict.fromkeys(pairs), *((at,) for at in range(len(self._nests)))]
        for _ in range(_MOST_SWEEPS):
            changed = [self._improve(group) for group in groups]
            if not any(changed):
                return

    def in_order(self, at: int, lead: int) -> tuple[bool, ...]:
        """Of each input of a kernel, whether its producer's rows begin with the dimension that `lead` reads first."""
        return tuple(
            self._in_order(at, lead, operand) for operand in self._nests[at].inputs if not operand.constant
        )

    def keeps(self, link: GraphLink) -> bool:
        """Whether the rows of both kernels begin with the same dimension of the tensor between them."""
        operand = next(item for item in self._nests[link.target].inputs if item.role == link.role)
        return self._in_order(link.target, self.leads[link.target], operand)

    def _in_order(self, at: int, lead: int, operand: Operand) -> bool:
        source = self._producers[at].get(operand.role, HOST_INDEX)
        needed = _place(self._nests[at], lead, operand)
        if source == HOST_INDEX:
            return True  # the host sends each word where it is needed
        made = next(item for item in self._nests[source].outputs if item.tensor == operand.tensor)
        return needed is not None and needed == _place(self._nests[source], self.leads[source], made)

    def _alone(self, at: int, lead: int) -> float:
        """Cores where all inputs that the lead reads in order come so."""
        nest = self._nests[at]
        inputs = [item for item in nest.inputs if not item.constant]
        in_order = tuple(_place(nest, lead, item) is not None for item in inputs)
        return self._splits[at].area(lead, in_order, self._interval)

    def _improve(self, kernels: tuple[int, ...]) -> bool:
        """Give these kernels the leads with which they and all that read from them need fewest cores; whether that is a change."""
        before = tuple(self.leads[at] for at in kernels)
        concerned = {*kernels, *(each for at in kernels for each in self._consumers[at])}
        costs = {}
        for leads in product(*(self._splits[at].choices for at in kernels)):
            self._set(kernels, leads)
            costs[leads] = sum(map(self._area, concerned))
        best = min(costs, key=lambda leads: (costs[leads], leads != before, leads))
        self._set(kernels, best)
        return best != before

    def _set(self, kernels: tuple[int, ...], leads: tuple[int, ...]) -> None:
        for at, lead in zip(kernels, leads, strict=True):
            self.leads[at] = lead

    def _area(self, at: int) -> float:
        lead = self.leads[at]
        return self._splits[at].area(lead, self.in_order(at, lead), self._interval)


def _place(nest: LoopNest, lead: int, operand: Operand) -> int | None:
    """Which dimension of a tensor follows the leading loop, as the number of its positions outside of it.

    So dimensions agree between views that differ in those inside of them.
    """
    if lead == NO_LEAD:
        return None
    outside = 1
    for dimension in operand.maps:
        if dimension.loop == nest.loops[lead].name and dimension.stride > 0:
            return outside
        outside *= dimension.extent
    return None


def _expected(table: SplitTable, lead: int, in_order: tuple[bool, ...], word_bytes: int) -> Cycles:
    """Cycles to expect: of the kernel, of the wires along its rows, or of those along its columns, whichever take longest."""
    nest, shapes = table.nest, table.shapes
    reduced = [at for at, loop in enumerate(nest.loops) if loop.role is LoopRole.REDUCTION]
    copies = np.where(table.on_rows[:, reduced], table.parts[:, reduced], 1).prod(
        axis=1
    )  # rows that hold no result
    coming = [_words(item, word_bytes) for item in nest.inputs if not item.constant]
    words = sum(coming)
    leaving = nest.words_out * np.where(copies > 1, _GATHERED_UNEVENLY * copies, 1.0)
    along_rows = (np.maximum(leaving, words) + words) / shapes.heights
    crossing = np.zeros(len(table.turns))
    for operand, count, ordered in zip(
        (item for item in nest.inputs if not item.constant), coming, in_order, strict=True
    ):
        crossing += count * (_astray(table, lead, operand) if ordered else _OUT_OF_ORDER)
    along_columns = crossing / shapes.widths
    most = np.maximum(np.maximum(along_rows, along_columns), table.costs.cycles)
    return np.asarray(np.ceil(most), np.int64)


def _astray(table: SplitTable, lead: int, operand: Operand) -> NDArray[np.float64]:
    """The part of the words that each column of the rectangle passes on to other rows, [options]."""
    if lead == NO_LEAD:
        return np.zeros(len(table.turns))
    name = table.nest.loops[lead].name
    halo = any(item.loop == name and item.reach > item.stride for item in operand.maps)
    return np.minimum(1.0, (_ASTRAY_WITH_HALO if halo else _ASTRAY) / table.parts[:, lead])


def _words(operand: Operand, word_bytes: int) -> int:
    elements = math.prod(dimension.extent for dimension in operand.maps)
    return math.ceil(elements * operand.item_bytes / word_bytes)


def _best_by_height(shapes: ShapeOptions) -> NDArray[np.int64]:
    """Options that none of the same height beats or equals in width and cycles."""
    order = np.lexsort((shapes.cycles, shapes.widths, shapes.heights))
    heights, cycles = shapes.heights[order], shapes.cycles[order]
    first = np.concatenate([[True], heights[1:] != heights[:-1]])
    fall = np.cumsum(first) * (
        int(cycles.max(initial=0)) + 1
    )  # so that every height begins below the one before
    least = np.minimum.accumulate(cycles - fall)
    better = first | (cycles - fall < np.concatenate([[0], least[:-1]]))
    return np.sort(order[better])
