"""The kind `recurrent`: rows of gates by direction and hidden unit, summed over features and the state of a step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.expectation import Expectation, Loop, Operand, along, whole

if TYPE_CHECKING:
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

_ACTIVATIONS = {"GRU": ("Sigmoid", "Tanh"), "LSTM": ("Sigmoid", "Tanh", "Tanh"), "RNN": ("Tanh",)}
RECURRENT = tuple(_ACTIVATIONS)


def expect_recurrent(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """LSTM, GRU, RNN: x [t, b, i], w [d, gates, h, i], r [d, gates, h, hidden]; outputs [t, d, b, h] and [d, b, h]."""
    steps, batch, features = model.shape(node.input(0))
    directions, rows, hidden = model.shape(node.input(2))
    d, b, h = along("d", directions), along("b", batch), along("h", hidden)
    gates, i = whole(rows // hidden), along("i", features)
    views = {
        "x": (whole(steps), b, i),
        "w": (d, gates, h, i),
        "r": (d, gates, h, along("j", hidden)),
        "bias": (d, whole(2), gates, h),
        "lengths": (b,),
        "initial_h": (d, b, h),
        "initial_c": (d, b, h),
        "peepholes": (d, whole(3), h),
    }
    state = (Loop("d", directions), Loop("b", batch), Loop("h", hidden))
    results = [(Loop("", steps), *state), state, state]
    given = [index for index, name in enumerate(node.outputs) if name]
    return Expectation(
        operands=tuple(
            Operand(role, node.input(index), reads)
            for index, (role, reads) in enumerate(views.items())
            if node.input(index)
        ),
        output=results[given[0]],
        reductions={"i": features, "j": hidden},
        arguments={
            "cell": node.op_type,
            "direction": node.text("direction", "forward"),
            "activations": _activations(node, directions),
            "clip": node.attributes.get("clip", 0.0),
            "linear_before_reset": bool(node.integer("linear_before_reset", 0)),
            "input_forget": bool(node.integer("input_forget", 0)),
            "outputs": tuple(given),
        },
        others=tuple(results[index] for index in given[1:]),
        inner={"t": steps},
    )


def _activations(node: OperatorFacts, directions: int) -> tuple[str, ...]:
    """The names as ONNX writes them, whatever the case in which the model does."""
    given = node.attributes.get("activations")
    if not isinstance(given, tuple):
        return _ACTIVATIONS[node.op_type] * directions
    return tuple(str(name)[:1].upper() + str(name)[1:].lower() for name in given)
