"""A small layer of a decoder whose cache comes as input, for kernels that take turns."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def decoder_layer(hidden: int = 32, inner: int = 48, heads: int = 4, context: int = 12) -> onnx.ModelProto:
    """Norm, queries, keys and values, attention over the inputs `keys` and `values`, projection, norm, gated feed-forward; one token."""
    generator = np.random.default_rng(0)
    size = hidden // heads
    initializers, nodes = [], []

    def weight(name: str, *shape: int) -> str:
        values = (generator.standard_normal(shape) * 0.2).astype(np.float32)
        initializers.append(numpy_helper.from_array(values, name))
        return name

    def shape(name: str, *extents: int) -> str:
        initializers.append(numpy_helper.from_array(np.array(extents, np.int64), name))
        return name

    def node(operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def product(x: str, name: str, *extents: int) -> str:
        return node("MatMul", [x, weight(f"w_{name}", *extents)], name)

    normed = node("LayerNormalization", ["x", weight("scale", hidden)], "normed", axis=-1)
    product(normed, "new_keys", hidden, hidden // 2)
    product(normed, "new_values", hidden, hidden // 2)
    queries = node(
        "Reshape", [product(normed, "q", hidden, hidden), shape("by_head", heads, 1, size)], "queries"
    )
    scores = node("Softmax", [node("MatMul", [queries, "keys"], "scores")], "shares", axis=-1)
    weighted = node(
        "Reshape", [node("MatMul", [scores, "values"], "w"), shape("flat", 1, hidden)], "weighted"
    )
    middle = node("Add", [product(weighted, "projected", hidden, hidden), "x"], "middle")
    normed = node("LayerNormalization", [middle, weight("scale_2", hidden)], "normed_2", axis=-1)
    gate, up = product(normed, "gate", hidden, inner), product(normed, "up", hidden, inner)
    gated = node("Mul", [node("Mul", [gate, node("Sigmoid", [gate], "share")], "swish"), up], "gated")
    node("Add", [product(gated, "down", inner, hidden), middle], "y")

    def value(name: str, *extents: int) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, extents)

    graph = helper.make_graph(
        nodes,
        "layer",
        [value("x", 1, hidden), value("keys", heads, size, context), value("values", heads, context, size)],
        [value("y", 1, hidden), value("new_keys", 1, hidden // 2), value("new_values", 1, hidden // 2)],
        initializers,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
