"""Small ONNX models that between them use every kind of kernel; made with onnx.helper, weights seeded."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx.parser
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

OPSET = 21


@dataclass
class ModelMaker:
    """Collects nodes and weights; each method adds an operator and returns the name of its result."""

    seed: int = 0
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)

    def weight(self, *shape: int, scale: float = 1.0) -> str:
        """A float32 weight of this shape, normal."""
        rng = np.random.default_rng([self.seed, len(self.weights)])
        return self.constant((scale * rng.standard_normal(shape)).astype(np.float32))

    def constant(self, value: NDArray[np.generic]) -> str:
        """A weight with this value."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def integers(self, *values: int) -> str:
        """An int64 vector."""
        return self.constant(np.array(values, dtype=np.int64))

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one result."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [name], name=f"{operator}_{name}", **attributes)
        )
        return name

    def conv(
        self, x: str, channels: tuple[int, int], window: Sequence[int], group: int = 1, **attributes: Any
    ) -> str:
        """A convolution from and to so many channels, with bias."""
        fan_in = channels[0] // group * math.prod(window)
        w = self.weight(channels[1], channels[0] // group, *window, scale=fan_in**-0.5)
        return self.apply("Conv", x, w, self.weight(channels[1]), group=group, **attributes)

    def save(
        self,
        path: Path,
        inputs: dict[str, Sequence[int]],
        outputs: Sequence[str],
        kind: int = TensorProto.FLOAT,
    ) -> Path:
        """Write the model; every input has the element type `kind`."""
        graph = helper.make_graph(
            self.nodes,
            "small",
            [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()],
            [onnx.ValueInfoProto(name=name) for name in outputs],
            self.weights,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10)
        path.write_bytes(model.SerializeToString())
        return path


def residual_network(folder: Path) -> Path:
    """A residual CNN: strided and plain convolutions, a skip, pooling, a classifier; all weights differ."""
    m = ModelMaker()
    x = m.apply("Relu", m.conv("x", (3, 16), (3, 3), pads=[1, 1, 1, 1], strides=[2, 2]))
    for _ in range(2):
        y = m.apply("Relu", m.conv(x, (16, 16), (3, 3), pads=[1, 1, 1, 1]))
        y = m.conv(y, (16, 16), (3, 3), pads=[1, 1, 1, 1])
        x = m.apply("Relu", m.apply("Add", y, x))
    x = m.apply("MaxPool", x, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = m.apply("GlobalAveragePool", x)
    x = m.apply("Flatten", x)
    x = m.apply("Gemm", x, m.weight(10, 16, scale=0.25), m.weight(10), transB=1)
    x = m.apply("Softmax", x)
    return m.save(folder / "residual.onnx", {"x": [1, 3, 26, 26]}, [x])


def shapes_and_pools(folder: Path) -> Path:
    """Ragged extents, groups, dilation, transposed convolution, average pools, resize, pad, slice, concat."""
    m = ModelMaker(seed=1)
    a = m.conv("x", (6, 9), (3, 5), group=3, dilations=[2, 1], pads=[2, 2, 2, 2])
    b = m.apply(
        "ConvTranspose", a, m.weight(9, 4, 3, 3), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 0]
    )
    c = m.apply("AveragePool", b, kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 1, 1])
    d = m.apply("Resize", c, "", m.constant(np.array([1, 1, 2, 1.5], dtype=np.float32)), mode="linear")
    e = m.apply("Pad", d, m.integers(0, 1, 2, 0, 0, 0, 1, 3), m.constant(np.array(0.5, dtype=np.float32)))
    f = m.apply("Slice", e, m.integers(-1, 1), m.integers(-99, 12), m.integers(2, 3), m.integers(-2, 1))
    g = m.apply("Concat", f, m.apply("Sigmoid", f), axis=1)
    h = m.apply(
        "Resize",
        g,
        "",
        m.constant(np.array([1, 1, 3, 2], dtype=np.float32)),
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    i = m.apply("InstanceNormalization", h, m.weight(10), m.weight(10))
    return m.save(folder / "shapes.onnx", {"x": [2, 6, 13, 11]}, [i, c])


def encoder(folder: Path) -> Path:
    """One attention block: batched products, softmax, layer norm, transposes, reductions, gelu written out."""
    m = ModelMaker(seed=2)
    tokens, width, heads = 7, 12, 3

    def project(x: str) -> str:
        y = m.apply("Add", m.apply("MatMul", x, m.weight(width, width, scale=0.3)), m.weight(width))
        y = m.apply("Reshape", y, m.integers(1, tokens, heads, width // heads))
        return m.apply("Transpose", y, perm=[0, 2, 1, 3])

    query, key, value = project("x"), project("x"), project("x")
    scores = m.apply("MatMul", query, m.apply("Transpose", key, perm=[0, 1, 3, 2]))
    weights = m.apply(
        "Softmax", m.apply("Mul", scores, m.constant(np.array([0.5], dtype=np.float32))), axis=-1
    )
    mixed = m.apply("Transpose", m.apply("MatMul", weights, value), perm=[0, 2, 1, 3])
    mixed = m.apply("Reshape", mixed, m.integers(1, tokens, width))
    normal = m.apply("LayerNormalization", m.apply("Add", mixed, "x"), m.weight(width), m.weight(width))
    wide = m.apply("MatMul", normal, m.weight(width, 31, scale=0.3))
    gelu = m.apply(
        "Mul", wide, m.apply("Add", m.apply("Erf", wide), m.constant(np.array([1], dtype=np.float32)))
    )
    narrow = m.apply("Add", m.apply("MatMul", gelu, m.weight(31, width)), normal)
    mean = m.apply("ReduceMean", narrow, m.integers(1), keepdims=0)
    largest = m.apply("ReduceMax", narrow, m.integers(0, 2), keepdims=1)
    return m.save(folder / "encoder.onnx", {"x": [1, tokens, width]}, [narrow, mean, largest])


def embedding(folder: Path) -> Path:
    """Integers in: an embedding table, operators unsplit, batched and with several results, a sum of logarithms."""
    m = ModelMaker(seed=3)
    rows = m.apply("Gather", m.weight(37, 10), "ids", axis=0)
    m.nodes.append(helper.make_node("DynamicQuantizeLinear", [rows], ["q", "scale", "zero"], "quantize"))
    again = m.apply("DequantizeLinear", "q", "scale", "zero")
    m.nodes.append(helper.make_node("TopK", [again, m.integers(7)], ["best", "places"], "best", axis=2))
    ordered = m.apply("CumSum", "best", m.constant(np.array(1, dtype=np.int64)))
    wide = m.apply("Expand", m.apply("Unsqueeze", ordered, m.integers(0)), m.integers(3, 2, 5, 7))
    total = m.apply("ReduceLogSumExp", wide, m.integers(2, 3), keepdims=0)
    return m.save(folder / "embedding.onnx", {"ids": [2, 5]}, [total, ordered, "places"], TensorProto.INT64)


def host_in_between(folder: Path) -> Path:
    """Kernels in front of operators that run on the host, and behind them."""
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[4, 4] x) => (float[] y) {
        a = Softmax(x) \n n = NonZero(a) \n s = Shape(n) \n c = Cast<to=1>(s) \n r = Exp(c)
        m = ReduceMax<keepdims=0>(r) \n y = Mul(a, m) }"""
    model = folder / "host.onnx"
    model.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return model


SMALL_MODELS = (residual_network, shapes_and_pools, encoder, embedding)
