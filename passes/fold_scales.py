"""Folds constant scales and shifts of channels into the weights beside them.

Behind a Conv, ConvTranspose, Gemm or MatMul with constant weights a Mul or Div goes into the weights, an Add or Sub
into the bias (a MatMul has none: its Add stays, and is scaled with it). In front, a Mul or Div goes into the weights as
well, an Add or Sub only into those of a Conv that pads with nothing, since padding is not shifted. The value between
must have no other reader, and the weights no other user: they would be kept twice. A factor that could bring the weights
to the ends of the range of their type stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import onnx_ir as ir

from wsec.compiler.absent_weights import is_absent
from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.formulas import producer_of, reads_weights_cheaply
from wsec.passes.linear_weights import LINEAR, ChannelAffine, fold_after, fold_factor_before, linear_producer
from wsec.passes.rewriting import Array, Rewriter, constant_of, only_user

_ARITHMETIC = ("Add", "Div", "Mul", "Sub")
_LARGEST_FACTOR = {ir.DataType.FLOAT16: 2.0**5, ir.DataType.DOUBLE: 2.0**512}
"""By element type, how much weights may grow or shrink without leaving its exponents; 2 ** 64 for the others."""


@dataclass(frozen=True)
class FoldScales(Pass):
    """Folds Mul, Div, Add and Sub with a constant for each channel into the weights of a product beside them."""

    name: ClassVar[str] = "fold-scales"

    def run(self, model: ir.Model) -> PassResult:
        """Scales behind a product first, in the order of the graph; then those in front of one, backwards."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes(*_ARITHMETIC):
            _fold_behind(rewriter, node)
        for node in reversed(rewriter.nodes(*_ARITHMETIC)):
            _fold_in_front(rewriter, node)
        return PassResult(modified=rewriter.modified)


