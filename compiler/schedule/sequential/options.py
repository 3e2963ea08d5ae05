"""The ways in which one kernel may take its turn on a region: how it is cut, on which sides, and how often it is repeated.

Cuts come from one series of side lengths for all kernels, so that what one leaves is what the next one needs. Results of cut
reductions come back to all cores. A kernel that leaves a side of the region unused may compute the same on all lines of it: that
costs nothing and spares a broadcast.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.collective_uses import AUTO, collective_cycles, collective_uses
from wsec.compiler.cost.kernel_cost import (
    SplitCosts,
    gather_cycles,
    gathering_cycles,
    passing_cycles,
)
from wsec.compiler.cost.middle_collectives import (
    MIDDLE,
    MiddleCost,
    all_reduce_costs,
    costs_of_one_algorithm,
    step_cycles,
)
from wsec.compiler.kernels.loop_nest import LoopRole
from wsec.compiler.kernels.loop_parts import PARTS
from wsec.compiler.kernels.splits import (
    SplitTable,
    arrangements,
    candidate_parts,
    fitting_splits,
    loop_parts,
    mesh_of,
)
from wsec.compiler.placement.problem import ShapeOptions
from wsec.compiler.plan import REPLICAS
from wsec.compiler.schedule.sequential.shared_chain import shared_chain
from wsec.compiler.sharding import Mesh, MeshAxis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.cost.collective_uses import CollectiveUse
    from wsec.compiler.kernels.loop_nest import Loop, LoopNest
    from wsec.compiler.plan import CollectiveAlgorithm
    from wsec.compiler.target import Target

    Array = NDArray[np.float64]

ALONG_SIDES: Final = "auto along sides"
"""The cheapest algorithm of each all-reduce, but ways along whole sides of the region only, as where an algorithm is demanded."""

FREE: Final = (AUTO, ALONG_SIDES)
MOST_OPTIONS: Final = 48  # of a kernel
_MOST_VIEWS: Final = 200  # of one that takes no cycles, and lies as what comes before it or behind it
_MOST_SPLITS: Final = 40_000
_OF_A_KIND: Final = 2
_EIGHTHS: Final = 8
_NEARLY_WHOLE: Final = 0.6  # of a side: blocks are whole elements, so that few loops have exactly as many
_STEPS: Final = frozenset({"MatMul", "Softmax"})


@dataclass(frozen=True, slots=True, eq=False)
class TurnTable:
    """The ways of one kernel.

    Attributes:
        splits: How it is cut; `communication` of the costs is that of its turn.
        replicas: int64 [options, 2], how often it is repeated on rows and on columns.
    """

    splits: SplitTable
    replicas: NDArray[np.int64]

    @property
    def cycles(self) -> NDArray[np.int64]:
        """Of each option, from all inputs in place to the result in place."""
        return self.splits.shapes.cycles

    @property
    def widths(self) -> NDArray[np.int64]:
        """Columns of each option."""
        return self.splits.shapes.widths * self.replicas[:, 1]

    @property
    def heights(self) -> NDArray[np.int64]:
        """Rows of each option."""
        return self.splits.shapes.heights * self.replicas[:, 0]


def turn_mesh(table: TurnTable, option: int) -> Mesh:
    """The mesh of an option: repeated lines inside of the axes of the cut loops, next to those that compute the same."""
    rows, columns = (int(count) for count in table.replicas[option])
    repeated = (MeshAxis(REPLICAS[0], rows, "rows"), MeshAxis(REPLICAS[1], columns, "columns"))
    return Mesh((*mesh_of(table.splits, option).axes, *(axis for axis in repeated if axis.size > 1)))


def side_lengths(longest: int) -> list[int]:
    """The series of lengths that cuts of loops have at most, the longest first: each the root of a half of the one before."""
    found = dict.fromkeys(math.floor(longest * 2 ** (-step / 2)) for step in range(2 * 20))
    return [length for length in found if length >= 1]


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many rows, and columns, a kernel that lies on one may be repeated on."""

    rows: tuple[int, ...]
    columns: tuple[int, ...]


