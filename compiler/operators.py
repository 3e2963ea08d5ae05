"""What more than one stage has to know of an operator; sets of names only, light to import.

Names are those of the domain `ai.onnx`; an operator of another domain is in none of the sets.
"""

from __future__ import annotations

UNARY_ELEMENTWISE: frozenset[str] = frozenset(
    {
        "Abs", "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "BitwiseNot", "Cast", "Ceil", "Celu",
        "Clip", "Cos", "Cosh", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "IsInf",
        "IsNaN", "LeakyRelu", "Log", "Mish", "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Shrink",
        "Sigmoid", "Sign", "Sin", "Sinh", "Softplus", "Softsign", "Sqrt", "Swish", "Tan", "Tanh",
        "ThresholdedRelu",
    }
)  # fmt: skip
"""One tensor in, one of the same shape out. The bounds of Clip are scalars."""

BROADCAST_ELEMENTWISE: frozenset[str] = frozenset(
    {
        "Add", "And", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Div", "Equal", "Greater",
        "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Mean", "Min", "Mod", "Mul", "Or", "PRelu", "Pow",
        "Sub", "Sum", "Where", "Xor",
    }
)  # fmt: skip
"""Two or more tensors in, broadcast against each other as ONNX says."""

ELEMENTWISE: frozenset[str] = UNARY_ELEMENTWISE | BROADCAST_ELEMENTWISE
"""Each element of the output depends on one element of each input."""

REDUCTIONS: frozenset[str] = frozenset(
    {
        "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
        "ReduceProd", "ReduceSum", "ReduceSumSquare",
    }
)  # fmt: skip

DATA_MOVEMENT: frozenset[str] = frozenset({"Concat", "Expand", "Pad", "Reshape", "Slice", "Transpose"})
"""Moves elements and computes nothing."""

ANCHORS: frozenset[str] = REDUCTIONS | {
    "AveragePool", "Conv", "ConvInteger", "ConvTranspose", "Gather", "InstanceNormalization", "LayerNormalization",
    "LogSoftmax", "MatMul", "MatMulInteger", "MaxPool", "QLinearConv", "QLinearMatMul", "RMSNormalization", "Resize",
    "Softmax",
}  # fmt: skip
"""Operators with a distributed kernel of their own, which element-wise operators may be fused behind."""

NON_DETERMINISTIC: frozenset[str] = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)

DATA_DEPENDENT_SHAPE: frozenset[str] = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
"""The output's shape depends on the values of an input, even where all input shapes are known."""

SHAPE_OPERANDS: dict[str, tuple[int, ...]] = {
    "AffineGrid": (1,),
    "BlackmanWindow": (0,),
    "CenterCropPad": (1,),
    "Col2Im": (1, 2),
    "ConstantOfShape": (0,),
    "DFT": (1, 2),
    "Expand": (1,),
    "HammingWindow": (0,),
    "HannWindow": (0,),
    "If": (0,),
    "Loop": (0, 1),
    "MaxUnpool": (2,),
    "MelWeightMatrix": (0, 1),
    "OneHot": (1,),
    "Pad": (1, 3),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "STFT": (1, 3),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Squeeze": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Unsqueeze": (1,),
    "Upsample": (1,),
} | dict.fromkeys(sorted(REDUCTIONS), (1,))
"""By operator, the inputs whose values decide the shape of an output."""

CONTRIBUTED_SHAPE_OPERANDS: dict[str, tuple[int, ...]] = {"GroupQueryAttention": (6,)}
"""The same for operators of com.microsoft."""

ATTENTION_STEPS: frozenset[str] = frozenset(
    {"Add", "Cast", "Clip", "Div", "IsNaN", "Max", "Min", "Mul", "Neg", "Not", "Sub", "Tanh", "Where"}
)
"""Element-wise operators that a fused attention applies to its scores and probabilities, block by block."""

KERNEL_KEY = "wsec.kernel"
"""Node metadata: the name of the fused group that the node belongs to (see the pass `fuse-elementwise`)."""

KIND_KEY = "wsec.kind"
"""Node metadata: the kind of kernel that several nodes of a group make up together (see the pass `fuse-attention`)."""

WEIGHTS_KIND = "weights"
"""Kind of a group that dequantises its weights: a DequantizeLinear and the product that reads it."""

WEIGHTS_OPERANDS: dict[tuple[str, str], tuple[int, ...]] = {
    ("", "Conv"): (1,),
    ("", "ConvTranspose"): (1,),
    ("", "MatMul"): (1,),
    ("com.microsoft", "MoE"): (2, 4, 6),
}
"""Domain and operator -> the inputs that its kernel dequantises itself, where they are constants of few bits."""

CONTRIBUTED_ANCHORS: frozenset[tuple[str, str]] = frozenset({("com.microsoft", "MoE")})
"""Domain and operator of those that are no part of `ai.onnx` and have a distributed kernel, as `ANCHORS`."""

UNSPLIT_KEY = "wsec.unsplit"
"""Node metadata: why a pass (`legalize-operators`, `unroll-loops`, `inline-conditionals`) left a node as it is."""


HOST_KEY = "wsec.host"
"""Node metadata: why the operator runs on the host; absent on those of the wafer (see `wsec.compiler.partition`)."""


def is_elementwise(domain: str, op_type: str) -> bool:
    """Whether the operator is an element-wise one of `ai.onnx`."""
    return domain in {"", "ai.onnx"} and op_type in ELEMENTWISE
