"""Softmax and LogSoftmax out of exponentials and sums; part of the pass `recognize-activations`, which says when."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.formulas import collapse, cone_of, producer_of, scalar_of, without_ones
from wsec.passes.rewriting import integers_of

if TYPE_CHECKING:
    from wsec.passes.rewriting import Rewriter

_TYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE})
_SAFE_MAGNITUDE = 60.0
"""exp(60) is 1e26: the sum of any number of them that fits a machine is a float32."""

_WITHIN_ONE = frozenset({"Cos", "Erf", "HardSigmoid", "Sigmoid", "Sin", "Softsign", "Tanh"})


def recognize_softmax(rewriter: Rewriter, node: ir.Node) -> None:
    """exp(u) / sum exp(u), or exp(u) times the reciprocal of the sum."""
    for power, total in _fractions(node):
        exponential = producer_of(power, "Exp")
        axis = None if exponential is None or power is None else _summed_axis(total, power)
        if exponential is None or axis is None:
            continue
        source = _unshifted(exponential.inputs[0], axis)
        if source is None and _is_bounded(exponential.inputs[0]):
            source = exponential.inputs[0]
        if source is not None and _replace(rewriter, node, source, "Softmax", axis):
            return


def recognize_log_softmax(rewriter: Rewriter, node: ir.Node) -> None:
    """The logarithm of softmax(x), and u - log sum exp(u)."""
    if node.op_type == "Log":
        softmax = producer_of(node.inputs[0], "Softmax")
        if softmax is not None and softmax.inputs[0] is not None:
            along = softmax.attributes["axis"].as_int() if "axis" in softmax.attributes else -1
            _replace(rewriter, node, softmax.inputs[0], "LogSoftmax", along)
        return
    shifted = node.inputs[0]
    logarithm = producer_of(_aligned(node.inputs[1]), "Log")
    total = None if logarithm is None else logarithm.inputs[0]
    summed = producer_of(_aligned(total), "ReduceSum")
    exponential = None if summed is None else producer_of(summed.inputs[0], "Exp")
    if shifted is None or summed is None or exponential is None or exponential.inputs[0] is not shifted:
        return
    axis = _reduced_axis(node.inputs[1], summed, exponential.outputs[0])
    source = None if axis is None else _unshifted(shifted, axis)
    if axis is not None and source is not None:
        _replace(rewriter, node, source, "LogSoftmax", axis)


def _replace(rewriter: Rewriter, root: ir.Node, source: ir.Value, op_type: str, axis: int) -> bool:
    output = root.outputs[0]
    if output.dtype not in _TYPES or static_shape(output) != static_shape(source):
        return False
    cone = cone_of(root, [source])
    if cone is None:
        return False
    collapse(rewriter, cone, op_type, [source], {"axis": axis})
    return True


def _fractions(node: ir.Node) -> list[tuple[ir.Value | None, ir.Value | None]]:
    """Numerator and denominator, for each way to read the node as a fraction."""
    left, right = node.inputs[0], node.inputs[1]
    if node.op_type == "Div":
        return [(left, right)]
    found: list[tuple[ir.Value | None, ir.Value | None]] = []
    for one, other in ((left, right), (right, left)):
        inner = producer_of(other, "Reciprocal", "Div")
        if inner is not None and inner.op_type == "Reciprocal":
            found.append((one, inner.inputs[0]))
        elif inner is not None and scalar_of(inner.inputs[0]) == 1.0:
            found.append((one, inner.inputs[1]))
    return found


def _aligned(value: ir.Value | None) -> ir.Value | None:
    """What stands behind Reshapes that only add or drop extents of one, and behind a maximum with minus infinity."""
    node = producer_of(value, "Reshape", "Max")
    while node is not None and value is not None:
        if node.op_type == "Reshape":
            inner = node.inputs[0]
        else:
            others = [operand for operand in node.inputs if scalar_of(operand) != -math.inf]
            inner = others[0] if len(others) == 1 and len(node.inputs) > 1 else None
        before, after = None if inner is None else static_shape(inner), static_shape(value)
        if inner is None or before is None or after is None or without_ones(before) != without_ones(after):
            return value
        value = inner
        node = producer_of(value, "Reshape", "Max")
    return value


def _summed_axis(total: ir.Value | None, power: ir.Value) -> int | None:
    node = producer_of(_aligned(total), "ReduceSum")
    return None if node is None or node.inputs[0] is not power else _reduced_axis(total, node, power)


def _reduced_axis(result: ir.Value | None, reduction: ir.Node, source: ir.Value) -> int | None:
    """The one axis that was reduced, where the result stands against the source with extent one there."""
    shape = static_shape(source)
    axes = integers_of(reduction.inputs[1]) if len(reduction.inputs) > 1 else None
    if result is None or shape is None or axes is None or len(axes) != 1:
        return None
    axis = axes[0] % len(shape)
    return axis if static_shape(result) == (*shape[:axis], 1, *shape[axis + 1 :]) else None


def _unshifted(value: ir.Value | None, axis: int) -> ir.Value | None:
    """The x of x - max x along the axis."""
    node = producer_of(value, "Sub")
    if node is None or node.inputs[0] is None:
        return None
    source = node.inputs[0]
    maximum = producer_of(_aligned(node.inputs[1]), "ReduceMax")
    if maximum is None or maximum.inputs[0] is not source:
        return None
    return source if _reduced_axis(node.inputs[1], maximum, source) == axis else None


def _is_bounded(value: ir.Value | None) -> bool:
    """Whether no element can be large enough for its exponential to overflow, or to vanish."""
    node = None if value is None or value.dtype == ir.DataType.FLOAT16 else value.producer()
    factor = 1.0
    if node is not None and node.domain == "" and node.op_type in {"Mul", "Div"}:
        known = [scalar_of(operand) for operand in node.inputs]
        number = known[1] if known[1] is not None or node.op_type == "Div" else known[0]
        if not number:
            return False
        factor = abs(number) if node.op_type == "Mul" else 1 / abs(number)
        others = [operand for operand in node.inputs if scalar_of(operand) is None]
        node = others[0].producer() if len(others) == 1 and others[0] is not None else None
    if node is None or node.domain != "":
        return False
    if node.op_type == "Clip" and len(node.inputs) == 3:
        limits = [scalar_of(operand) for operand in node.inputs[1:]]
        return all(limit is not None and factor * abs(limit) <= _SAFE_MAGNITUDE for limit in limits)
    return node.op_type in _WITHIN_ONE and factor <= _SAFE_MAGNITUDE
