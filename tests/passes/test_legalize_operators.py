"""Operators of com.microsoft become standard ones with the numbers of onnxruntime's own kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from single_nodes import node_model, rewrite

from wsec.passes import run_pipeline
from wsec.passes.dead_code import EliminateDeadCode
from wsec.passes.fold_constants import FoldConstants
from wsec.passes.legalize_operators import REWRITES, LegalizeOperators

if TYPE_CHECKING:
    from collections.abc import Callable

    Array = np.ndarray[Any, Any]
    Inputs = dict[str, Array | None]

RNG = np.random.default_rng(5)


def normal(*shape: int) -> Array:
    """Normally distributed floats."""
    return RNG.standard_normal(shape).astype(np.float32)


def codes(*shape: int) -> Array:
    """Bytes."""
    return RNG.integers(0, 256, shape).astype(np.uint8)


def scale(value: float) -> Array:
    """A scale of one number."""
    return np.array(value, np.float32)


def point(value: int) -> Array:
    """A zero point of one byte."""
    return np.array(value, np.uint8)


def below(limit: int) -> Array:
    """Indices of two samples of five words."""
    return RNG.integers(0, limit, (2, 5)).astype(np.int32)


PAIR: Inputs = {
    "a": codes(2, 3, 4), "sa": scale(0.02), "za": point(100),
    "b": codes(2, 3, 4), "sb": scale(0.03), "zb": point(90), "sy": scale(0.05), "zy": point(128),
}  # fmt: skip
ONE: Inputs = {
    "a": codes(2, 3, 4, 4), "sa": scale(0.02), "za": point(100), "sy": scale(0.05), "zy": point(128),
}  # fmt: skip
IMAGE: Inputs = {"x": normal(1, 4, 7, 7), "w": normal(6, 4, 3, 3), "b": normal(6)}
CACHES: Inputs = {"c": normal(20, 4), "s": normal(20, 4)}
PLACES = np.array([[0, 1, 2, 3, 4], [3, 4, 5, 6, 7]], np.int64)
EMBEDDED: Inputs = {
    "i": below(9), "s": below(2), "w": normal(9, 8), "p": normal(6, 8), "t": normal(2, 8), "g": normal(8), "b": normal(8),
    "m": None,
}  # fmt: skip

CASES: list[tuple[str, Inputs, dict[str, Any]]] = [
    ("BiasGelu", {"x": normal(2, 8), "b": normal(8)}, {}),
    ("DequantizeLinear", {"x": codes(3, 4), "s": scale(0.1), "z": point(7)}, {}),
    ("DynamicQuantizeMatMul", {"a": normal(3, 8), "b": codes(8, 5), "s": scale(0.1), "z": point(9), "c": normal(5)}, {}),
    ("DynamicQuantizeMatMul", {"a": normal(3, 8), "b": codes(8, 5), "s": abs(normal(5))}, {}),
    ("EmbedLayerNormalization", {**EMBEDDED, "m": below(3)}, {"outputs": (0, 1)}),
    ("EmbedLayerNormalization", {**EMBEDDED, "s": None, "t": None}, {"epsilon": 1e-5, "outputs": (0, 1, 2)}),
    ("EmbedLayerNormalization", {**EMBEDDED, "o": below(6)}, {"outputs": (0, 1)}),
    ("FastGelu", {"x": normal(2, 8), "b": normal(8)}, {}),
    ("FusedConv", IMAGE, {"activation": "LeakyRelu", "activation_params": [0.1], "pads": [1, 1, 1, 1]}),
    ("FusedConv", {**IMAGE, "z": normal(1, 6, 5, 5)}, {"activation": "Relu"}),
    ("FusedConv", IMAGE, {"activation": "Clip", "activation_params": [-0.3, 0.4]}),
    ("FusedConv", IMAGE, {"activation": "HardSigmoid", "activation_params": [0.2, 0.4]}),
    ("FusedGemm", {"a": normal(3, 4), "b": normal(5, 4), "c": normal(5)},
     {"transB": 1, "alpha": 0.5, "activation": "LeakyRelu", "activation_alpha": 0.2}),
    ("FusedMatMul", {"a": normal(4, 2, 3, 5), "b": normal(2, 3, 5, 6)}, {"transBatchA": 1}),
    ("FusedMatMul", {"a": normal(2, 3, 4, 5), "b": normal(6, 2, 3, 5)}, {"transBatchB": 1, "transB": 1}),
    ("Gelu", {"x": normal(2, 8)}, {}),
    ("MatMulIntegerToFloat", {"a": codes(3, 8), "b": codes(8, 5), "sa": scale(0.02), "sb": abs(normal(5)),
                              "za": point(3), "zb": codes(5), "c": normal(5)}, {}),
    ("QGemm", {"a": codes(3, 8), "sa": scale(0.02), "za": point(100), "b": codes(5, 8), "sb": abs(normal(5)),
               "zb": codes(5), "c": RNG.integers(-99, 99, 5).astype(np.int32), "sy": scale(0.3), "zy": point(90)},
     {"constants": ("b", "sb", "zb", "c"), "transB": 1}),
    ("QLinearAdd", PAIR, {}),
    ("QLinearConcat", {"sy": scale(0.05), "zy": point(128), "a": codes(2, 3), "sa": scale(0.02), "za": point(9),
                       "b": codes(2, 5), "sb": scale(0.04), "zb": point(90)}, {"axis": 1}),
    ("QLinearGlobalAveragePool", ONE, {"channels_last": 1}),
    ("QLinearGlobalAveragePool", ONE, {}),
    ("QLinearLeakyRelu", ONE, {"alpha": 0.3}),
    ("QLinearMul", PAIR, {}),
    ("QLinearSigmoid", ONE, {}),
    ("QuantizeLinear", {"x": normal(3, 4), "s": scale(0.02), "z": np.array(100, np.uint16)}, {}),
    ("QuickGelu", {"x": normal(2, 8)}, {"alpha": 1.3}),
    ("RotaryEmbedding", {"x": normal(2, 5, 16), "p": PLACES, **CACHES}, {}),
    ("RotaryEmbedding", {"x": normal(2, 5, 16), "p": PLACES[1, :1], **CACHES}, {"interleaved": 1}),
    ("RotaryEmbedding", {"x": normal(2, 3, 5, 8), "p": PLACES, **CACHES}, {}),
    ("RotaryEmbedding", {"x": normal(2, 5, 32), "p": PLACES, **CACHES}, {"num_heads": 2, "rotary_embedding_dim": 8}),
    ("SkipLayerNormalization", {"x": normal(2, 5, 16), "s": normal(5, 16), "g": normal(16)}, {}),
    ("SkipLayerNormalization", {"x": normal(2, 5, 16), "s": normal(2, 5, 16), "g": normal(16), "b": normal(16),
                                "c": normal(16)}, {"epsilon": 1e-5, "outputs": (0, 3)}),
    ("SkipSimplifiedLayerNormalization", {"x": normal(2, 16), "s": normal(2, 16), "g": normal(16), "c": normal(16)},
     {"epsilon": 1e-6, "outputs": (0, 3)}),
    ("TransposeMatMul", {"a": normal(5, 4), "b": normal(5, 6)}, {"transA": 1, "alpha": 0.3}),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "inputs", "options"), CASES)
def test_contributed_operators_keep_their_numbers(
    operator: str, inputs: Inputs, options: dict[str, Any]
) -> None:
    """Nothing of com.microsoft is left, and outputs are those of onnxruntime's kernel."""
    rewritten = rewrite(operator, inputs, **options)
    assert not any(name.startswith("com.") for name in rewritten.operators())
    rewritten.assert_equal()


