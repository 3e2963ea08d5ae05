"""Which maker turns which operator into a loop nest; every other operator stays unsplit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.kernels import convolution, matmul, movement, statistics

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.kernels.operator_view import OperatorView

    Maker = Callable[[OperatorView], LoopNest]

MAKERS: dict[str, Maker] = {
    "AveragePool": statistics.make_pooling,
    "Concat": movement.make_concat,
    "Conv": convolution.make_convolution,
    "ConvTranspose": convolution.make_transposed_convolution,
    "Expand": movement.make_expand,
    "Gather": movement.make_gather,
    "GroupNormalization": statistics.make_normalization,
    "Identity": movement.make_reshape,
    "InstanceNormalization": statistics.make_normalization,
    "LayerNormalization": statistics.make_normalization,
    "LogSoftmax": statistics.make_softmax,
    "MatMul": matmul.make_matmul,
    "MaxPool": statistics.make_pooling,
    "Pad": movement.make_pad,
    "RMSNormalization": statistics.make_normalization,
    "ReduceL1": statistics.make_reduction,
    "ReduceL2": statistics.make_reduction,
    "ReduceLogSum": statistics.make_reduction,
    "ReduceLogSumExp": statistics.make_reduction,
    "ReduceMax": statistics.make_reduction,
    "ReduceMean": statistics.make_reduction,
    "ReduceMin": statistics.make_reduction,
    "ReduceProd": statistics.make_reduction,
    "ReduceSum": statistics.make_reduction,
    "ReduceSumSquare": statistics.make_reduction,
    "Reshape": movement.make_reshape,
    "Resize": movement.make_resize,
    "Slice": movement.make_slice,
    "Softmax": statistics.make_softmax,
    "Transpose": movement.make_transpose,
}
"""Operator of `ai.onnx` -> what makes its loop nest."""
