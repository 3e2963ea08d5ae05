"""What a block of each kind of kernel computes, for all cores of the kernel at once (docs/kernels.md).

The table below is the registry: how a kind computes its own result, and what stands outside the extents of an input.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from wsec.compiler.plan import Kernel
from wsec.runtime.element_types import Array, DType
from wsec.runtime.kernels.attention import attention
from wsec.runtime.kernels.convolution import convolution, transposed_convolution
from wsec.runtime.kernels.experts import experts, experts_fill
from wsec.runtime.kernels.gather import gather_rows
from wsec.runtime.kernels.movement import concat, expand, pad, pad_fill, reshape, slice_, transpose
from wsec.runtime.kernels.pooling import pooling, pooling_fill
from wsec.runtime.kernels.products import matmul
from wsec.runtime.kernels.recurrent import recurrent
from wsec.runtime.kernels.reductions import reduction, reduction_fill
from wsec.runtime.kernels.resize import resize
from wsec.runtime.kernels.statistics import normalization, softmax, softmax_fill

Compute = Callable[[Kernel, Mapping[str, Array]], Array | tuple[Array, ...]]
"""Every core's blocks of the kernel's output, or of its outputs in order, from those of its inputs by role."""

Fill = Callable[[Kernel, str, DType], Any]


def _zero(_kernel: Kernel, _role: str, _dtype: DType) -> Any:
    return 0


@dataclass(frozen=True, slots=True)
class BlockProgram:
    """What a kind of kernel computes from its input blocks, before the chain; and the fill of its inputs."""

    compute: Compute
    fill: Fill = _zero


BLOCK_PROGRAMS: dict[str, BlockProgram] = {
    "attention": BlockProgram(attention),
    "convolution": BlockProgram(convolution),
    "transposed_convolution": BlockProgram(transposed_convolution),
    "experts": BlockProgram(experts, experts_fill),
    "matmul": BlockProgram(matmul),
    "pooling": BlockProgram(pooling, pooling_fill),
    "reduction": BlockProgram(reduction, reduction_fill),
    "softmax": BlockProgram(softmax, softmax_fill),
    "normalization": BlockProgram(normalization),
    "gather": BlockProgram(gather_rows),
    "transpose": BlockProgram(transpose),
    "reshape": BlockProgram(reshape),
    "slice": BlockProgram(slice_),
    "pad": BlockProgram(pad, pad_fill),
    "concat": BlockProgram(concat),
    "expand": BlockProgram(expand),
    "resize": BlockProgram(resize),
    "recurrent": BlockProgram(recurrent),
}
"""Every kind but `elementwise`, which is a chain alone, and `unsplit`, which runs nodes through onnxruntime."""
