"""Compile the compiled functions ahead of their first use: `python -m wsec.warm_up`, which `make install` runs.

The searches are run on toy problems. Then small networks are compiled, checked and simulated, as users do it: that reaches the
compiled functions of deliveries, of the plan checker and of the simulator with the types that they are called with.
What numba compiles is kept on disk: this takes a minute or two once, and seconds afterwards.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import wsec
from wsec.compiler.warm_up import warm_up as warm_up_searches

_REGION = (9, 7)  # divides nothing evenly: words are dealt, exchanged and reduced
_OPSET, _IR_VERSION = 17, 8


def warm_up() -> None:
    """Run every compiled function once."""
    warm_up_searches()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "toy.onnx"
        onnx.save(_toy_network(), model)
        plan = wsec.compile(model, target="mesh16", region=_REGION, effort=0, fabric="full")
        for threads in (1, 2):
            plan.simulate(threads=threads)


def _toy_network() -> onnx.ModelProto:
    """A convolution, whose windows share a halo, a pooling, a sum along one axis, and a matrix product."""
    rng = np.random.default_rng(0)
    shapes = {"w": (4, 3, 3, 3), "v": (4, 4, 3, 3), "m": (36, 20)}
    weights = [
        numpy_helper.from_array(rng.standard_normal(shape, dtype=np.float32), name)
        for name, shape in shapes.items()
    ]
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("Conv", ["b", "v"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["b", "c"], ["d"]),
        helper.make_node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["e"], ["f"]),
        helper.make_node("MatMul", ["f", "m"], ["g"]),
        helper.make_node("Softmax", ["g"], ["y"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", (1, 3, 6, 6)), ("y", (1, 20)))
    ]
    graph = helper.make_graph(nodes, "toy", values[:1], values[1:], weights)
    opsets = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)


if __name__ == "__main__":
    warm_up()
    sys.exit()
