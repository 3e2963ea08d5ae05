"""Kernels that need a statistic over whole dimensions: pooling, reductions, softmax and normalisations."""

from __future__ import annotations

import math
from itertools import groupby

from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Operand, Work, fixed, follows
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, operand, shape_of
from wsec.compiler.kernels.window import Window, sliding_window

_REDUCTIONS = {
    "ReduceSum": "sum",
    "ReduceMean": "mean",
    "ReduceMax": "max",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceL1": "l1",
    "ReduceL2": "l2",
    "ReduceLogSum": "log_sum",
    "ReduceLogSumExp": "log_sum_exp",
    "ReduceSumSquare": "sum_square",
}

_PASSES = {"l1": 2, "log_sum_exp": 3}
"""Operations on every element, where they are several."""


def make_pooling(operator: OperatorView) -> LoopNest:
    """The loop nest of a MaxPool or AveragePool node."""
    if len(operator.node.outputs) > 1:
        raise Unsplittable("the indices of the maxima are used")
    x, output = shape_of(operator.input(0)), shape_of(operator.output)
    window = sliding_window(operator, x[2:], operator.integers("kernel_shape", ()))
    n, c = Loop("n", x[0]), Loop("c", x[1])
    outer = tuple(Loop(f"d{i}", extent) for i, extent in enumerate(output[2:]))
    result = operand("result", operator.output, (follows(n), follows(c), *map(follows, outer)))
    names = ("n", "c", *(loop.name for loop in outer))
    return LoopNest(
        kind="pooling",
        operators=(operator.name,),
        loops=(n, c, *outer),
        inputs=(operator.operand("x", 0, (follows(n), follows(c), *window.reads(x[2:], outer))),),
        outputs=(result,),
        arguments={
            "mode": "max" if operator.op_type == "MaxPool" else "average",
            "window": window.sizes,
            "strides": window.strides,
            "dilations": window.dilations,
            "pads_begin": window.begins,
            "pads_end": window.ends,
            "count_include_pad": bool(operator.integer("count_include_pad", 0)),
        },
        work=Work(
            names,
            operations=1,
            dtype=result.dtype,
            walks=_pooled(window, outer),
            taps=window.sizes,
            taps_over=tuple(
                loop.name if dilation == 1 else ""
                for loop, dilation in zip(outer, window.dilations, strict=True)
            ),
        ),
        further_work=(Work(names, operations=1 if operator.op_type == "MaxPool" else 2, dtype=result.dtype),),
    )


def _pooled(window: Window, outer: tuple[Loop, ...]) -> tuple[tuple[str, ...], ...]:
    """Windows side by side that leave nothing out lie dense behind what is outside of them."""
    walks, step = [["n", "c"]], 1
    for loop, size, stride, dilation in zip(
        outer, window.sizes, window.strides, window.dilations, strict=True
    ):
        if size == stride and dilation == 1 and step == 1:
            walks[-1].append(loop.name)
        else:
            walks.append([loop.name])
        step = stride
    return tuple(map(tuple, walks))


def reduced_axes(operator: OperatorView, rank: int) -> tuple[int, ...]:
    """The axes of a Reduce* node, from its attribute or constant input, in rising order."""
    axes = operator.constant_integers(1) if operator.has_input(1) else operator.integers("axes", ())
    if not axes:
        return () if operator.integer("noop_with_empty_axes", 0) else tuple(range(rank))
    return tuple(sorted(axis % rank for axis in axes))


def make_reduction(operator: OperatorView) -> LoopNest:
    """The loop nest of a Reduce* node."""
    x = shape_of(operator.input(0))
    axes = reduced_axes(operator, len(x))
    if 0 in x:
        raise Unsplittable("it has an empty dimension")
    keep = bool(operator.integer("keepdims", 1))
    loops = tuple(
        Loop(f"d{i}", extent, LoopRole.REDUCTION if i in axes else LoopRole.PARALLEL)
        for i, extent in enumerate(x)
    )
    kept = [fixed(1) if i in axes else follows(loop) for i, loop in enumerate(loops) if keep or i not in axes]
    operation = _REDUCTIONS[operator.op_type]
    result = operand("result", operator.output, tuple(kept))
    return LoopNest(
        kind="reduction",
        operators=(operator.name,),
        loops=loops,
        inputs=(operator.operand("x", 0, tuple(map(follows, loops))),),
        outputs=(result,),
        arguments={
            "operation": operation,
            "axes": axes,
            "keepdims": keep,
            "count": math.prod(x[axis] for axis in axes),
        },
        work=Work(
            tuple(loop.name for loop in loops),
            operations=_PASSES.get(operation, 1),
            transcendentals=1 if operation == "log_sum_exp" else 0,
            collectives=1 if operation == "log_sum_exp" else 0,  # the maximum that is taken off
            dtype=result.dtype,
            walks=_runs(loops, LoopRole.PARALLEL) or ((),),
            summed=_runs(loops, LoopRole.REDUCTION),
        ),
        further_work=(
            Work(
                tuple(loop.name for loop in loops if loop.role is LoopRole.PARALLEL),
                operations={"mean": 2, "log_sum_exp": 3}.get(operation, 1),
                divisions=operation == "l2",
                transcendentals=operation in {"log_sum", "log_sum_exp"},
                dtype=result.dtype,
            ),
        ),
    )


def _runs(loops: tuple[Loop, ...], role: LoopRole) -> tuple[tuple[str, ...], ...]:
    """Loops of that role, neighbours together: they lie dense."""
    found = groupby(loops, lambda loop: loop.role is role)
    return tuple(tuple(loop.name for loop in run) for of_role, run in found if of_role)


