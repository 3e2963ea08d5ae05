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
from wsec.runtime.programs.kinds.rotary import rotary
from wsec.runtime.programs.kinds.statistics import normalization, reduction, softmax
from wsec.runtime.programs.kinds.tiles import Tile, part, tile_of
from wsec.runtime.programs.kinds.transposed import transposed_convolution
from wsec.runtime.programs.kinds.writer import Pool, Writer
from wsec.runtime.rotary import rotation_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.plan import Kernel
    from wsec.runtime.lowered_model import LoweredModel
    from wsec.runtime.programs.context import KernelContext
    from wsec.runtime.simulator.instructions import Instruction

    Compute = Callable[[KernelContext], list[Instruction]]
    Own = Callable[[KernelContext, Block], list[Instruction]]

RESULT: Final = "result"


def _with_chain(own: Own | None) -> Compute:
    """From filled input blocks to the output block: the kernel's own operator, then its chain."""

    def compute(context: KernelContext) -> list[Instruction]:
        kernel, output = context.kernel, context.output()
        check_operands(context)
        if not kernel.chain:
            if own is None:
                raise ValueError("a kernel without an operator of its own has no chain")
            return own(context, output)
        result = output
        instructions: list[Instruction] = []
        if own is not None:
            result = Block(context.scratch(output.words), output.shape)
            instructions = own(context, result)
        return [*instructions, *chain_steps(context, Pool(context), (result, output))]

    return compute


def chain_steps(
    context: KernelContext,
    pool: Pool,
    blocks: tuple[Block, Block],
    piece: tuple[int, int, int] | None = None,
) -> list[Instruction]:
    """The chain of a kernel, or a piece of it.

    Args:
        context: Of the kernel.
        pool: Scratch words for what lies between.
        blocks: The result of the kernel's own operator, which a chain that stands alone does not read, and the output.
        piece: A dimension of the output, the first position along it and how many; None: all.
    """
    kernel, (result, output) = context.kernel, blocks
    labels = [f"d{index}" for index in range(len(output.shape))]

    def tile(block: Block) -> Tile:
        whole = tile_of(block, labels)
        return whole if piece is None else part(whole, labels[piece[0]], *piece[1:])

    writer = Writer(pool)
    wires = {
        item.role: writer.given(tile(context.block(item.role)))
        for item in kernel.inputs
        if item.role[:1] == "e"
    }
    wires[RESULT] = writer.given(tile(result))
    types = {item.role: item.dtype for item in kernel.inputs} | {RESULT: kernel.inputs[0].dtype}
    for step in kernel.chain:
        wires[step.output] = write_step(context, writer, step, wires, types)
        types[step.output] = step.dtype
    return writer.finish(wires[kernel.chain[-1].output], tile(output))


_MOVING: Final = frozenset(
    {"concat", "elementwise", "expand", "gather", "pad", "reshape", "slice", "transpose"}
)
"""Kinds whose own operator keeps whole numbers exact."""

_EXACT_REDUCTIONS: Final = frozenset({"max", "min", "sum"})


def check_operands(context: KernelContext) -> None:
    """Factors with scales and zero points, and products and averages of whole numbers, are refused by name."""
    kernel = context.kernel
    for item in kernel.inputs:
        if item.role.endswith(("_scale", "_zero")):
            raise context.refuse(f"quantised factors ({item.role})")
        exact = kernel.kind in _MOVING or kernel.arguments.get("operation") in _EXACT_REDUCTIONS
        if item.dtype in WHOLE_TYPES and item.role[:1] != "e" and not exact:
            raise context.refuse(f"{kernel.kind} of {item.dtype}")


OWN: Final[dict[str, Own]] = {
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
}
"""By kind: the instructions of the kernel's own operator, to a block of its result."""


def program_of(kernel: Kernel, model: LoweredModel) -> Compute | None:
    """What makes the instructions of a kernel, from the filled blocks of its inputs; None where its kind has no core program."""
    if kernel.kind in COMPUTE:
        return COMPUTE[kernel.kind]
    rotation = rotation_of(kernel, model)
    return None if rotation is None else _with_chain(rotary(rotation))


COMPUTE: Final[dict[str, Compute]] = {
    "elementwise": _with_chain(None),
    **{kind: _with_chain(own) for kind, own in OWN.items()},
}
"""By kind: the instructions from the filled blocks of the inputs to the filled block of the output, which run on every core."""
