"""The kinds that cut one operator, each with the operators that it computes and what it expects of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.kinds.batched import expect_batched
from wsec.compiler.plan_checker.kinds.experts import expect_experts
from wsec.compiler.plan_checker.kinds.independence import FAMILIES
from wsec.compiler.plan_checker.kinds.independence_images import IMAGE_FAMILIES
from wsec.compiler.plan_checker.kinds.independence_ml import ML_FAMILIES
from wsec.compiler.plan_checker.kinds.matrix import expect_matmul
from wsec.compiler.plan_checker.kinds.movement import (
    expect_concat,
    expect_expand,
    expect_gather,
    expect_pad,
    expect_reshape,
    expect_slice,
    expect_transpose,
)
from wsec.compiler.plan_checker.kinds.recurrent import RECURRENT, expect_recurrent
from wsec.compiler.plan_checker.kinds.resize import expect_resize
from wsec.compiler.plan_checker.kinds.statistics import (
    REDUCTIONS,
    expect_normalization,
    expect_reduction,
    expect_softmax,
)
from wsec.compiler.plan_checker.kinds.windows import (
    expect_convolution,
    expect_pooling,
    expect_transposed_convolution,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.plan_checker.expectation import Expectation
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of kernel: the operators it computes, and what it expects of a node of them.

    Operators are named `domain.Name`, those of `ai.onnx` by the name alone. With `several_outputs` a kernel gives every
    output that its node names.
    """

    operators: tuple[str, ...]
    expect: Callable[[OperatorFacts, ModelFacts], Expectation]
    several_outputs: bool = False


_NORMALIZATIONS = ("GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization")

_INDEPENDENT = FAMILIES | IMAGE_FAMILIES | ML_FAMILIES

KINDS = {
    "convolution": Kind(("Conv", "ConvInteger", "QLinearConv"), expect_convolution),
    "transposed_convolution": Kind(("ConvTranspose",), expect_transposed_convolution),
    "matmul": Kind(("MatMul", "MatMulInteger", "QLinearMatMul"), expect_matmul),
    "experts": Kind(("com.microsoft.MoE",), expect_experts),
    "pooling": Kind(("AveragePool", "MaxPool"), expect_pooling),
    "reduction": Kind(REDUCTIONS, expect_reduction),
    "softmax": Kind(("LogSoftmax", "Softmax"), expect_softmax),
    "normalization": Kind(_NORMALIZATIONS, expect_normalization),
    "gather": Kind(("Gather",), expect_gather),
    "transpose": Kind(("DepthToSpace", "SpaceToDepth", "Transpose"), expect_transpose),
    "reshape": Kind(("Flatten", "Identity", "Reshape", "Squeeze", "Unsqueeze"), expect_reshape),
    "slice": Kind(("Slice",), expect_slice),
    "pad": Kind(("Pad",), expect_pad),
    "concat": Kind(("Concat",), expect_concat),
    "expand": Kind(("Expand", "Tile"), expect_expand),
    "resize": Kind(("Resize",), expect_resize),
    "recurrent": Kind(RECURRENT, expect_recurrent, several_outputs=True),
    "batched": Kind(
        tuple(_INDEPENDENT),
        lambda node, model: expect_batched(node, model, _INDEPENDENT[node.qualified_name]),
        several_outputs=True,
    ),
}
