"""Multiplies and shifts the channels of Conv, ConvTranspose, Gemm and MatMul in their constant weights and biases.

Computed in double precision, when the weights are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.passes.rewriting import Array, Rewriter, constant_of

if TYPE_CHECKING:
    from collections.abc import Callable

LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True, slots=True)
class ChannelAffine:
    """factor x + summand, for each of `channels`; both functions take the sources as arrays and give `[channels]`.

    Attributes:
        sources: The constants that it is made of.
        channels: How many channels.
        factor: The factors; None where there are none.
        summand: The summands; None where there are none.
    """

    sources: tuple[ir.TensorProtocol, ...]
    channels: int
    factor: Callable[..., Array] | None = None
    summand: Callable[..., Array] | None = None

    def factors(self, *arrays: Array) -> Array:
        """The factors, ones where there are none."""
        return np.ones(self.channels) if self.factor is None else self.factor(*arrays)

    def summands(self, *arrays: Array) -> Array:
        """The summands, zeros where there are none."""
        return np.zeros(self.channels) if self.summand is None else self.summand(*arrays)


def linear_producer(rewriter: Rewriter, value: ir.Value | None) -> ir.Node | None:
    """The node of the main graph that computes a value as a product with constant weights."""
    node = None if value is None else value.producer()
    if node is None or node.domain != "" or node.op_type not in LINEAR or node.graph is not rewriter.graph:
        return None
    weights = constant_of(node.inputs[1])
    if weights is None or (node.op_type == "MatMul" and len(weights.shape) != 2):
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return node if bias is None or constant_of(bias) is not None else None


def fold_after(rewriter: Rewriter, linear: ir.Node, affine: ChannelAffine) -> bool:
    """Let a node that `linear_producer` named compute factor y + summand; False, and no change, where it cannot.

    A MatMul has no bias; nor can a bias that varies along the rows of a Gemm take a factor.
    """
    weights = constant_of(linear.inputs[1])
    bias = constant_of(linear.inputs[2]) if len(linear.inputs) > 2 else None
    if weights is None or (linear.op_type == "MatMul" and affine.summand is not None):
        return False
    if bias is not None and bias.size != 1 and tuple(bias.shape.numpy())[-1] != bias.size:
        return False
    stem = linear.name or linear.outputs[0].name or "linear"
    if affine.factor is not None:
        _scale_weights(rewriter, linear, weights, affine, _output_layout(linear, weights))
    if linear.op_type == "MatMul" or (bias is None and affine.summand is None):
        return True
    beta = linear.attributes["beta"].as_float() if "beta" in linear.attributes else 1.0

    def shifted(_weight: Array, *rest: Array) -> Array:
        if bias is None:
            return affine.summands(*rest)
        *parameters, old = rest
        result: Array = beta * old.astype(np.float64).ravel() * affine.factors(*parameters)
        return result + affine.summands(*parameters)

    # The weights are a source of the bias too, only for their element type.
    sources = [_typed_like(weights), *affine.sources, *(() if bias is None else (bias,))]
    linear.resize_inputs(3)
    linear.replace_input_with(2, rewriter.derive(f"{stem}_bias", sources, (affine.channels,), shifted))
    if "beta" in linear.attributes:
        del linear.attributes["beta"]
    return True


def fold_factor_before(rewriter: Rewriter, linear: ir.Node, affine: ChannelAffine) -> bool:
    """Let a node with constant weights read x where it read factor x; False, and no change, where it cannot."""
    weights = constant_of(linear.inputs[1])
    if weights is None or (linear.op_type == "Gemm" and _flag(linear, "transA")):
        return False
    _scale_weights(rewriter, linear, weights, affine, _input_layout(linear, weights))
    return True


def _scale_weights(
    rewriter: Rewriter,
    linear: ir.Node,
    weights: ir.TensorProtocol,
    affine: ChannelAffine,
    layout: Callable[[Array], Array],
) -> None:
    def scaled(weight: Array, *parameters: Array) -> Array:
        result: Array = weight.astype(np.float64) * layout(affine.factors(*parameters))
        return result

    stem = linear.name or linear.outputs[0].name or "linear"
    shape = tuple(weights.shape.numpy())
    linear.replace_input_with(
        1, rewriter.derive(f"{stem}_weights", [weights, *affine.sources], shape, scaled)
    )


def _typed_like(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """An empty tensor of the same element type: a source that costs nothing to read."""
    return ir.tensor(np.zeros((0,), dtype=tensor.dtype.numpy()), dtype=tensor.dtype)


def _flag(linear: ir.Node, name: str) -> bool:
    return name in linear.attributes and linear.attributes[name].as_int() != 0


def _groups(linear: ir.Node) -> int:
    return linear.attributes["group"].as_int() if "group" in linear.attributes else 1


def _output_layout(linear: ir.Node, weights: ir.TensorProtocol) -> Callable[[Array], Array]:
    """How a factor `[channels]` must be shaped to multiply the weights of `linear`.

    Conv has weights `[out, in / groups, ...]`, ConvTranspose `[in, out / groups, ...]`, MatMul and Gemm `[in, out]`
    or, with transB, `[out, in]`.
    """
    if linear.op_type in {"Gemm", "MatMul"}:
        return lambda factor: factor[:, None] if _flag(linear, "transB") else factor[None, :]
    shape = tuple(weights.shape.numpy())
    if linear.op_type == "Conv":
        return lambda factor: factor.reshape(-1, *(1,) * (len(shape) - 1))
    return lambda factor: _by_group(factor, _groups(linear), shape)


def _input_layout(linear: ir.Node, weights: ir.TensorProtocol) -> Callable[[Array], Array]:
    """The same for a factor of each channel of the input."""
    if linear.op_type in {"Gemm", "MatMul"}:
        return lambda factor: factor[None, :] if _flag(linear, "transB") else factor[:, None]
    shape = tuple(weights.shape.numpy())
    if linear.op_type == "ConvTranspose":
        return lambda factor: factor.reshape(-1, *(1,) * (len(shape) - 1))
    return lambda factor: _by_group(factor, _groups(linear), shape)


def _by_group(factor: Array, groups: int, shape: tuple[int, ...]) -> Array:
    """`[groups * shape[1]]` to `[shape[0], shape[1], 1, ...]`: rows of a group share the factors of that group."""
    rows = np.repeat(factor.reshape(groups, shape[1]), shape[0] // groups, axis=0)
    return rows.reshape(shape[0], shape[1], *(1,) * (len(shape) - 2))
