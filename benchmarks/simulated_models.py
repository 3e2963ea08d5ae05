"""Whole models that are compiled for small regions and simulated: every link, every route, every kernel's program.

A multi-layer perceptron, a convolutional network of LeNet's size, a transformer encoder block, and one decode step of a decoder
of two layers with its KV cache.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx
    from numpy.typing import NDArray

    Array = NDArray[Any]

OPSET = 23
_FLOAT = TensorProto.FLOAT


@dataclass
class Maker:
    """Collects nodes and weights; the methods that add nodes return the name of what they give."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    weights: list[onnx.TensorProto] = field(default_factory=list)
    inputs: dict[str, Array] = field(default_factory=dict)

    def weight(self, *shape: int) -> str:
        """A float32 weight, normal, smaller for larger sums."""
        rng = np.random.default_rng(len(self.weights))
        return self.constant((rng.standard_normal(shape) / math.sqrt(shape[0])).astype(np.float32))

    def constant(self, value: Array) -> str:
        """A weight with this value."""
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value, name))
        return name

    def input(self, name: str, *shape: int) -> str:
        """A float32 input, normal."""
        rng = np.random.default_rng(1000 + len(self.inputs))
        self.inputs[name] = rng.standard_normal(shape).astype(np.float32)
        return name

    def apply(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one result."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, list(inputs), [name], name=f"{operator}_{name}", **attributes)
        )
        return name

    def shaped(self, x: str, *shape: int) -> str:
        """Another shape."""
        return self.apply("Reshape", x, self.constant(np.array(shape, np.int64)))

    def linear(self, x: str, inputs: int, outputs: int) -> str:
        """A product with a weight."""
        return self.apply("MatMul", x, self.weight(inputs, outputs))

    def dense(self, x: str, inputs: int, outputs: int, *, relu: bool = True) -> str:
        """A fully connected layer."""
        y = self.apply("Gemm", x, self.weight(inputs, outputs), self.weight(outputs))
        return self.apply("Relu", y) if relu else y

    def model(self, *outputs: str) -> onnx.ModelProto:
        """The ONNX model."""
        types = {np.dtype(np.float32): _FLOAT, np.dtype(np.int32): TensorProto.INT32}
        inputs = [
            helper.make_tensor_value_info(name, types[value.dtype], value.shape)
            for name, value in self.inputs.items()
        ]
        made = [helper.make_empty_tensor_value_info(name) for name in outputs]
        graph = helper.make_graph(self.nodes, "model", inputs, made, self.weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=11)


@dataclass(frozen=True)
class SimulatedModel:
    """A model and the region that it is compiled for.

    Attributes:
        name: Unique.
        region: Columns and rows.
        make: Gives the model and its inputs.
    """

    name: str
    region: tuple[int, int]
    make: Callable[[], tuple[onnx.ModelProto, dict[str, Array]]]


def perceptron() -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Two fully connected layers."""
    maker = Maker()
    hidden = maker.dense(maker.input("x", 4, 48), 48, 64)
    return maker.model(maker.dense(hidden, 64, 10, relu=False)), maker.inputs


def lenet() -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Two convolutions with pooling, and three fully connected layers: LeNet-5 (LeCun et al., 1998) with ReLU."""
    maker = Maker()
    x = maker.input("image", 1, 1, 28, 28)
    channels = (1, 6, 16)
    for before, after, pad in zip(channels[:-1], channels[1:], (2, 0), strict=True):
        x = maker.apply("Conv", x, maker.weight(after, before, 5, 5), maker.weight(after), pads=[pad] * 4)
        x = maker.apply("MaxPool", maker.apply("Relu", x), kernel_shape=[2, 2], strides=[2, 2])
    x = maker.shaped(x, 1, 400)
    x = maker.dense(maker.dense(x, 400, 120), 120, 84)
    return maker.model(maker.dense(x, 84, 10, relu=False)), maker.inputs


