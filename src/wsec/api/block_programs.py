"""The runtime's part of a kernel: what every core computes from its blocks; docs/writing-kernels.md shows how."""

from __future__ import annotations

from wsec.compiler.plan import Argument, Kernel, KernelInput, KernelOutput
from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding
from wsec.runtime.blocks import positions
from wsec.runtime.collectives import combine
from wsec.runtime.element_types import (
    Array,
    DType,
    accumulator,
    element_type,
    highest,
    is_floating,
    lowest,
    poison,
)
from wsec.runtime.kernels import BlockProgram
from wsec.runtime.kernels.arguments import (
    input_sharding,
    integer,
    integers,
    number,
    numbers,
    output_sharding,
    text,
)
from wsec.runtime.local_reads import read_dimension, resized

__all__ = [
    "Argument",
    "Array",
    "BlockProgram",
    "DType",
    "DimensionSharding",
    "Kernel",
    "KernelInput",
    "KernelOutput",
    "Mesh",
    "Sharding",
    "accumulator",
    "combine",
    "element_type",
    "highest",
    "input_sharding",
    "integer",
    "integers",
    "is_floating",
    "lowest",
    "number",
    "numbers",
    "output_sharding",
    "poison",
    "positions",
    "read_dimension",
    "resized",
    "text",
]
