"""Folds batch normalisation at inference into the weights before it.

y = scale (x - mean) / sqrt(variance + epsilon) + shift is one factor and one summand for each channel. They go into
the weights and bias of a Conv, ConvTranspose or Gemm that nobody else reads; any other normalisation becomes a Mul and
an Add. Computed in double precision. Results may change by some 1e-3 where a variance is tiny.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.rewriting import Array, Rewriter, constant_of, only_user

if TYPE_CHECKING:
    from collections.abc import Callable

_LINEAR = frozenset({"Conv", "ConvTranspose", "Gemm"})
_DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True)
class FoldBatchNormalization(Pass):
    """Folds batch normalisation into a convolution or Gemm before it, or turns it into a Mul and an Add."""

    name: ClassVar[str] = "fold-batch-normalization"

    def run(self, model: ir.Model) -> PassResult:
        """Normalisations whose parameters are computed, or that are in training mode, stay."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes("BatchNormalization"):
            affine = _Affine.of(node)
            if affine is not None and not _fold(rewriter, node, affine):
                _expand(rewriter, node, affine)
        return PassResult(modified=rewriter.modified)


@dataclass(frozen=True, slots=True)
class _Affine:
    """Factor and summand of each channel, `[channels]`, as functions of the constant parameters."""

    parameters: tuple[ir.TensorProtocol, ...]
    epsilon: float
    channels: int

    @classmethod
    def of(cls, node: ir.Node) -> _Affine | None:
        tensors = [constant_of(value) for value in node.inputs[1:5]]
        parameters = tuple(tensor for tensor in tensors if tensor is not None)
        training = node.attributes.get("training_mode")
        if len(parameters) != 4 or (training is not None and training.as_int() != 0):
            return None
        epsilon = node.attributes.get("epsilon")
        return cls(
            parameters,
            _DEFAULT_EPSILON if epsilon is None else epsilon.as_float(),
            int(np.prod(parameters[0].shape.numpy())),
        )

    def factor(self, scale: Array, _shift: Array, _mean: Array, variance: Array) -> Array:
        result: Array = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + self.epsilon)
        return result

    def summand(self, scale: Array, shift: Array, mean: Array, variance: Array) -> Array:
        factor = self.factor(scale, shift, mean, variance)
        result: Array = shift.astype(np.float64) - mean.astype(np.float64) * factor
        return result


def _fold(rewriter: Rewriter, node: ir.Node, affine: _Affine) -> bool:
    source = node.inputs[0]
    linear = None if source is None else source.producer()
    if source is None or linear is None or linear.domain != "" or linear.op_type not in _LINEAR:
        return False
    if linear.graph is not rewriter.graph or only_user(source) is not node:
        return False
    weights = constant_of(linear.inputs[1])
    bias_value = linear.inputs[2] if len(linear.inputs) > 2 else None
    bias = constant_of(bias_value)
    if weights is None or (bias_value is not None and bias is None):
        return False
    shape = tuple(weights.shape.numpy())
    along_channels = _channel_layout(linear, shape)
    beta = linear.attributes["beta"].as_float() if "beta" in linear.attributes else 1.0
    if bias is not None and bias.size not in {1, affine.channels}:
        return False  # a bias that also varies along the rows of a Gemm

    def scaled(weight: Array, *parameters: Array) -> Array:
        result: Array = weight.astype(np.float64) * along_channels(affine.factor(*parameters))
        return result

    def shifted(_weight: Array, *rest: Array) -> Array:
        *parameters, old = rest
        result: Array = beta * old.astype(np.float64).ravel() * affine.factor(*parameters) + affine.summand(
            *parameters
        )
        return result

    def created(_weight: Array, *parameters: Array) -> Array:
        return affine.summand(*parameters)

    # The weights are a source of the bias too, only for their element type.
    stem = linear.name or source.name or "linear"
    new_weights = rewriter.derive(f"{stem}_weights", [weights, *affine.parameters], shape, scaled)
    sources = [_typed_like(weights), *affine.parameters]
    if bias is None:
        new_bias = rewriter.derive(f"{stem}_bias", sources, (affine.channels,), created)
    else:
        new_bias = rewriter.derive(f"{stem}_bias", [*sources, bias], (affine.channels,), shifted)
    linear.resize_inputs(3)
    linear.replace_input_with(1, new_weights)
    linear.replace_input_with(2, new_bias)
    if "beta" in linear.attributes:
        del linear.attributes["beta"]
    return rewriter.bypass(node, source)


def _typed_like(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """An empty tensor of the same element type: a source that costs nothing to read."""
    return ir.tensor(np.zeros((0,), dtype=tensor.dtype.numpy()), dtype=tensor.dtype)


def _channel_layout(linear: ir.Node, shape: tuple[int, ...]) -> Callable[[Array], Array]:
    """How a factor `[channels]` must be shaped to multiply the weights of `linear`.

    Conv has weights `[out, in / groups, ...]`, ConvTranspose `[in, out / groups, ...]`, Gemm `[in, out]` or, with
    transB, `[out, in]`.
    """
    if linear.op_type == "Gemm":
        transposed = "transB" in linear.attributes and linear.attributes["transB"].as_int()
        return lambda factor: factor[:, None] if transposed else factor[None, :]
    trailing = (1,) * (len(shape) - 2)
    if linear.op_type == "Conv":
        return lambda factor: factor.reshape(-1, 1, *trailing)
    groups = linear.attributes["group"].as_int() if "group" in linear.attributes else 1
    return lambda factor: np.repeat(factor.reshape(groups, shape[1]), shape[0] // groups, axis=0).reshape(
        shape[0], shape[1], *trailing
    )


def _expand(rewriter: Rewriter, node: ir.Node, affine: _Affine) -> None:
    source = node.inputs[0]
    shape = None if source is None else static_shape(source)
    if source is None or shape is None:
        return
    broadcast = (affine.channels,) + (1,) * (len(shape) - 2)
    stem = node.name or node.outputs[0].name or "batch_normalization"
    factor = rewriter.derive(f"{stem}_factor", affine.parameters, broadcast, affine.factor)
    summand = rewriter.derive(f"{stem}_summand", affine.parameters, broadcast, affine.summand)
    scaled = rewriter.insert_before(node, "Mul", [source, factor], shape=shape, role="scaled")
    rewriter.become(node, "Add", [scaled, summand])