def encoder_block(
    rows: int = 16, width: int = 32, heads: int = 4
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """Attention over all positions and a feed-forward part, each behind a normalisation and beside a residual."""
    maker = Maker()
    x = maker.input("x", rows, width)
    depth = width // heads
    normed = maker.apply("LayerNormalization", x, maker.weight(width), maker.weight(width), axis=-1)
    q, k, v = (
        maker.apply(
            "Transpose", maker.shaped(maker.linear(normed, width, width), rows, heads, depth), perm=[1, 0, 2]
        )
        for _ in range(3)
    )
    scores = maker.apply("MatMul", q, maker.apply("Transpose", k, perm=[0, 2, 1]))
    scores = maker.apply("Mul", scores, maker.constant(np.array(1 / math.sqrt(depth), np.float32)))
    mixed = maker.apply("MatMul", maker.apply("Softmax", scores, axis=-1), v)
    mixed = maker.shaped(maker.apply("Transpose", mixed, perm=[1, 0, 2]), rows, width)
    x = maker.apply("Add", x, maker.linear(mixed, width, width))
    normed = maker.apply("LayerNormalization", x, maker.weight(width), maker.weight(width), axis=-1)
    hidden = maker.apply("Gelu", maker.linear(normed, width, 2 * width))
    return maker.model(maker.apply("Add", x, maker.linear(hidden, 2 * width, width))), maker.inputs


def decode_step(
    layers: int = 2, context: int = 15, width: int = 32, heads: int = 4, vocabulary: int = 64
) -> tuple[onnx.ModelProto, dict[str, Array]]:
    """One token through a decoder: embedding, attention over the cache and the token itself, gated feed-forward, logits."""
    maker = Maker()
    maker.inputs["token"] = np.array([7], np.int32)
    x = maker.apply("Gather", maker.weight(vocabulary, width), "token")
    caches: list[str] = []
    for layer in range(layers):
        x = _decoder_layer(maker, x, layer, (context, width, heads), caches)
    x = maker.apply("RMSNormalization", x, maker.weight(width), axis=-1)
    return maker.model(maker.linear(x, width, vocabulary), *caches), maker.inputs


def _decoder_layer(maker: Maker, x: str, layer: int, sizes: tuple[int, int, int], caches: list[str]) -> str:
    context, width, heads = sizes
    depth = width // heads
    normed = maker.apply("RMSNormalization", x, maker.weight(width), axis=-1)
    q = maker.shaped(maker.linear(normed, width, width), heads, 1, depth)
    held = []
    for name in ("keys", "values"):
        new = maker.shaped(maker.linear(normed, width, width), heads, 1, depth)
        cache = maker.input(f"{name}_{layer}", heads, context, depth)
        held.append(maker.apply("Concat", cache, new, axis=1))
        caches.append(new)
    scores = maker.apply("MatMul", q, maker.apply("Transpose", held[0], perm=[0, 2, 1]))
    scores = maker.apply("Mul", scores, maker.constant(np.array(1 / math.sqrt(depth), np.float32)))
    mixed = maker.apply("MatMul", maker.apply("Softmax", scores, axis=-1), held[1])
    x = maker.apply("Add", x, maker.linear(maker.shaped(mixed, 1, width), width, width))
    normed = maker.apply("RMSNormalization", x, maker.weight(width), axis=-1)
    gate = maker.linear(normed, width, 2 * width)
    gate = maker.apply("Mul", gate, maker.apply("Sigmoid", gate))
    hidden = maker.apply("Mul", gate, maker.linear(normed, width, 2 * width))
    return maker.apply("Add", x, maker.linear(hidden, 2 * width, width))


SIMULATED_MODELS = (
    SimulatedModel("perceptron", (24, 24), perceptron),
    SimulatedModel("lenet", (64, 64), lenet),
    SimulatedModel("encoder block", (64, 64), encoder_block),
    SimulatedModel("decode step", (64, 64), decode_step),
)
