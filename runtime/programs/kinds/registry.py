"""Which kinds of kernels have a core program, and what makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsec.runtime.programs.context import Block
from wsec.runtime.programs.kinds.attention import attention
from wsec.runtime.programs.kinds.formulas import WHOLE_TYPES, write_step
from wsec.runtime.programs.kinds.movement import (
    concat,
    expand,
    gather,
    pad,
    reshape,
    resize,
    slice_,
    transpose,
)
from wsec.runtime.programs.kinds.pooling import pooling
from wsec.runtime.programs.kinds.products import convolution, matmul
from wsec.runtime.programs.kinds.statistics import normalization, reduction, softmax
from wsec.runtime.programs.kinds.tiles import tile_of
from wsec.runtime.programs.kinds.transposed import transposed_convolution
from wsec.runtime.programs.kinds.writer import Pool, Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.runtime.programs.context import KernelContext
    from wsec.runtime.simulator.instructions import Instruction

    Compute = Callable[[KernelContext], list[Instruction]]
    Own = Callable[[KernelContext, Block], list[Instruction]]

RESULT: Final = "result"


def _with_chain(own: Own | None) -> Compute:
    """From filled input blocks to the output block: the kernel's own operator, then its chain."""

    def compute(context: KernelContext) -> list[Instruction]:
        kernel, output = context.kernel, context.output()
        _check_operands(context)
        if not kernel.chain:
            if own is None:
                raise ValueError("a kernel without an operator of its own has no chain")
            return own(context, output)
        labels = [f"d{index}" for index in range(len(output.shape))]
        writer = Writer(Pool(context))
        wires = {
            item.role: writer.given(tile_of(context.block(item.role), labels))
            for item in kernel.inputs
            if item.role[:1] == "e"
        }
        types = {item.role: item.dtype for item in kernel.inputs} | {RESULT: kernel.inputs[0].dtype}
        instructions: list[Instruction] = []
        if own is not None:
            result = Block(context.scratch(output.words), output.shape)
            instructions += own(context, result)
            wires[RESULT] = writer.given(tile_of(result, labels))
        for step in kernel.chain:
            wires[step.output] = write_step(context, writer, step, wires, types)
            types[step.output] = step.dtype
        return [*instructions, *writer.finish(wires[kernel.chain[-1].output], tile_of(output, labels))]

    return compute


_MOVING: Final = frozenset(
    {"concat", "elementwise", "expand", "gather", "pad", "reshape", "slice", "transpose"}
)
"""Kinds whose own operator keeps whole numbers exact."""


def _check_operands(context: KernelContext) -> None:
    """Factors with scales and zero points, and sums and averages of whole numbers, are refused by name."""
    kernel = context.kernel
    for item in kernel.inputs:
        if item.role.endswith(("_scale", "_zero")):
            raise context.refuse(f"quantised factors ({item.role})")
        if item.dtype in WHOLE_TYPES and item.role[:1] != "e" and kernel.kind not in _MOVING:
            raise context.refuse(f"{kernel.kind} of {item.dtype}")


COMPUTE: Final[dict[str, Compute]] = {
    "elementwise": _with_chain(None),
    **{
        kind: _with_chain(own)
        for kind, own in {
            "attention": attention,
            "concat": concat,
            "convolution": convolution,
            "expand": expand,
            "gather": gather,
            "matmul": matmul,
            "normalization": normalization,
            "pad": pad,
            "pooling": pooling,
            "reduction": reduction,
            "reshape": reshape,
            "resize": resize,
            "slice": slice_,
            "softmax": softmax,
            "transpose": transpose,
            "transposed_convolution": transposed_convolution,
        }.items()
    },
}
"""By kind: the instructions from the filled blocks of the inputs to the filled block of the output, which run on every core."""
