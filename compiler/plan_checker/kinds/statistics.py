"""Kinds that need a statistic over whole dimensions: reduction, softmax and normalization."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.expectation import (
    Expectation,
    Loop,
    Operand,
    aligned,
    along,
    broadcast,
    output_loops,
)

if TYPE_CHECKING:
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

_OPERATIONS = {
    "ReduceL1": "l1",
    "ReduceL2": "l2",
    "ReduceLogSum": "log_sum",
    "ReduceLogSumExp": "log_sum_exp",
    "ReduceMax": "max",
    "ReduceMean": "mean",
    "ReduceMin": "min",
    "ReduceProd": "prod",
    "ReduceSum": "sum",
    "ReduceSumSquare": "sum_square",
}
REDUCTIONS = tuple(_OPERATIONS)


def expect_reduction(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Reduce*: x [d0, d1 ...]; output the kept dimensions, 1 for a reduced one with keepdims."""
    x = model.shape(node.input(0))
    axes = _reduced_axes(node, model, len(x))
    keep = bool(node.integer("keepdims", 1))
    loops = output_loops(x)
    output = [
        Loop("", 1) if axis in axes else loop for axis, loop in enumerate(loops) if keep or axis not in axes
    ]
    return Expectation(
        operands=(Operand("x", node.input(0), tuple(along(loop.name, loop.extent) for loop in loops)),),
        output=tuple(output),
        reductions={loops[axis].name: x[axis] for axis in axes},
        arguments={
            "operation": _OPERATIONS[node.op_type],
            "axes": axes,
            "keepdims": keep,
            "count": math.prod(x[axis] for axis in axes),
        },
    )


def _reduced_axes(node: OperatorFacts, model: ModelFacts, rank: int) -> tuple[int, ...]:
    """Axes from the attribute or the constant input, counted from the front, in rising order."""
    given = model.numbers(node.input(1))
    axes = node.integers("axes", ()) if given is None else tuple(int(axis) for axis in given)
    if not axes and not node.integer("noop_with_empty_axes", 0):
        return tuple(range(rank))
    return tuple(sorted(axis + rank if axis < 0 else axis for axis in axes))


def expect_softmax(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Softmax, LogSoftmax: x [d0 ...]; output as x."""
    x = model.shape(node.input(0))
    axis = node.integer("axis", -1)
    loops = output_loops(x)
    return Expectation(
        operands=(Operand("x", node.input(0), tuple(along(loop.name, loop.extent) for loop in loops)),),
        output=loops,
        reductions={},
        arguments={"axis": axis + len(x) if axis < 0 else axis, "log": node.op_type == "LogSoftmax"},
    )


def expect_normalization(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Layer, instance, group and RMS normalisation: x, scale and bias in the rank of x; output as x."""
    view, axes = _normalized_view(node, model)
    loops = output_loops(view)
    operands = [Operand("x", node.input(0), tuple(along(loop.name, loop.extent) for loop in loops))]
    for index, role in ((1, "scale"), (2, "bias")):
        if node.input(index):
            extents = _parameter_view(node, model.shape(node.input(index)), view)
            reads = tuple(broadcast(loop, extent) for loop, extent in zip(loops, extents, strict=True))
            operands.append(Operand(role, node.input(index), reads))
    epsilon = node.attributes.get("epsilon", 1e-5)
    return Expectation(
        operands=tuple(operands),
        output=loops,
        reductions={},
        arguments={
            "axes": axes,
            "epsilon": epsilon,
            "centred": node.op_type != "RMSNormalization",
            "count": math.prod(view[axis] for axis in axes),
        },
    )


def _normalized_view(node: OperatorFacts, model: ModelFacts) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The view of x, and the axes that share a mean and variance."""
    x = model.shape(node.input(0))
    if node.op_type == "InstanceNormalization":
        return x, tuple(range(2, len(x)))
    if node.op_type == "GroupNormalization":
        groups = node.integer("num_groups", 1)
        return (x[0], groups, x[1] // groups, *x[2:]), tuple(range(2, len(x) + 1))
    axis = node.integer("axis", -1)
    return x, tuple(range(axis + len(x) if axis < 0 else axis, len(x)))


def _parameter_view(node: OperatorFacts, shape: tuple[int, ...], view: tuple[int, ...]) -> tuple[int, ...]:
    """The view of scale or bias: one number a channel (or group of channels), or as it broadcasts to x."""
    if node.op_type == "InstanceNormalization":
        return (1, shape[0], *(1,) * (len(view) - 2))
    if node.op_type == "GroupNormalization":
        channels = view[2] if shape[0] == view[1] * view[2] else 1
        return (1, view[1], channels, *(1,) * (len(view) - 3))
    return aligned(shape, len(view))
