"""Equal computations are done once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.passes.common_subexpressions import EliminateCommonSubexpressions

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]


def test_equal_nodes_are_merged_through_equal_constants(apply: Apply, operators: Operators) -> None:
    """Exporters write a constant anew for each use; equal ones make equal nodes."""
    model = apply(
        EliminateCommonSubexpressions(),
        """g (float[2] x) => (float[2] y) <float[1] a = {2.0}, float[1] b = {2.0}, float[1] c = {3.0}> {
        p = Mul(x, a) q = Mul(x, b) r = Mul(x, c) s = Add(p, q) y = Add(s, r) }""",
    )
    assert operators(model) == ["Mul", "Mul", "Add", "Add"]
    assert sorted(model.graph.initializers) == ["a", "c"]


def test_constants_of_other_types_and_shapes_are_different(apply: Apply) -> None:
    """The same bytes are not the same constant."""
    model = apply(
        EliminateCommonSubexpressions(),
        """g (float[2, 1] x, int32[2, 1] i) => (float[] y, int32[] z) <float[1] a = {0}, float[1, 1] b = {0}, int32[1] c = {0}> {
        p = Add(x, a) y = Sub(p, b) z = Add(i, c) }""",
    )
    assert sorted(model.graph.initializers) == ["a", "b", "c"]


def test_attributes_and_random_numbers_make_a_difference(
    build: Callable[[str], ir.Model], operators: Operators
) -> None:
    """Two draws of a random number are two numbers."""
    model = build(
        """g (float[2] x) => (float[2] y) {
        a = LeakyRelu<alpha=0.1>(x) b = LeakyRelu<alpha=0.2>(x) c = RandomNormalLike(x) d = RandomNormalLike(x)
        e = Add(a, b) f = Add(c, d) y = Add(e, f) }"""
    )
    assert not EliminateCommonSubexpressions().run(model).modified
    assert operators(model).count("RandomNormalLike") == 2


def test_both_names_of_a_shared_output_stay(apply: Apply) -> None:
    """Two outputs of one computation keep their names."""
    model = apply(
        EliminateCommonSubexpressions(),
        "g (float[2] x) => (float[2] y, float[2] z) { y = Relu(x) z = Relu(x) }",
    )
    assert [value.name for value in model.graph.outputs] == ["y", "z"]