@pytest.mark.parametrize("kinds", [(np.float16, np.float32), (np.float32, np.float16)])
def test_simplified_layer_normalization_of_two_types(kinds: tuple[type, type]) -> None:
    """Mixed precision: the result is of the type of the scale."""
    given: Inputs = {"x": normal(3, 8).astype(kinds[0]), "g": normal(8).astype(kinds[1])}
    rewritten = rewrite("SimplifiedLayerNormalization", given, domain="")
    assert rewritten.operators() == {"Cast", "RMSNormalization"}
    rewritten.assert_equal(1e-3)


@pytest.mark.parametrize("outputs", [(0,), (0, 1)])
def test_simplified_layer_normalization_of_the_standard_domain(outputs: tuple[int, ...]) -> None:
    """Exporters of onnxruntime write it under `ai.onnx`, which does not define it."""
    inputs: Inputs = {"x": normal(2, 5, 16), "g": normal(16)}
    rewritten = rewrite(
        "SimplifiedLayerNormalization", inputs, domain="", outputs=outputs, epsilon=1e-6, axis=-1
    )
    assert "RMSNormalization" in rewritten.operators()
    rewritten.assert_equal()


def test_dynamic_quantization_is_arithmetic_that_can_be_cut() -> None:
    """Scale and zero point come from a maximum and a minimum; all three outputs are those of onnxruntime."""
    rewritten = rewrite("DynamicQuantizeLinear", {"x": normal(3, 7)}, domain="", outputs=(0, 1, 2))
    assert "DynamicQuantizeLinear" not in rewritten.operators()
    rewritten.assert_equal(0)