def turn_options(nest: LoopNest, target: Target, algorithm: str, repeats: Repeats) -> TurnTable:
    """Every way worth considering.

    Args:
        nest: What is cut.
        target: The machine; its grid is the region.
        algorithm: Of all-reduces. `auto`: the cheapest of each, on as much of the region as is fastest. One that is demanded
            runs along whole sides of the region, on which blocks lie on most of the cores.
        repeats: How many lines may compute the same.

    Raises:
        WsecError: WSEC301 no split fits the memory of a core.
    """
    grid = target.grid
    lengths = sorted({*side_lengths(grid.width), *side_lengths(grid.height)}, reverse=True)
    parts = _parts(nest, target, lengths)
    return options_of(nest, parts, target, algorithm, repeats)


def options_of(nest: LoopNest, parts: Array, target: Target, algorithm: str, repeats: Repeats) -> TurnTable:
    """The ways of these cuts, [splits, loops], that fit the memory of a core and the region; at most `MOST_OPTIONS`."""
    parts, turns, costs = fitting_splits(nest, parts, target)
    chosen, sides = [], []
    for rows in arrangements(nest):
        high, wide = parts[:, rows].prod(axis=1), parts[:, ~rows].prod(axis=1)
        fitting = np.flatnonzero((wide <= target.grid.width) & (high <= target.grid.height))
        chosen.append(fitting)
        sides.append(np.broadcast_to(rows, (len(fitting), len(rows))))
    index, on_rows = np.concatenate(chosen), np.concatenate(sides)
    parts = parts[index]
    if algorithm != AUTO:
        longer = stretched(nest, parts, on_rows, target)
        again = np.flatnonzero((longer != parts).any(axis=1))
        parts, index = np.concatenate([parts, longer[again]]), np.concatenate([index, index[again]])
        on_rows = np.concatenate([on_rows, on_rows[again]])
    costs = _select(costs, index)
    table = priced(nest, (parts, turns[index], on_rows), costs, target, algorithm)
    found = _with_replicas(select_splits(table, _worth_keeping(table, target, algorithm)), repeats)
    if algorithm == AUTO:
        return found
    whole = along_whole_sides(found.widths, found.heights, target)
    if all(loop.role is LoopRole.PARALLEL for loop in nest.loops):  # no all-reduce asks for whole sides
        bytes_held = found.splits.costs.bytes
        whole = np.union1d(whole, np.lexsort((found.cycles, bytes_held))[:1])
    return TurnTable(select_splits(found.splits, whole), found.replicas[whole])


def priced(
    nest: LoopNest,
    ways: tuple[Array, NDArray[np.int64], NDArray[np.bool_]],
    costs: SplitCosts,
    target: Target,
    algorithm: str,
    *,
    communication: Array | None = None,
) -> SplitTable:
    """Cuts with what a turn takes: parts [options, loops], turns [options], axes on rows [options, loops].

    `communication`, [options], where others take the turn too and the kernel's share is known.
    """
    parts, turns, on_rows = ways
    if is_view(nest):
        nothing = np.zeros(len(parts))
        costs = replace(costs, compute=nothing, memory=nothing)
    shared = shared_chain(nest, parts, target)
    if communication is None:
        communication = turn_communication(nest, ways, costs, target, algorithm)
    costs = replace(
        costs,
        compute=np.ceil(costs.compute - shared.saved),
        communication=communication + shared.passed,
        transfer=np.zeros(len(parts)),
    )
    cycles = np.ceil(np.maximum(costs.compute, costs.memory) + costs.communication).astype(np.int64)
    shapes = ShapeOptions(
        np.where(on_rows, 1, parts).prod(axis=1).astype(np.int64),
        np.where(on_rows, parts, 1).prod(axis=1).astype(np.int64),
        cycles,
    )
    return SplitTable(nest, parts.astype(np.int64), turns, on_rows, costs, shapes, shapes)


