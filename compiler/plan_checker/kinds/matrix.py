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
    whole,
)
from wsec.compiler.plan_checker.kinds.quantization import parameter

if TYPE_CHECKING:
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts


def expect_matmul(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """MatMul: a [B, m, k], b [B, k, n]; output [B, m, n]; a vector is a matrix of one row or column.

    MatMulInteger and QLinearMatMul have zero points and scales beside them.
    """
    right = 3 if node.op_type == "QLinearMatMul" else 1
    a, b = model.shape(node.input(0)), model.shape(node.input(right))
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    rank = max(len(a), len(b)) - 2
    batch_a, batch_b = aligned(a[:-2], rank), aligned(b[:-2], rank)
    batch = tuple(
        Loop(f"b{i}", ours if theirs == 1 else theirs)
        for i, (ours, theirs) in enumerate(zip(batch_a, batch_b, strict=True))
    )
    m, k, n = along("m", a[-2]), along("k", a[-1]), along("n", b[-1])
    reads_a, reads_b = (*_batch_reads(batch, batch_a), m, k), (*_batch_reads(batch, batch_b), k, n)
    places = {
        "MatMulInteger": (("a_zero", 2), ("b_zero", 3)),
        "QLinearMatMul": (
            ("a_scale", 1), ("a_zero", 2), ("b_scale", 4), ("b_zero", 5), ("y_scale", 6), ("y_zero", 7),
        ),
    }.get(node.op_type, ())  # fmt: skip
    views = {"a": (reads_a, (rank,)), "b": (reads_b, (rank + 1,)), "y": ((whole(1),), ())}
    parameters = tuple(
        parameter(role, node.input(index), *views[role[0]], model)
        for role, index in places
        if node.input(index)
    )
    return Expectation(
        operands=(
            Operand("a", node.input(0), reads_a),
            Operand("b", node.input(right), reads_b),
            *parameters,
        ),
        output=(*batch, Loop("m", m.extent), Loop("n", n.extent)),
        reductions={"k": k.extent},
        arguments={},
    )


def _batch_reads(batch: tuple[Loop, ...], extents: tuple[int, ...]) -> tuple[Read, ...]:
    return tuple(broadcast(loop, extent) for loop, extent in zip(batch, extents, strict=True))
