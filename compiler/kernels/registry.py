"""Which kind of kernel computes which operator; every operator that is not here stays unsplit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.kernels import convolution, matmul, movement, statistics
from wsec.compiler.kernels.batch_rules import RULES
from wsec.compiler.kernels.batch_rules_images import IMAGE_RULES
from wsec.compiler.kernels.batch_rules_ml import ML_RULES
from wsec.compiler.kernels.batched import make_batched
from wsec.compiler.kernels.custom import custom_kinds, make_custom
from wsec.compiler.kernels.experts import make_experts
from wsec.compiler.kernels.kind import KernelKind
from wsec.compiler.kernels.operator_view import Unsplittable
from wsec.compiler.kernels.recurrent import RECURRENT, make_recurrent
from wsec.compiler.operators import REDUCTIONS, UNSPLIT_KEY

if TYPE_CHECKING:
    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.kernels.operator_view import OperatorView

_NORMALIZATIONS = ("GroupNormalization", "InstanceNormalization", "LayerNormalization", "RMSNormalization")

_BATCHED = RULES | IMAGE_RULES | ML_RULES

KINDS: tuple[KernelKind, ...] = (
    KernelKind("concat", ("Concat",), movement.make_concat),
    KernelKind("convolution", ("Conv", "ConvInteger", "QLinearConv"), convolution.make_convolution),
    KernelKind("expand", ("Expand", "Tile"), movement.make_expand),
    KernelKind("experts", ("com.microsoft.MoE",), make_experts),
    KernelKind("gather", ("Gather",), movement.make_gather),
    KernelKind("matmul", ("MatMul", "MatMulInteger", "QLinearMatMul"), matmul.make_matmul),
    KernelKind("normalization", _NORMALIZATIONS, statistics.make_normalization),
    KernelKind("pad", ("Pad",), movement.make_pad),
    KernelKind("pooling", ("AveragePool", "MaxPool"), statistics.make_pooling),
    KernelKind("recurrent", RECURRENT, make_recurrent),
    KernelKind("reduction", tuple(sorted(REDUCTIONS)), statistics.make_reduction),
    KernelKind("reshape", ("Identity", "Reshape"), movement.make_reshape),
    KernelKind("resize", ("Resize",), movement.make_resize),
    KernelKind("slice", ("Slice",), movement.make_slice),
    KernelKind("softmax", ("LogSoftmax", "Softmax"), statistics.make_softmax),
    KernelKind("transpose", ("DepthToSpace", "SpaceToDepth", "Transpose"), movement.make_transpose),
    KernelKind("transposed_convolution", ("ConvTranspose",), convolution.make_transposed_convolution),
    KernelKind("batched", tuple(_BATCHED), lambda operator: make_batched(operator, _BATCHED)),
)
"""All kinds but `elementwise`, which the chains make, and `unsplit`. Of two kinds for an operator the first is tried
first."""


def loop_nest_of(operator: OperatorView) -> LoopNest:
    """The loop nest that the first kind which can cut the node makes of it; kinds of other packages come last.

    Raises:
        Unsplittable: With the reasons of all kinds that compute the operator.
        WsecError: WSEC421 to WSEC423 a package of kernels cannot be used.
    """
    reasons = []
    for kind in KINDS:
        if operator.qualified_name not in kind.operators:
            continue
        try:
            return kind.maker(operator)
        except Unsplittable as reason:
            reasons.append(str(reason))
    custom = custom_kinds().get(operator.qualified_name)
    if custom is not None:
        try:
            return make_custom(custom, operator)
        except Unsplittable as reason:
            reasons.append(str(reason))
    left_alone = operator.node.metadata_props.get(UNSPLIT_KEY, "no distributed kernel for this operator")
    raise Unsplittable("; ".join(reasons) or left_alone)
