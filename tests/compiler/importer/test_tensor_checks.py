"""Tensors of a damaged file are refused where they are, before anything computes with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from wsec.compiler.importer import import_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Refusal = Callable[[Callable[[], object]], str]


_SHORT = "raw_data size (7 bytes) is too small for the declared shape and type (24 bytes required)."


def _model() -> onnx.ModelProto:
    """The sum of an input, a weight and a constant of six elements each."""
    graph = helper.make_graph(
        [
            helper.make_node(
                "Constant", [], ["c"], value=numpy_helper.from_array(np.ones((2, 3), np.float32))
            ),
            helper.make_node("Sum", ["x", "w", "c"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2, 3])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2, 3])],
        [numpy_helper.from_array(np.ones((2, 3), np.float32), "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])


@pytest.mark.parametrize(
    ("break_it", "found"),
    [
        (lambda tensor: tensor.ClearField("data_type"), "element type 0"),
        (lambda tensor: setattr(tensor, "data_type", 99), "element type 99"),
        (
            lambda tensor: setattr(tensor, "raw_data", tensor.raw_data[:7]),
            f"TensorProto (tensor name: w) {_SHORT}",
        ),
        (lambda tensor: tensor.dims.__setitem__(0, -2), "Negative dimension value (tensor name: w)"),
    ],
    ids=["no type", "unknown type", "short", "negative"],
)
def test_a_broken_weight(
    tmp_path: Path, refusal: Refusal, break_it: Callable[[onnx.TensorProto], None], found: str
) -> None:
    """A flipped bit must not reach the arithmetic of shapes and sizes."""
    model = _model()
    break_it(model.graph.initializer[0])
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC102]: the file is not a valid ONNX model\n"
        f"  where:    initializer 'w' in {path}\n"
        "  expected: a known element type, and the bytes that type and shape ask for\n"
        f"  found:    {found}\n"
        "  try:      fetch or copy the file again, or export the model again"
    )


def test_a_broken_constant(tmp_path: Path, refusal: Refusal) -> None:
    """Tensors also lie in attributes of nodes."""
    model = _model()
    model.graph.node[0].attribute[0].t.data_type = 77
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    message = refusal(lambda: import_model(path, {}))
    assert f"attribute 'value' of node 0 (Constant) in {path}" in message
    assert "element type 77" in message


@pytest.mark.parametrize(
    ("key", "value", "found"),
    [
        ("offset", "-4", "offset '-4' of the data in another file"),
        ("length", "many", "length 'many' of the data in another file"),
        ("location", "a\0b", "location 'a\\x00b'"),
    ],
)
def test_a_place_in_another_file_that_is_none(
    tmp_path: Path, refusal: Refusal, key: str, value: str, found: str
) -> None:
    """What the model says of its weights files is as little to be trusted as the rest."""
    model = _model()
    weight = model.graph.initializer[0]
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    for entry, text in ({"location": "w.bin"} | {key: value}).items():
        weight.external_data.add(key=entry, value=text)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    message = refusal(lambda: import_model(path, {}))
    assert f"initializer 'w' in {path}" in message
    assert f"  found:    {found}\n" in message
