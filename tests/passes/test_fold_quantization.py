"""Pairs of quantisation become products of integers; what stays is arithmetic."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsec.passes import parse_pass, run_pipeline
from wsec.passes.fold_quantization import FoldQuantization
from wsec.passes.fuse_dequantization import FuseDequantization

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]

QUANTUM = 1 / 100  # of outputs with 8 bits
PARAMETERS = """float sx = {0.03}, uint8 zx = {120}, float sw = {0.02}, int8 zw = {0}, float sy = {0.05}, uint8 zy = {10},
float[2] sv = {0.02, 0.1}, int8[2] zv = {0, 0}"""
CONV = f"""g (uint8[1, 1, 4, 4] q) => (uint8[1, 2, 3, 3] y) <{PARAMETERS},
int8[2, 1, 2, 2] w = {{1, -2, 3, 4, 50, -60, 7, 8}}, int32[2] b = {{100, -20}}, float[2] sb = {{0.0006, 0.003}},
float six = {{6}}, float zero = {{0}}> {{
    x = DequantizeLinear(q, sx, zx)
    f = DequantizeLinear<axis=0>(w, sv, zv)
    a = DequantizeLinear<axis=0>(b, sb)
    c = Conv(x, f, a)
    ACTIVATION
    y = QuantizeLinear(d, sy, zy)
}}"""


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("d = Identity(c)", ["Conv", "Identity"]),
        ("d = Relu(c)", ["QLinearConv", "Clip"]),
        ("d = Clip(c, zero, six)", ["QLinearConv", "Clip"]),
        ("d = Clip(c, , six)", ["QLinearConv", "Clip"]),
        ("d = Tanh(c)", ["Conv", "Tanh"]),
    ],
)
def test_a_convolution_between_pairs(
    apply: Apply, operators: Operators, activation: str, expected: list[str]
) -> None:
    """With what keeps the order of numbers it is one of integers; else its weights stay bytes."""
    model = apply(FoldQuantization(), CONV.replace("ACTIVATION", activation), tolerance=QUANTUM)
    assert set(expected) <= set(operators(model))
    assert ("DequantizeLinear" in operators(model)) == ("Conv" in expected)


def test_a_bias_of_another_scale_leaves_the_convolution(apply: Apply, operators: Operators) -> None:
    """Its codes would count for more than they are worth."""
    text = CONV.replace("0.0006, 0.003", "0.5, 0.003").replace("ACTIVATION", "d = Relu(c)")
    assert "Conv" in operators(apply(FoldQuantization(), text, tolerance=QUANTUM))


@pytest.mark.parametrize("scales", ["sw, zw", "sv, zv"])
def test_a_product_between_pairs(apply: Apply, operators: Operators, scales: str) -> None:
    """One scale, or one for each column; bias, activation and rounding are arithmetic behind it."""
    model = apply(
        FoldQuantization(),
        f"""g (uint8[3, 2] q) => (uint8[3, 2] y) <{PARAMETERS}, int8[2, 2] w = {{1, -2, 30, 40}}, float[2] b = {{0.5, 1}}> {{
            x = DequantizeLinear(q, sx, zx)
            f = DequantizeLinear<axis=1>(w, {scales})
            p = MatMul(x, f)
            d = Add(p, b)
            y = QuantizeLinear(d, sy, zy)
        }}""",
        tolerance=QUANTUM,
    )
    assert operators(model) == ["MatMulInteger", "Cast", "Mul", "Add", "Div", "Round", "Add", "Clip", "Cast"]


def test_a_sum_that_leaves_32_bits_stays_a_sum_of_floats(build: Callable[[str], ir.Model]) -> None:
    """33,026 products of 255 and 255 are more than 2 ** 31; one less is not."""
    for terms, expected in ((33025, "MatMulInteger"), (33026, "MatMul")):
        model = build(f"""g (uint8[1, {terms}] q) => (float[1, 1] y) <float s = {{0.02}}, uint8 z = {{0}}> {{
            c = Constant<value_ints=[{terms}, 1]>() o = ConstantOfShape<value = uint8[1] {{255}}>(c)
            x = DequantizeLinear(q, s, z) w = DequantizeLinear(o, s, z) y = MatMul(x, w)
        }}""")
        run_pipeline(model, [parse_pass("fold-constants"), FoldQuantization()])
        assert expected in [node.op_type for node in model.graph]


@pytest.mark.parametrize("points", ["{5, 5}", "{0, 7}"])
def test_a_batch_of_matrices_with_a_scale_for_each_column(
    apply: Apply, operators: Operators, points: str
) -> None:
    """Integers where all columns have one zero point, which is all that onnxruntime's MatMulInteger takes of a batch."""
    model = apply(
        FoldQuantization(),
        f"""g (uint8[2, 3, 2] q) => (float[2, 3, 2] y) <{PARAMETERS}, int8[2] zc = {points},
        int8[2, 2, 2] w = {{1, -2, 30, 40, 5, 6, -7, 8}}> {{
            x = DequantizeLinear(q, sx, zx) f = DequantizeLinear<axis=2>(w, sv, zc) y = MatMul(x, f)
        }}""",
        tolerance=1e-6,
    )
    assert ("MatMulInteger" in operators(model)) == (points == "{5, 5}")


