"""How few wafers can hold the weights and states of kernels that take turns: by their bytes, and by all ways in which kernels may be cut.

A kernel is whole on one wafer, and its blocks are whole elements of equal extents, so that bytes alone promise too much. Every cut of
every loop counts here, whether it is worth its cycles or not: no plan of turns in their order has fewer wafers.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.block_sizes import block_elements
from wsec.compiler.kernels.splits import loop_parts
from wsec.compiler.schedule.sequential.fitting import packed
from wsec.compiler.schedule.sequential.memory import TurnMemory, stored_bytes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.schedule.sequential.turns import Turn
    from wsec.compiler.target import Grid, Target

_MOST_CUTS: Final = 2_000_000


def least_memory(turns: Sequence[Turn], target: Target) -> TurnMemory:
    """What no plan goes below: what each turn leaves on its fullest core in the leanest cut; nothing that it works with."""
    known: dict[object, int] = {}
    for turn in turns:
        if turn.signature not in known:
            known[turn.signature] = sum(least_stored(each.splits.nest, target.grid) for each in turn.tables)
    resident = np.array([known[turn.signature] for turn in turns], dtype=np.int64)
    return TurnMemory(resident, np.zeros_like(resident), np.zeros_like(resident))


def least_stored(nest: LoopNest, grid: Grid) -> int:
    """The fewest bytes of weights and states on the fullest core, of all cuts whose axes lie on rows or columns of the grid.

    Loops that no weight follows stay whole: cutting them takes cores and spares nothing. Of too many cuts, or of a kernel that is not
    cut along loops, the bytes over the cores.
    """
    held = [item for item in nest.inputs if item.resident]
    sizes = [item.item_bytes * math.prod(each.extent for each in item.maps) for item in held]
    evenly = math.ceil(sum(sizes) / grid.cores)
    followed = {name for item in held for each in item.maps for name in (each.loop, each.shared) if name}
    choices = [
        loop_parts(loop.extent) if loop.cuttable and loop.name in followed else np.ones(1, dtype=np.int64)
        for loop in nest.loops
    ]
    if nest.work.serial or nest.kind == "unsplit" or math.prod(map(len, choices)) > _MOST_CUTS:
        return evenly
    cuts = np.stack([axis.reshape(-1) for axis in np.meshgrid(*choices, indexing="ij")], axis=1)
    cuts = cuts[_on_grid(cuts, grid)]
    blocks = np.ceil(np.array([loop.extent for loop in nest.loops]) / cuts)
    total = np.full(len(cuts), float(nest.work.resident_bytes))
    for item in held:
        total += np.ceil(block_elements(item, nest, blocks) * item.item_bytes)
    return int(total.min())


def _on_grid(cuts: NDArray[np.int64], grid: Grid) -> NDArray[np.bool_]:
    """Cuts, [cuts, loops], whose axes fit the grid when each lies on rows or on columns."""
    fits = np.zeros(len(cuts), dtype=np.bool_)
    movable = np.flatnonzero(cuts.max(axis=0, initial=1) > 1)
    for sides in itertools.product((True, False), repeat=len(movable)):
        rows = np.zeros(cuts.shape[1], dtype=np.bool_)
        rows[movable] = sides
        high, wide = cuts[:, rows].prod(axis=1), cuts[:, ~rows].prod(axis=1)
        fits |= (high <= grid.height) & (wide <= grid.width)
    return fits


def least_wafers(least: TurnMemory, room: int) -> int:
    """The fewest wafers on which turns fit in their order; 1 where one fits none, or there are none."""
    return max(1, len(packed(least, room)))


def why_so_many(wafers: int, least: TurnMemory, graph: KernelGraph, target: Target) -> str:
    """How many wafers weights and states need at least, and why."""
    room = target.core.data_bytes
    stored = stored_bytes(graph)
    by_bytes = -(-stored // (room * target.grid.cores))
    by_cuts = least_wafers(least, room)
    said = (
        f"{wafers} wafers: {stored:,} bytes of weights and states need at least {by_bytes} of {room:,} bytes a core, without code; "
        f"with every kernel cut in the leanest of all ways, {int(least.resident.sum()):,} bytes on the fullest core, at least {by_cuts}"
    )
    return said if wafers > by_cuts else f"{said}: no plan whose kernels take turns has fewer"
