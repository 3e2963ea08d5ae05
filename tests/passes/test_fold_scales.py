"""Constant scales of channels disappear into the weights beside them; others stay."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsec.passes import parse_pass, run_pipeline
from wsec.passes.fold_scales import FoldScales

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]


def _weights(name: str, *shape: int) -> str:
    count = 1
    for size in shape:
        count *= size
    values = ", ".join(f"{((7 * index) % 11 - 5) / 4}" for index in range(count))
    return f"float[{', '.join(map(str, shape))}] {name} = {{{values}}}"


CONSTANTS = ", ".join(
    [
        _weights("w", 4, 4, 3, 3),
        _weights("wg", 4, 2, 3, 3),
        _weights("wt", 4, 4, 2, 2),
        _weights("m", 4, 5),
        _weights("mt", 5, 4),
        _weights("bias", 4),
        "float[1, 4, 1, 1] s = {1.0, -2.0, 0.5, 3.0}, float[4, 1, 1] t = {0.5, 0.25, -1.0, 2.0}, float half = {0.5}",
        "float[1] two = {2.0}, float[5] f = {1.0, 2.0, -3.0, 0.5, 0.25}, float[4] k = {1.0, 2.0, -3.0, 0.5}",
        "float[2, 1, 1, 1] sample = {1.0, 2.0}, float[3, 1] row = {1.0, 2.0, 3.0}, float[4, 1, 1] z = {0.0, 1.0, 1.0, 1.0}",
    ]
)

IMAGE = {
    "mul": ("a = Conv(x, w, bias) y = Mul(a, s)", "Conv"),
    "mul_without_bias": ("a = Conv(x, w) y = Mul(s, a)", "Conv"),
    "div": ("a = Conv(x, w) y = Div(a, t)", "Conv"),
    "add": ("a = Conv(x, w) y = Add(a, t)", "Conv"),
    "sub": ("a = Conv(x, w, bias) y = Sub(a, t)", "Conv"),
    "reversed_sub": ("a = Conv(x, w, bias) y = Sub(t, a)", "Conv"),
    "scalar": ("a = Conv(x, w, bias) y = Mul(half, a)", "Conv"),
    "several": ("a = Conv(x, w) b = Mul(a, s) c = Add(b, t) d = Div(c, two) y = Sub(d, half)", "Conv"),
    "transposed": ("a = ConvTranspose(x, wt) b = Mul(a, s) y = Add(b, t)", "ConvTranspose"),
    "in_front": ("a = Mul(x, s) y = Conv<pads=[1, 1, 1, 1]>(a, w, bias)", "Conv"),
    "in_front_of_groups": ("a = Div(x, t) y = Conv<group=2>(a, wg)", "Conv"),
    "in_front_of_transposed": ("a = Mul(x, s) y = ConvTranspose(a, wt)", "ConvTranspose"),
    "shift_in_front": ("a = Add(x, t) y = Conv(a, w, bias)", "Conv"),
    "normalised_images": ("a = Sub(x, t) b = Div(a, s) y = Conv(b, w, bias)", "Conv"),
    "reversed_sub_in_front_of_groups": ("a = Sub(t, x) y = Conv<group=2>(a, wg, bias)", "Conv"),
    "both_sides": ("a = Mul(x, s) b = Conv(a, w) y = Mul(b, t)", "Conv"),
}

MATRIX = {
    "mul": ("a = MatMul(x, m) y = Mul(a, f)", ["MatMul"]),
    "behind_bias": ("a = MatMul(x, m) b = Add(a, f) y = Mul(b, f)", ["MatMul", "Add"]),
    "behind_scalar_bias": ("a = MatMul(x, m) b = Add(two, a) y = Div(b, f)", ["MatMul", "Add"]),
    "behind_row_bias": ("a = MatMul(x, m) b = Add(a, row) y = Mul(b, f)", ["MatMul", "Add"]),
    "in_front": ("a = Mul(x, k) y = MatMul(a, m)", ["MatMul"]),
    "scalar_in_front": ("a = Div(x, two) y = MatMul(a, m)", ["MatMul"]),
    "gemm": ("a = Gemm<transB=1, alpha=0.5, beta=2.0>(x, mt, f) b = Mul(a, f) y = Add(b, half)", ["Gemm"]),
    "in_front_of_gemm": ("a = Mul(x, k) y = Gemm<transB=1>(a, mt)", ["Gemm"]),
}

STAYS = {
    "per_sample": "a = Conv(x, w) y = Mul(a, sample)",
    "read_elsewhere": "a = Conv(x, w) b = Mul(a, s) y = Add(a, b)",
    "shared_weights": "a = Conv(x, w) b = Mul(a, s) c = Conv(x, w) y = Add(c, b)",
    "reversed_division": "a = Conv(x, w) y = Div(s, a)",
    "shift_of_padding": "a = Add(x, t) y = Conv<pads=[1, 1, 1, 1]>(a, w)",
    "shift_of_padding_by_name": 'a = Add(x, t) y = Conv<auto_pad="SAME_UPPER">(a, w)',
    "shift_before_transposed": "a = Add(x, t) y = ConvTranspose(a, wt)",
    "activation_between": "a = Conv(x, w) b = Relu(a) y = Mul(b, s)",
}


@pytest.mark.parametrize("case", IMAGE)
def test_it_folds_into_a_convolution(apply: Apply, operators: Operators, case: str) -> None:
    """Behind it and in front of it, with groups, with and without a bias."""
    body, left = IMAGE[case]
    text = f"g (float[2, 4, 5, 5] x) => (float[] y) <{CONSTANTS}> {{ {body} }}"
    assert operators(apply(FoldScales(), text, tolerance=2e-6)) == [left]


@pytest.mark.parametrize("case", MATRIX)
def test_it_folds_into_a_matrix(apply: Apply, operators: Operators, case: str) -> None:
    """The Add behind a MatMul is its bias and is scaled with it."""
    body, left = MATRIX[case]
    text = f"g (float[3, 4] x) => (float[] y) <{CONSTANTS}> {{ {body} }}"
    assert operators(apply(FoldScales(), text, tolerance=2e-6)) == left


@pytest.mark.parametrize("case", STAYS)
def test_other_scales_stay(apply: Apply, operators: Operators, case: str) -> None:
    """A value that is read elsewhere, weights in use elsewhere, padding that would be shifted."""
    text = f"g (float[2, 4, 5, 5] x) => (float[] y) <{CONSTANTS}> {{ {STAYS[case]} }}"
    assert len(operators(apply(FoldScales(), text))) == STAYS[case].count(" = ")


def test_a_division_by_zero_stays(build: Callable[[str], ir.Model]) -> None:
    """Weights of infinity would turn the sum into NaN."""
    text = f"g (float[2, 4, 5, 5] x) => (float[] y) <{CONSTANTS}> {{ a = Conv(x, w) y = Div(a, z) }}"
    assert not FoldScales().run(build(text)).modified


@pytest.mark.parametrize(
    ("factor", "operator"), [("0.001", "Mul"), ("64", "Mul"), ("0.001", "Div"), ("0.125", "")]
)
def test_factors_that_cost_digits_of_half_precision_stay(
    build: Callable[[str], ir.Model], operators: Operators, factor: str, operator: str
) -> None:
    """Weights of 0.02 times 0.001 are below the least normal number; 0.125, a scale of attention, does no harm."""
    model = build(f"""g (float16[3, 4] x) => (float16[] y) <{_weights("w", 4, 5)}, float f = {{{factor}}}> {{
        m = Cast<to=10>(w) s = Cast<to=10>(f) a = MatMul(x, m) y = {operator or "Mul"}(a, s) }}""")
    run_pipeline(model, [parse_pass("fold-constants"), FoldScales()])
    assert operators(model) == (["MatMul", operator] if operator else ["MatMul"])


def test_a_bias_along_the_rows_takes_no_factor_of_columns(apply: Apply, operators: Operators) -> None:
    """A square Gemm whose C is a column: as many elements as channels, and not one for each."""
    text = (
        f"g (float[5, 4] x) => (float[] y) <{CONSTANTS}, float[5, 1] c = {{1.0, 2.0, 3.0, 4.0, 5.0}}> "
        "{ a = Gemm(x, m, c) y = Mul(a, f) }"
    )
    assert operators(apply(FoldScales(), text)) == ["Gemm", "Mul"]


@pytest.mark.parametrize("case", ["several", "both_sides", "normalised_images"])
def test_any_order_of_the_passes_keeps_the_numbers(
    survives_any_order: Callable[..., None], case: str
) -> None:
    """Other passes may come first and leave another form."""
    survives_any_order(f"g (float[2, 4, 5, 5] x) => (float[] y) <{CONSTANTS}> {{ {IMAGE[case][0]} }}")
