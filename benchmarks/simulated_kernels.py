"""Models of one operator, or of a few that are fused to one kernel, that are compiled for small regions and simulated.

Between them: every kind of kernel with a core program, splits along rows, columns and both, sums cut along one axis and two,
blocks that do not divide evenly, halos, strides, dilations, groups. `benchmarks/simulation.py` and tests run them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Mapping

    import onnx
    from numpy.typing import NDArray

OPSET = 23
_TYPES = {
    "float32": TensorProto.FLOAT,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Configuration:
    """A model and the region that it is compiled for.

    Attributes:
        name: Unique.
        nodes: Of the model, in order; the last one's output is the model's.
        region: Columns and rows.
        inputs: Shapes of the model's inputs, which are float32 but for those in `rows`.
        weights: Shapes of constants, normally distributed.
        constants: Other constants.
        rows: Inputs that are whole numbers from 0 to below so many, int32 but for those in `types`.
        types: Element types of these.
        collective: How partial results are combined, as of `wsec compile --collective`.
    """

    name: str
    nodes: tuple[onnx.NodeProto, ...]
    region: tuple[int, int]
    inputs: Mapping[str, Shape]
    weights: Mapping[str, Shape] = field(default_factory=dict)
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    collective: str = "auto"

    def model(self) -> onnx.ModelProto:
        """The ONNX model; weights are seeded by their place."""
        weights = [
            numpy_helper.from_array(_normal(place, shape), name)
            for place, (name, shape) in enumerate(self.weights.items())
        ]
        weights += [numpy_helper.from_array(value, name) for name, value in self.constants.items()]
        inputs = [
            helper.make_tensor_value_info(name, _TYPES[self._type(name)], shape)
            for name, shape in self.inputs.items()
        ]
        outputs = [helper.make_empty_tensor_value_info(self.nodes[-1].output[0])]
        graph = helper.make_graph(list(self.nodes), "kernel", inputs, outputs, weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=11)

    def samples(self) -> dict[str, NDArray[Any]]:
        """Inputs, seeded by their place."""
        return {
            name: np.random.default_rng(place).integers(0, self.rows[name], shape).astype(self._type(name))
            if name in self.rows
            else _normal(100 + place, shape)
            for place, (name, shape) in enumerate(self.inputs.items())
        }

    def _type(self, name: str) -> str:
        return self.types.get(name, "int32" if name in self.rows else "float32")


def _normal(seed: int, shape: Shape) -> NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def _node(operator: str, inputs: str, output: str = "y", **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(operator, inputs.split(","), [output], name=f"{operator}_{output}", **attributes)


def _integers(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _numbers(*values: float) -> NDArray[np.float32]:
    return np.array(values, np.float32)


def _one(
    name: str,
    region: tuple[int, int],
    node: onnx.NodeProto,
    inputs: dict[str, Shape],
    weights: dict[str, Shape] | None = None,
    **more: Any,
) -> Configuration:
    return Configuration(name, (node,), region, inputs, weights or {}, **more)


def _product(
    name: str, region: tuple[int, int], shape: tuple[int, int, int], collective: str = "auto"
) -> Configuration:
    m, k, n = shape
    return _one(
        f"matmul {name}", region, _node("MatMul", "x,w"), {"x": (m, k)}, {"w": (k, n)}, collective=collective
    )


def _convolution(
    name: str, region: tuple[int, int], x: Shape, w: Shape, *, operator: str = "Conv", **attributes: Any
) -> Configuration:
    group = attributes.get("group", 1)
    channels = w[0] if operator == "Conv" else w[1] * group
    kind = "conv" if operator == "Conv" else "transposed conv"
    weights = {"w": w, "b": (channels,)}
    return _one(f"{kind} {name}", region, _node(operator, "x,w,b", **attributes), {"x": x}, weights)


PRODUCTS = (
    _product("vector", (8, 8), (1, 256, 64)),
    _product("vector, row of cores", (8, 1), (1, 200, 24)),
    _product("vector, column of cores", (1, 8), (1, 200, 24)),
    _product("even", (4, 4), (16, 64, 32)),
    _product("ragged", (4, 4), (13, 37, 11)),
    _product("long sum", (8, 8), (2, 1024, 4)),
    _product("long sum on rows", (12, 2), (3, 500, 5)),
    _product("by a chain", (12, 2), (1, 240, 6), "chain"),
    _product("by a star", (12, 2), (1, 240, 6), "star"),
    _product("by a tree", (12, 2), (1, 240, 6), "tree"),
    _product("by two phases", (12, 2), (1, 240, 6), "two_phase"),
    _product("by groups", (2, 12), (1, 240, 6), "two_level"),
    _product("by a ring", (6, 1), (2, 120, 10), "ring"),
    _product("on one core", (1, 1), (5, 7, 6)),
    _one("matmul batched", (6, 6), _node("MatMul", "a,b"), {"a": (4, 12, 20), "b": (4, 20, 8)}),
    _one("matmul batch broadcast", (5, 6), _node("MatMul", "a,b"), {"a": (3, 1, 9, 16), "b": (2, 16, 10)}),
    Configuration(
        "matmul, bias, gelu",
        (_node("MatMul", "x,w", "p"), _node("Add", "p,c", "q"), _node("Gelu", "q")),
        (6, 4),
        {"x": (8, 48)},
        {"w": (48, 40), "c": (40,)},
    ),
    Configuration(
        "matmul, silu, residual",
        (
            _node("MatMul", "x,w", "p"),
            _node("Sigmoid", "p", "s"),
            _node("Mul", "p,s", "t"),
            _node("Add", "t,r"),
        ),
        (4, 6),
        {"x": (9, 30), "r": (9, 22)},
        {"w": (30, 22)},
    ),
)

WINDOWS = (
    _convolution("3 x 3", (6, 6), (1, 8, 12, 12), (16, 8, 3, 3), pads=[1, 1, 1, 1]),
    _convolution("3 x 3, ragged", (5, 4), (1, 6, 11, 13), (7, 6, 3, 3), pads=[1, 1, 1, 1]),
    _convolution("3 x 3, stride 2", (6, 6), (1, 8, 16, 16), (12, 8, 3, 3), pads=[1, 1, 1, 1], strides=[2, 2]),
    _convolution("1 x 1", (6, 4), (1, 16, 9, 9), (24, 16, 1, 1)),
    _convolution("5 x 5, dilated", (5, 5), (1, 4, 15, 15), (6, 4, 5, 5), pads=[4, 4, 4, 4], dilations=[2, 2]),
    _convolution("7 x 7, stride 2", (6, 6), (1, 3, 24, 24), (8, 3, 7, 7), pads=[3, 3, 3, 3], strides=[2, 2]),
    _convolution("depthwise", (6, 5), (1, 12, 14, 14), (12, 1, 3, 3), pads=[1, 1, 1, 1], group=12),
    _convolution("two groups", (4, 4), (1, 8, 10, 10), (12, 4, 3, 3), group=2),
    _convolution("one dimension", (8, 2), (1, 6, 64), (10, 6, 7), pads=[3, 3], strides=[3]),
    _convolution("three dimensions", (4, 4), (1, 2, 6, 6, 6), (4, 2, 3, 3, 3), pads=[1] * 6),
    _convolution("many channels", (8, 8), (1, 64, 4, 4), (16, 64, 3, 3), pads=[1, 1, 1, 1]),
    _convolution(
        "stride 2",
        (5, 5),
        (1, 6, 8, 8),
        (6, 5, 4, 4),
        operator="ConvTranspose",
        pads=[1, 1, 1, 1],
        strides=[2, 2],
    ),
    _convolution("stride 3, ragged", (4, 3), (1, 4, 7), (4, 6, 5), operator="ConvTranspose", strides=[3]),
    _one(
        "max pool",
        (5, 5),
        _node("MaxPool", "x", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
        {"x": (1, 6, 14, 14)},
    ),
    _one(
        "average pool",
        (4, 4),
        _node("AveragePool", "x", kernel_shape=[2, 2], strides=[2, 2]),
        {"x": (1, 5, 12, 10)},
    ),
    _one(
        "average pool, edges",
        (4, 5),
        _node("AveragePool", "x", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        {"x": (1, 3, 9, 11)},
    ),
    _one("global average pool", (6, 6), _node("GlobalAveragePool", "x"), {"x": (1, 6, 9, 9)}),
)

STATISTICS = (
    _one("mean of rows", (6, 4), _node("ReduceMean", "x,axes"), {"x": (10, 96)}, constants={"axes": _integers(-1)}),
    _one("sum of two axes", (6, 6), _node("ReduceSum", "x,axes", keepdims=0), {"x": (3, 40, 24)}, constants={"axes": _integers(1, 2)}),
    _one("maximum of all", (6, 6), _node("ReduceMax", "x", keepdims=0), {"x": (24, 40)}),
    _one("norm of columns", (5, 5), _node("ReduceL2", "x,axes"), {"x": (50, 6)}, constants={"axes": _integers(0)}),
    _one("log of a sum of powers", (4, 5), _node("ReduceLogSumExp", "x,axes"), {"x": (7, 60)}, constants={"axes": _integers(1)}),
    _one("softmax of rows", (5, 5), _node("Softmax", "x"), {"x": (20, 33)}),
    _one("softmax of one row", (8, 4), _node("Softmax", "x"), {"x": (1, 1000)}),
    _one("log softmax of columns", (4, 6), _node("LogSoftmax", "x", axis=0), {"x": (50, 6)}),
    _one("layer norm", (6, 4), _node("LayerNormalization", "x,s,b", axis=-1), {"x": (8, 72)}, {"s": (72,), "b": (72,)}),
    _one("layer norm, ragged", (7, 3), _node("LayerNormalization", "x,s", axis=-1), {"x": (2, 50)}, {"s": (50,)}),
    _one("rms norm", (8, 4), _node("RMSNormalization", "x,s", axis=-1), {"x": (1, 256)}, {"s": (256,)}),
    _one("instance norm", (5, 5), _node("InstanceNormalization", "x,s,b"), {"x": (1, 6, 10, 10)}, {"s": (6,), "b": (6,)}),
)  # fmt: skip


def _attention(
    name: str, region: tuple[int, int], query: Shape, key: Shape, *, mask: bool = False
) -> Configuration:
    """softmax(q k^T / sqrt(d) + mask) v of [heads, rows, d] and [heads, keys, d]."""
    nodes = [
        _node("Transpose", "k", "t", perm=[0, 2, 1]),
        _node("MatMul", "q,t", "scores"),
        _node("Mul", "scores,scale", "scaled"),
        *([_node("Add", "scaled,mask", "masked")] if mask else []),
        _node("Softmax", "masked" if mask else "scaled", "p"),
        _node("MatMul", "p,v"),
    ]
    inputs = {"q": query, "k": key, "v": key}
    weights = {"mask": (1, query[1], key[1])} if mask else {}
    constants = {"scale": np.array(query[-1] ** -0.5, np.float32)}
    return Configuration(f"attention {name}", tuple(nodes), region, inputs, weights, constants)


ATTENTION = (
    _attention("of several queries", (4, 4), (2, 16, 8), (2, 16, 8)),
    _attention("with a mask", (3, 3), (3, 11, 8), (3, 13, 8), mask=True),
    _attention("of one query", (8, 4), (4, 1, 16), (4, 64, 16)),
    _attention("as kernels of its operators", (6, 6), (2, 16, 8), (2, 16, 8)),
    _attention("of one query, ragged keys", (2, 8), (2, 1, 12), (2, 51, 12)),
)

ELEMENTWISE = (
    _one("sum of two, broadcast", (5, 5), _node("Add", "a,b"), {"a": (6, 9, 11), "b": (9, 1)}),
    Configuration(
        "chain of six",
        (
            _node("Mul", "x,c", "p"),
            _node("Tanh", "p", "q"),
            _node("Clip", "q,low,high", "r"),
            _node("Exp", "r", "s"),
            _node("Sub", "s,x", "t"),
            _node("HardSwish", "t"),
        ),
        (6, 5),
        {"x": (13, 21)},
        {"c": (21,)},
        {"low": np.array(-0.5, np.float32), "high": np.array(0.75, np.float32)},
    ),
    Configuration(
        "choice",
        (_node("Greater", "a,b", "g"), _node("Where", "g,a,b", "h"), _node("LeakyRelu", "h")),
        (4, 4),
        {"a": (10, 15), "b": (10, 15)},
    ),
)

MOVEMENT = (
    _one("embedding", (6, 6), _node("Gather", "w,i"), {"i": (9,)}, {"w": (100, 16)}, rows={"i": 100}),
    _one("embedding, int64 indices", (6, 6), _node("Gather", "w,i"), {"i": (2, 7)}, {"w": (60, 12)}, rows={"i": 60}, types={"i": "int64"}),
    _one("choice by bools", (5, 5), _node("Where", "c,x,z"), {"c": (9, 11), "x": (9, 11), "z": (1, 11)}, rows={"c": 2}, types={"c": "bool"}),
    _one("comparison to bools", (5, 5), _node("Greater", "x,z"), {"x": (9, 11), "z": (9, 1)}),
    _one("sum of int64", (4, 4), _node("Add", "i,j"), {"i": (7, 9), "j": (9,)}, rows={"i": 2**23, "j": 2**23}, types={"i": "int64", "j": "int64"}),
    _one("gather of columns", (5, 4), _node("Gather", "x,i", axis=1), {"x": (6, 30), "i": (2, 5)}, rows={"i": 30}),
    _one("transpose", (5, 4), _node("Transpose", "x", perm=[2, 0, 1]), {"x": (5, 12, 7)}),
    _one("slice backwards", (4, 5), _node("Slice", "x,from,to,axes,steps"), {"x": (12, 25)}, constants={"from": _integers(-1, 1), "to": _integers(-13, 25), "axes": _integers(0, 1), "steps": _integers(-1, 3)}),
    _one("pad", (4, 4), _node("Pad", "x,pads,value"), {"x": (7, 9)}, constants={"pads": _integers(2, 0, 1, 3), "value": np.array(-1.5, np.float32)}),
    _one("pad by reflection", (4, 4), _node("Pad", "x,pads", mode="reflect"), {"x": (9, 12)}, constants={"pads": _integers(2, 3, 2, 4)}),
    _one("concat", (5, 5), _node("Concat", "a,b,c", axis=-1), {"a": (8, 5), "b": (8, 9), "c": (8, 3)}),
    _one("expand", (4, 5), _node("Expand", "x,shape"), {"x": (7, 1, 6)}, constants={"shape": _integers(7, 5, 6)}),
    _one("depth to space", (4, 4), _node("DepthToSpace", "x", blocksize=2), {"x": (1, 8, 5, 6)}),
    _one("resize, nearest", (5, 5), _node("Resize", "x,,scales", mode="nearest"), {"x": (1, 3, 7, 7)}, constants={"scales": _numbers(1, 1, 2, 2)}),
    _one("resize, linear", (5, 5), _node("Resize", "x,,scales", mode="linear"), {"x": (1, 3, 6, 8)}, constants={"scales": _numbers(1, 1, 2, 1.5)}),
)  # fmt: skip

CONFIGURATIONS: tuple[Configuration, ...] = (
    *PRODUCTS,
    *WINDOWS,
    *STATISTICS,
    *ATTENTION,
    *ELEMENTWISE,
    *MOVEMENT,
)
