"""Writes operators of com.microsoft, and composed ones of `ai.onnx`, in standard operators with kernels of their own.

A literal table says which. A node whose form no standard operators stand for stays, with the reason in its metadata
`wsec.unsplit`, which the compiler's notes repeat.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import UNSPLIT_KEY
from wsec.passes.base import Pass, PassResult
from wsec.passes.legalization import attention, cache_updates, experts, grouped_attention, quantized, simple
from wsec.passes.legalization.emission import CannotRewrite, Emission
from wsec.passes.rewriting import Rewriter

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    Rewrite = Callable[[Emission], Sequence[ir.Value | None]]

_MICROSOFT = "com.microsoft"
_OPSET = 23  # the first with all operators that are introduced

REWRITES: dict[tuple[str, str], Rewrite] = {
    ("", "Attention"): attention.attention,
    ("", "DynamicQuantizeLinear"): quantized.dynamic_quantize_linear,
    ("", "SimplifiedLayerNormalization"): simple.simplified_layer_normalization,
    (_MICROSOFT, "Attention"): attention.projected_attention,
    (_MICROSOFT, "BiasGelu"): simple.gelu,
    (_MICROSOFT, "DequantizeLinear"): quantized.standard_quantization,
    (_MICROSOFT, "DynamicQuantizeMatMul"): quantized.dynamic_quantize_mat_mul,
    (_MICROSOFT, "EmbedLayerNormalization"): simple.embed_layer_normalization,
    (_MICROSOFT, "FastGelu"): simple.fast_gelu,
    (_MICROSOFT, "FusedConv"): simple.fused_conv,
    (_MICROSOFT, "FusedGemm"): simple.fused_gemm,
    (_MICROSOFT, "FusedMatMul"): simple.fused_mat_mul,
    (_MICROSOFT, "Gelu"): simple.gelu,
    (_MICROSOFT, "GroupQueryAttention"): grouped_attention.grouped_query_attention,
    (_MICROSOFT, "MatMulIntegerToFloat"): quantized.mat_mul_integer_to_float,
    (_MICROSOFT, "MatMulNBits"): quantized.mat_mul_n_bits,
    (_MICROSOFT, "MultiHeadAttention"): attention.multi_head_attention,
    (_MICROSOFT, "QGemm"): quantized.gemm,
    (_MICROSOFT, "QLinearAdd"): quantized.binary("Add"),
    (_MICROSOFT, "QLinearConcat"): quantized.concat,
    (_MICROSOFT, "QLinearGlobalAveragePool"): quantized.global_average_pool,
    (_MICROSOFT, "QLinearLeakyRelu"): quantized.unary("LeakyRelu", "alpha"),
    (_MICROSOFT, "QLinearMul"): quantized.binary("Mul"),
    (_MICROSOFT, "QLinearSigmoid"): quantized.unary("Sigmoid"),
    (_MICROSOFT, "QLinearSoftmax"): quantized.softmax,
    (_MICROSOFT, "QMoE"): experts.quantised_experts,
    (_MICROSOFT, "QuantizeLinear"): quantized.standard_quantization,
    (_MICROSOFT, "QuickGelu"): simple.quick_gelu,
    (_MICROSOFT, "RotaryEmbedding"): simple.rotary_embedding,
    (_MICROSOFT, "SimplifiedLayerNormalization"): simple.simplified_layer_normalization,
    (_MICROSOFT, "SkipLayerNormalization"): simple.skip_layer_normalization,
    (_MICROSOFT, "SkipSimplifiedLayerNormalization"): simple.skip_simplified_layer_normalization,
    (_MICROSOFT, "TransposeMatMul"): simple.fused_mat_mul,
}
"""Domain and operator -> what stands for it."""

UPDATES: dict[tuple[str, str], Rewrite] = {
    ("", "ScatterElements"): cache_updates.scatter_elements,
    ("", "TensorScatter"): cache_updates.tensor_scatter,
}
"""Operators with kernels of their own, which are written otherwise where they update a cache of the model."""


@dataclass(frozen=True)
class LegalizeOperators(Pass):
    """Writes operators of com.microsoft, attention and dynamic quantisation in standard operators."""

    name: ClassVar[str] = "legalize-operators"
    rewrites: ClassVar[tuple[str, ...]] = tuple(
        f"{domain}.{name}" if domain else name for domain, name in REWRITES
    )

    def run(self, model: ir.Model) -> PassResult:
        """Each node of the main graph that `REWRITES` or `UPDATES` lists and whose shapes are known."""
        rewriter = Rewriter(model)
        if model.opset_imports.get("", 0) < _OPSET:
            return PassResult(modified=False)
        modified = False
        shared: dict[object, ir.Value] = {}
        for node in list(model.graph):
            known = (node.domain, node.op_type)
            rewrite = REWRITES.get(known) or UPDATES.get(known)
            if rewrite is None or not _has_shapes(node):
                continue
            emission = Emission(rewriter, node, shared)
            try:
                values = rewrite(emission)
            except CannotRewrite as reason:
                emission.withdraw()
                if known in UPDATES:
                    continue
                modified |= node.metadata_props.get(UNSPLIT_KEY) != str(reason)
                node.metadata_props[UNSPLIT_KEY] = str(reason)
                continue
            rewriter.replace(node, values)
        return PassResult(modified=modified or rewriter.modified)


def _has_shapes(node: ir.Node) -> bool:
    return all(value is None or static_shape(value) is not None for value in node.inputs)
