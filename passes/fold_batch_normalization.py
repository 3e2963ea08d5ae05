"""Folds batch normalisation at inference into the weights before it.

y = scale (x - mean) / sqrt(variance + epsilon) + shift is one factor and one summand for each channel. They go into
the weights and bias of a Conv, ConvTranspose or Gemm that nobody else reads; any other normalisation becomes a Mul and
an Add. Computed in double precision. Results may change by some 1e-3 where a variance is tiny.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.base import Pass, PassResult
from wsec.passes.linear_weights import ChannelAffine, fold_after, linear_producer
from wsec.passes.rewriting import Array, Rewriter, constant_of, only_user

if TYPE_CHECKING:
    import onnx_ir as ir

_DEFAULT_EPSILON = 1e-5


@dataclass(frozen=True)
class FoldBatchNormalization(Pass):
    """Folds batch normalisation into a convolution or Gemm before it, or turns it into a Mul and an Add."""

    name: ClassVar[str] = "fold-batch-normalization"
    rewrites: ClassVar[tuple[str, ...]] = ("BatchNormalization",)

    def run(self, model: ir.Model) -> PassResult:
        """Normalisations whose parameters are computed, or that are in training mode, stay."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes("BatchNormalization"):
            affine = _affine_of(node)
            if affine is not None and not _fold(rewriter, node, affine):
                _expand(rewriter, node, affine)
        return PassResult(modified=rewriter.modified)


def _affine_of(node: ir.Node) -> ChannelAffine | None:
    """Factor and summand of each channel as functions of scale, shift, mean and variance, where they are constant."""
    tensors = [constant_of(value) for value in node.inputs[1:5]]
    parameters = tuple(tensor for tensor in tensors if tensor is not None)
    training = node.attributes.get("training_mode")
    if len(parameters) != 4 or (training is not None and training.as_int() != 0):
        return None
    attribute = node.attributes.get("epsilon")
    epsilon = _DEFAULT_EPSILON if attribute is None else attribute.as_float()

    def factor(scale: Array, _shift: Array, _mean: Array, variance: Array) -> Array:
        result: Array = scale.astype(np.float64) / np.sqrt(variance.astype(np.float64) + epsilon)
        return result

    def summand(scale: Array, shift: Array, mean: Array, variance: Array) -> Array:
        result: Array = shift.astype(np.float64) - mean.astype(np.float64) * factor(
            scale, shift, mean, variance
        )
        return result

    return ChannelAffine(parameters, int(np.prod(parameters[0].shape.numpy())), factor, summand)


def _fold(rewriter: Rewriter, node: ir.Node, affine: ChannelAffine) -> bool:
    source = node.inputs[0]
    linear = linear_producer(rewriter, source)
    if source is None or linear is None or linear.op_type == "MatMul" or only_user(source) is not node:
        return False
    return fold_after(rewriter, linear, affine) and rewriter.bypass(node, source)


def _expand(rewriter: Rewriter, node: ir.Node, affine: ChannelAffine) -> None:
    source = node.inputs[0]
    shape = None if source is None else static_shape(source)
    if source is None or shape is None:
        return
    broadcast = (affine.channels,) + (1,) * (len(shape) - 2)
    stem = node.name or node.outputs[0].name or "batch_normalization"
    factor = rewriter.derive(f"{stem}_factor", affine.sources, broadcast, affine.factors)
    summand = rewriter.derive(f"{stem}_summand", affine.sources, broadcast, affine.summands)
    scaled = rewriter.insert_before(node, "Mul", [source, factor], shape=shape, role="scaled")
    rewriter.become(node, "Add", [scaled, summand])
