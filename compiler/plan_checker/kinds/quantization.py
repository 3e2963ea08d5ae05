"""Scales and zero points: of products of integers, and of weights that a kernel dequantises itself."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.expectation import Expectation, Operand, Read, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

WEIGHTS_READERS = {"Conv": (1,), "ConvTranspose": (1,), "MatMul": (1,), "com.microsoft.MoE": (2, 4, 6)}
"""Operators whose kernels dequantise their weights -> the inputs that these are."""


def parameter(
    role: str, tensor: str, reads: tuple[Read, ...], along: Sequence[int], model: ModelFacts
) -> Operand:
    """A scale or zero point of a factor with these reads: one number, or a vector along some of its dimensions."""
    single = math.prod(model.shape(tensor)) == 1
    kept = tuple(read if i in along and not single else whole(1) for i, read in enumerate(reads))
    return Operand(role, tensor, kept)


def dequantized_weights(nodes: list[OperatorFacts]) -> list[OperatorFacts]:
    """Each DequantizeLinear behind the kernel's first node that gives weights of that node."""
    wanted = {nodes[0].input(index) for index in WEIGHTS_READERS.get(nodes[0].qualified_name, ())}
    return [
        node for node in nodes[1:] if node.qualified_name == "DequantizeLinear" and node.outputs[0] in wanted
    ]


def with_weights(expectation: Expectation, node: OperatorFacts, model: ModelFacts) -> Expectation:
    """What the kernel reads instead of the weights: their codes, scales and zero points."""
    operands: list[Operand] = []
    added: list[Operand] = []
    for operand in expectation.operands:
        if operand.tensor != node.outputs[0]:
            operands.append(operand)
            continue
        operands.append(replace(operand, tensor=node.input(0)))
        for index, name in ((1, "scale"), (2, "zero")):
            if node.input(index):
                reads = _parameter_reads(operand.reads, node, index, model)
                role = f"{operand.role}_{name}"
                if reads is None:
                    added.append(Operand(role, node.input(index), (), view_fits=False))
                else:
                    added.append(Operand(role, node.input(index), reads))
    return replace(expectation, operands=(*operands, *added))


def _parameter_reads(
    reads: tuple[Read, ...], node: OperatorFacts, index: int, model: ModelFacts
) -> tuple[Read, ...] | None:
    """What positions read of a parameter: of the tensor, of one axis, or of blocks of an axis."""
    shape, held = model.shape(node.input(index)), model.shape(node.input(0))
    if math.prod(shape) == 1:
        return tuple(whole(1) for _ in reads)
    axis, size = node.integer("axis", 1) % len(held), node.integer("block_size", 0)
    first = _dimensions_before(held[:axis], reads)
    last = _dimensions_before(held[: axis + 1], reads)
    if not size:
        return tuple(read if first <= i < last else whole(1) for i, read in enumerate(reads))
    position = next((i for i in range(first, last) if reads[i].extent == held[axis]), None)
    if position is None:
        return None
    walked = reads[position]
    low = np.arange(walked.extent, dtype=np.int64) // size
    blocked = Read(shape[axis], walked.loop, low, low + 1, anchored=False)
    return tuple(blocked if i == position else read for i, read in enumerate(reads))


def _dimensions_before(extents: tuple[int, ...], reads: tuple[Read, ...]) -> int:
    """How many dimensions of a view hold the leading dimensions of a tensor."""
    size, count = math.prod(extents), 0
    while size > 1 and count < len(reads):
        size //= reads[count].extent
        count += 1
    return max(count, len(extents) if math.prod(extents) == 1 else 0)
