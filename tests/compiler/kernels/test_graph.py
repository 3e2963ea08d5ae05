"""The kernel graph of models at the edge of what has to be placed."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.importer import infer_shapes
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.kernels.graph import HOST_INDEX, build_kernel_graph

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


def _model(text: str) -> ir.Model:
    model = ir.serde.deserialize_model(onnx.parser.parse_model(f"{HEAD} {text}"))
    name_nodes(model)
    infer_shapes(model)
    return model


def test_an_output_given_twice_has_one_link() -> None:
    """Both entries are the same tensor: it leaves the wafer once."""
    model = _model("g (float[2] x) => (float[2] y, float[2] y) { y = Relu(x) }")
    links = build_kernel_graph(model, word_bytes=4).links
    assert [link.tensor for link in links if link.target == HOST_INDEX] == ["y"]


def test_no_node_is_called_host() -> None:
    """Links name the host as they name kernels."""
    model = ir.serde.deserialize_model(
        onnx.parser.parse_model(f"{HEAD} g (float[2] x) => (float[2] y) {{ [host] y = Relu(x) }}")
    )
    assert name_nodes(model)
    assert [node.name for node in model.graph] == ["host_1"]
    assert not name_nodes(model)


@pytest.mark.parametrize(
    ("outputs", "where", "found"),
    [
        ("float[2] x", "outputs x", "inputs and constants only"),
        ("", "the model has no outputs", "no operator that an output needs"),
    ],
)
def test_message_nothing_to_compute(outputs: str, where: str, found: str) -> None:
    """A model without operators is no malformed placement problem."""
    with pytest.raises(WsecError) as caught:
        build_kernel_graph(_model(f"g (float[2] x) => ({outputs}) {{ }}"), word_bytes=4)
    assert caught.value.exit_status is ExitStatus.MODEL
    assert str(caught.value) == (
        "error[WSEC117]: the model computes nothing\n"
        f"  where:    {where}\n"
        "  expected: an output that an operator computes from the inputs\n"
        f"  found:    {found}\n"
        "  try:      check that the model was exported with the inputs and outputs that you mean"
    )
