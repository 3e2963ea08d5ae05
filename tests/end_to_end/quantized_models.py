"""Small quantised models: as onnxruntime's tool quantises them, and with weights of few bits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

if TYPE_CHECKING:
    from pathlib import Path

    Array = np.ndarray[Any, Any]

RNG = np.random.default_rng(3)


def normal(*shape: int) -> Array:
    """Normally distributed floats."""
    return RNG.standard_normal(shape).astype(np.float32)


def save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: dict[str, tuple[int, ...]],
    weights: dict[str, Array],
    *packed: onnx.TensorProto,
) -> Path:
    """A model with output `y` and float inputs."""
    infos = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()]
    tensors = [numpy_helper.from_array(value, name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", infos, [onnx.ValueInfoProto(name="y")], [*tensors, *packed])
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    onnx.save(onnx.shape_inference.infer_shapes(model), path)
    return path


def convolutional(path: Path) -> Path:
    """Convolutions with and without groups, Relu and Clip, a sum of branches, pooling, Gemm."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w1", "b1"], ["c1"], pads=[1] * 4),
        node("Relu", ["c1"], ["r1"]),
        node("MaxPool", ["r1"], ["p1"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Conv", ["p1", "w2", "b2"], ["c2"], pads=[1] * 4),
        node("Add", ["c2", "p1"], ["a2"]),
        node("Relu", ["a2"], ["r2"]),
        node("Conv", ["r2", "w3"], ["c3"], pads=[1] * 4, group=8),
        node("Clip", ["c3", "low", "high"], ["k3"]),
        node("GlobalAveragePool", ["k3"], ["g"]),
        node("Flatten", ["g"], ["f"]),
        node("Gemm", ["f", "w4", "b4"], ["y"], transB=1),
    ]
    weights = {
        "w1": normal(8, 3, 3, 3), "b1": normal(8), "w2": normal(8, 8, 3, 3) * 0.2, "b2": normal(8),
        "w3": normal(8, 1, 3, 3), "low": np.array(0, np.float32), "high": np.array(6, np.float32),
        "w4": normal(10, 8), "b4": normal(10),
    }  # fmt: skip
    return save(
        path, nodes, {"x": (1, 3, 12, 12)}, {name: np.asarray(w, np.float32) for name, w in weights.items()}
    )


class _Samples(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime is not typed
    def __init__(self) -> None:
        self._left = 3

    def get_next(self) -> dict[str, Array] | None:
        self._left -= 1
        return {"x": normal(1, 3, 12, 12)} if self._left >= 0 else None


def quantize(source: Path, target: Path, *, operators: bool, activations: str, per_channel: bool) -> Path:
    """The model as onnxruntime's tool quantises it: pairs around operators, or operators of quantised numbers."""
    logging.disable(logging.WARNING)
    try:
        quantize_static(
            source,
            target,
            _Samples(),
            quant_format=QuantFormat.QOperator if operators else QuantFormat.QDQ,
            activation_type=getattr(QuantType, activations),
            weight_type=QuantType.QInt8,
            per_channel=per_channel,
        )
    finally:
        logging.disable(logging.NOTSET)
    return target


def few_bits(path: Path, rows: tuple[int, ...] = (3,)) -> Path:
    """Two layers of MatMulNBits with a Gelu between; `rows` are the dimensions before the features."""
    layers = [("x", "h", 64, 96, "1"), ("a", "y", 96, 40, "2")]
    nodes: list[onnx.NodeProto] = []
    weights: dict[str, Array] = {}
    for source, result, features, columns, name in layers:
        blocks = features // 32
        weights[f"w{name}"] = RNG.integers(0, 256, (columns, blocks, 16)).astype(np.uint8)
        weights[f"s{name}"] = normal(columns * blocks) * 0.1
        nodes.append(
            helper.make_node(
                "MatMulNBits",
                [source, f"w{name}", f"s{name}"],
                [result],
                domain="com.microsoft",
                K=features,
                N=columns,
                bits=4,
                block_size=32,
            )
        )
    nodes.insert(1, helper.make_node("FastGelu", ["h"], ["a"], domain="com.microsoft"))
    return save(path, nodes, {"x": (*rows, 64)}, weights)
