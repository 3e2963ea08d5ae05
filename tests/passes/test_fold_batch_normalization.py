"""Batch normalisation disappears into the weights before it, or becomes a scale and a shift."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsec.passes.fold_batch_normalization import FoldBatchNormalization

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]

PARAMETERS = (
    "float[4] s = {1.0, -2.0, 0.5, 3.0}, float[4] b = {0.5, 0.0, -1.0, 2.0}, "
    "float[4] m = {0.1, 0.2, -0.3, 0.4}, float[4] v = {1.0, 0.25, 4.0, 0.01}"
)


def _weights(name: str, *shape: int) -> str:
    count = 1
    for size in shape:
        count *= size
    values = ", ".join(f"{((7 * index) % 11 - 5) / 4}" for index in range(count))
    return f"float[{', '.join(map(str, shape))}] {name} = {{{values}}}"


LINEAR = {
    "conv": (_weights("w", 4, 3, 3, 3), "Conv(x, w)"),
    "conv_with_bias": (_weights("w", 4, 3, 3, 3) + ", " + _weights("c", 4), "Conv(x, w, c)"),
    "transposed": (_weights("w", 3, 4, 2, 2), "ConvTranspose(x, w)"),
    "transposed_with_bias": (_weights("w", 3, 4, 2, 2) + ", " + _weights("c", 4), "ConvTranspose(x, w, c)"),
}


@pytest.mark.parametrize("case", LINEAR)
def test_it_folds_into_a_convolution(apply: Apply, operators: Operators, case: str) -> None:
    """Weights and bias take factor and shift, whether there was a bias or not."""
    weights, linear = LINEAR[case]
    model = apply(
        FoldBatchNormalization(),
        f"g (float[2, 3, 5, 5] x) => (float[] y) <{PARAMETERS}, {weights}> "
        f"{{ a = {linear} n = BatchNormalization<epsilon=0.001>(a, s, b, m, v) y = Relu(n) }}",
        tolerance=1e-6,
    )
    assert operators(model) == [linear.split("(")[0], "Relu"]


@pytest.mark.parametrize(("operator", "shape"), [("Conv", (4, 2, 3, 3)), ("ConvTranspose", (4, 2, 2, 2))])
def test_groups_scale_their_own_channels(
    apply: Apply, operators: Operators, operator: str, shape: tuple[int, ...]
) -> None:
    """The weights of a grouped transposed convolution list the channels of one group only."""
    model = apply(
        FoldBatchNormalization(),
        f"g (float[1, 4, 5, 5] x) => (float[] y) <{PARAMETERS}, {_weights('w', *shape)}> "
        f"{{ a = {operator}<group=2>(x, w) y = BatchNormalization(a, s, b, m, v) }}",
        tolerance=1e-6,
    )
    assert operators(model) == [operator]
    assert model.graph.outputs[0].name == "y"


@pytest.mark.parametrize(
    ("weights", "gemm"),
    [
        (_weights("w", 3, 4), "Gemm(x, w)"),
        (_weights("w", 4, 3) + ", " + _weights("c", 4), "Gemm<transB=1, alpha=0.5, beta=2.0>(x, w, c)"),
        (_weights("w", 3, 4) + ", float[1] c = {0.75}", "Gemm<beta=3.0>(x, w, c)"),
    ],
)
def test_it_folds_into_a_gemm(apply: Apply, operators: Operators, weights: str, gemm: str) -> None:
    """Factors of the Gemm and a bias of one element included."""
    model = apply(
        FoldBatchNormalization(),
        f"g (float[2, 3] x) => (float[] y) <{PARAMETERS}, {weights}> "
        f"{{ a = {gemm} y = BatchNormalization(a, s, b, m, v) }}",
        tolerance=1e-6,
    )
    assert operators(model) == ["Gemm"]


@pytest.mark.parametrize(
    "body",
    [
        "a = Relu(x) y = BatchNormalization(a, s, b, m, v) z = Neg(a)",
        "a = Conv(x, w) y = BatchNormalization(a, s, b, m, v) z = Neg(a)",
        "a = Conv(x, x2) y = BatchNormalization(a, s, b, m, v) z = Neg(y)",
    ],
)
def test_else_it_becomes_a_scale_and_a_shift(apply: Apply, operators: Operators, body: str) -> None:
    """Behind an activation, where another node reads the convolution, and where its weights are computed."""
    model = apply(
        FoldBatchNormalization(),
        f"g (float[1, 4, 3, 3] x, float[4, 4, 1, 1] x2) => (float[] y, float[] z) "
        f"<{PARAMETERS}, {_weights('w', 4, 4, 1, 1)}> {{ {body} }}",
        tolerance=1e-6,
    )
    assert "BatchNormalization" not in operators(model)
    assert operators(model).count("Mul") == operators(model).count("Add") == 1


def test_vectors_are_normalised_too(apply: Apply, operators: Operators) -> None:
    """An input [batch, channels] has no spatial axes to broadcast over."""
    model = apply(
        FoldBatchNormalization(),
        f"g (float[3, 4] x) => (float[] y) <{PARAMETERS}> {{ y = BatchNormalization(x, s, b, m, v) }}",
        tolerance=1e-6,
    )
    assert operators(model) == ["Mul", "Add"]


@pytest.mark.parametrize(
    "body",
    [
        "y = BatchNormalization(x, s, b, m2, v)",
        "y, p, q = BatchNormalization<training_mode=1>(x, s, b, m, v)",
    ],
)
def test_computed_parameters_and_training_stay(build: Callable[[str], ir.Model], body: str) -> None:
    """There is nothing to fold at compile time."""
    model = build(f"g (float[3, 4] x, float[4] m2) => (float[] y) <{PARAMETERS}> {{ {body} }}")
    assert not FoldBatchNormalization().run(model).modified
