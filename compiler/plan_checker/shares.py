"""Shares of what is added to partial sums once: each core of a sum holds one, and adds it to its own."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.findings import READS, Finding, words
from wsec.compiler.plan_checker.positions import axis_sizes, holds_each_once
from wsec.compiler.sharding import DimensionSharding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, KernelInput
    from wsec.compiler.plan_checker.expectation import Operand


def blocks_of_shares(entry: KernelInput, operand: Operand) -> KernelInput:
    """The same input as cores along the sum hold it together: blocks in place of parts of the loop and shares of a part.

    An input without shares comes back as it is.
    """
    at = _shared_at(entry, operand)
    if at is None:
        return entry
    parts, shares = entry.sharding.dimensions[at : at + 2]
    block = shares.extent
    joined = DimensionSharding(parts.extent * block, block, block, parts.axes)
    dimensions = entry.sharding.dimensions
    sharding = replace(entry.sharding, dimensions=(*dimensions[:at], joined, *dimensions[at + 2 :]))
    return replace(entry, sharding=sharding)


def check_shares(kernel: Kernel, entry: KernelInput, operand: Operand) -> Iterator[Finding]:
    """Findings on an input of which cores hold shares: every element of a part is held once along the sum."""
    at = _shared_at(entry, operand)
    if at is None:
        return
    read = operand.reads[at]
    parts, shares = entry.sharding.dimensions[at : at + 2]
    sizes = axis_sizes(kernel.mesh)
    for dimension, axis, rule in (
        (parts, read.loop, "a core has a share of one part of the loop"),
        (shares, read.shared, "the shares of a part are each held once along the sum"),
    ):
        axes = (axis,) if sizes.get(axis, 1) > 1 else ()
        if not holds_each_once(dimension, axes, kernel.mesh) or (dimension is parts and parts.block != 1):
            where = f"kernel {kernel.name}, input {entry.role}"
            expected = f"plain blocks along axes {words(axes)} that hold {dimension.extent} elements"
            found = f"blocks of {dimension.block}, step {dimension.step}, along axes {words(dimension.axes)}"
            yield Finding(READS, rule, where, expected, found)


def _shared_at(entry: KernelInput, operand: Operand) -> int | None:
    """The dimension of the operand's view in whose place the input has two: parts of the loop, and shares of a part."""
    shape, reads = entry.sharding.shape, operand.reads
    at = next((position for position, read in enumerate(reads) if read.shared), None)
    if at is None or len(shape) != len(reads) + 1:
        return None
    return at if _joined(shape, at) == [read.extent for read in reads] else None


def _joined(shape: tuple[int, ...], at: int) -> list[int]:
    return [*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :]]
