"""Functions are replaced by their bodies."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.passes.inline_functions import InlineFunctions

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

FUNCTIONS = """
<domain: "local", opset_import: ["" : 23, "local" : 1]> outer <scale> (a) => (b) {
    c = Constant<value_float: float = @scale>()
    d = local.inner(a)
    b = Mul(d, c)
}
<domain: "local", opset_import: ["" : 23]> inner (a) => (b) { n = Neg(a) b = Relu(n) }"""


def test_nested_calls_are_inlined(
    apply: Callable[..., ir.Model], operators: Callable[[ir.Model], list[str]]
) -> None:
    """A function that calls another, called twice with different attributes; names stay unique."""
    model = apply(
        InlineFunctions(),
        """g (float[2, 3] x) => (float[2, 3] y) {
        a = local.outer<scale=2.0>(x) y = local.outer<scale=-0.5>(a) }"""
        + FUNCTIONS,
    )
    assert operators(model) == ["Neg", "Relu", "Mul", "Neg", "Relu", "Mul"]
    assert not model.functions
    names = [node.name for node in model.graph]
    assert all(names)
    assert len(set(names)) == len(names)


def test_a_model_without_functions_is_left_alone(apply: Callable[..., ir.Model]) -> None:
    """Most models have none."""
    model = apply(InlineFunctions(), "g (float[2] x) => (float[2] y) { y = Relu(x) }")
    assert [node.op_type for node in model.graph] == ["Relu"]
