"""Which kernels are on which wafer: a partition in the direction of the links, balanced, with few words across.

A library of its own: `partition_kernels` knows nothing of ONNX. docs/wafers.md says what is assumed of several wafers.
"""

from wsec.compiler.schedule.partition import partition_kernels
from wsec.compiler.schedule.problem import (
    KernelPartition,
    Objective,
    PartitionKernel,
    PartitionNet,
    PartitionProblem,
)

__all__ = [
    "KernelPartition",
    "Objective",
    "PartitionKernel",
    "PartitionNet",
    "PartitionProblem",
    "partition_kernels",
]
