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
    "AveragePool", "Conv", "ConvTranspose", "Gather", "InstanceNormalization", "LayerNormalization",
    "LogSoftmax", "MatMul", "MaxPool", "RMSNormalization", "Resize", "Softmax",
}  # fmt: skip
"""Operators with a distributed kernel of their own, which element-wise operators may be fused behind."""

NON_DETERMINISTIC: frozenset[str] = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)

DATA_DEPENDENT_SHAPE: frozenset[str] = frozenset({"Compress", "NonMaxSuppression", "NonZero", "Unique"})
"""The output's shape depends on the values of an input, even where all input shapes are known."""

KERNEL_KEY = "wsec.kernel"
"""Node metadata: the name of the fused group that the node belongs to (see the pass `fuse-elementwise`)."""


def is_elementwise(domain: str, op_type: str) -> bool:
    """Whether the operator is an element-wise one of `ai.onnx`."""
    return domain in {"", "ai.onnx"} and op_type in ELEMENTWISE