def test_dynamic_quantization_of_zeros() -> None:
    """There is nothing to divide by: onnxruntime takes a scale of one."""
    given: Inputs = {"x": np.zeros((3, 7), np.float32)}
    rewrite("DynamicQuantizeLinear", given, domain="", outputs=(0, 1, 2)).assert_equal(0)


@given(
    bits=st.sampled_from([2, 4, 8]),
    block=st.sampled_from([16, 32, 64]),
    features=st.integers(2, 10).map(lambda count: 8 * count),
    columns=st.integers(1, 9),
    with_points=st.booleans(),
    with_bias=st.booleans(),
)
@settings(max_examples=25)
def test_products_with_few_bits(
    *, bits: int, block: int, features: int, columns: int, with_points: bool, with_bias: bool
) -> None:
    """Bits, blocks that do not divide, zero points and bias: as MatMulNBits, from weights that stay packed."""
    blocks = -(-features // block)
    inputs: Inputs = {
        "a": normal(3, features),
        "b": codes(columns, blocks, block * bits // 8),
        "s": normal(columns * blocks),
        "z": codes(columns * -(-blocks * bits // 8)) if with_points else None,
        "g": None,
        "c": normal(columns) if with_bias else None,
    }
    rewritten = rewrite(
        "MatMulNBits",
        inputs if with_bias else {name: inputs[name] for name in ("a", "b", "s", "z")},
        constants=("b", "s", "z", "c"),
        K=features,
        N=columns,
        bits=bits,
        block_size=block,
    )
    rewritten.assert_equal(1e-5)
    weights = [
        v.const_value for v in rewritten.model.graph.initializers.values() if v.const_value is not None
    ]
    packed = next(tensor for tensor in weights if tensor.shape == (features, columns))
    assert packed.nbytes == features * columns * (bits if bits == 8 else 4) / 8


def test_a_form_without_standard_operators_stays_and_says_why() -> None:
    """Zero points between whole numbers: the node is as it was, with the reason for the compiler's notes."""
    inputs: Inputs = {"a": normal(3, 32), "b": codes(4, 1, 16), "s": normal(4), "z": normal(4)}
    rewritten = rewrite("MatMulNBits", inputs, constants=("b", "s", "z"), K=32, N=4, bits=4, block_size=32)
    assert rewritten.operators() == {"com.microsoft.MatMulNBits"}
    (node,) = rewritten.model.graph
    assert node.metadata_props["wsec.unsplit"] == "its zero points are no whole numbers"
    assert len(rewritten.model.graph.initializers) == 3


def test_standard_operators_stay(apply: Callable[..., ir.Model]) -> None:
    """Nothing to do, nothing done."""
    model = apply(LegalizeOperators(), "g (float[4, 3] x) => (float[4, 3] y) { t = Relu(x) y = Gelu(t) }")
    assert [node.op_type for node in model.graph] == ["Relu", "Gelu"]


def test_a_model_of_an_older_opset_stays() -> None:
    """RMSNormalization and RotaryEmbedding are of opset 23."""
    proto = node_model("Gelu", {"x": normal(2, 8)}, opset=21)
    model = ir.serde.deserialize_model(proto)
    assert not LegalizeOperators().run(model).modified


@given(st.permutations([LegalizeOperators(), FoldConstants(), EliminateDeadCode(), LegalizeOperators()]))
@settings(max_examples=10)
def test_any_order_keeps_the_numbers(passes: list[Any]) -> None:
    """With folding and cleaning before, between or behind it, the same standard model of equal numbers comes out."""
    inputs: Inputs = {"x": normal(2, 5, 16), "s": normal(2, 5, 16), "g": normal(16)}
    rewritten = rewrite("SkipSimplifiedLayerNormalization", inputs, outputs=(0, 3))
    before = ir.serde.deserialize_model(
        node_model("SkipSimplifiedLayerNormalization", inputs, outputs=(0, 3))
    )
    for value, array in zip(before.graph.outputs, rewritten.expected, strict=True):
        value.dtype, value.shape = ir.DataType.FLOAT, ir.Shape(array.shape)
    run_pipeline(before, passes)
    assert {node.op_type for node in before.graph} == {"Add", "RMSNormalization"}


def test_every_row_of_the_table_is_tested() -> None:
    """By the cases above, or by the tests of attention and of mixtures of experts."""
    tested = {operator for operator, _, _ in CASES} | {
        "Attention", "DynamicQuantizeLinear", "GroupQueryAttention", "MatMulNBits", "MultiHeadAttention",
        "QLinearSoftmax", "QMoE", "SimplifiedLayerNormalization",
    }  # fmt: skip
    assert {operator for _, operator in REWRITES} == tested
