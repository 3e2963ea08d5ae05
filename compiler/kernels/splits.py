"""Every way worth keeping to cut a loop nest: which loops, how many ways, on rows or on columns.

Enumeration is vectorised over splits. What does not fit a core's memory or the region is dropped, then what another
split beats in cycles with no more cores, then what another rectangle beats in width, height and cycles.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.collective_uses import side_cycles
from wsec.compiler.cost.kernel_cost import SplitCosts, passing_cycles, split_costs
from wsec.compiler.errors import WsecError
from wsec.compiler.kernels.loop_nest import LoopRole
from wsec.compiler.kernels.rotation import PRODUCT_LOOPS, axis_of_rotating
from wsec.compiler.kernels.unsplit import COLUMN, ROW
from wsec.compiler.placement.problem import ShapeOptions
from wsec.compiler.placement.shape_curves import pareto_filter
from wsec.compiler.plan import Cycles, MemoryLedger, Rotation
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, cut

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.loop_nest import LoopNest, Operand
    from wsec.compiler.target import Target

    Array = NDArray[np.float64]

_MOST_SPLITS = 60_000
_TURNS = (2, 4, 8, 16, 32, 64)
_COLUMNS_SHARE = 4  # expected: lanes leave on two sides, and take words from beyond both ends of each strip
_EDGE_SHARE = 4  # expected: a quarter of the edge carries them, the rest faces neighbours and passing routes
_SLOWER_THAN_BEST = 1.3  # a split this much slower than the best with as few cores is not worth its shape


@dataclass(frozen=True, slots=True, eq=False)
class SplitTable:
    """The splits of one loop nest that are worth keeping, as columns.

    Attributes:
        nest: What is cut.
        parts: [options, loops], how many ways each loop is cut.
        turns: [options], turns in which a core walks the turn loop.
        on_rows: [options, loops], True where the loop's axis lies on rows.
        costs: Bytes and cycles of each option.
        shapes: Rectangles, and the cycles of a sample to expect there: the kernel's, or those its words need to cross
            the edge where only a part of it carries them.
        least: The same rectangles with the least cycles by the same measure, words crossing everywhere on the edge: for bounds.
        rotated: [options], the loop whose parts go around (`kernels.rotation`), -1 where none does; None where none ever does.
        turned: [options], the loop that is walked in turns, -1 for that of the nest; None where it is always that of the nest.
        weights_placed: Whether weights that go around are loaded where the first step needs them.
    """

    nest: LoopNest
    parts: NDArray[np.int64]
    turns: NDArray[np.int64]
    on_rows: NDArray[np.bool_]
    costs: SplitCosts
    shapes: ShapeOptions
    least: ShapeOptions
    rotated: NDArray[np.int64] | None = None
    turned: NDArray[np.int64] | None = None
    weights_placed: bool = True


def enumerate_splits(nest: LoopNest, target: Target, *, inside: bool = True) -> SplitTable:
    """All splits of `nest` worth keeping on the grid of `target`.

    Args:
        nest: What is cut.
        target: The machine.
        inside: Whether links are followed inside kernels, so that what they take there is counted later.

    Raises:
        WsecError: WSEC301 where no split fits the memory of a core and the region.
    """
    table = arranged_splits(nest, target, inside=inside)
    work = table.costs.cycles.astype(np.int64)
    # of options that are equal otherwise, the one with least work stays
    fast = np.argsort(work, kind="stable")
    by_speed = table.shapes.widths[fast], table.shapes.heights[fast]
    keep = np.union1d(
        pareto_filter(*by_speed, table.shapes.cycles[fast]),
        pareto_filter(*by_speed, table.least.cycles[fast]),
    )
    return some_options(table, fast[keep])


def arranged_splits(nest: LoopNest, target: Target, *, inside: bool = True) -> SplitTable:
    """All splits of `nest` that fit and are not much slower than the best with as few cores, axes on rows or columns in every way.

    Raises:
        WsecError: WSEC301 where no split fits the memory of a core and the region.
    """
    parts = candidate_parts(nest, target)
    costs, turns = _in_fewest_turns(nest, parts, target)
    fits = costs.bytes <= target.core.data_bytes
    if not fits.any():
        raise _does_not_fit(nest, parts, costs, target)
    keep = np.flatnonzero(fits)
    keep = keep[_near_frontier(parts[keep].prod(axis=1), costs.cycles[keep])]
    table = _arranged(nest, parts[keep], turns[keep], _select(costs, keep), target, inside=inside)
    if len(table.turns) == 0:
        raise _too_long(nest, target)
    return table


def _in_fewest_turns(nest: LoopNest, parts: Array, target: Target) -> tuple[SplitCosts, NDArray[np.int64]]:
    """Each split with the fewest turns, among powers of two, in which it fits the memory of a core."""
    costs = split_costs(nest, parts, target)
    turns = np.ones(len(parts), dtype=np.int64)
    if not nest.turn_loop():
        return costs, turns
    walked = nest.position(nest.turn_loop())
    positions = np.ceil(nest.loops[walked].extent / parts[:, walked]).astype(np.int64)
    for count in _TURNS:
        tight = np.flatnonzero((costs.bytes > target.core.data_bytes) & (positions > turns))
        if len(tight) == 0:
            break
        turns[tight] = np.minimum(count, positions[tight])
        again = split_costs(nest, parts[tight], target, turns[tight])
        for name in SplitCosts.__slots__:
            getattr(costs, name)[tight] = getattr(again, name)
    return costs, turns


def fitting_splits(
    nest: LoopNest, parts: Array, target: Target
) -> tuple[Array, NDArray[np.int64], SplitCosts]:
    """Those of some splits that fit the memory of a core, each in the fewest turns, and their costs.

    Raises:
        WsecError: WSEC301 none does.
    """
    costs, turns = _in_fewest_turns(nest, parts, target)
    keep = np.flatnonzero(costs.bytes <= target.core.data_bytes)
    if not len(keep):
        raise _does_not_fit(nest, parts, costs, target)
    return parts[keep], turns[keep], _select(costs, keep)


def loop_parts(extent: int) -> NDArray[np.int64]:
    """The useful numbers of parts of a loop: those whose equal padded blocks leave none empty."""
    blocks = np.arange(1, math.isqrt(extent) + 2)
    few = -(-extent // blocks)
    candidates = np.unique(np.concatenate([few, blocks[blocks <= extent]]))
    block = -(-extent // candidates)
    useful: NDArray[np.int64] = candidates[-(-extent // block) == candidates].astype(np.int64)
    return useful


def candidate_parts(nest: LoopNest, target: Target) -> Array:
    """Combinations of parts, [splits, loops], thinned evenly in their logarithm to a number that stays cheap."""
    cores = target.grid.cores
    if nest.kind == "unsplit":
        return _unsplit_candidates(nest, target, cores)
    lists = [loop_parts(loop.extent) if loop.cuttable else np.ones(1, dtype=np.int64) for loop in nest.loops]
    longest = max(target.grid.width, target.grid.height)  # a loop's axis lies on one side
    lists = [choices[choices <= longest] for choices in lists]
    while math.prod(len(choices) for choices in lists) > _MOST_SPLITS:
        fullest = max(range(len(lists)), key=lambda index: len(lists[index]))
        lists[fullest] = _thinned(lists[fullest])
    if not lists:
        return np.ones((1, 0))
    grid = np.meshgrid(*lists, indexing="ij")
    parts = np.stack([axis.reshape(-1) for axis in grid], axis=1).astype(np.float64)
    possible: Array = parts[parts.prod(axis=1) <= cores]
    return possible


def _thinned(choices: NDArray[np.int64]) -> NDArray[np.int64]:
    """Three quarters of the choices, both ends kept, those nearest to their neighbours (in logarithm) dropped."""
    wanted = np.geomspace(choices[0], choices[-1], max(2, 3 * len(choices) // 4))
    nearest = np.abs(np.log(choices)[None, :] - np.log(wanted)[:, None]).argmin(axis=1)
    thinned: NDArray[np.int64] = choices[np.unique(nearest)]
    return thinned


def _unsplit_candidates(nest: LoopNest, target: Target, cores: int) -> Array:
    """As many cores as the data needs, as rows of every length."""
    data = sum(item.maps[0].extent * item.item_bytes * item.slots for item in nest.inputs)
    data += sum(nest.output_slots * item.maps[0].extent * item.item_bytes for item in nest.outputs)
    tensors = len(nest.inputs) + len(nest.outputs)
    usable = max(
        1, target.core.data_bytes - 16 * tensors
    )  # a block of each tensor is rounded up to an element
    needed = max(1, math.ceil(data / usable))
    columns = np.unique(np.minimum(np.arange(1, min(needed, cores) + 1), cores))
    rows = -(-needed // columns)
    return np.stack([rows, columns], axis=1).astype(np.float64)


def _near_frontier(cores: Array, cycles: Array) -> NDArray[np.int64]:
    """Splits not much slower than the best that uses no more cores."""
    order = np.lexsort((cycles, cores))
    best = np.minimum.accumulate(cycles[order])
    return np.sort(order[cycles[order] <= best * _SLOWER_THAN_BEST])


def _select(costs: SplitCosts, index: NDArray[np.int64]) -> SplitCosts:
    return SplitCosts(*(getattr(costs, name)[index] for name in SplitCosts.__slots__))


def _arranged(
    nest: LoopNest,
    parts: Array,
    turns: NDArray[np.int64],
    costs: SplitCosts,
    target: Target,
    *,
    inside: bool = True,
) -> SplitTable:
    """Each split with its axes on rows or columns in every way that fits the grid."""
    chosen, sides, widths, heights, passing = [], [], [], [], []
    for rows in arrangements(nest):
        high = parts[:, rows].prod(axis=1)
        wide = parts[:, ~rows].prod(axis=1)
        fitting = np.flatnonzero((wide <= target.grid.width) & (high <= target.grid.height))
        chosen.append(fitting)
        sides.append(np.broadcast_to(rows, (len(fitting), len(rows))))
        widths.append(wide[fitting])
        heights.append(high[fitting])
        beyond = side_cycles(nest, parts[fitting], turns[fitting], rows, target.fabric)
        passing.append(beyond + passing_cycles(nest, parts[fitting], turns[fitting], rows, target))
    index = np.concatenate(chosen)
    all_widths = np.concatenate(widths).astype(np.int64)
    all_heights = np.concatenate(heights).astype(np.int64)
    laid = _select(costs, index)
    laid = replace(laid, communication=laid.communication + np.concatenate(passing))
    work = laid.cycles.astype(np.int64)
    perimeters = 2 * (all_widths + all_heights)
    words = -(-max(nest.words_in, nest.words_out) // target.fabric.link_words_per_cycle)
    least = np.maximum(
        work, -(-words // perimeters)
    )  # as much as a link carries, by every core of the edge, each way
    expected = np.maximum(work, -(-_EDGE_SHARE * words // perimeters))
    if inside:
        gathered = _gather_cycles(nest, np.minimum(all_widths, all_heights), target)
        expected = np.maximum(expected, gathered)
    return SplitTable(
        nest=nest,
        parts=parts[index].astype(np.int64),
        turns=turns[index],
        on_rows=np.concatenate(sides),
        costs=laid,
        shapes=ShapeOptions(all_widths, all_heights, expected),
        least=ShapeOptions(all_widths, all_heights, least),
    )


def _gather_cycles(nest: LoopNest, depths: NDArray[np.int64], target: Target) -> NDArray[np.int64]:
    """Cycles in which what a kernel makes comes to its lanes, by the shorter side of its rectangle.

    A strip of lanes takes words from beyond its ends over as many columns as the rectangle is deep behind it (docs/routing.md).
    Where no arrangement has less, this is not counted: lanes along the whole side may do.
    """
    cycles = -(-nest.words_out // (_COLUMNS_SHARE * depths * target.fabric.link_words_per_cycle))
    return np.where(cycles > cycles.min(initial=cycles.max(initial=0)), cycles, 0)


def some_options(table: SplitTable, keep: NDArray[np.int64]) -> SplitTable:
    """The same table with these options only."""
    shapes, least = table.shapes, table.least
    return replace(
        table,
        parts=table.parts[keep],
        turns=table.turns[keep],
        on_rows=table.on_rows[keep],
        costs=_select(table.costs, keep),
        shapes=ShapeOptions(shapes.widths[keep], shapes.heights[keep], shapes.cycles[keep]),
        least=ShapeOptions(least.widths[keep], least.heights[keep], least.cycles[keep]),
        rotated=None if table.rotated is None else table.rotated[keep],
        turned=None if table.turned is None else table.turned[keep],
    )


def no_dearer_splits(table: SplitTable, option: int, target: Target) -> SplitTable:
    """Every split with the rectangle of `option` that takes no more cycles and no more memory; that one comes first."""
    nest, costs = table.nest, table.costs
    width, height = table.shapes.widths[option], table.shapes.heights[option]
    parts = candidate_parts(nest, target)
    parts = parts[parts.prod(axis=1) == width * height]
    every, turns = _in_fewest_turns(nest, parts, target)
    found = _arranged(nest, parts, turns, every, target)
    fits = (found.shapes.widths == width) & (found.shapes.heights == height)
    cheap = (found.costs.cycles <= costs.cycles[option]) & (found.costs.bytes <= costs.bytes[option])
    # A loop in one part may be called to lie on either side.
    ways = np.concatenate([found.parts, found.on_rows & (found.parts > 1)], axis=1)
    same = np.concatenate([table.parts[option], table.on_rows[option] & (table.parts[option] > 1)])
    different = np.unique(ways, axis=0, return_index=True)[1]
    keep = np.intersect1d(np.flatnonzero(fits & cheap), different)
    itself = (ways[keep] == same).all(axis=1)
    return some_options(found, np.concatenate([keep[itself], keep[~itself]]))


def arrangements(nest: LoopNest) -> list[NDArray[np.bool_]]:
    """Ways to lay the loops on rows (True) or columns; loops that are never cut stay on rows."""
    if nest.kind == "unsplit":
        return [np.array([True, False])]
    movable = [i for i, loop in enumerate(nest.loops) if loop.extent > 1 and loop.cuttable]
    ways = []
    for bits in range(1 << len(movable)):
        rows = np.ones(len(nest.loops), dtype=np.bool_)
        for position, loop in enumerate(movable):
            rows[loop] = not bits >> position & 1
        ways.append(rows)
    return ways


def mesh_of(table: SplitTable, option: int) -> Mesh:
    """The mesh of an option: an axis for each loop that is cut, those along which cores talk innermost."""
    loops = table.nest.loops
    return Mesh(
        tuple(
            MeshAxis(
                loops[index].name,
                int(table.parts[option, index]),
                "rows" if table.on_rows[option, index] else "columns",
            )
            for index in table.nest.mesh_order()
            if table.parts[option, index] > 1
        )
    )


def split_of(table: SplitTable, option: int) -> dict[str, int]:
    """How many ways each loop is cut."""
    return {loop.name: int(table.parts[option, index]) for index, loop in enumerate(table.nest.loops)}


def turns_of(table: SplitTable, option: int) -> dict[str, int]:
    """The loop that a core walks in more than one turn, and in how many."""
    count = int(table.turns[option])
    return {nest_of(table, option).turn_loop(): count} if count > 1 else {}


def nest_of(table: SplitTable, option: int) -> LoopNest:
    """What is cut in an option, which names the loop that is walked in turns."""
    at = -1 if table.turned is None else int(table.turned[option])
    return table.nest if at < 0 else replace(table.nest, turned=table.nest.loops[at].name)


def sharding_of(table: SplitTable, option: int, operand: Operand, *, output: bool) -> Sharding:
    """How an operand lies on the mesh of an option."""
    split = split_of(table, option)
    if table.nest.kind == "unsplit":
        axes = tuple(name for name in (ROW, COLUMN) if split[name] > 1)
        return Sharding((cut(operand.maps[0].extent, math.prod(split.values()), axes),))
    turning = rotating_loop(table, option)
    dimensions = []
    for dimension in operand.maps:
        if not dimension.loop:
            dimensions.append(dimension.sharding(1, ()))
            continue
        if dimension.loop == turning:
            axis = axis_of_rotating(operand, table.nest)
            dimensions.append(cut(dimension.extent, split[axis], (axis,)))
            continue
        extent = table.nest.loops[table.nest.position(dimension.loop)].extent
        axes = (dimension.loop,) if split[dimension.loop] > 1 else ()
        if dimension.shared and extent % split[dimension.loop] == 0:
            sharing = (dimension.shared,) if split[dimension.shared] > 1 else ()
            dimensions.append(cut(split[dimension.loop], split[dimension.loop], axes))
            dimensions.append(cut(extent // split[dimension.loop], split[dimension.shared], sharing))
            continue
        dimensions.append(dimension.sharding(-(-extent // split[dimension.loop]), axes))
    reduced = [
        loop.name for loop in table.nest.loops if loop.role is LoopRole.REDUCTION and split[loop.name] > 1
    ]
    at_root = output and not operand.state and not turning
    return Sharding(tuple(dimensions), root=tuple(reduced) if at_root else ())


def rotating_loop(table: SplitTable, option: int) -> str:
    """The loop whose parts go around in an option; empty where none does."""
    at = -1 if table.rotated is None else int(table.rotated[option])
    return "" if at < 0 else table.nest.loops[at].name


def rotation_of(table: SplitTable, option: int) -> Rotation | None:
    """The record of it."""
    loop = rotating_loop(table, option)
    if not loop:
        return None
    shifting = [item for item in table.nest.inputs if any(each.loop == loop for each in item.maps)]
    side = next(name for name in PRODUCT_LOOPS if name != loop)
    weights = tuple(item.role for item in shifting if item.constant and item.role[:1] != "e")
    return Rotation(loop, split_of(table, option)[side], weights if table.weights_placed else ())


def ledger_of(table: SplitTable, option: int, target: Target) -> MemoryLedger:
    """Bytes of the fullest core of an option."""
    costs = table.costs
    return MemoryLedger(
        weights=int(costs.weights[option]),
        activations=int(costs.activations[option]),
        buffers=int(costs.buffers[option]),
        code=target.core.code_reserve_bytes,
        states=int(costs.states[option]),
    )


def cycles_of(table: SplitTable, option: int) -> Cycles:
    """Cycles of a sample on the busiest core of an option."""
    costs = table.costs
    return Cycles(
        compute=int(costs.compute[option]),
        communication=int(costs.communication[option]),
        memory=int(costs.memory[option]),
        transfer=int(costs.transfer[option]),
    )


def passing_of_kernels(
    tables: Sequence[SplitTable], options: Sequence[int], target: Target
) -> dict[str, int]:
    """What each kernel's cycles count for passing blocks around, beyond the words through ramps; by name."""
    found = {}
    for table, option in zip(tables, options, strict=True):
        chosen = slice(option, option + 1)
        parts = table.parts[chosen].astype(np.float64)
        cycles = passing_cycles(table.nest, parts, table.turns[chosen], table.on_rows[option], target)
        found[table.nest.name] = int(cycles[0])
    return found


