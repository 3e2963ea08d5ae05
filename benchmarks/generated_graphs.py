"""Seeded graphs of any number of nodes, written as exporters write networks, to see how time and memory grow.

Every block reads the block before it: two convolutions with their normalisations and a skip, attention with its shape
computations, normalisation and GELU in their smallest parts, and masks that each layer computes again. Tensors are
small, and every layer has weights of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

CHANNELS, SIDE, HEADS = 16, 4, 2
OPSET = 17
_IR_VERSION = 8


def make_graph(nodes: int, seed: int = 0) -> onnx.ModelProto:
    """A model of whole blocks with at most `nodes` nodes, and at least one block; equal seeds give equal models."""
    writer = _Writer(np.random.default_rng([seed, nodes]))
    image = "image"
    while True:
        before = len(writer.nodes)
        image = _block(writer, image)
        if 2 * len(writer.nodes) - before > nodes:
            break
    shape = [1, CHANNELS, SIDE, SIDE]
    graph = helper.make_graph(
        writer.nodes,
        "generated",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(image, TensorProto.FLOAT, shape)],
        initializer=writer.weights,
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=_IR_VERSION, producer_name="wsec"
    )


def write_graph(path: Path, nodes: int, *, external: bool, seed: int = 0) -> int:
    """Write `make_graph` to a file, its weights in a second one where `external`; how many nodes it has."""
    model = make_graph(nodes, seed)
    onnx.save_model(
        model, path, save_as_external_data=external, location=f"{path.stem}.data", size_threshold=256
    )
    return len(model.graph.node)


class _Writer:
    """Nodes and weights so far, in the order in which they were made."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[TensorProto] = []
        self._rng = rng

    def node(self, op_type: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, whose name this returns."""
        name = f"{op_type}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op_type, inputs, [f"{name}_out"], name=name, **attributes))
        return f"{name}_out"

    def weight(self, *shape: int) -> str:
        """A weight of its own, of a size that keeps a signal alive."""
        spread = 1 / np.sqrt(np.prod(shape[1:]) if len(shape) > 2 else shape[0])
        return self._initializer((self._rng.standard_normal(shape) * spread).astype(np.float32))

    def positive(self, *shape: int) -> str:
        """A weight between 0.5 and 1.5."""
        return self._initializer(self._rng.uniform(0.5, 1.5, shape).astype(np.float32))

    def constant(self, value: float | list[int]) -> str:
        """A Constant node: a float, an integer or a list of integers."""
        array: NDArray[Any] = np.array(value, np.float32 if isinstance(value, float) else np.int64)
        return self.node("Constant", value=numpy_helper.from_array(array))

    def _initializer(self, array: NDArray[np.float32]) -> str:
        name = f"weight_{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name


def _block(writer: _Writer, image: str) -> str:
    """`[1, CHANNELS, SIDE, SIDE]` in and out."""
    left = writer.node("Relu", _convolution(writer, image))
    image = writer.node("Relu", writer.node("Add", _convolution(writer, left), image))
    flat = writer.node("Reshape", image, writer.constant([0, CHANNELS, -1]))
    tokens = writer.node("Transpose", flat, perm=[0, 2, 1])
    tokens = writer.node("Add", tokens, _attention(writer, _normalisation(writer, tokens)))
    tokens = writer.node("Add", tokens, _feed_forward(writer, _normalisation(writer, tokens)))
    back = writer.node("Transpose", tokens, perm=[0, 2, 1])
    return writer.node("Reshape", back, writer.node("Shape", image))


def _convolution(writer: _Writer, image: str) -> str:
    data = writer.node(
        "Conv", image, writer.weight(CHANNELS, CHANNELS, 3, 3), kernel_shape=[3, 3], pads=[1, 1, 1, 1]
    )
    statistics = (
        writer.positive(CHANNELS),
        writer.weight(CHANNELS),
        writer.weight(CHANNELS),
        writer.positive(CHANNELS),
    )
    return writer.node("BatchNormalization", data, *statistics)


def _normalisation(writer: _Writer, tokens: str) -> str:
    centred = writer.node("Sub", tokens, writer.node("ReduceMean", tokens, axes=[-1]))
    variance = writer.node("ReduceMean", writer.node("Pow", centred, writer.constant(2.0)), axes=[-1])
    deviation = writer.node("Sqrt", writer.node("Add", variance, writer.constant(1e-5)))
    scaled = writer.node("Mul", writer.node("Div", centred, deviation), writer.positive(CHANNELS))
    return writer.node("Add", scaled, writer.weight(CHANNELS))


def _linear(writer: _Writer, tokens: str, inputs: int, outputs: int) -> str:
    return writer.node(
        "Add", writer.node("MatMul", tokens, writer.weight(inputs, outputs)), writer.weight(outputs)
    )


def _size(writer: _Writer, tokens: str, axis: int) -> str:
    """One entry of a shape, as the trace of a framework gives it: `[1]`."""
    entry = writer.node("Gather", writer.node("Shape", tokens), writer.constant(axis))
    return writer.node("Unsqueeze", entry, writer.constant([0]))


def _heads(writer: _Writer, tokens: str, order: list[int]) -> str:
    """`[1, tokens, channels]` to heads, in the order of axes asked for."""
    sizes = [_size(writer, tokens, axis) for axis in (0, 1)]
    shape = writer.node("Concat", *sizes, writer.constant([HEADS, CHANNELS // HEADS]), axis=0)
    return writer.node("Transpose", writer.node("Reshape", tokens, shape), perm=order)


def _attention(writer: _Writer, tokens: str) -> str:
    query, key, value = (
        _heads(writer, _linear(writer, tokens, CHANNELS, CHANNELS), order)
        for order in ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
    )
    scores = writer.node(
        "Div", writer.node("MatMul", query, key), writer.constant(float(CHANNELS // HEADS) ** 0.5)
    )
    length = _size(writer, tokens, 1)
    filled = writer.node("ConstantOfShape", writer.node("Concat", length, length, axis=0))
    mask = writer.node("Trilu", writer.node("Sub", filled, writer.constant(1e4)), upper=1)
    weights = writer.node("Softmax", writer.node("Add", scores, mask), axis=-1)
    mixed = writer.node("Transpose", writer.node("MatMul", weights, value), perm=[0, 2, 1, 3])
    merged = writer.node("Reshape", mixed, writer.constant([0, 0, CHANNELS]))
    return _linear(writer, merged, CHANNELS, CHANNELS)


def _feed_forward(writer: _Writer, tokens: str) -> str:
    hidden = _linear(writer, tokens, CHANNELS, 2 * CHANNELS)
    bent = writer.node("Erf", writer.node("Div", hidden, writer.constant(2.0**0.5)))
    doubled = writer.node("Mul", hidden, writer.node("Add", bent, writer.constant(1.0)))
    return _linear(writer, writer.node("Mul", doubled, writer.constant(0.5)), 2 * CHANNELS, CHANNELS)
