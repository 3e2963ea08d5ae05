"""Which algorithm combines the partial results of a kernel along each axis of its mesh: the cheapest, or the demanded one.

One algorithm for all collectives along an axis; all of a kernel together in the colours that are kept for them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.collective_uses import (
    ONE_COLOUR,
    TREES,
    CollectiveUse,
    Line,
    axis_cycles,
    collective_uses,
    colours_of_collectives,
    may_ring,
)
from wsec.compiler.fabric.line_trees import group_of
from wsec.compiler.plan import Collective

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.plan import CollectiveAlgorithm
    from wsec.compiler.sharding import Mesh
    from wsec.compiler.target import Fabric


@dataclass(frozen=True, slots=True)
class _Axis:
    """The collectives along one axis of the mesh, and by which algorithms they may go."""

    name: str
    size: int
    spacing: int
    side: str
    uses: tuple[CollectiveUse, ...]
    algorithm: CollectiveAlgorithm = "chain"
    group: int = 0


def choose_collectives(
    nest: LoopNest, split: dict[str, int], turns: int, mesh: Mesh, fabric: Fabric
) -> tuple[Collective, ...]:
    """The collectives of a kernel, in the order in which they happen.

    Args:
        nest: The kernel before it was cut, with the algorithm that was demanded.
        split: How many ways each loop is cut.
        turns: In which a core walks its part.
        mesh: The axes of the cut loops.
        fabric: Its cycles and colours.
    """
    parts = np.array([[split[loop.name] for loop in nest.loops]], dtype=np.float64)
    uses = [use for use in collective_uses(nest, parts, turns, fabric) if parts[0, use.loop] > 1]
    axes = [
        _decided(axis, nest.collective, TREES, fabric, alone=len({use.loop for use in uses}) == 1)
        for axis in _axes(nest, uses, mesh)
    ]
    if _colours(axes) > colours_of_collectives(fabric):
        axes = [_decided(axis, nest.collective, ONE_COLOUR, fabric, alone=False) for axis in axes]
    chosen = {axis.name: axis for axis in axes}
    return tuple(_record(use, chosen[nest.loops[use.loop].name]) for use in uses)


def chosen_cycles(collectives: Sequence[Collective], mesh: Mesh, fabric: Fabric) -> int:
    """Cycles of a sample in collectives that were chosen, their axes where the mesh has them."""
    cycles = 0.0
    for each in collectives:
        line = Line(np.array([float(mesh.size(each.axis))]), np.array([float(mesh.spacing(each.axis))]))
        words, times = np.array([float(each.words)]), np.array([float(each.times)])
        use = CollectiveUse(each.kind, 0, words, times)
        cycles += float(axis_cycles(each.algorithm, (use,), line, fabric, each.group)[0])
    return math.ceil(cycles)


def _axes(nest: LoopNest, uses: Sequence[CollectiveUse], mesh: Mesh) -> list[_Axis]:
    found = []
    for at in dict.fromkeys(use.loop for use in uses):
        name = nest.loops[at].name
        along = tuple(use for use in uses if use.loop == at)
        side = mesh.axes[mesh.index(name)].side
        found.append(_Axis(name, mesh.size(name), mesh.spacing(name), side, along))
    return found


def _decided(
    axis: _Axis, demanded: str, allowed: Sequence[CollectiveAlgorithm], fabric: Fabric, *, alone: bool
) -> _Axis:
    """The axis with the demanded algorithm where it is possible, else with the cheapest of those that are allowed."""
    line = Line(np.array([float(axis.size)]), np.array([float(axis.spacing)]))
    names = list(allowed)
    if alone and may_ring(axis.uses, line.cores).all():
        names.append("ring")
    names = [name for name in names if name == demanded] or names
    sizes = np.arange(2, max(3, axis.size), dtype=np.float64)
    groups = int(sizes[axis_cycles("two_level", axis.uses, line, fabric, sizes).argmin()])
    choices = [replace(axis, algorithm=name, group=group_of(name, axis.size, groups)) for name in names]

    def cycles(choice: _Axis) -> float:
        return float(axis_cycles(choice.algorithm, axis.uses, line, fabric, choice.group)[0])

    return min(choices, key=cycles)


def _colours(axes: Sequence[_Axis]) -> int:
    """Colours of all reduce and broadcast circuits."""
    total = 0
    for side in ("rows", "columns"):
        along = [axis for axis in axes if axis.side == side]
        if not along:
            continue
        total += 1 if {axis.algorithm for axis in along} <= set(ONE_COLOUR) else 2
        shared = any(use.kind == "all_reduce" for axis in along for use in axis.uses)
        total += shared  # its broadcast, or the way back of its ring
    return total


def _record(use: CollectiveUse, axis: _Axis) -> Collective:
    return Collective(use.kind, axis.name, axis.algorithm, axis.group, int(use.words[0]), int(use.times[0]))
