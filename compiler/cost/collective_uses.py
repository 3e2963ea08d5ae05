"""Which collectives a loop nest needs once it is cut, and their cycles; under many splits at once, an array element a split.

A reduction loop that is cut leaves partial results, a collective loop partial statistics. They are combined from the
innermost axis of the mesh outwards, and statistics broadcast back (docs/fabric.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from wsec.compiler.cost.block_sizes import computed_blocks, interim_bytes, output_bytes, state_bytes, widening
from wsec.compiler.cost.collectives import all_reduce_ring, broadcast, reduction
from wsec.compiler.kernels.loop_nest import LoopRole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.plan import CollectiveAlgorithm
    from wsec.compiler.target import Fabric

    Array = NDArray[np.float64]

AUTO: Final = "auto"
TREES: Final[tuple[CollectiveAlgorithm, ...]] = ("chain", "two_phase", "two_level", "tree", "star")
"""Reductions, from which the cheapest is taken; of equals the first."""

ONE_COLOUR: Final[tuple[CollectiveAlgorithm, ...]] = ("star", "tree")
"""Those whose cores receive everything before they send, so that a side needs one colour; the others need two."""

_MOST_COLOURS, _MOST_EXCHANGES = 2, 4

ALGORITHMS: Final[tuple[CollectiveAlgorithm, ...]] = (*TREES, "ring")


@dataclass(frozen=True, slots=True, eq=False)
class CollectiveUse:
    """A collective along one loop.

    Attributes:
        kind: Whether the result comes back to all cores.
        loop: Index of the loop.
        words: float64 [splits], of a core, each time.
        times: float64 [splits], for one sample.
    """

    kind: Literal["reduce", "all_reduce"]
    loop: int
    words: Array
    times: Array


@dataclass(frozen=True, slots=True, eq=False)
class Line:
    """Cores along an axis, and the hops from one of them to the next; float64 [splits]."""

    cores: Array
    spacing: Array


_INTERIM_TIMES = 2  # of an interim result: its sums, and what each core computed of its share of them


def collective_uses(
    nest: LoopNest, parts: Array, turns: NDArray[np.int64] | int, fabric: Fabric
) -> tuple[CollectiveUse, ...]:
    """In the order in which they happen: an interim result, statistics, then results; of each the innermost axis of the mesh first.

    Args:
        nest: What is cut.
        parts: [splits, loops], how many ways each loop is cut.
        turns: Turns in which a core walks its part: each has its own partial results.
        fabric: Its words.
    """
    work, extents = nest.work, np.array([loop.extent for loop in nest.loops], dtype=np.float64)
    if work.serial:
        return ()
    if nest.sums_in_turns:
        turns = 1
    blocks = np.ceil(extents / parts)
    inner_first = [(at, nest.loops[at].role) for at in reversed(nest.mesh_order())]
    reduced = [at for at, role in inner_first if role is LoopRole.REDUCTION]
    shared = [at for at, role in inner_first if role is LoopRole.COLLECTIVE]
    output = output_bytes(nest, blocks) * widening(nest) / fabric.word_bytes
    once = np.ones(len(parts))
    uses = []
    if work.exchanged:
        words = np.ceil(interim_bytes(nest, blocks) / turns / fabric.word_bytes)
        uses += [CollectiveUse("all_reduce", at, words, _INTERIM_TIMES * turns * once) for at in shared]
    if work.collectives:
        over = reduced if work.exchanged else shared or reduced
        words, each = np.ceil(_statistics(nest, blocks, fabric) / turns), work.collectives * turns * once
        uses += [CollectiveUse("all_reduce", at, words, each) for at in over]
    words, each = np.ceil(output / turns), turns * once
    if work.gathers:
        words = np.ceil(state_bytes(nest, blocks) * work.partials / fabric.word_bytes)
        each = work.gathers * once
    return (*uses, *(CollectiveUse("reduce", at, words, each) for at in reduced))


def _statistics(nest: LoopNest, blocks: Array, fabric: Fabric) -> Array:
    """Words of a statistic on one core."""
    work = nest.work
    if work.statistics:
        blocks = computed_blocks(work, nest, blocks)
        elements = np.prod([blocks[:, nest.position(name)] for name in work.statistics], axis=0)
        return np.asarray(elements * work.interim_bytes / fabric.word_bytes)
    words = np.ceil(output_bytes(nest, blocks) * widening(nest) / fabric.word_bytes)
    for index, loop in enumerate(nest.loops):
        if loop.role is LoopRole.COLLECTIVE:
            words = words / blocks[:, index]
    return words


def collective_cycles(
    nest: LoopNest,
    parts: Array,
    turns: NDArray[np.int64] | int,
    fabric: Fabric,
    on_rows: NDArray[np.bool_] | None = None,
) -> Array:
    """Cycles of a sample in the collectives of the nest, [splits], each axis by its cheapest algorithm or the demanded one.

    Neighbours along an axis are as far apart as the axes inside are long, if these lie on the same side. Without `on_rows`, True
    for each loop whose axis lies on rows, each axis counts as if it had a side of its own, which is the least.
    """
    uses = collective_uses(nest, parts, turns, fabric)
    used = {use.loop for use in uses}
    loops = tuple(at for at in reversed(nest.mesh_order()) if at in used)
    cut = (parts[:, list(loops)] > 1).sum(axis=1)
    shared = any(use.kind == "all_reduce" for use in uses)
    tight = np.minimum(cut, 2) * (_MOST_COLOURS + shared) > colours_of_collectives(fabric)
    cycles = np.zeros(len(parts))
    spacing = {True: np.ones(len(parts)), False: np.ones(len(parts))}
    for at in loops:
        side = on_rows is not None and bool(on_rows[at])
        line = Line(parts[:, at], np.ones(len(parts)) if on_rows is None else spacing[side])
        along = [use for use in uses if use.loop == at]
        cycles = cycles + _cheapest(nest.collective, along, line, fabric, alone=cut == 1, tight=tight)
        spacing[side] = spacing[side] * line.cores
    return cycles


def side_cycles(
    nest: LoopNest,
    parts: Array,
    turns: NDArray[np.int64] | int,
    on_rows: NDArray[np.bool_],
    fabric: Fabric,
) -> Array:
    """Cycles of collectives, [splits], beyond those that splits count without knowing the sides of their axes."""
    if sum(loop.role is not LoopRole.PARALLEL for loop in nest.loops) < 2 and not nest.work.exchanged:
        return np.zeros(len(parts))
    known = collective_cycles(nest, parts, turns, fabric, on_rows)
    return np.asarray(np.ceil(np.maximum(0, known - collective_cycles(nest, parts, turns, fabric))))


def colours_of_collectives(fabric: Fabric) -> int:
    """Colours of a kernel that exchanges leave: these have half of them, four at most, two tilings of each side."""
    return fabric.kernel_colours - min(_MOST_EXCHANGES, fabric.kernel_colours // 2)


def _cheapest(
    demanded: str,
    uses: Sequence[CollectiveUse],
    line: Line,
    fabric: Fabric,
    *,
    alone: NDArray[np.bool_],
    tight: NDArray[np.bool_],
) -> Array:
    """Along one axis; `alone` where it is the only one of the split, which a ring needs.

    Where colours may be `tight`, which depends on the sides that axes lie on, no less than with one colour a side.
    """
    # groups of ceil(sqrt P) stand for those of the best size
    names = [demanded] if demanded in TREES else [name for name in TREES if name != "two_level"]
    each = {name: axis_cycles(name, uses, line, fabric) for name in names}
    cycles = np.minimum.reduce(list(each.values()))
    if tight.any():
        few = [each[n] if n in each else axis_cycles(n, uses, line, fabric) for n in ONE_COLOUR]
        cycles = np.where(tight, np.maximum(cycles, np.minimum.reduce(few)), cycles)
    possible = alone & may_ring(uses, line.cores)
    if demanded in TREES or not possible.any():
        return np.asarray(cycles)
    ring = axis_cycles("ring", uses, line, fabric)
    return np.where(possible, ring if demanded == "ring" else np.minimum(ring, cycles), cycles)


def may_ring(uses: Sequence[CollectiveUse], cores: Array) -> NDArray[np.bool_]:
    """Where a ring can do all of them: they bring their results to all cores, and every core has a word to own."""
    possible = np.full(len(cores), all(use.kind == "all_reduce" for use in uses))
    for use in uses:
        possible &= use.words >= cores
    return possible


def axis_cycles(
    algorithm: str,
    uses: Sequence[CollectiveUse],
    line: Line,
    fabric: Fabric,
    group: Array | int = 0,
) -> Array:
    """All collectives along one axis by one algorithm; in groups of ceil(sqrt P) where no size is given."""
    size = np.where(group, group, np.ceil(np.sqrt(line.cores)))
    cycles = np.zeros(len(size))
    for use in uses:
        if algorithm == "ring":
            once = all_reduce_ring(use.words, line.cores, line.spacing).cycles(fabric)
        else:
            once = reduction(algorithm, use.words, line.cores, line.spacing, size).cycles(fabric)
        if use.kind == "all_reduce" and algorithm != "ring":
            once = once + broadcast(use.words, line.cores, line.spacing).cycles(fabric)
        cycles = cycles + once * use.times
    return cycles
