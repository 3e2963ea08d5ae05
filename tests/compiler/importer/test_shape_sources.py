"""Shapes that follow the values of inputs, or the data: found, said, and decided by nobody's guess."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
import pytest

from wsec.compiler.importer import (
    check_supported,
    import_model,
    infer_shapes,
    inputs_deciding_shapes,
    shape_oracle,
)
from wsec.compiler.importer.shapes import unshaped_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


def _inferred(graph: str) -> ir.Model:
    model = ir.from_proto(onnx.parser.parse_model(f"{HEAD} {graph}"))
    infer_shapes(model)
    return model


@pytest.mark.parametrize(
    ("graph", "deciding"),
    [
        ("g (float[2, 3] x, int64[1] axes) => (float[] y) { y = ReduceSum(x, axes) }", ("axes",)),
        ("g (float[6] x, int64[2] parts) => (float[] y, float[] z) { y, z = Split(x, parts) }", ("parts",)),
        ("g (float[1, 3, 1] x, int64[1] axes) => (float[] y) { y = Squeeze(x, axes) }", ("axes",)),
        (
            "g (int64[1] b, float[4] x, int64[1] a) => (float[] y) { s = Concat<axis=0>(a, b) \n y = Reshape(x, s) }",
            ("b", "a"),
        ),
        ("g (float[2, 3] x, float[2, 3] w) => (float[] y) { s = Shape(w) \n y = Reshape(x, s) }", ()),
        ("g (float[2, 3] x) => (int64[] y) { y = NonZero(x) }", ()),
    ],
)
def test_inputs_that_decide_a_shape_are_named(graph: str, deciding: tuple[str, ...]) -> None:
    """Those whose values reach a shape operand, in the order of the model; neither mere shapes nor data count."""
    assert inputs_deciding_shapes(_inferred(graph)) == deciding


@pytest.mark.parametrize(
    "graph",
    [
        "g (float[6] x, int64[2] parts) => (float[] y, float[] z) { y, z = Split(x, parts) }",
        "g (float[1, 3, 1] x, int64[1] axes) => (float[] y) { a = Squeeze(x, axes) \n y = Relu(a) }",
        "g (float[2, 3] x, int64[1] axes) => (float[] y) { y = ReduceMax<keepdims=0>(x, axes) }",
        """g (float[1, 4, 4] b, float[1, 1, 4] s, int64[1] n) => (int64[] y) {
        a = NonMaxSuppression(b, s, n) \n y = Add(a, a) }""",
    ],
)
def test_nobody_guesses_a_shape_that_follows_values(graph: str) -> None:
    """Neither inference nor runs that happen to agree: the plan would be wrong for the next input."""
    model = _inferred(graph)
    opened = [value.name for value in unshaped_values(model)]
    assert opened
    assert not shape_oracle(model)
    assert [value.name for value in unshaped_values(model)] == opened


def test_the_message_names_the_inputs_that_need_a_value(
    model_file: Callable[[str], Path], refusal: Callable[[Callable[[], object]], str]
) -> None:
    """Who exported axes as an input learns how to make them a constant."""
    path = model_file(f"{HEAD} g (float[2, 3] x, int64[1] axes) => (float[] y) {{ y = ReduceSum(x, axes) }}")
    model = import_model(path, {}).model
    assert refusal(lambda: check_supported(model)) == (
        "error[WSEC116]: the shape of 1 value cannot be known before the model runs\n"
        "  where:    ReduceSum (ReduceSum), output y: its shape is unknown\n"
        "  expected: one shape for every value that does not depend on the data\n"
        "  found:    1 value without\n"
        "  try:      sizes are inputs of the model: make constants of axes (initializers of the same names)"
    )


def test_a_value_for_the_input_closes_the_shape(tmp_path: Path) -> None:
    """An initializer of the same name is ONNX's way to give an input a value."""
    proto = onnx.parser.parse_model(
        f"{HEAD} g (float[2, 3] x, int64[1] axes) => (float[] y) {{ y = ReduceSum(x, axes) }}"
    )
    proto.graph.initializer.append(onnx.helper.make_tensor("axes", onnx.TensorProto.INT64, [1], [1]))
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    model = import_model(path, {}).model
    assert [value.name for value in model.graph.inputs] == ["x"]
    assert str(model.graph.outputs[0].shape) == "[2,1]"