def _parts(nest: LoopNest, target: Target, lengths: list[int]) -> Array:
    """Cuts whose parts are those next below the lengths of the series; [splits, loops]."""
    if nest.kind == "unsplit":
        return candidate_parts(nest, target)
    lists = [parts_of(loop, lengths) for loop in nest.loops]
    while math.prod(map(len, lists)) > _MOST_SPLITS:
        fullest = max(range(len(lists)), key=lambda index: len(lists[index]))
        lists[fullest] = _every_other(lists[fullest])
    if not lists:
        return np.ones((1, 0))
    grid = np.meshgrid(*lists, indexing="ij")
    parts = np.stack([axis.reshape(-1) for axis in grid], axis=1).astype(np.float64)
    possible: Array = parts[parts.prod(axis=1) <= target.grid.cores]
    return possible


def parts_of(loop: Loop, lengths: list[int]) -> NDArray[np.int64]:
    """How many ways a loop may be cut: next below each of some lengths, in any and in equal blocks; the most first."""
    if not loop.cuttable:
        return np.ones(1, dtype=np.int64)
    useful = loop_parts(loop.extent)
    even = useful[loop.extent % useful == 0]  # blocks of one size lie alike in views of the tensor
    found = {int(some[some <= length].max()) for some in (useful, even) for length in lengths}
    return np.array(sorted({1, *found}, reverse=True))


