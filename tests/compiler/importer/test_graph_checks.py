"""Graphs that are none: names defined twice, too late or never, and opsets nobody knows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from wsec.compiler.importer import import_model
from wsec.compiler.importer.graph_checks import check_graph

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Refusal = Callable[[Callable[[], object]], str]

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'
NEWEST = onnx.defs.onnx_opset_version()


def test_a_value_defined_twice(model_file: Callable[[str], Path], refusal: Refusal) -> None:
    """Both definitions are named."""
    path = model_file(f"{HEAD} g (float[2] x) => (float[2] y) {{ y = Relu(x) \n y = Neg(x) }}")
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC109]: the name 'y' is defined twice\n"
        "  where:    output of node 1 (Neg)\n"
        "  expected: each name to be defined once (single assignment)\n"
        "  found:    'y' is already defined as output of node 0 (Relu)\n"
        "  try:      export the model again, or rename one of the two"
    )


def test_an_input_defined_twice(refusal: Refusal) -> None:
    """Two inputs of one name cannot be told apart by a caller."""
    proto = onnx.parser.parse_model(f"{HEAD} g (float[2] x) => (float[2] y) {{ y = Relu(x) }}")
    proto.graph.input.append(proto.graph.input[0])
    assert refusal(lambda: check_graph(proto)) == (
        "error[WSEC109]: the name 'x' is defined twice\n"
        "  where:    input\n"
        "  expected: each name to be defined once (single assignment)\n"
        "  found:    'x' is already defined as input\n"
        "  try:      export the model again, or rename one of the two"
    )


def test_a_value_nothing_defines(model_file: Callable[[str], Path], refusal: Refusal) -> None:
    """The nearest name is offered: most often one letter is wrong."""
    path = model_file(f"{HEAD} g (float[2] image) => (float[2] y) {{ [first] y = Relu(imge) }}")
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC110]: nothing defines the value 'imge'\n"
        "  where:    input of node 0 'first' (Relu)\n"
        "  expected: a graph input, an initializer or the output of an earlier node\n"
        "  found:    no such name\n"
        "  try:      perhaps 'image' was meant"
    )


def test_an_output_nothing_defines(refusal: Refusal) -> None:
    """Outputs of the model are checked like inputs of nodes."""
    proto = onnx.parser.parse_model(f"{HEAD} g (float[2] x) => (float[2] y) {{ y = Relu(x) }}")
    proto.graph.output[0].name = "zzz"
    assert refusal(lambda: check_graph(proto)) == (
        "error[WSEC110]: nothing defines the value 'zzz'\n"
        "  where:    output of graph 'g'\n"
        "  expected: a graph input, an initializer or the output of an earlier node\n"
        "  found:    no such name\n"
        "  try:      export the model again"
    )


def test_unsorted_nodes(model_file: Callable[[str], Path]) -> None:
    """They are sorted, which is said; what can stay where it is does."""
    path = model_file(
        f"{HEAD} g (float[2] x) => (float[2] y) {{ b = Abs(x) \n y = Add(a, b) \n a = Neg(x) }}"
    )
    imported = import_model(path, {})
    assert [node.op_type for node in imported.model.graph] == ["Abs", "Neg", "Add"]
    assert imported.notes == ("the nodes stand in no order that can be run; they are sorted",)


def test_a_cycle(model_file: Callable[[str], Path], refusal: Refusal) -> None:
    """A cycle shows as a use before the definition."""
    path = model_file(
        f"{HEAD} g (float[2] x) => (float[2] y) {{ a = Add(x, b) \n b = Neg(a) \n y = Neg(b) }}"
    )
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC110]: the value 'b' is used before it is computed\n"
        "  where:    input of node 0 (Add)\n"
        "  expected: nodes without a cycle\n"
        "  found:    'b' is computed by node 1 (Neg)\n"
        "  try:      export the model again; no order of the nodes is right"
    )


def test_bodies_see_what_is_defined_around_them(model_file: Callable[[str], Path]) -> None:
    """The branches of an If may read outer values and use the same names as each other."""
    path = model_file(
        f"""{HEAD} g (bool c, float[2] x) => (float[2] y) {{
        a = Neg(x)
        y = If (c) <then_branch = t () => (float[2] r) {{ r = Relu(a) }},
                    else_branch = e () => (float[2] r) {{ r = Abs(a) }}>
        }}"""
    )
    assert import_model(path, {}).model.graph.num_nodes() == 2


def test_a_body_is_checked_too(model_file: Callable[[str], Path], refusal: Refusal) -> None:
    """What a branch computes is not visible outside it."""
    path = model_file(
        f"""{HEAD} g (bool c, float[2] x) => (float[2] y) {{
        a = If (c) <then_branch = t () => (float[2] r) {{ r = Relu(x) }},
                    else_branch = e () => (float[2] r) {{ r = Abs(x) }}>
        y = Neg(r)
        }}"""
    )
    assert "nothing defines the value 'r'" in refusal(lambda: import_model(path, {}))


@pytest.mark.parametrize(("version", "known"), [(0, False), (7, True), (NEWEST, True), (NEWEST + 1, False)])
def test_opsets_this_installation_knows(refusal: Refusal, version: int, *, known: bool) -> None:
    """An opset of the future is refused with both numbers."""
    proto = onnx.parser.parse_model(f"{HEAD} g (float[2] x) => (float[2] y) {{ y = Relu(x) }}")
    proto.opset_import[0].version = version
    if known:
        check_graph(proto)
        return
    assert refusal(lambda: check_graph(proto)) == (
        "error[WSEC108]: the model uses an ONNX opset that this installation does not know\n"
        "  where:    opset_import\n"
        f"  expected: ai.onnx 1 to {NEWEST}\n"
        f"  found:    ai.onnx {version}\n"
        f"  try:      install a newer onnx package, or export the model with opset {NEWEST} or older"
    )


def test_a_missing_opset(refusal: Refusal) -> None:
    """Without an opset no operator has a meaning."""
    proto = onnx.parser.parse_model(f"{HEAD} g (float[2] x) => (float[2] y) {{ y = Relu(x) }}")
    proto.opset_import[0].domain = "com.microsoft"
    assert refusal(lambda: check_graph(proto)) == (
        "error[WSEC108]: the model does not say which ONNX opset it uses\n"
        "  where:    opset_import\n"
        f"  expected: an entry for the domain ai.onnx with a version up to {NEWEST}\n"
        "  found:    com.microsoft 21\n"
        "  try:      export the model again, naming the opset"
    )


def test_a_domain_without_opset(refusal: Refusal) -> None:
    """All operators of unknown domains are listed at once."""
    proto = onnx.parser.parse_model(
        f"{HEAD} g (float[2] x) => (float[2] y) {{ a = Relu(x) \n b = Abs(a) \n y = Neg(b) }}"
    )
    proto.graph.node[0].domain = proto.graph.node[2].domain = "my.domain"
    assert refusal(lambda: check_graph(proto)) == (
        "error[WSEC108]: the model uses operators of domains that it gives no opset\n"
        "  where:    node 0 (Relu): domain my.domain\n"
        "            node 2 (Neg): domain my.domain\n"
        "  expected: an entry in opset_import for each domain\n"
        "  found:    ai.onnx\n"
        "  try:      export the model again, naming the opset of my.domain"
    )


def test_an_input_without_a_name(refusal: Refusal) -> None:
    """Nothing could be bound to it, and no message could name it."""
    proto = onnx.parser.parse_model(f"{HEAD} g (float[2] x) => (float[2] y) {{ y = Relu(x) }}")
    proto.graph.input[0].name = ""
    assert refusal(lambda: check_graph(proto)) == (
        "error[WSEC110]: an input of the model has no name\n"
        "  where:    input 0 of graph 'g'\n"
        "  expected: a name, by which nodes read it\n"
        "  found:    an empty name\n"
        "  try:      export the model again, or name the input"
    )


@pytest.mark.parametrize(
    ("name", "where"),
    [
        (b"named_graph", "the name of the graph"),
        (b"named_input", "an input or output"),
        (b"named_node", "node 0"),
    ],
)
def test_a_name_that_is_no_text(refusal: Refusal, name: bytes, where: str) -> None:
    """Protobuf lets damaged names through as bytes."""
    proto = onnx.parser.parse_model(
        f"{HEAD} named_graph (float[2] named_input) => (float[2] y) {{ y = Relu(named_input) }}"
    )
    proto.graph.node[0].name = "named_node"
    broken = b"\xbc" + name[1:]
    damaged = onnx.ModelProto.FromString(proto.SerializeToString().replace(name, broken))
    assert refusal(lambda: check_graph(damaged)) == (
        "error[WSEC102]: the file is not a valid ONNX model\n"
        f"  where:    {where}\n"
        "  expected: names in UTF-8\n"
        f"  found:    {broken!r}\n"
        "  try:      fetch or copy the file again, or export the model again"
    )
