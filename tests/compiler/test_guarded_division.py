"""Divisions that would end the process give a result, and all others theirs."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wsec.compiler.guarded_division import guard_divisions
from wsec.compiler.node_runner import make_node_runner
from wsec.compiler.onnxruntime_session import make_session, run_session

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'
LEAST = -(1 << 63)
NUMBERS = st.integers(LEAST, -LEAST - 1)


@settings(max_examples=60)
@given(a=NUMBERS, b=st.one_of(NUMBERS, st.integers(-3, 3)).filter(bool))
@example(a=LEAST, b=-1)
@example(a=LEAST, b=2)
@example(a=7, b=-1)
def test_quotients_and_remainders_are_those_of_whole_numbers(a: int, b: int) -> None:
    """Towards zero, and of the sign of the divisor; what has no room wraps, as numpy has it."""
    arrays = {"a": np.array([a]), "b": np.array([b])}
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    wrapped = (quotient - LEAST) % (1 << 64) + LEAST
    assert _RUNNERS["Div"].run(arrays)[0].tolist() == [wrapped]
    assert _RUNNERS["Mod"].run(arrays)[0].tolist() == [a % b]


_RUNNERS = {
    name: make_node_runner(
        onnx.parser.parse_model(f"{HEAD} g (int64[1] a, int64[1] b) => (int64[1] y) {{ y = {name}(a, b) }}")
    )
    for name in ("Div", "Mod")
}


def test_divisions_in_bodies_and_of_computed_types() -> None:
    """What a branch divides has a type that only inference knows, and a divisor of the graph around it."""
    proto = onnx.parser.parse_model(
        f"""{HEAD} g (bool c, float[2] x, int64[2] z) => (int32[2] y) {{
        k = Cast<to = 6>(z)
        y = If (c) <then_branch = t () => (int32[2] r) {{ q = Neg(k) \n m = Neg(q) \n r = Div(m, k) }},
                    else_branch = e () => (int32[2] r)
                        <int32[1] least = {{-2147483648}}, int32[1] w = {{-1}}> {{ r = Div(least, k) }}> }}"""
    )
    assert guard_divisions(proto)
    session = make_session(proto.SerializeToString())
    inputs = {"x": np.ones(2, np.float32), "z": np.array([-1, 2])}
    assert run_session(session, {**inputs, "c": np.array([False]).reshape(())})[0].tolist() == [
        -(1 << 31),
        -(1 << 30),
    ]
    assert run_session(session, {**inputs, "c": np.array([True]).reshape(())})[0].tolist() == [1, 1]


@pytest.mark.parametrize("kind", ["float", "double", "uint8"])
def test_divisions_that_cannot_trap_are_left_alone(kind: str) -> None:
    """Most divisions are of floats."""
    proto = onnx.parser.parse_model(
        f"{HEAD} g ({kind}[2] a, {kind}[2] b) => ({kind}[2] y) {{ y = Div(a, b) }}"
    )
    before = proto.SerializeToString()
    assert not guard_divisions(proto)
    assert proto.SerializeToString() == before