def test_a_dequantization_to_another_type_stays(apply: Apply, operators: Operators) -> None:
    """`output_dtype` asks for half precision, where the scale is single."""
    text = f"g (uint8[4] q) => (float16[4] y) <{PARAMETERS}> {{ x = DequantizeLinear<output_dtype=10>(q, sx, zx) y = Relu(x) }}"
    assert operators(apply(FoldQuantization(), text)) == ["DequantizeLinear", "Relu"]


@pytest.mark.parametrize(
    ("movement", "expected"),
    [
        ("Transpose<perm=[1, 0]>(x)", ["Transpose"]),
        ("Reshape(x, shape)", ["Reshape"]),
        ("Relu(x)", ["Cast", "Sub", "Mul", "Relu", "Div", "Round", "Add", "Clip", "Cast"]),
    ],
)
def test_pairs_meet_behind_what_only_moves(
    apply: Apply, operators: Operators, movement: str, expected: list[str]
) -> None:
    """A pair of one scale and zero point undoes itself, and nothing is computed."""
    model = apply(
        FoldQuantization(),
        f"""g (uint8[3, 2] q) => (uint8[?, ?] y) <{PARAMETERS}, int64[2] shape = {{2, 3}}> {{
            x = DequantizeLinear(q, sx, zx) m = {movement} y = QuantizeLinear(m, sx, zx)
        }}""".replace("[?, ?]", "[2, 3]" if "Relu" not in movement else "[3, 2]"),
    )
    assert operators(model) == expected


def test_indices_of_maxima_that_are_an_output_stay(apply: Apply, operators: Operators) -> None:
    """A MaxPool that gives them takes its maxima of numbers."""
    text = f"""g (uint8[1, 1, 4, 4] q) => (float[1, 1, 3, 3] y, int64[1, 1, 3, 3] i) <{PARAMETERS}> {{
        x = DequantizeLinear(q, sx, zx) y, i = MaxPool<kernel_shape=[2, 2]>(x) }}"""
    assert operators(apply(FoldQuantization(), text))[-1] == "MaxPool"


def test_weights_stay_bytes_and_other_constants_do_not(apply: Apply, operators: Operators) -> None:
    """A product dequantises on its cores; a summand of few numbers is dequantised now."""
    model = apply(
        FoldQuantization(),
        f"""g (float[3, 2] x) => (float[3, 2] y) <{PARAMETERS}, int8[2, 2] w = {{1, -2, 3, 4}}, int8[2] b = {{5, 6}}> {{
            f = DequantizeLinear(w, sw, zw) a = DequantizeLinear(b, sw, zw) t = Transpose<perm=[1, 0]>(f)
            p = MatMul(x, t) y = Add(p, a)
        }}""",
        tolerance=1e-6,
    )
    assert operators(model) == ["DequantizeLinear", "MatMul", "Add"]


def test_a_model_of_floats_stays(apply: Apply, operators: Operators) -> None:
    """Nothing to fold."""
    model = apply(FoldQuantization(), "g (float[3, 2] x) => (float[3, 2] y) { t = Relu(x) y = Round(t) }")
    assert operators(model) == ["Relu", "Round"]


SHARED = f"""g (float[3, 2] x) => (float[3, 2] y) <{PARAMETERS}, int8[2, 2] w = {{1, -2, 3, 4}}> {{
    f = DequantizeLinear(w, sw, zw) p = MatMul(x, f) r = Relu(p) y = MatMul(r, f)
}}"""


def test_weights_of_two_products_are_dequantized_for_each(apply: Apply, operators: Operators) -> None:
    """Each has a copy, under the name of its kernel."""
    model = apply(FuseDequantization(), SHARED)
    assert sorted(operators(model)) == ["DequantizeLinear"] * 2 + ["MatMul"] * 2 + ["Relu"]
    labels = {
        node.metadata_props.get("wsec.kernel") for node in model.graph if node.op_type == "DequantizeLinear"
    }
    assert labels == {node.name for node in model.graph if node.op_type == "MatMul"}


def test_weights_computed_at_run_time_are_not_taken(apply: Apply) -> None:
    """What a link brings is no weight."""
    text = f"g (float[3, 2] x, int8[2, 2] w) => (float[3, 2] y) <{PARAMETERS}> {{ f = DequantizeLinear(w, sw, zw) y = MatMul(x, f) }}"
    model = apply(FuseDequantization(), text)
    assert not any(node.metadata_props for node in model.graph)


ORDER = [
    "fold-quantization",
    "fold-constants",
    "eliminate-dead-code",
    "remove-identities",
    "canonicalize-shapes",
]


@pytest.mark.parametrize("shift", range(len(ORDER)))
def test_any_order_ends_in_integers(
    build: Callable[[str], ir.Model], operators: Operators, shift: int
) -> None:
    """Among passes that fold, clean and rewrite, the same convolution of integers comes out."""
    model = build(CONV.replace("ACTIVATION", "d = Relu(c)"))
    run_pipeline(model, [parse_pass(name) for name in ORDER[shift:] + ORDER[:shift]])
    assert operators(model) == ["QLinearConv", "Clip"]
