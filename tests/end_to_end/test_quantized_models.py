"""Quantised models, whole: kernels of integers that are cut, weights that stay small, onnxruntime's numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from quantized_models import RNG, convolutional, few_bits, normal, quantize, save
from single_nodes import node_model

import wsec

if TYPE_CHECKING:
    from pathlib import Path

    Array = np.ndarray[Any, Any]


@pytest.mark.parametrize("per_channel", [False, True])
@pytest.mark.parametrize("activations", ["QInt8", "QUInt8"])
@pytest.mark.parametrize("operators", [False, True], ids=["pairs", "operators"])
def test_a_convolutional_network(
    *, operators: bool, activations: str, per_channel: bool, tmp_path: Path
) -> None:
    """Signed or not, by channel or not: products of bytes, nothing on one core."""
    path = quantize(
        convolutional(tmp_path / "float.onnx"),
        tmp_path / "bytes.onnx",
        operators=operators,
        activations=activations,
        per_channel=per_channel,
    )
    plan = wsec.compile(path, target="mesh16", region=(7, 5), effort=0)
    kernels = list(plan.record.kernels())
    assert not {kernel.kind for kernel in kernels} & {"batched", "unsplit"}
    weights = [
        i for k in kernels if k.kind in {"convolution", "matmul"} for i in k.inputs if i.role in {"w", "b"}
    ]
    assert {item.dtype for item in weights} == {"int8"}
    assert plan.check() == ()
    assert plan.verify().passed


@pytest.mark.parametrize("rows", [(3,), (1, 3), (2, 2, 3)], ids=str)
def test_weights_of_four_bits_take_four_bits(rows: tuple[int, ...], tmp_path: Path) -> None:
    """The ledger counts half a byte for each weight, and scales and zero points of every block that a core holds of.

    Samples and positions before the features change nothing of that.
    """
    plan = wsec.compile(few_bits(tmp_path / "model.onnx", rows), target="mesh16", region=(1, 2), effort=0)
    first, second = plan.record.kernels()
    assert [kernel.kind for kernel in (first, second)] == ["matmul", "matmul"]
    assert first.memory.weights == 64 * 96 // 2 + 2 * 96 * 4 + 2 * 96 // 2
    assert second.memory.weights == 96 * 40 // 2 + 3 * 40 * 4 + 3 * 40 // 2
    assert plan.check() == ()
    assert plan.verify().passed


def codes(*shape: int) -> Array:
    """Signed bytes."""
    return RNG.integers(-127, 128, shape).astype(np.int8)


@pytest.mark.parametrize(
    ("attributes", "scales"),
    [({"axis": 0, "block_size": 32}, (20, 48)), ({"axis": 1, "block_size": 16}, (640, 3)), ({"axis": 0}, (640,)),
     ({"axis": 1}, (48,)), ({}, ())],
    ids=["blocks of rows", "blocks of columns", "rows", "columns", "whole"],
)  # fmt: skip
@pytest.mark.parametrize("region", [(7, 5), (3, 3)])
def test_a_product_dequantizes_its_weights(
    attributes: dict[str, Any], scales: tuple[int, ...], region: tuple[int, int], tmp_path: Path
) -> None:
    """Scales of each shape are cut with the weights, the summed dimension included."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["f"], **attributes),
        helper.make_node("MatMul", ["x", "f"], ["t"]),
        helper.make_node("Relu", ["t"], ["y"]),
    ]
    nibbles = RNG.integers(-8, 8, (640, 48))
    packed = helper.make_tensor("w", TensorProto.INT4, nibbles.shape, nibbles.reshape(-1))
    path = save(
        tmp_path / "m.onnx", nodes, {"x": (4, 640)}, {"s": np.asarray(normal(*scales), np.float32)}, packed
    )
    plan = wsec.compile(path, target="mesh16", region=region, effort=0)
    (kernel,) = plan.record.kernels()
    assert [item.dtype for item in kernel.inputs if item.role == "b"] == ["int4"]
    assert kernel.split["k"] > 1
    assert plan.check() == ()
    assert plan.verify().passed


