"""Operators that compute the same in another order of the axes, and what of them must change with it.

An order is the permutation p with value = Transpose(relaid value, p): axis a of the value is axis p[a] of the relaid one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import ELEMENTWISE, KERNEL_KEY, REDUCTIONS
from wsec.passes.rewriting import Array, Rewriter, constant_of, integers_of

if TYPE_CHECKING:
    import onnx_ir as ir

Order = tuple[int, ...]

_AXIS_DEFAULTS = {"Concat": 0, "Hardmax": -1, "LogSoftmax": -1, "Softmax": -1}
_SCALED = frozenset({"DequantizeLinear", "QuantizeLinear"})
_ROW_WISE = frozenset({"LayerNormalization", "MatMul", "RMSNormalization"})


def inverse_of(order: Order) -> Order:
    """The order that undoes another."""
    return tuple(order.index(axis) for axis in range(len(order)))


def compose(first: Order, second: Order) -> Order:
    """The order of Transpose(Transpose(x, first), second)."""
    return tuple(first[axis] for axis in second)


def relaid_shape(shape: tuple[int, ...], order: Order) -> tuple[int, ...]:
    """The shape of the relaid value."""
    return tuple(shape[axis] for axis in inverse_of(order))


def transpose_order(node: ir.Node | None) -> Order | None:
    """The permutation of a Transpose; None for every other node."""
    if node is None or node.domain != "" or node.op_type != "Transpose" or node.inputs[0] is None:
        return None
    if "perm" in node.attributes:
        return tuple(node.attributes["perm"].as_ints())
    shape = static_shape(node.inputs[0])
    return None if shape is None else tuple(range(len(shape)))[::-1]


def relaid_operands(node: ir.Node, order: Order) -> tuple[int, ...] | None:
    """The inputs that must be relaid so that the output is; None where the node does not compute in this order."""
    shape = static_shape(node.outputs[0])
    if node.domain != "" or shape is None or len(node.outputs) != 1 or KERNEL_KEY in node.metadata_props:
        return None
    if keeps_output(node):
        return _reduction_operands(node, order)
    if len(shape) != len(order):
        return None
    if node.op_type in ELEMENTWISE or node.op_type == "Concat":
        return _broadcast_operands(node, len(order))
    if node.op_type in _ROW_WISE:
        return _row_operands(node, order)
    return (0,) if _has_known_axes(node, len(order)) else None


def _has_known_axes(node: ir.Node, rank: int) -> bool:
    """Whether the operator reads one tensor, and along axes that are known."""
    if node.op_type in REDUCTIONS or node.op_type == "Slice":
        axes_at = 3 if node.op_type == "Slice" else 1
        return len(node.inputs) > axes_at and integers_of(node.inputs[axes_at]) is not None
    if node.op_type == "Pad":
        return _pad_axes(node, rank) is not None
    return node.op_type in _AXIS_DEFAULTS or (node.op_type in _SCALED and _scale_axis(node) is not None)


def keeps_output(node: ir.Node) -> bool:
    """Whether the output stays in its own order: that of a reduction that drops its axes."""
    return node.op_type in REDUCTIONS and not _keeps_axes(node)


def relay(rewriter: Rewriter, node: ir.Node, order: Order) -> None:
    """Change axes in attributes and constants of a node whose operands have been relaid."""
    if node.op_type in _AXIS_DEFAULTS or (node.op_type in _SCALED and _scale_axis(node) != -1):
        default = _AXIS_DEFAULTS.get(node.op_type, 1)
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else default
        rewriter.set_attribute(node, "axis", order[axis % len(order)])
    elif node.op_type in REDUCTIONS or node.op_type == "Slice":
        _map_axes(rewriter, node, 3 if node.op_type == "Slice" else 1, order)
    elif node.op_type == "Pad":
        axes = _pad_axes(node, len(order)) or ()
        mapped = rewriter.constant(f"{node.name}_axes", np.array([order[axis] for axis in axes], np.int64))
        node.resize_inputs(4)
        node.replace_input_with(3, mapped)


def relaid_constant(rewriter: Rewriter, value: ir.Value, order: Order) -> ir.Value:
    """A constant operand in another order of the axes of the result."""
    tensor, shape = constant_of(value), static_shape(value)
    if tensor is None or shape is None or tensor.size == 1:
        return value
    padded = (1,) * (len(order) - len(shape)) + shape

    def transposed(array: Array) -> Array:
        return array.reshape(padded).transpose(inverse_of(order))

    return rewriter.derive(f"{value.name}_relaid", [tensor], relaid_shape(padded, order), transposed)


def _keeps_axes(node: ir.Node) -> bool:
    return "keepdims" not in node.attributes or node.attributes["keepdims"].as_int() != 0


def _reduction_operands(node: ir.Node, order: Order) -> tuple[int, ...] | None:
    """The axes that are left must come in the same sequence."""
    shape = None if node.inputs[0] is None else static_shape(node.inputs[0])
    axes = integers_of(node.inputs[1]) if len(node.inputs) > 1 else None
    if shape is None or axes is None or len(shape) != len(order):
        return None
    dropped = {axis % len(order) for axis in axes}
    left = [order[axis] for axis in range(len(order)) if axis not in dropped]
    return (0,) if axes and left == sorted(left) else None


def _broadcast_operands(node: ir.Node, rank: int) -> tuple[int, ...] | None:
    operands = []
    for index, value in enumerate(node.inputs):
        shape = None if value is None else static_shape(value)
        if value is None:
            continue
        if shape is None or (len(shape) != rank and constant_of(value) is None and np.prod(shape) != 1):
            return None
        if np.prod(shape) != 1 or node.op_type == "Concat":
            operands.append(index)
    return tuple(operands)


def _row_operands(node: ir.Node, order: Order) -> tuple[int, ...] | None:
    """Rows may be reordered as long as they stay rows."""
    value, weights = node.inputs[0], node.inputs[1]
    shape = None if value is None else static_shape(value)
    if shape is None or len(shape) != len(order) or constant_of(weights) is None:
        return None
    if node.op_type == "MatMul":
        first = len(order) - 1
        if weights is None or len(static_shape(weights) or ()) != 2:
            return None
    else:
        first = (node.attributes["axis"].as_int() if "axis" in node.attributes else -1) % len(order)
        parameters = [static_shape(value) or () for value in node.inputs[1:] if value is not None]
        if any(
            np.prod(shape[: len(shape) - len(order) + first]) != 1
            for shape in parameters
            if len(shape) > len(order) - first
        ):
            return None  # a scale for each row
    return (0,) if order[first:] == tuple(range(first, len(order))) else None


def _pad_axes(node: ir.Node, rank: int) -> tuple[int, ...] | None:
    if integers_of(node.inputs[1]) is None:
        return None
    if len(node.inputs) < 4 or node.inputs[3] is None:
        return tuple(range(rank))
    axes = integers_of(node.inputs[3])
    return None if axes is None else tuple(axis % rank for axis in axes)


def _scale_axis(node: ir.Node) -> int | None:
    """The axis of a scale for each of its indices, -1 for a single scale; None for blocks of them."""
    scale = static_shape(node.inputs[1]) if node.inputs[1] is not None else None
    if scale is None or len(scale) > 1:
        return None
    if np.prod(scale) == 1:
        return -1
    rank = len(static_shape(node.outputs[0]) or ())
    return (node.attributes["axis"].as_int() if "axis" in node.attributes else 1) % rank


def _map_axes(rewriter: Rewriter, node: ir.Node, index: int, order: Order) -> None:
    axes = integers_of(node.inputs[index]) or ()
    mapped = [order[axis % len(order)] for axis in axes]
    if node.op_type in REDUCTIONS:
        mapped.sort()
    constant = rewriter.constant(f"{node.name}_axes", np.array(mapped, np.int64))
    node.replace_input_with(index, constant)
