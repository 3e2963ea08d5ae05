"""Recurrent kernels against onnxruntime: every loop cut, in any order on the mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from plan_records import (
    Operand,
    assert_same_as_onnxruntime,
    loops_of,
    make_kernel,
    make_model,
    normal,
    reading,
)

if TYPE_CHECKING:
    from plan_records import Array, Reading

    from wsec.compiler.plan import Argument

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
ACTIVATIONS = {"LSTM": ("Sigmoid", "Tanh", "Tanh"), "GRU": ("Sigmoid", "Tanh"), "RNN": ("Tanh",)}


def views_of(steps: int, gates: int, extents: dict[str, int]) -> dict[str, tuple[Reading, ...]]:
    """The views of all inputs, in the node's order."""
    d, b, h, i, j = (reading(extents[name], name) for name in "dbhij")
    state = (d, b, h)
    return {
        "x": (reading(steps), b, i),
        "w": (d, reading(gates), h, i),
        "r": (d, reading(gates), h, j),
        "bias": (d, reading(2), reading(gates), h),
        "lengths": (b,),
        "initial_h": state,
        "initial_c": state,
        "peepholes": (d, reading(3), h),
    }


def arrays_of(steps: int, gates: int, extents: dict[str, int], lengths: list[int]) -> dict[str, Array]:
    """Their values; weights small enough for states that do not saturate."""
    d, b, h, i = (extents[name] for name in "dbhi")
    return {
        "x": normal(1, steps, b, i),
        "w": normal(2, d, gates * h, i) / 2,
        "r": normal(3, d, gates * h, h) / 2,
        "bias": normal(4, d, 2 * gates * h) / 2,
        "lengths": np.array(lengths, dtype=np.int32),
        "initial_h": normal(5, d, b, h),
        "initial_c": normal(6, d, b, h),
        "peepholes": normal(7, d, 3 * h),
    }


@pytest.mark.parametrize("cell", sorted(GATES))
@given(data=st.data())
def test_every_loop_cut(cell: str, data: st.DataObject) -> None:
    """Directions, samples, hidden units, and the sums over features and state, each in any number of parts."""
    draw = data.draw
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    steps, hidden = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    extents = {
        "d": 2 if direction == "bidirectional" else 1,
        "b": draw(st.integers(1, 3)),
        "h": hidden,
        "i": draw(st.integers(1, 5)),
        "j": hidden,
    }
    lengths = [draw(st.integers(1, steps)) for _ in range(extents["b"])]
    views, arrays = views_of(steps, GATES[cell], extents), arrays_of(steps, GATES[cell], extents, lengths)
    optional = ["bias", "lengths", "initial_h", *(["initial_c", "peepholes"] if cell == "LSTM" else [])]
    given_roles = ["x", "w", "r", *(role for role in optional if draw(st.booleans()))]
    before, clip = draw(st.booleans()), draw(st.sampled_from([0.0, 0.5]))
    arguments: dict[str, Argument] = {
        "cell": cell,
        "direction": direction,
        "activations": ACTIVATIONS[cell] * extents["d"],
        "clip": clip,
        "linear_before_reset": before,
        "input_forget": False,
        "outputs": (0,),
    }
    output = Operand("", "y", "float32", (reading(steps), *(reading(extents[name], name) for name in "dbh")))
    kernel = make_kernel(
        "k",
        "recurrent",
        draw(loops_of(extents, 3)),
        [Operand(role, role, arrays[role].dtype.name, views[role]) for role in given_roles],
        output,
        arguments=arguments,
        constants=["w", "r"],
        reduced=["i", "j"],
    )
    names = [role if role in given_roles else "" for role in ("x", "w", "r", *optional)]
    attributes: dict[str, Any] = {"hidden_size": hidden, "direction": direction}
    attributes |= {"clip": clip} if clip else {}
    attributes |= {"linear_before_reset": int(before)} if cell == "GRU" else {}
    node = helper.make_node(cell, names, ["y"], **attributes)
    inputs = {role: arrays[role] for role in given_roles if role not in {"w", "r"}}
    model = make_model([node], inputs, ["y"], {role: arrays[role] for role in ("w", "r")})
    assert_same_as_onnxruntime(model, [kernel], inputs, 1e-4)
