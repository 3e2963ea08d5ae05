"""Rotary embeddings are found as halves, as pairs, whole or partial; other rotations stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from wsec.passes.recognize_rotary import RecognizeRotary

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]


def _table(name: str, function: Callable[[np.ndarray], np.ndarray], *, repeats: int = 1) -> str:
    angles = np.outer(np.arange(3), [1.0, 0.1])
    values = ", ".join(f"{value:.6f}" for value in np.tile(function(angles), repeats).ravel())
    return f"float[1, 1, 3, {2 * repeats}] {name} = {{{values}}}"


CONSTANTS = ", ".join(
    [
        _table("c", np.cos),
        _table("s", np.sin),
        _table("cc", np.cos, repeats=2),
        _table("ss", np.sin, repeats=2),
        "int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] four = {4}, int64[1] big = {99}",
        "int64[1] last = {3}, int64[5] wrapped = {2, 2, 3, 2, 1}, int64[4] whole = {2, 2, 3, 4}",
        "int64[4] spread = {1, 1, 3, 4}, float[3, 2] angles = {0.0, 0.0, 1.0, 0.1, 2.0, 0.2}",
    ]
)
HALVES = "a = Slice(x, zero, two, last) b = Slice(x, two, big, last) "
PAIRS = "a = Slice(x, zero, big, last, two) b = Slice(x, one, big, last, two) "
TURN = "ac = Mul(a, c) bs = Mul(b, s) f = Sub(ac, bs) bc = Mul(b, c) as = Mul(a, s) g = Add(bc, as) "
WHOLE = "n = Neg(b) r = Concat<axis=-1>(n, a) xc = Mul(x, cc) rs = Mul(r, ss) y = Add(xc, rs)"

FOUND = {
    "halves": HALVES + TURN + "y = Concat<axis=3>(f, g)",
    "pairs": PAIRS
    + TURN
    + "p = Reshape(f, wrapped) q = Reshape(g, wrapped) j = Concat<axis=-1>(p, q) y = Reshape(j, whole)",
    "whole": HALVES + WHOLE,
    "whole_in_another_order": HALVES
    + "n = Neg(b) r = Concat<axis=3>(n, a) xc = Mul(cc, x) rs = Mul(ss, r) y = Add(rs, xc)",
}
STAYS = {
    "other_sign": HALVES + TURN.replace("Sub", "Add") + "y = Concat<axis=3>(f, g)",
    "swapped": HALVES + TURN + "y = Concat<axis=3>(g, f)",
    "another_axis": HALVES + TURN + "y = Concat<axis=2>(f, g)",
    "not_negated": HALVES + WHOLE.replace("Neg", "Abs"),
    "unequal_halves": HALVES + WHOLE.replace("cc", "w"),
    "read_elsewhere": HALVES + TURN + "z = Concat<axis=3>(f, g) k = Concat<axis=3>(f, f) y = Add(z, k)",
}


def _model(body: str, constants: str = CONSTANTS) -> str:
    return f"g (float[2, 2, 3, 4] x) => (float[] y) <{constants}, float[4] w = {{1.0, 2.0, 3.0, 4.0}}> {{ {body} }}"


@pytest.mark.parametrize("case", FOUND)
def test_a_rotation_is_found(apply: Apply, operators: Operators, case: str) -> None:
    """The tables are shared by batch and heads, and kept for half a head."""
    assert operators(apply(RecognizeRotary(), _model(FOUND[case]), tolerance=1e-6)) == ["RotaryEmbedding"]


@pytest.mark.parametrize("case", STAYS)
def test_another_rotation_stays(apply: Apply, operators: Operators, case: str) -> None:
    """A reflection, other pairs, tables that turn the halves by different angles."""
    assert len(operators(apply(RecognizeRotary(), _model(STAYS[case])))) == STAYS[case].count(" = ")


def test_computed_tables_are_cut(apply: Apply, operators: Operators) -> None:
    """Cosines of angles that were joined to themselves."""
    tables = "t = Concat<axis=1>(v, v) k = Reshape(t, spread) cc = Cos(k) ss = Sin(k) "
    text = _model(tables + HALVES + WHOLE, CONSTANTS.replace("] cc", "] unused").replace("] ss", "] unused2"))
    model = apply(RecognizeRotary(), text.replace("x) =>", "x, float[3, 2] v) =>"), tolerance=1e-6)
    assert operators(model)[-1] == "RotaryEmbedding"
    assert not {"Mul", "Neg", "Add"} & set(operators(model))


def test_only_the_first_elements_may_turn(apply: Apply, operators: Operators) -> None:
    """The rest of a head goes through."""
    body = "x = Slice(h, zero, four, last) " + HALVES + TURN + "r = Concat<axis=3>(f, g) "
    body += "rest = Slice(h, four, big, last) y = Concat<axis=-1>(r, rest)"
    model = apply(RecognizeRotary(), _model(body).replace("[2, 2, 3, 4] x", "[2, 2, 3, 6] h"), tolerance=1e-6)
    assert operators(model) == ["RotaryEmbedding"]


def test_an_operator_that_the_opset_lacks_is_not_made(build: Callable[[str], ir.Model]) -> None:
    """RotaryEmbedding came with opset 23."""
    model = build(_model(FOUND["halves"]))
    model.graph.opset_imports[""] = 21
    assert not RecognizeRotary().run(model).modified


@pytest.mark.parametrize("case", FOUND)
def test_any_order_of_the_passes_keeps_the_numbers(
    survives_any_order: Callable[..., None], case: str
) -> None:
    """Other passes may come first and leave another form."""
    survives_any_order(_model(FOUND[case]), orders=2)
