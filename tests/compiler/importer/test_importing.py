"""The import as a whole: names, constants, defaults of inputs, and what other tools wrote."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
import pytest

from wsec.compiler.importer import import_model
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.importer.serialising import serialise_without_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Refusal = Callable[[Callable[[], object]], str]

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


@pytest.mark.parametrize(("ir_version", "noted"), [(3, False), (8, True)])
def test_an_input_with_a_default_is_a_constant(tmp_path: Path, ir_version: int, *, noted: bool) -> None:
    """Up to IR version 3 that was the only way to write a weight; later a caller might replace it, which is noted."""
    proto = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["" : 9]> g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> { y = Mul(x, w) }'
    )
    proto.ir_version = ir_version
    proto.graph.input.append(onnx.helper.make_tensor_value_info("w", onnx.TensorProto.FLOAT, [2]))
    path = tmp_path / "m.onnx"
    path.write_bytes(proto.SerializeToString())
    imported = import_model(path, {})
    assert [value.name for value in imported.model.graph.inputs] == ["x"]
    assert list(imported.model.graph.initializers) == ["w"]
    assert imported.notes == (("inputs with a default value are compiled as constants: w",) if noted else ())


def test_constants_become_initializers_and_nodes_get_names(model_file: Callable[[str], Path]) -> None:
    """One way for a constant to be there; and every operator can be spoken of."""
    path = model_file(
        f"{HEAD} g (float[2] x) => (float[2] y) {{ c = Constant<value_float = 2.0>() [n] a = Mul(x, c) y = Add(a, c) }}"
    )
    imported = import_model(path, {})
    assert imported.path == path
    assert imported.model.graph[0].name == "n"
    assert all(node.name for node in imported.model.graph)
    assert imported.model.graph.initializers["c"].const_value is not None


def test_names_are_unique_through_all_graphs() -> None:
    """Names that are unique stay, in bodies too; the others get numbers in the order of the graph."""
    model = ir.serde.deserialize_model(
        onnx.parser.parse_model(
            f"""{HEAD} g (float[2] x, bool c) => (float[2] y) {{ [same] a = Neg(x) [same] b = Neg(a) [same_1] d = Neg(b)
            [pick] y = If (c) <then_branch = t () => (float[2] r) {{ [same] r = Relu(d) }},
                               else_branch = e () => (float[2] r2) {{ [own] r2 = Abs(d) }}> }}"""
        )
    )
    assert name_nodes(model)
    assert [node.name for node in model.graph.all_nodes()] == [
        "same",
        "same_2",
        "same_1",
        "pick",
        "same_3",
        "own",
    ]
    assert not name_nodes(model)


def test_an_invalid_model_is_refused_with_its_cause(
    model_file: Callable[[str], Path], refusal: Refusal
) -> None:
    """What decodes and still breaks the specification ends in a message, not in a traceback."""
    path = model_file(f"{HEAD} g (float[2] x) => (float[2] y) {{ y = Relu(x) }}")
    proto = onnx.load(path)
    proto.graph.input[0].type.tensor_type.elem_type = 99
    path.write_bytes(proto.SerializeToString())
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC102]: the file is not a valid ONNX model\n"
        f"  where:    {path}\n"
        "  expected: a ModelProto that follows the ONNX specification\n"
        "  found:    99 is not a valid DataType\n"
        "  try:      export the model again; onnx.checker.check_model says more"
    )


def test_serialising_without_weights_leaves_the_model_as_it_was() -> None:
    """Large weights become inputs of the protobuf only."""
    model = ir.serde.deserialize_model(
        onnx.parser.parse_model(
            f"{HEAD} g (float[4] x) => (float[4] y) <float[4] big = {{1, 2, 3, 4}}, float s = {{2}}> "
            "{ a = Mul(x, big) y = Mul(a, s) }"
        )
    )
    before = ir.serde.serialize_model(model).SerializeToString()
    proto, weights = serialise_without_weights(model, kept_bytes=8)
    assert [value.name for value in proto.graph.input] == ["x", "big"]
    assert [tensor.name for tensor in proto.graph.initializer] == ["s"]
    assert list(weights) == ["big"]
    assert ir.serde.serialize_model(model).SerializeToString() == before
    assert [value.is_graph_input() for value in model.graph.initializers.values()] == [False, False]
