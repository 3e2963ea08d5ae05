"""The kind `matmul`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.expectation import (
    Expectation,
    Loop,
    Operand,
    Read,
    aligned,
    along,
    broadcast,
)

if TYPE_CHECKING:
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts


def expect_matmul(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """MatMul: a [B, m, k], b [B, k, n]; output [B, m, n]; a vector is a matrix of one row or column."""
    a, b = model.shape(node.input(0)), model.shape(node.input(1))
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    rank = max(len(a), len(b)) - 2
    batch_a, batch_b = aligned(a[:-2], rank), aligned(b[:-2], rank)
    batch = tuple(
        Loop(f"b{i}", ours if theirs == 1 else theirs)
        for i, (ours, theirs) in enumerate(zip(batch_a, batch_b, strict=True))
    )
    m, k, n = along("m", a[-2]), along("k", a[-1]), along("n", b[-1])
    return Expectation(
        operands=(
            Operand("a", node.input(0), (*_batch_reads(batch, batch_a), m, k)),
            Operand("b", node.input(1), (*_batch_reads(batch, batch_b), k, n)),
        ),
        output=(*batch, Loop("m", m.extent), Loop("n", n.extent)),
        reductions={"k": k.extent},
        arguments={},
    )


def _batch_reads(batch: tuple[Loop, ...], extents: tuple[int, ...]) -> tuple[Read, ...]:
    return tuple(broadcast(loop, extent) for loop, extent in zip(batch, extents, strict=True))
