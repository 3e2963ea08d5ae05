"""Normalisations written as arithmetic are found in every exporter's form; what normalises otherwise stays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsec.passes.recognize_normalization import RecognizeNormalization

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]

CONSTANTS = """<float two = {2.0}, float eps = {0.01}, float half = {0.5}, float minus_half = {-0.5}, float one = {1.0},
float zero = {0.0}, float quarter = {0.25}, float four = {4.0},
int64[1] last = {-1}, int64[1] middle = {1}, int64[2] both = {1, 2}, int64[3] kept = {2, 3, 1},
float[4] g = {1.0, -2.0, 0.5, 3.0}, float[4] b = {0.25, -1.0, 0.0, 2.0}, float[1, 1, 4] wide = {2.0, 1.0, -1.0, 0.5},
float[3, 1] c = {1.0, -2.0, 0.5}, float[3, 1] d = {0.5, 1.5, -0.25}, float[3, 4] plane = {1.0, 2.0, 3.0, 4.0,
-1.0, -2.0, -3.0, -4.0, 0.5, 0.25, 0.125, 1.5}, float[2, 1, 1] sample = {1.0, 2.0}>"""

TORCH = "m = ReduceMean(x, last) u = Sub(x, m) p = Pow(u, two) v = ReduceMean(p, last) w = Add(v, eps) s = Sqrt(w) "
TENSORFLOW = (
    "m = ReduceMean(x, last) u = Sub(x, m) p = Mul(u, u) v = ReduceMean(p, last) w = Add(eps, v) s = Sqrt(w) "
    "r = Reciprocal(s) k = Mul(r, g) i = Mul(x, k) j = Mul(m, k) "
)
RMS = "p = Pow(x, two) v = ReduceMean(p, last) w = Add(v, eps) s = Sqrt(w) "
FOUND = {
    "torch": (TORCH + "n = Div(u, s) q = Mul(n, g) y = Add(q, b)", "LayerNormalization"),
    "scale_first": (TORCH + "n = Div(u, s) q = Mul(g, n) y = Add(b, q)", "LayerNormalization"),
    "no_bias": (TORCH + "n = Div(u, s) y = Mul(n, wide)", "LayerNormalization"),
    "bare": (TORCH + "y = Div(u, s)", "LayerNormalization"),
    "doubled": (TORCH + "n = Div(u, s) q = Mul(n, two) y = Mul(q, wide)", "LayerNormalization"),
    "power": (
        (
            "m = ReduceMean(x, last) u = Sub(x, m) p = Mul(u, u) v = ReduceMean(p, last) w = Add(v, eps) "
            "r = Pow(w, minus_half) n = Mul(r, u) y = Mul(n, g)"
        ),
        "LayerNormalization",
    ),
    "tensorflow": (TENSORFLOW + "o = Sub(b, j) y = Add(i, o)", "LayerNormalization"),
    "tensorflow_without_bias": (TENSORFLOW + "y = Sub(i, j)", "LayerNormalization"),
    "moments": (
        (
            "t = ReduceSum<keepdims=0>(x, last) m = Mul(t, quarter) q = Mul(x, x) z = ReduceSum<keepdims=0>(q, last) "
            "e = Div(z, four) f = Mul(m, m) v0 = Sub(e, f) v = Max(zero, v0) v1 = Reshape(v, kept) w = Add(v1, eps) "
            "s = Sqrt(w) r = Reciprocal(s) k = Mul(r, g) m1 = Reshape(m, kept) u = Sub(x, m1) n = Mul(u, k) y = Add(n, b)"
        ),
        "LayerNormalization",
    ),
    "two_axes": (
        TORCH.replace("last", "both") + "n = Div(u, s) q = Mul(n, plane) y = Add(q, plane)",
        "LayerNormalization",
    ),
    "two_axes_vector": (TORCH.replace("last", "both") + "n = Div(u, s) y = Mul(n, g)", "LayerNormalization"),
    "instance": (TORCH + "n = Div(u, s) q = Mul(n, c) y = Add(q, d)", "InstanceNormalization"),
    "instance_without_bias": (TORCH + "n = Div(u, s) y = Mul(n, c)", "InstanceNormalization"),
    "pooled": (
        (
            "m = GlobalAveragePool(x) u = Sub(x, m) p = Mul(u, u) v = GlobalAveragePool(p) w = Add(v, eps) s = Sqrt(w) "
            "n = Div(u, s) q = Mul(n, c) y = Add(q, d)"
        ),
        "InstanceNormalization",
    ),
    "rms": (RMS + "n = Div(x, s) y = Mul(n, g)", "RMSNormalization"),
    "rms_by_reciprocal": (RMS + "r = Div(one, s) n = Mul(x, r) y = Mul(g, n)", "RMSNormalization"),
    "rms_scale_first": (RMS + "r = Reciprocal(s) k = Mul(r, g) y = Mul(k, x)", "RMSNormalization"),
    "rms_bare": (RMS + "y = Div(x, s)", "RMSNormalization"),
}

STAYS = {
    "mean_read_elsewhere": TORCH + "n = Div(u, s) y = Add(n, m)",
    "epsilon_outside": "m = ReduceMean(x, last) u = Sub(x, m) p = Mul(u, u) v = ReduceMean(p, last) s = Sqrt(v) "
    "w = Add(s, eps) y = Div(u, w)",
    "inner_axis": TORCH.replace("last", "middle") + "y = Div(u, s)",
    "other_mean": "m = ReduceMean(x, middle) u = Sub(x, m) p = Mul(u, u) v = ReduceMean(p, middle) "
    "w = Add(v, eps) s = Sqrt(w) y = Div(x, s)",
    "norm": "p = Mul(x, x) v = ReduceSum(p, last) w = Add(v, eps) s = Sqrt(w) y = Div(x, s)",
    "absolute": "p = Abs(x) v = ReduceMean(p, last) w = Add(v, eps) s = Sqrt(w) y = Div(x, s)",
    "computed_scale": TORCH + "y = Div(s, u)",
}


def _model(body: str) -> str:
    return f"g (float[2, 3, 4] x) => (float[] y) {CONSTANTS} {{ {body} }}"


@pytest.mark.parametrize("case", FOUND)
def test_a_normalisation_is_found(apply: Apply, operators: Operators, case: str) -> None:
    """Nothing of the arithmetic is left over."""
    body, operator = FOUND[case]
    assert operators(apply(RecognizeNormalization(), _model(body), tolerance=1e-5)) == [operator]


@pytest.mark.parametrize("case", STAYS)
def test_what_resembles_a_normalisation_stays(apply: Apply, operators: Operators, case: str) -> None:
    """Other axes, a sum for a mean, epsilon outside the root, a statistic that is read elsewhere."""
    found = operators(apply(RecognizeNormalization(), _model(STAYS[case])))
    assert len(found) == STAYS[case].count(" = ")


def test_a_scale_of_another_layout_stays_outside(apply: Apply, operators: Operators) -> None:
    """A scale for each sample is neither one for each element nor one for each channel."""
    model = apply(
        RecognizeNormalization(), _model(TORCH + "n = Div(u, s) y = Mul(n, sample)"), tolerance=1e-5
    )
    assert operators(model) == ["LayerNormalization", "Mul"]


def test_a_statistic_against_the_wrong_axis_is_none(apply: Apply, operators: Operators) -> None:
    """In a square matrix, means of rows without their axis are taken off columns."""
    body = (
        "m = ReduceMean<keepdims=0>(x, last) u = Sub(x, m) p = Mul(u, u) v = ReduceMean<keepdims=0>(p, last) "
        "w = Add(v, eps) s = Sqrt(w) y = Div(u, s)"
    )
    model = apply(RecognizeNormalization(), f"g (float[4, 4] x) => (float[] y) {CONSTANTS} {{ {body} }}")
    assert len(operators(model)) == 7


@pytest.mark.parametrize(
    ("tail", "left"),
    [
        ("n = Mul(z, r) o = Cast<to=10>(n) y = Mul(h, o)", ["RMSNormalization"]),
        ("n = Mul(z, r) k = Mul(n, g) y = Cast<to=10>(k)", ["Cast", "RMSNormalization", "Cast"]),
    ],
)
def test_half_precision_is_cast_by_the_operator(
    apply: Apply, operators: Operators, tail: str, left: list[str]
) -> None:
    """Where the scale is in half precision; one in single precision would lose digits, and stays."""
    body = f"z = Cast<to=1>(x) p = Pow(z, two) v = ReduceMean(p, last) w = Add(v, eps) s = Sqrt(w) r = Reciprocal(s) {tail}"
    constants = CONSTANTS[:-1] + ", float16[4] h = {15360, 16384, 14336, 15872}>"
    text = f"g (float16[2, 3, 4] x) => (float16[] y) {constants} {{ {body} }}"
    assert operators(apply(RecognizeNormalization(), text, tolerance=2e-3)) == left


def test_double_precision_stays(build: Callable[[str], ir.Model]) -> None:
    """LayerNormalization of doubles computes in single precision, by the standard."""
    model = build(
        "g (double[3, 4] x) => (double[] y) <int64[1] last = {-1}, double eps = {0.01}> "
        "{ m = ReduceMean(x, last) u = Sub(x, m) p = Mul(u, u) v = ReduceMean(p, last) w = Add(v, eps) s = Sqrt(w) "
        "y = Div(u, s) }"
    )
    assert not RecognizeNormalization().run(model).modified


@pytest.mark.parametrize("case", ["torch", "tensorflow", "moments", "pooled", "rms_scale_first"])
def test_any_order_of_the_passes_keeps_the_numbers(
    survives_any_order: Callable[..., None], case: str
) -> None:
    """Other passes may come first and leave another form."""
    survives_any_order(_model(FOUND[case][0]))