def _does_not_fit(nest: LoopNest, parts: Array, costs: SplitCosts, target: Target) -> WsecError:
    least = int(np.argmin(costs.bytes))
    over = int(costs.bytes[least]) - target.core.data_bytes
    split = ", ".join(
        f"{loop.name}={int(count)}" for loop, count in zip(nest.loops, parts[least], strict=True) if count > 1
    )
    return WsecError(
        "WSEC301",
        f"kernel {nest.name!r} does not fit the memory of its cores, however it is cut",
        where=f"{nest.kind} kernel of {', '.join(nest.operators)}",
        expected=f"at most {target.core.data_bytes} bytes a core ({target.core.sram_bytes} SRAM less "
        f"{target.core.code_reserve_bytes} for code)",
        found=f"{int(costs.bytes[least])} bytes a core, {over} too many, at the best split ({split or 'one core'}): "
        f"weights {int(costs.weights[least])}, {_states_shown(int(costs.states[least]))}"
        f"activations {int(costs.activations[least])}, buffers {int(costs.buffers[least])}",
        hint=f"a larger region than {target.grid.width}x{target.grid.height}, a smaller input size (--dim), a smaller element type, "
        "or a target with more memory",
    )


def _states_shown(size: int) -> str:
    return f"states {size}, " if size else ""


def _too_long(nest: LoopNest, target: Target) -> WsecError:
    return WsecError(
        "WSEC301",
        f"no split of kernel {nest.name!r} that fits the memory of its cores fits the region",
        where=f"{nest.kind} kernel of {', '.join(nest.operators)}",
        expected=f"a rectangle inside {target.grid.width}x{target.grid.height}",
        hint="a larger region",
    )
