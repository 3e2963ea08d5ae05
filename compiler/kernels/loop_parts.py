"""A loop seen as several: a dimension of 4096 as 32 heads of 2 halves of 64 features, of which heads and features are cut.

A core's block is then a box of that view, and need not lie dense in the tensor. Nothing else changes: what follows the loop follows
the parts, in their order, and a sum over the loop is one over all parts.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from wsec.compiler.kernels.loop_nest import DimensionMap, Loop, LoopNest, Operand, Work, follows
from wsec.compiler.kernels.operator_view import Unsplittable

if TYPE_CHECKING:
    from collections.abc import Sequence

PARTS: Final = "parts_"
"""Formal argument of a kernel, with the name of the loop behind it: extents of its parts."""


def loop_in_parts(nest: LoopNest, name: str, extents: Sequence[int], whole: Sequence[int] = ()) -> LoopNest:
    """The same kernel with a loop seen as several, named after it and their numbers.

    Args:
        nest: The kernel.
        name: Of the loop.
        extents: Of the parts, the outermost first; their product is that of the loop.
        whole: Numbers of parts that are not cut.

    Raises:
        Unsplittable: Some operand or work follows the loop otherwise than one by one.
    """
    loop = nest.loops[nest.position(name)]
    if math.prod(extents) != loop.extent:
        raise Unsplittable(f"{loop.extent} positions of {name} are not {list(extents)}")
    parts = tuple(
        Loop(f"{name}_{at}", extent, loop.role, cuttable=loop.cuttable and at not in whole)
        for at, extent in enumerate(extents)
    )
    return replace(
        nest,
        loops=tuple(each for old in nest.loops for each in (parts if old.name == name else (old,))),
        inputs=tuple(_operand(item, loop, parts) for item in nest.inputs),
        outputs=tuple(_operand(item, loop, parts) for item in nest.outputs),
        arguments={**nest.arguments, f"{PARTS}{name}": tuple(extents)},
        work=work_in_parts(nest.work, name, parts),
        further_work=tuple(work_in_parts(work, name, parts) for work in nest.further_work),
        chain_work=None if nest.chain_work is None else work_in_parts(nest.chain_work, name, parts),
        output_groups=_groups(nest, name, len(parts)),
    )


def work_in_parts(work: Work, name: str, parts: Sequence[Loop]) -> Work:
    """The same work over the parts of a loop. Raises Unsplittable where it takes positions of the loop as a row."""
    special = {work.shared_out, *(each for each, _ in (*work.every, *work.chosen)), *work.taps_over}
    if name in special or any(dimension.loop == name for dimension in work.unread):
        raise Unsplittable(f"{name} is walked in a way of its own")
    names = tuple(part.name for part in parts)

    def named(loops: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(each for old in loops for each in (names if old == name else (old,)))

    return replace(
        work,
        loops=named(work.loops),
        walks=tuple(map(named, work.walks)),
        summed=tuple(map(named, work.summed)),
        gathered=named(work.gathered),
        statistics=named(work.statistics),
        interim=named(work.interim),
    )


def _operand(operand: Operand, loop: Loop, parts: Sequence[Loop]) -> Operand:
    maps: list[DimensionMap] = []
    for dimension in operand.maps:
        if dimension.loop != loop.name:
            maps.append(dimension)
        elif dimension == follows(loop):
            maps += map(follows, parts)
        else:
            raise Unsplittable(f"{operand.role} follows {loop.name} otherwise than one by one")
    return replace(operand, maps=tuple(maps))


def _groups(nest: LoopNest, name: str, count: int) -> tuple[tuple[int, ...], ...]:
    """Dimensions of the output's view that make up each of the tensor, with `count` in place of that of a loop."""
    positions: list[tuple[int, ...]] = []
    for dimension in nest.outputs[0].maps:
        first = positions[-1][-1] + 1 if positions else 0
        positions.append(tuple(range(first, first + (count if dimension.loop == name else 1))))
    groups = nest.output_groups or tuple((at,) for at in range(len(positions)))
    return tuple(tuple(each for at in group for each in positions[at]) for group in groups)