@pytest.mark.parametrize(("operator", "weights", "options"), [
    ("Conv", codes(6, 4, 3, 3), {"pads": [1] * 4, "group": 2}),
    ("ConvTranspose", codes(8, 3, 3, 3), {"strides": [2, 2]}),
])  # fmt: skip
def test_convolutions_dequantize_their_weights(
    operator: str, weights: Array, options: dict[str, Any], tmp_path: Path
) -> None:
    """A scale for each output channel, or for each input channel of a transposed one."""
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s"], ["f"], axis=0),
        helper.make_node(operator, ["x", "f"], ["y"], **options),
    ]
    scales = normal(weights.shape[0])
    path = save(tmp_path / "m.onnx", nodes, {"x": (1, 8, 9, 9)}, {"w": weights, "s": scales})
    plan = wsec.compile(path, target="mesh16", region=(7, 5), effort=0)
    (kernel,) = plan.record.kernels()
    assert kernel.kind in {"convolution", "transposed_convolution"}
    assert plan.check() == ()
    assert plan.verify().passed


def parameters(scale: float, zero: int) -> tuple[Array, Array]:
    """A scale and a zero point of unsigned bytes."""
    return np.array(scale, np.float32), np.array(zero, np.uint8)


def unsigned(*shape: int) -> Array:
    """Unsigned bytes."""
    return RNG.integers(0, 256, shape).astype(np.uint8)


(SX, ZX), (SY, ZY) = parameters(0.02, 100), parameters(0.3, 110)
COLUMNS = abs(normal(33)) * np.float32(0.01)
INTEGER_PRODUCTS: list[tuple[str, dict[str, Array], tuple[str, ...], dict[str, Any]]] = [
    ("QLinearMatMul", {"x": unsigned(2, 9, 700), "sx": SX, "zx": ZX, "w": codes(700, 33), "sw": COLUMNS,
                       "zw": codes(33), "sy": SY, "zy": ZY}, ("w",), {}),
    ("MatMulInteger", {"x": unsigned(9, 700), "w": codes(700, 33), "zx": ZX, "zw": codes(33)}, ("w", "zw"), {}),
    ("QLinearConv", {"x": unsigned(1, 66, 9, 9), "sx": SX, "zx": ZX, "w": codes(33, 66, 3, 3), "sw": COLUMNS,
                     "zw": np.zeros(33, np.int8), "sy": SY, "zy": ZY, "b": RNG.integers(-999, 999, 33).astype(np.int32)},
     ("sx", "zx", "w", "sw", "zw", "sy", "zy", "b"), {"pads": [1] * 4, "strides": [2, 1]}),
    ("QLinearConv", {"x": unsigned(1, 66, 9, 9), "sx": SX, "zx": ZX, "w": codes(66, 1, 3, 3), "sw": SX,
                     "zw": np.array(0, np.int8), "sy": SY, "zy": ZY},
     ("sx", "zx", "w", "sw", "zw", "sy", "zy"), {"pads": [1] * 4, "group": 66}),
    ("ConvInteger", {"x": unsigned(1, 66, 9, 9), "w": unsigned(5, 66, 3, 3), "zx": ZX, "zw": ZY}, ("w", "zw"),
     {"pads": [1] * 4}),
]  # fmt: skip


@pytest.mark.parametrize(("operator", "inputs", "constants", "options"), INTEGER_PRODUCTS)
@pytest.mark.parametrize("region", [(7, 5), (3, 2)])
def test_products_of_integers_are_cut_and_exact(
    *,
    operator: str,
    inputs: dict[str, Array],
    constants: tuple[str, ...],
    options: dict[str, Any],
    region: tuple[int, int],
    tmp_path: Path,
) -> None:
    """Zero points of padding and of ragged blocks included, every number is that of onnxruntime."""
    path = tmp_path / "m.onnx"
    onnx.save(node_model(operator, dict(inputs), constants=constants, domain="", **options), path)
    plan = wsec.compile(path, target="mesh16", region=region, effort=0)
    assert {kernel.kind for kernel in plan.record.kernels()} <= {"convolution", "matmul"}
    assert plan.check() == ()
    assert [output.max_absolute_error for output in plan.verify().outputs] == [0.0]
