"""The compiler's part of a kernel: what makes the loop nest of a node; docs/writing-kernels.md shows how."""

from __future__ import annotations

from wsec.compiler.kernels.kind import KernelKind
from wsec.compiler.kernels.loop_nest import (
    DimensionMap,
    Loop,
    LoopNest,
    LoopRole,
    Operand,
    Work,
    fixed,
    follows,
)
from wsec.compiler.kernels.operator_view import (
    OperatorView,
    Unsplittable,
    dtype_of,
    item_bytes,
    operand,
    shape_of,
)

__all__ = [
    "DimensionMap",
    "KernelKind",
    "Loop",
    "LoopNest",
    "LoopRole",
    "Operand",
    "OperatorView",
    "Unsplittable",
    "Work",
    "dtype_of",
    "fixed",
    "follows",
    "item_bytes",
    "operand",
    "shape_of",
]
