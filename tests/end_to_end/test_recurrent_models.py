"""LSTM, GRU and RNN of every form, cut along every loop, against onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operator_models import OperatorModel, normal

import wsec

if TYPE_CHECKING:
    from pathlib import Path

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}


def layer(draw: Any, operator: str) -> OperatorModel:
    """A layer with any mix of optional inputs and attributes."""
    steps, batch, features, hidden = (draw(st.integers(1, most)) for most in (4, 4, 5, 9))
    direction = draw(st.sampled_from(["forward", "reverse", "bidirectional"]))
    directions, rows = 2 if direction == "bidirectional" else 1, GATES[operator] * hidden
    state = (directions, batch, hidden)
    lengths = np.array(draw(st.lists(st.integers(1, steps), min_size=batch, max_size=batch)), dtype=np.int32)
    inputs: list[Any] = [
        (steps, batch, features),
        normal(directions, rows, features) / 2,
        normal(directions, rows, hidden) / 2,
        normal(directions, 2 * rows) if draw(st.booleans()) else None,
        lengths if draw(st.booleans()) else None,
        state if draw(st.booleans()) else None,
    ]
    attributes = {"hidden_size": hidden, "direction": direction}
    if operator == "LSTM":
        inputs.append(state if draw(st.booleans()) else None)
        inputs.append(normal(directions, 3 * hidden) if draw(st.booleans()) else None)
        attributes["input_forget"] = draw(st.integers(0, 1))
    if operator == "GRU":
        attributes["linear_before_reset"] = draw(st.integers(0, 1))
    if draw(st.booleans()):
        attributes["clip"] = 0.5
    return OperatorModel(operator, inputs, attributes, outputs=3 if operator == "LSTM" else 2)


@pytest.mark.parametrize("operator", sorted(GATES))
@settings(max_examples=20)
@given(data=st.data())
def test_any_layer_on_any_region(
    operator: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Directions, lengths, initial states, peepholes, clip; hidden units in blocks that come out uneven."""
    model = layer(data.draw, operator)
    path = model.save(tmp_path_factory.mktemp("recurrent") / "layer.onnx")
    region = (data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    plan = wsec.compile(path, target="mesh16", region=region, effort=0)
    assert {kernel.kind for kernel in plan.record.kernels()} == {"recurrent"}
    assert plan.check() == ()
    verification = plan.verify()
    assert verification.passed, verification


@pytest.mark.parametrize(
    ("operator", "names"),
    [
        ("LSTM", ["sigmoid", "TANH", "Relu", "Sigmoid", "Softsign", "Tanh"]),
        ("GRU", ["Softplus", "Tanh", "Sigmoid", "Relu"]),
        ("RNN", ["Relu", "Tanh"]),
    ],
)
def test_activations_of_each_direction(operator: str, names: list[str], tmp_path: Path) -> None:
    """The two directions may have different activations, spelt in any case."""
    rows = GATES[operator] * 7
    model = OperatorModel(
        operator,
        [(3, 2, 4), normal(2, rows, 4), normal(2, rows, 7)],
        {"hidden_size": 7, "direction": "bidirectional", "activations": names},
    )
    for region in ((1, 1), (2, 1), (7, 4)):
        plan = wsec.compile(model.save(tmp_path / "layer.onnx"), target="mesh16", region=region, effort=0)
        assert next(plan.record.kernels()).kind == "recurrent"
        assert plan.check() == ()
        assert plan.verify().passed


def test_hidden_units_are_cut_and_weights_stay(tmp_path: Path) -> None:
    """A layer whose weights fit no core is spread over many, each with the rows of its own units."""
    model = OperatorModel(
        "LSTM", [(3, 1, 64), normal(1, 256, 64) / 9, normal(1, 256, 64) / 9], {"hidden_size": 64}, outputs=3
    )
    plan = wsec.compile(model.save(tmp_path / "layer.onnx"), target="mesh16", effort=0)
    (kernel,) = plan.record.kernels()
    assert kernel.split["h"] > 4
    assert kernel.memory.weights <= -(-64 // kernel.split["h"]) * 4 * 128 * 4
    assert plan.verify().passed


def test_rows_too_long_for_a_core_are_summed_in_parts(tmp_path: Path) -> None:
    """The weights of one hidden unit fit no core: the sum over the features is cut."""
    model = OperatorModel(
        "LSTM", [(2, 1, 6000), normal(1, 8, 6000) / 80, normal(1, 8, 2)], {"hidden_size": 2}, outputs=2
    )
    plan = wsec.compile(model.save(tmp_path / "layer.onnx"), target="mesh16", effort=0)
    (kernel,) = plan.record.kernels()
    assert kernel.split["i"] > 1
    assert plan.check() == ()
    assert plan.verify().passed
