"""Gemm is MatMul and Add."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsec.passes.canonicalize_gemm import CanonicalizeGemm

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

WEIGHTS = """<float[3, 2] w = {1, 2, -3, 4, 5, -6}, float[2, 3] wt = {1, -3, 5, 2, 4, -6},
float[2] c = {0.5, -0.25}, float[4, 1] rows = {1, 2, 3, 4}, float s = {2.5}>"""


@pytest.mark.parametrize(
    ("gemm", "expected"),
    [
        ("Gemm(x, w)", ["MatMul"]),
        ("Gemm(x, w, c)", ["MatMul", "Add"]),
        ("Gemm<transB=1>(x, wt, c)", ["MatMul", "Add"]),
        ("Gemm<transA=1>(t, w, c)", ["Transpose", "MatMul", "Add"]),
        ("Gemm<alpha=0.5>(x, w)", ["MatMul"]),
        ("Gemm<alpha=0.5, beta=2.0, transB=1>(x, wt, c)", ["MatMul", "Add"]),
        ("Gemm<beta=0.0>(x, w, c)", ["MatMul"]),
        ("Gemm(x, w, rows)", ["MatMul", "Add"]),
        ("Gemm(x, w, s)", ["MatMul", "Add"]),
        ("Gemm<alpha=0.5>(x, u)", ["MatMul", "Mul"]),
        ("Gemm<alpha=0.5, beta=3.0>(x, u, d)", ["MatMul", "Mul", "Mul", "Add"]),
        ("Gemm<transB=1>(x, ut, c)", ["Transpose", "MatMul", "Add"]),
    ],
)
def test_each_form_of_gemm(
    apply: Callable[..., ir.Model], operators: Callable[[ir.Model], list[str]], gemm: str, expected: list[str]
) -> None:
    """Constant operands take transpositions and factors; computed ones get nodes."""
    inputs = "float[4, 3] x, float[3, 4] t, float[3, 2] u, float[2, 3] ut, float[2] d"
    model = apply(
        CanonicalizeGemm(), f"g ({inputs}) => (float[] y) {WEIGHTS} {{ y = {gemm} }}", tolerance=1e-6
    )
    assert operators(model) == expected


def test_other_operators_stay(apply: Callable[..., ir.Model]) -> None:
    """A MatMul is canonical already."""
    model = apply(CanonicalizeGemm(), f"g (float[4, 3] x) => (float[] y) {WEIGHTS} {{ y = MatMul(x, w) }}")
    assert [node.op_type for node in model.graph] == ["MatMul"]
