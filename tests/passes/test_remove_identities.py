"""Nodes that do nothing go; nodes that only look so stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsec.passes.remove_identities import RemoveIdentities

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]

CONSTANTS = """<int64[2] same = {2, 3}, int64[1] zero = {0}, int64[1] big = {9}, int64[1] one = {1},
int64[1] minus = {-1}, int64[1] least = {-9}, int64[4] no_pads = {0, 0, 0, 0}, int64[4] shift = {1, 0, -1, 0},
int64[2] ones = {1, 1}, float ratio = {0.5}, bool off = {0}>"""


@pytest.mark.parametrize(
    "node",
    [
        "Identity(a)",
        "Dropout(a)",
        "Dropout(a, ratio)",
        "Dropout(a, ratio, off)",
        "Cast<to=1>(a)",
        "Reshape(a, same)",
        "Transpose<perm=[0, 1]>(a)",
        "Slice(a, zero, big)",
        "Slice(a, zero, big, zero, one)",
        "Pad(a, no_pads)",
        "Expand(a, one)",
        "Concat<axis=0>(a)",
        "Tile(a, ones)",
        "Sum(a)",
        "Clip(a)",
    ],
)
def test_an_operator_that_does_nothing_is_removed(apply: Apply, operators: Operators, node: str) -> None:
    """Each way of doing nothing."""
    model = apply(
        RemoveIdentities(),
        f"g (float[2, 3] x) => (float[] y) {CONSTANTS} {{ a = Neg(x) b = {node} y = Abs(b) }}",
    )
    assert operators(model) == ["Neg", "Abs"]


@pytest.mark.parametrize(
    "node",
    [
        "Transpose(a)",
        "Slice(a, minus, least, zero, minus)",
        "Slice(a, one, big)",
        "Pad(a, shift)",
        "Concat<axis=0>(a, a)",
        "Clip(a, ratio)",
        "Sum(a, a)",
    ],
)
def test_an_operator_that_does_something_stays(apply: Apply, operators: Operators, node: str) -> None:
    """A reversal and a shift keep the shape and change the values."""
    model = apply(
        RemoveIdentities(), f"g (float[2, 3] x) => (float[] y) {CONSTANTS} {{ a = Neg(x) y = {node} }}"
    )
    assert len(operators(model)) == 2


def test_a_cast_to_another_type_stays(apply: Apply, operators: Operators) -> None:
    """Only a cast to the type that is there already does nothing."""
    model = apply(RemoveIdentities(), "g (float[2] x) => (double[2] y) { y = Cast<to=11>(x) }")
    assert operators(model) == ["Cast"]


def test_an_output_keeps_its_name(apply: Apply, operators: Operators) -> None:
    """The producer of the value takes over the name of the output."""
    model = apply(RemoveIdentities(), "g (float[2] x) => (float[2] y) { a = Neg(x) y = Identity(a) }")
    assert operators(model) == ["Neg"]
    assert model.graph.outputs[0].name == "y"


def test_an_input_that_is_an_output_keeps_its_identity(apply: Apply, operators: Operators) -> None:
    """A value cannot carry the name of an input and that of an output, nor those of two outputs."""
    model = apply(
        RemoveIdentities(),
        "g (float[2] x) => (float[2] y, float[2] p, float[2] q) { y = Identity(x) p = Neg(x) q = Identity(p) }",
    )
    assert operators(model) == ["Identity", "Neg", "Identity"]


def test_a_used_mask_keeps_its_dropout(build: Callable[[str], ir.Model]) -> None:
    """The second output of Dropout is something."""
    model = build("g (float[2] x) => (float[2] y, bool[2] m) { a, m = Dropout(x) y = Neg(a) }")
    assert not RemoveIdentities().run(model).modified


def test_a_value_read_inside_a_body_is_renamed_there_too(apply: Apply) -> None:
    """Bodies read values of the surrounding graph."""
    model = apply(
        RemoveIdentities(),
        """g (float[2] x, bool c) => (float[2] y) { a = Neg(x) b = Identity(a)
        y = If (c) <then_branch = t () => (float[2] r) { r = Relu(b) }, else_branch = e () => (float[2] r2) { r2 = Abs(b) }> }""",
    )
    assert [node.op_type for node in model.graph] == ["Neg", "If"]
