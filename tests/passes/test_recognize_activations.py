"""Activations written as arithmetic are found in any order of their operands; what only resembles them stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsec.passes.recognize_activations import RecognizeActivations

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]

CONSTANTS = """<float half = {0.5}, float one = {1.0}, float root = {1.4142135}, float inverse = {0.70710677},
float[1] ones = {1.0}, float cubic = {0.044715}, float tanh = {0.7978846}, float three = {3.0}, float six = {6.0},
float zero = {0.0}, float sixth = {0.16666667}, float sigma = {1.702}, int64[1] last = {-1}, int64[1] first = {0},
int64[2] shape = {3, 1}, float two = {2.0}>"""

FOUND = {
    "torch": ("u = Div(x, root) e = Erf(u) s = Add(e, one) m = Mul(x, s) y = Mul(m, half)", "Gelu"),
    "half_first": ("h = Mul(half, x) u = Mul(inverse, x) e = Erf(u) s = Add(ones, e) y = Mul(s, h)", "Gelu"),
    "distributed": (
        "h = Mul(half, x) u = Mul(inverse, x) e = Erf(u) p = Mul(e, h) y = Add(p, h)",
        "Gelu",
    ),
    "divided": ("u = Div(x, root) e = Erf(u) s = Add(e, one) d = Div(s, two) y = Mul(x, d)", "Gelu"),
    "tanh": (
        (
            "c = Pow(x, three) k = Mul(cubic, c) a = Add(x, k) u = Mul(a, tanh) t = Tanh(u) s = Add(t, one) "
            "h = Mul(x, half) y = Mul(h, s)"
        ),
        "Gelu",
    ),
    "tanh_by_products": (
        (
            "q = Mul(x, x) k = Mul(q, cubic) f = Add(one, k) g = Mul(x, f) u = Mul(tanh, g) t = Tanh(u) "
            "s = Add(one, t) w = Mul(half, s) y = Mul(x, w)"
        ),
        "Gelu",
    ),
    "hard_swish": ("s = Add(x, three) c = Clip(s, zero, six) m = Mul(x, c) y = Div(m, six)", "HardSwish"),
    "hard_swish_of_sigmoid": (
        "h = HardSigmoid<alpha=0.16666667, beta=0.5>(x) y = Mul(h, x)",
        "HardSwish",
    ),
    "hard_sigmoid": ("s = Add(x, three) c = Clip(s, zero, six) y = Mul(c, sixth)", "HardSigmoid"),
    "mish": ("s = Softplus(x) t = Tanh(s) y = Mul(t, x)", "Mish"),
    "mish_in_full": ("e = Exp(x) a = Add(one, e) s = Log(a) t = Tanh(s) y = Mul(x, t)", "Mish"),
    "softplus": ("e = Exp(x) a = Add(e, one) y = Log(a)", "Softplus"),
    "softmax": (
        "m = ReduceMax(x, last) u = Sub(x, m) e = Exp(u) s = ReduceSum(e, last) y = Div(e, s)",
        "Softmax",
    ),
    "softmax_by_reciprocal": (
        (
            "m = ReduceMax<keepdims=0>(x, last) k = Reshape(m, shape) u = Sub(x, k) e = Exp(u) "
            "s = ReduceSum<keepdims=0>(e, last) q = Reshape(s, shape) w = Reciprocal(q) y = Mul(w, e)"
        ),
        "Softmax",
    ),
    "bounded_softmax": (
        "t = Tanh(x) u = Mul(t, six) e = Exp(u) s = ReduceSum(e, first) y = Div(e, s)",
        "Softmax",
    ),
    "log_softmax": ("s = Softmax<axis=0>(x) y = Log(s)", "LogSoftmax"),
    "log_softmax_in_full": (
        "m = ReduceMax(x, last) u = Sub(x, m) e = Exp(u) s = ReduceSum(e, last) l = Log(s) y = Sub(u, l)",
        "LogSoftmax",
    ),
}

STAYS = {
    "sigmoid_approximation": "k = Mul(sigma, x) s = Sigmoid(k) y = Mul(x, s)",
    "other_argument": "u = Mul(half, x) e = Erf(u) s = Add(e, one) m = Mul(x, s) y = Mul(m, half)",
    "other_factor": "u = Div(x, root) e = Erf(u) s = Add(e, one) y = Mul(x, s)",
    "other_operand": "u = Div(x, root) e = Erf(u) s = Add(e, one) a = Abs(x) m = Mul(a, s) y = Mul(m, half)",
    "read_elsewhere": "u = Div(x, root) e = Erf(u) s = Add(e, one) m = Mul(x, s) h = Mul(m, half) y = Add(h, s)",
    "unbounded_softmax": "e = Exp(x) s = ReduceSum(e, last) y = Div(e, s)",
    "other_axis": "m = ReduceMax(x, first) u = Sub(x, m) e = Exp(u) s = ReduceSum(e, last) y = Div(e, s)",
    "sum_of_another": "m = ReduceMax(x, last) u = Sub(x, m) e = Exp(u) s = ReduceSum(u, last) y = Div(e, s)",
    "log_of_read_softmax": "s = Softmax(x) l = Log(s) y = Add(l, s)",
    "clip_at_five": "s = Add(x, three) c = Clip(s, zero, tanh) m = Mul(x, c) y = Div(m, six)",
    "swish": "s = Sigmoid(x) y = Mul(x, s)",
}


def _model(body: str) -> str:
    return f"g (float[3, 4] x) => (float[] y) {CONSTANTS} {{ {body} }}"


@pytest.mark.parametrize("case", FOUND)
def test_an_activation_is_found(apply: Apply, operators: Operators, case: str) -> None:
    """The numbers are those of the arithmetic."""
    body, operator = FOUND[case]
    left = operators(apply(RecognizeActivations(), _model(body), tolerance=2e-6))
    assert left[-1] == operator
    assert len(left) == (3 if case == "bounded_softmax" else 1)


@pytest.mark.parametrize("case", STAYS)
def test_what_resembles_an_activation_stays(apply: Apply, operators: Operators, case: str) -> None:
    """Another constant, another operand, a value that is read elsewhere, an exponential that may overflow."""
    found = operators(apply(RecognizeActivations(), _model(STAYS[case])))
    assert len(found) == STAYS[case].count("=")


def test_half_precision_constants_are_rounded(apply: Apply, operators: Operators) -> None:
    """The root of two in half precision, whose bits are 15784, is 1.4140625."""
    model = apply(
        RecognizeActivations(),
        "g (float16[3, 4] x) => (float16[] y) <float16 r = {15784}, float16 o = {15360}, float16 h = {14336}> "
        "{ u = Div(x, r) e = Erf(u) s = Add(e, o) m = Mul(x, s) y = Mul(m, h) }",
        tolerance=2e-3,
    )
    assert operators(model) == ["Gelu"]


def test_an_operator_that_the_opset_lacks_is_not_made(
    build: Callable[[str], ir.Model], operators: Operators
) -> None:
    """Gelu came with opset 20, Softplus long before."""
    model = build(_model("u = Div(x, root) e = Erf(u) s = Add(e, one) m = Mul(x, s) y = Mul(m, half)"))
    model.graph.opset_imports[""] = 19
    assert not RecognizeActivations().run(model).modified
    assert "Erf" in operators(model)


@pytest.mark.parametrize("case", ["torch", "tanh", "hard_swish", "softmax_by_reciprocal", "mish_in_full"])
def test_any_order_of_the_passes_keeps_the_numbers(
    survives_any_order: Callable[..., None], case: str
) -> None:
    """Other passes may come first and leave another form."""
    survives_any_order(_model(FOUND[case][0]))