def _operands(node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
    """The value and the constant of a node that has one of each, where no broadcast widens the value."""
    left, right = node.inputs[0], node.inputs[1]
    if left is None or right is None or (constant_of(left) is None) == (constant_of(right) is None):
        return None
    value, constant = (right, left) if constant_of(left) is not None else (left, right)
    dtype = value.dtype
    if dtype is None or not dtype.is_floating_point() or (node.op_type == "Div" and value is right):
        return None
    shape = static_shape(value)
    return (value, constant) if shape is not None and shape == static_shape(node.outputs[0]) else None


def _affine(node: ir.Node, constant: ir.Value, channels: int, axis: int) -> ChannelAffine | None:
    """What the node does to each channel of an axis; None where it does not treat a channel as one."""
    tensor = constant_of(constant)
    if tensor is None or not reads_weights_cheaply(constant) or not _is_per_channel(node, constant, axis):
        return None

    def spread(array: Array) -> Array:
        return np.broadcast_to(array.astype(np.float64).ravel(), (channels,))

    def negated(array: Array) -> Array:
        return -spread(array)

    def inverse(array: Array) -> Array:
        result: Array = 1.0 / spread(array)
        return result

    def minus_one(_array: Array) -> Array:
        return np.full(channels, -1.0)

    if node.op_type in {"Mul", "Div"}:
        if not _is_moderate(tensor):
            return None
        return ChannelAffine((tensor,), channels, factor=spread if node.op_type == "Mul" else inverse)
    if node.op_type == "Add" or node.inputs[1] is constant:
        return ChannelAffine((tensor,), channels, summand=spread if node.op_type == "Add" else negated)
    return ChannelAffine((tensor,), channels, factor=minus_one, summand=spread)


def _is_moderate(tensor: ir.TensorProtocol) -> bool:
    """Whether weights that are multiplied or divided by these factors keep their digits; unknown factors may not."""
    if is_absent(tensor):
        return False
    limit = _LARGEST_FACTOR.get(tensor.dtype, 2.0**64)
    sizes = np.abs(tensor.numpy().astype(np.float64))
    return bool(np.all((sizes >= 1 / limit) & (sizes <= limit)))


def _is_per_channel(node: ir.Node, constant: ir.Value, axis: int) -> bool:
    """Whether the constant has one element, or one for each index of the axis."""
    extent, rank = static_shape(constant) or (), len(static_shape(node.outputs[0]) or ())
    padded = (1,) * (rank - len(extent)) + extent
    return all(size == 1 for at, size in enumerate(padded) if at != axis % rank)


def _channel_axis(linear: ir.Node) -> int:
    return -1 if linear.op_type in {"Gemm", "MatMul"} else 1


def _is_shared(linear: ir.Node) -> bool:
    weights = linear.inputs[1]
    return weights is None or len(weights.uses()) > 1


def _fold_behind(rewriter: Rewriter, node: ir.Node) -> None:
    operands = _operands(node)
    if operands is None or only_user(operands[0]) is not node:
        return
    value, constant = operands
    shape = static_shape(value) or ()
    shift = producer_of(value, "Add")
    product = None if shift is None else _operands(shift)
    if shift is not None and product is not None and only_user(product[0]) is shift:
        linear = linear_producer(rewriter, product[0])
    else:
        shift, linear = None, linear_producer(rewriter, value)
    if (
        linear is None
        or _is_shared(linear)
        or not shape
        or (shift is not None and linear.op_type != "MatMul")
    ):
        return
    axis = _channel_axis(linear)
    affine = _affine(node, constant, shape[axis], axis)
    if affine is None or (shift is not None and (affine.factor is None or affine.summand is not None)):
        return
    if shift is not None and product is not None and not _scale_constant(rewriter, shift, product[1], affine):
        return
    if fold_after(rewriter, linear, affine):
        rewriter.bypass(node, value)


def _scale_constant(rewriter: Rewriter, shift: ir.Node, constant: ir.Value, affine: ChannelAffine) -> bool:
    """Multiply the constant of an Add by the factors of the last axis."""
    tensor = constant_of(constant)
    if tensor is None:
        return False
    given = tuple(tensor.shape.numpy())
    shape = (*given[:-1], affine.channels)

    def scaled(array: Array, *parameters: Array) -> Array:
        result: Array = array.astype(np.float64) * affine.factors(*parameters)
        return result

    bias = rewriter.derive(f"{shift.name}_bias", [tensor, *affine.sources], shape, scaled)
    shift.replace_input_with(list(shift.inputs).index(constant), bias)
    return True


def _fold_in_front(rewriter: Rewriter, node: ir.Node) -> None:
    operands = _operands(node)
    linear = only_user(node.outputs[0])
    if operands is None or linear is None or linear.domain != "" or linear.op_type not in LINEAR:
        return
    value, constant = operands
    if linear.inputs[0] is not node.outputs[0] or linear_producer(rewriter, linear.outputs[0]) is None:
        return
    shape = static_shape(value) or ()
    axis = _channel_axis(linear)
    if _is_shared(linear) or len(shape) < 2:
        return
    affine = _affine(node, constant, shape[axis], axis)
    if affine is None:
        return
    if affine.summand is not None:
        unpadded = linear.op_type == "Conv" and _pads_nothing(linear)
        if not unpadded or not fold_after(rewriter, linear, _passed_through(linear, affine)):
            return
    if affine.factor is not None and not fold_factor_before(rewriter, linear, affine):
        return
    rewriter.bypass(node, value)


def _pads_nothing(linear: ir.Node) -> bool:
    if "auto_pad" in linear.attributes and linear.attributes["auto_pad"].as_string() not in {
        "NOTSET",
        "VALID",
    }:
        return False
    return "pads" not in linear.attributes or not any(linear.attributes["pads"].as_ints())


def _passed_through(linear: ir.Node, affine: ChannelAffine) -> ChannelAffine:
    """What a shift of the input of an unpadded Conv adds to each of its output channels."""
    weights = constant_of(linear.inputs[1])
    groups = linear.attributes["group"].as_int() if "group" in linear.attributes else 1
    channels = static_shape(linear.outputs[0])
    if weights is None or channels is None:
        return affine

    def passed(weight: Array, *parameters: Array) -> Array:
        sums = (
            weight.astype(np.float64).reshape(groups, channels[1] // groups, weight.shape[1], -1).sum(axis=-1)
        )
        shift = affine.summands(*parameters).reshape(groups, 1, weight.shape[1])
        result: Array = (sums * shift).sum(axis=-1).ravel()
        return result

    return ChannelAffine((weights, *affine.sources), channels[1], summand=passed)
