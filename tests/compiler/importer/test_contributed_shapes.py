"""Shapes of com.microsoft operators are those that onnxruntime gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import helper, numpy_helper

from wsec.compiler.importer import infer_shapes, inputs_deciding_shapes
from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.onnxruntime_session import make_session, run_session

HEADS, GROUPS, SIZE = 4, 2, 8


def _model(rows: int, held: int, lengths: int | None, total: int | None) -> onnx.ModelProto:
    """One GroupQueryAttention; lengths and total are constants, or inputs where None."""
    shapes = {
        "q": [1, rows, HEADS * SIZE],
        "k": [1, rows, GROUPS * SIZE],
        "v": [1, rows, GROUPS * SIZE],
        "pk": [1, GROUPS, held, SIZE],
        "pv": [1, GROUPS, held, SIZE],
    }
    inputs = [helper.make_tensor_value_info(name, 1, shape) for name, shape in shapes.items()]
    constants = []
    for name, number, shape in (("lengths", lengths, [1]), ("total", total, [])):
        if number is None:
            inputs.append(helper.make_tensor_value_info(name, int(ir.DataType.INT32), shape))
        else:
            constants.append(numpy_helper.from_array(np.full(shape, number, np.int32), name))
    names = [*shapes, "lengths", "total"]
    options: dict[str, Any] = {"num_heads": HEADS, "kv_num_heads": GROUPS}
    node = helper.make_node(
        "GroupQueryAttention", names, ["y", "a", "b"], "n", domain="com.microsoft", **options
    )
    graph = helper.make_graph([node], "g", inputs, [onnx.ValueInfoProto(name=n) for n in "yab"], constants)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


@pytest.mark.parametrize("known", ["both", "total"])
@pytest.mark.parametrize(
    ("rows", "held", "count"),
    [(1, 12, 7), (1, 6, 7), (3, 12, 9), (5, 0, 5)],
    ids=["room", "full", "chunk", "prompt"],
)
def test_present_keys_of_a_buffer(rows: int, held: int, count: int, known: str) -> None:
    """A buffer with room keeps its length; a full one grows by what is new."""
    proto = _model(rows, held, count - 1 if known == "both" else None, count)
    model = ir.from_proto(proto)
    infer_shapes(model)
    rng = np.random.default_rng(1)
    given = {"lengths": np.array([count - 1], np.int32), "total": np.array(count, np.int32)}
    feeds = {
        value.name: given[value.name]
        if value.name in given
        else rng.standard_normal(value.shape.numpy()).astype(np.float32)
        for value in model.graph.inputs
        if value.name is not None and value.shape is not None
    }
    expected = run_session(make_session(proto.SerializeToString()), feeds)
    assert [static_shape(value) for value in model.graph.outputs] == [array.shape for array in expected]


def test_present_keys_of_unknown_number_have_no_shape() -> None:
    """How many count is an input: it is named, and nobody's guess takes its place."""
    model = ir.from_proto(_model(1, 12, None, None))
    infer_shapes(model)
    assert static_shape(model.graph.outputs[1]) is None
    assert inputs_deciding_shapes(model) == ("total",)
