"""DepthToSpace, SpaceToDepth and Tile: transposes and repetitions in views that split a dimension in two."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.kernels.loop_nest import Loop, LoopNest, Work, fixed, follows
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, operand, shape_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.kernels.loop_nest import DimensionMap
    from wsec.compiler.plan import Argument

    Groups = tuple[tuple[int, ...], ...]


def make_depth_and_space(operator: OperatorView) -> LoopNest:
    """The loop nest of DepthToSpace or SpaceToDepth: a transpose of six dimensions."""
    n, c, h, w = shape_of(operator.input(0))
    size = operator.integer("blocksize", 1)
    if operator.op_type == "SpaceToDepth":
        view = (n, c, h // size, size, w // size, size)
        order = (0, 1, 3, 5, 2, 4) if operator.text("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
        return _transposed(operator, view, order, ((0,), (1, 2, 3), (4,), (5,)))
    groups = ((0,), (1,), (2, 3), (4, 5))
    if operator.text("mode", "DCR") == "DCR":
        return _transposed(operator, (n, size, size, c // size**2, h, w), (0, 3, 4, 1, 5, 2), groups)
    return _transposed(operator, (n, c // size**2, size, size, h, w), (0, 1, 4, 2, 5, 3), groups)


def _transposed(
    operator: OperatorView, view: tuple[int, ...], perm: tuple[int, ...], groups: Groups
) -> LoopNest:
    loops = tuple(Loop(f"d{i}", view[axis]) for i, axis in enumerate(perm))
    maps = tuple(follows(loops[perm.index(axis)]) for axis in range(len(view)))
    nest = _nest(operator, "transpose", loops, maps, groups=groups, arguments={"perm": perm})
    return replace(nest, work=replace(nest.work, walks=walks_of_transpose(loops, perm)))


def walks_of_transpose(loops: Sequence[Loop], perm: Sequence[int]) -> tuple[tuple[str, ...], ...]:
    """Loops over the dimensions of the output, those together that stay neighbours: they lie dense in input and output."""
    walks: list[tuple[str, ...]] = []
    for index, loop in enumerate(loops):
        together = index > 0 and perm[index] == perm[index - 1] + 1
        walks = [*walks[:-1], (*walks[-1], loop.name)] if together else [*walks, (loop.name,)]
    return tuple(walks)


def make_tile(operator: OperatorView) -> LoopNest:
    """The loop nest of Tile: a repeated dimension becomes two, of which the input has the second."""
    loops: list[Loop] = []
    maps: list[DimensionMap] = []
    groups = []
    for extent, repeats in zip(shape_of(operator.input(0)), operator.constant_integers(1), strict=True):
        first = len(loops)
        if repeats != 1:
            loops.append(Loop(f"d{len(loops)}", repeats))
            maps.append(fixed(1))
        loops.append(Loop(f"d{len(loops)}", extent))
        maps.append(follows(loops[-1]))
        groups.append(tuple(range(first, len(loops))))
    return _nest(operator, "expand", tuple(loops), tuple(maps), groups=tuple(groups), arguments={})


def _nest(
    operator: OperatorView,
    kind: str,
    loops: tuple[Loop, ...],
    maps: tuple[DimensionMap, ...],
    *,
    groups: Groups,
    arguments: dict[str, Argument],
) -> LoopNest:
    if not math.prod(loop.extent for loop in loops):
        raise Unsplittable("its result is empty")
    result = operand("result", operator.output, tuple(map(follows, loops)))
    return LoopNest(
        kind=kind,
        operators=(operator.name,),
        loops=loops,
        inputs=(operator.operand("x", 0, maps),),
        outputs=(result,),
        arguments=arguments,
        work=Work(tuple(loop.name for loop in loops), operations=1, dtype=result.dtype),
        output_groups=groups,
    )