def make_softmax(operator: OperatorView) -> LoopNest:
    """The loop nest of a Softmax or LogSoftmax node: maximum, exp, sum and division along one axis."""
    x = shape_of(operator.input(0))
    axis = operator.integer("axis", -1) % len(x)
    loops = _collective_loops(x, (axis,))
    result = operand("result", operator.output, tuple(map(follows, loops)))
    return LoopNest(
        kind="softmax",
        operators=(operator.name,),
        loops=loops,
        inputs=(operator.operand("x", 0, tuple(map(follows, loops))),),
        outputs=(result,),
        arguments={"axis": axis, "log": operator.op_type == "LogSoftmax"},
        work=Work(
            tuple(loop.name for loop in loops),
            operations=2,  # maximum and sum
            dtype=result.dtype,
            collectives=2,
            walks=_runs(loops, LoopRole.PARALLEL) or ((),),
            summed=_runs(loops, LoopRole.COLLECTIVE),
        ),
        further_work=_beside_statistics(loops, result.dtype, (2, 1), (2, 1)),
    )


def _beside_statistics(
    loops: tuple[Loop, ...], dtype: str, of_all: tuple[int, int], of_each: tuple[int, int]
) -> tuple[Work, ...]:
    """Operations on all elements with a statistic, and series on them; operations on the statistics, and divisions of them."""
    names = tuple(loop.name for loop in loops)
    kept = tuple(loop.name for loop in loops if loop.role is LoopRole.PARALLEL)
    runs = (*_runs(loops, LoopRole.PARALLEL), *_runs(loops, LoopRole.COLLECTIVE))
    return (
        Work(names, operations=of_all[0], dtype=dtype, walks=runs),
        Work(names, operations=0, transcendentals=of_all[1], dtype=dtype),
        Work(kept, operations=of_each[0], divisions=of_each[1], dtype=dtype),
    )


def _collective_loops(x: tuple[int, ...], axes: tuple[int, ...]) -> tuple[Loop, ...]:
    if 0 in x:
        raise Unsplittable("it has an empty dimension")
    return tuple(
        Loop(f"d{i}", extent, LoopRole.COLLECTIVE if i in axes else LoopRole.PARALLEL)
        for i, extent in enumerate(x)
    )


def make_normalization(operator: OperatorView) -> LoopNest:
    """The loop nest of LayerNormalization, RMSNormalization, InstanceNormalization and GroupNormalization."""
    if sum(1 for output in operator.node.outputs if output.uses() or output.is_graph_output()) > 1:
        raise Unsplittable("the mean or deviation is used")
    x = shape_of(operator.input(0))
    axes, groups = _statistics_axes(operator, x)
    view = (x[0], groups, x[1] // groups, *x[2:]) if groups else x
    loops = _collective_loops(view, axes)
    result = operand("result", operator.output, tuple(map(follows, loops)))
    inputs = [operator.operand("x", 0, tuple(map(follows, loops)))]
    centred = operator.op_type != "RMSNormalization"
    for index, role in ((1, "scale"), (2, "bias")):
        if operator.has_input(index):
            inputs.append(_parameter(operator, role, index, loops, groups))
    return LoopNest(
        kind="normalization",
        operators=(operator.name,),
        loops=loops,
        inputs=tuple(inputs),
        outputs=(result,),
        arguments={
            "axes": axes,
            "epsilon": operator.real("epsilon", 1e-5),
            "centred": centred,
            "count": math.prod(view[axis] for axis in axes),
        },
        work=Work(
            tuple(loop.name for loop in loops),
            operations=1 + centred,  # sums of the elements and of their squares
            dtype=result.dtype,
            collectives=1 + centred,
            walks=_runs(loops, LoopRole.PARALLEL) or ((),),
            summed=_runs(loops, LoopRole.COLLECTIVE),
        ),
        further_work=_beside_statistics(
            loops, result.dtype, (centred + len(inputs), 0), (3 + 2 * centred, 2)
        ),
        output_groups=((0,), (1, 2), *((3 + i,) for i in range(len(x) - 2))) if groups else (),
    )


def _statistics_axes(operator: OperatorView, x: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """Axes of the view over which mean and variance are taken, and the groups of channels (0: no such view)."""
    if operator.op_type in ("LayerNormalization", "RMSNormalization"):
        first = operator.integer("axis", -1) % len(x)
        return tuple(range(first, len(x))), 0
    if operator.op_type == "InstanceNormalization":
        return tuple(range(2, len(x))), 0
    return tuple(range(2, len(x) + 1)), operator.integer("num_groups", 1)


def _parameter(
    operator: OperatorView, role: str, index: int, loops: tuple[Loop, ...], groups: int
) -> Operand:
    shape = shape_of(operator.input(index))
    if operator.op_type == "InstanceNormalization":
        maps = tuple(follows(loop) if i == 1 else fixed(1) for i, loop in enumerate(loops))
    elif groups:
        per_channel = math.prod(shape) == loops[1].extent * loops[2].extent
        maps = tuple(
            follows(loop) if i == 1 or (i == 2 and per_channel) else fixed(1) for i, loop in enumerate(loops)
        )
    else:
        padded = (1,) * (len(loops) - len(shape)) + shape
        maps = tuple(
            follows(loop) if extent == loop.extent else fixed(1)
            for loop, extent in zip(loops, padded, strict=True)
        )
    return operator.operand(role, index, maps)