def _every_other(choices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Half of the choices, the largest and 1 among them."""
    kept: NDArray[np.int64] = np.unique(np.concatenate([choices[::2], choices[-1:]]))[::-1]
    return kept


def turn_communication(
    nest: LoopNest,
    ways: tuple[Array, NDArray[np.int64], NDArray[np.bool_]],
    costs: SplitCosts,
    target: Target,
    algorithm: str,
) -> Array:
    """Cycles of all-reduces, gathers and steps of a turn, [options]; blocks lie where they are needed."""
    parts, turns, on_rows = ways
    if nest.work.serial:
        return np.asarray(costs.communication + step_cycles(target))
    if is_view(nest):
        return np.zeros(len(parts))
    cycles = np.full(len(parts), steps_of(nest) * step_cycles(target))
    for _, line, times in turn_collectives(nest, ways, target, algorithm):
        cycles = cycles + times * line.cycles
    cycles = cycles + gather_cycles(nest, parts, target)
    several = turns > 1
    if (
        several.any()
    ):  # a core has room for a part of its blocks only: these are passed around, as in a pipeline
        passed = costs.communication + _passing(nest, parts, turns, on_rows, target)
        if nest.sums_in_turns:  # each product is a step in each turn, and results are all-reduced once
            steps = (turns - 1) * _products_of(nest) * step_cycles(target)
            passed = passed - collective_cycles(nest, parts, turns, target.fabric) + steps
        cycles = cycles + np.where(several, passed, 0)
    found: Array = np.ceil(cycles)
    return found


def _passing(
    nest: LoopNest, parts: Array, turns: NDArray[np.int64], on_rows: NDArray[np.bool_], target: Target
) -> Array:
    cycles = np.zeros(len(parts))
    for rows in np.unique(on_rows, axis=0):
        same = (on_rows == rows).all(axis=1)
        along = gathering_cycles if nest.sums_in_turns else passing_cycles
        cycles[same] = along(nest, parts[same], turns[same], rows, target)
    return cycles


def turn_collectives(
    nest: LoopNest,
    ways: tuple[Array, NDArray[np.int64], NDArray[np.bool_]],
    target: Target,
    algorithm: str,
) -> list[tuple[CollectiveUse, MiddleCost, Array]]:
    """All-reduces in order: what is combined, its cost along each option's line, and how often; float64 [options].

    Those along the same axis go by one algorithm.
    """
    parts, turns, on_rows = ways
    names: tuple[CollectiveAlgorithm, ...] = (
        MIDDLE if algorithm in FREE else (algorithm,)  # type: ignore[assignment]
    )
    uses = collective_uses(nest, parts, turns, target.fabric)
    costs: dict[int, MiddleCost] = {}
    for loop in dict.fromkeys(use.loop for use in uses):
        along = [at for at, use in enumerate(uses) if use.loop == loop]
        spacing = _spacing(nest, loop, parts, on_rows)
        cores = parts[:, loop] if algorithm in FREE else _whole_lines(loop, parts, on_rows, target)
        each = [(uses[at].words, uses[at].times) for at in along]
        of_loop = costs_of_one_algorithm(each, cores, spacing, target, names)
        costs.update(zip(along, of_loop, strict=True))
    return [(use, costs[at], use.times) for at, use in enumerate(uses)]


def joint_all_reduces(
    nests: Sequence[LoopNest],
    ways: Sequence[tuple[Array, NDArray[np.int64], NDArray[np.bool_]]],
    target: Target,
    algorithm: str,
) -> list[Array]:
    """Communication of kernels with one reduction each on the same cores, [options] of each: what one all-reduce takes for all.

    Every kernel's share goes with its words; the steps are those of one kernel, and one for each chain.
    """
    words = np.array([use.words for use in _one_use_each(nests, ways, target)])
    once = joint_cost(nests, ways, target, algorithm).cycles
    shares = words / words.sum(axis=0)
    step = step_cycles(target)
    steps = [step * (at == 0) + step * bool(nest.chain) for at, nest in enumerate(nests)]
    return [np.ceil(share * once + each) for share, each in zip(shares, steps, strict=True)]


def joint_cost(
    nests: Sequence[LoopNest],
    ways: Sequence[tuple[Array, NDArray[np.int64], NDArray[np.bool_]]],
    target: Target,
    algorithm: str,
) -> MiddleCost:
    """The all-reduce of all partial results together, [options]."""
    uses = _one_use_each(nests, ways, target)
    parts, _, on_rows = ways[0]
    loop = uses[0].loop
    names: tuple[CollectiveAlgorithm, ...] = MIDDLE if algorithm in FREE else (algorithm,)  # type: ignore[assignment]
    cores = parts[:, loop] if algorithm in FREE else _whole_lines(loop, parts, on_rows, target)
    words = np.sum([use.words for use in uses], axis=0)
    return all_reduce_costs(words, cores, _spacing(nests[0], loop, parts, on_rows), target, names)


def _one_use_each(
    nests: Sequence[LoopNest],
    ways: Sequence[tuple[Array, NDArray[np.int64], NDArray[np.bool_]]],
    target: Target,
) -> list[CollectiveUse]:
    pairs = zip(nests, ways, strict=True)
    return [collective_uses(nest, parts, turns, target.fabric)[0] for nest, (parts, turns, _) in pairs]


def stretched(nest: LoopNest, parts: Array, on_rows: NDArray[np.bool_], target: Target) -> Array:
    """The same cuts with the innermost loop on a side going on to the end of the side: cores beyond the last block hold nothing.

    Only where most of the side is used, and blocks stay as large as they are. What a line makes together then lies on all of it.
    """
    found = parts.copy()
    extents = np.array([loop.extent for loop in nest.loops], dtype=np.float64)
    for rows, side in ((True, target.grid.height), (False, target.grid.width)):
        used = np.where(on_rows == rows, parts, 1).prod(axis=1)
        left = used >= _NEARLY_WHOLE * side
        for loop in reversed(nest.mesh_order()):
            here = left & (on_rows[:, loop] == rows) & (parts[:, loop] > 1)
            longer = side // (used / parts[:, loop])
            same = np.ceil(extents[loop] / longer) == np.ceil(extents[loop] / parts[:, loop])
            found[:, loop] = np.where(here & same, longer, found[:, loop])
            left &= ~here
    return found


def _whole_lines(loop: int, parts: Array, on_rows: NDArray[np.bool_], target: Target) -> Array:
    """Cores of a line that a demanded all-reduce along a loop goes through: the side of the region, less what other loops have of it.

    Published programs are written for the whole side: cores beyond the last block take part with nothing to add.
    """
    side = np.where(on_rows[:, loop], target.grid.height, target.grid.width)
    same = on_rows == on_rows[:, loop : loop + 1]
    others = np.where(same, parts, 1).prod(axis=1) / parts[:, loop]
    lines = np.maximum(parts[:, loop], side // others)
    return np.where(parts[:, loop] > 1, lines, 1.0)


def _spacing(nest: LoopNest, loop: int, parts: Array, on_rows: NDArray[np.bool_]) -> Array:
    """Hops between neighbours along a loop's axis: the parts of the loops inside of it on the same side."""
    order = nest.mesh_order()
    spacing = np.ones(len(parts))
    for inner in order[order.index(loop) + 1 :]:
        spacing = spacing * np.where(on_rows[:, inner] == on_rows[:, loop], parts[:, inner], 1)
    return spacing


def is_view(nest: LoopNest) -> bool:
    """Whether what comes is the result, under another shape: a turn of it takes no cycles once every core has its block."""
    return nest.kind == "reshape" and not nest.chain


def _products_of(nest: LoopNest) -> int:
    return max(1, sum(step.operator == "MatMul" for step in nest.body))


def steps_of(nest: LoopNest) -> int:
    """Walks over its data that follow each other: its own, products and softmax of its body, and the chain's."""
    own = max(1, sum(step.operator in _STEPS for step in nest.body))
    return own + (bool(nest.chain) and nest.kind != "elementwise")


def _worth_keeping(table: SplitTable, target: Target, algorithm: str) -> NDArray[np.int64]:
    """The fastest options, of each arrangement too, and within less and less memory; of a demanded algorithm those along whole sides."""
    parts, on_rows, cycles = table.parts, table.on_rows, table.shapes.cycles
    possible = np.arange(len(cycles))
    if algorithm != AUTO:
        possible = _nearly_whole(table.shapes, target)
    cut = parts > 1
    longest = np.maximum(table.shapes.widths, table.shapes.heights)
    if is_view(table.nest):  # as its neighbours lie: all are as fast
        most = MOST_OPTIONS if algorithm == AUTO else _MOST_VIEWS
        return possible[np.argsort(-longest[possible], kind="stable")[:most]]
    size = np.round(2 * np.log2(longest))
    kinds = np.column_stack([cut, on_rows & cut, size, _alike(table)])
    resident = table.costs.weights + table.costs.states
    lean = leaner(cycles, resident, possible)
    if resident.any():  # what stays and what is worked on share a core
        lean = np.union1d(lean, leanest(cycles, table.costs.bytes, possible))
    return np.union1d(fastest_of_kinds(cycles, kinds, possible), lean)


def _alike(table: SplitTable) -> Array:
    """Parts of heads, by option: kinds of their own where a loop is seen as heads and features, as neighbours see it too."""
    nest = table.nest
    outer = [f"{name.removeprefix(PARTS)}_0" for name in nest.arguments if name.startswith(PARTS)]
    return table.parts[:, [nest.position(name) for name in outer]].astype(np.float64)


def _nearly_whole(shapes: ShapeOptions, target: Target) -> NDArray[np.int64]:
    """Options along whole sides, and those along one that leave the other unused: replicas may fill it."""
    wide, high = shapes.widths, shapes.heights
    along = [along_whole_sides(wide, high, target)]
    for unused, side, length in ((high, wide, target.grid.width), (wide, high, target.grid.height)):
        along.append(np.flatnonzero((unused == 1) & (side >= _NEARLY_WHOLE * length)))
    return np.unique(np.concatenate(along))


def leaner(cycles: NDArray[np.int64], resident: Array, possible: NDArray[np.int64]) -> NDArray[np.int64]:
    """The fastest option for every halving of what stays on a core, and those with least: many layers share its memory."""
    order = possible[np.lexsort((resident[possible], cycles[possible]))]
    halvings = np.floor(np.log2(np.maximum(resident[order], 1)))
    first = np.flatnonzero(np.diff(np.minimum.accumulate(halvings), prepend=np.inf) < 0)
    return np.concatenate([order[first], leanest(cycles, resident, possible)])


def leanest(cycles: NDArray[np.int64], size: Array, possible: NDArray[np.int64]) -> NDArray[np.int64]:
    """The option with fewest bytes, and of those with up to twice as many the fastest within every eighth more."""
    if not len(possible):
        return possible
    order = possible[np.lexsort((size[possible], cycles[possible]))]
    eighths = np.ceil(_EIGHTHS * (size[order] / max(1.0, size[order].min()) - 1))
    lower = np.minimum.accumulate(eighths)
    first = np.flatnonzero((np.diff(lower, prepend=np.inf) < 0) & (lower <= _EIGHTHS))
    least = possible[np.lexsort((cycles[possible], size[possible]))[:1]]
    return np.concatenate([order[first], least])


def fastest_of_kinds(
    cycles: NDArray[np.int64], kinds: NDArray[np.float64], possible: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Of the options that are possible the fastest, and the fastest of each kind: arrangement and size, [options, features]."""
    order = possible[
        np.lexsort((-kinds[possible, -1], cycles[possible]))
    ]  # of equals those of both sides, the longest first
    _, kind = np.unique(kinds[order], axis=0, return_inverse=True)
    rank = np.zeros(len(order), dtype=np.int64)
    for number in range(int(kind.max(initial=-1)) + 1):
        of_kind = np.flatnonzero(kind == number)
        rank[of_kind] = np.arange(len(of_kind))
    near = np.argsort(np.maximum(0, rank - _OF_A_KIND), kind="stable")
    kept: NDArray[np.int64] = np.unique(order[near[:MOST_OPTIONS]])
    return kept


def along_whole_sides(wide: NDArray[np.int64], high: NDArray[np.int64], target: Target) -> NDArray[np.int64]:
    """Options as wide and as high as the region, but for blocks of whole elements; else along one side; else all."""
    full_width, full_height = (
        wide >= _NEARLY_WHOLE * target.grid.width,
        high >= _NEARLY_WHOLE * target.grid.height,
    )
    for wanted in (full_width & full_height, full_width | full_height):
        if wanted.any():
            return np.flatnonzero(wanted)
    return np.arange(len(wide))


def _with_replicas(table: SplitTable, repeats: Repeats) -> TurnTable:
    """Each option alone, and repeated along the sides that it leaves unused."""
    loops, parts, on_rows = table.nest.loops, table.parts, table.on_rows
    if table.nest.work.serial or table.nest.kind == "unsplit":
        return TurnTable(table, np.ones((len(table.turns), 2), dtype=np.int64))
    free = [at for at, loop in enumerate(loops) if loop.role is LoopRole.PARALLEL and loop.cuttable]
    extents = np.array([loop.extent for loop in loops])
    single = (parts[:, free] == extents[free]).all(axis=1)  # cut as far as can be
    talking = np.array([loop.role is not LoopRole.PARALLEL for loop in loops]) & (parts > 1)
    sides = (
        (repeats.rows, table.shapes.heights, talking & on_rows),
        (repeats.columns, table.shapes.widths, talking & ~on_rows),
    )
    counts = [
        [np.ones_like(used), *(_copies(count, used, single & ~along.any(axis=1)) for count in side)]
        for side, used, along in sides
    ]
    ways = list(product(*counts))
    high, wide = (np.stack([way[side] for way in ways]) for side in (0, 1))
    possible = (high > 0) & (wide > 0)
    way, option = np.nonzero(possible)
    every = np.unique(np.column_stack([option, high[way, option], wide[way, option]]), axis=0)
    return TurnTable(select_splits(table, every[:, 0]), every[:, 1:])


def _copies(lines: int, used: NDArray[np.int64], single: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How often each option goes into so many lines: on a side that it does not use, or that it cannot be cut along further; else 0."""
    return np.where((used == 1) | single, lines // used, 0)


def select_splits(table: SplitTable, keep: NDArray[np.int64]) -> SplitTable:
    """These options of a table, in this order, again where one is named again."""
    shapes = ShapeOptions(table.shapes.widths[keep], table.shapes.heights[keep], table.shapes.cycles[keep])
    return replace(
        table,
        parts=table.parts[keep],
        turns=table.turns[keep],
        on_rows=table.on_rows[keep],
        costs=_select(table.costs, keep),
        shapes=shapes,
        least=shapes,
        rotated=None if table.rotated is None else table.rotated[keep],
        turned=None if table.turned is None else table.turned[keep],
    )


def _select(costs: SplitCosts, keep: NDArray[np.int64]) -> SplitCosts:
    return SplitCosts(*(getattr(costs, name)[keep] for name in SplitCosts.__slots__))
