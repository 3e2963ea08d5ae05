"""Checks that the bodies of control flow take and give as many values as their operators hand over and expect.

Works on the protobuf: `node_checks` looks at the nodes in bodies, `operand_checks` at the types of conditions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.importer.node_checks import all_nodes, misused

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_SEQUENCE_LENGTHS_OPSET = 8  # the one in which Scan takes the lengths of its sequences first


def check_bodies(proto: onnx.ModelProto) -> None:
    """Check every If, Loop and Scan, those in bodies and functions included.

    Raises:
        WsecError: WSEC119 lists those whose bodies have other numbers of inputs or outputs.
    """
    opset = next((entry.version for entry in proto.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    scopes = [proto.graph.node, *(function.node for function in proto.functions)]
    findings = [
        (f"{place}, {name}", f"{wanted} {what}", str(found))
        for nodes in scopes
        for place, node in all_nodes(nodes, "")
        if node.op_type in _CONTROL_FLOW and node.domain in {"", "ai.onnx"}
        for name, what, wanted, found in _counts(node, opset)
        if wanted != found
    ]
    if findings:
        raise misused(findings)


def _counts(node: onnx.NodeProto, opset: int) -> Iterator[tuple[str, str, int, int]]:
    """Of each body its name, what is counted, how many there have to be and how many there are."""
    given, expected = len(node.input), len(node.output)
    if node.op_type == "If":
        given = 0
    elif node.op_type == "Loop":
        expected += 1  # its condition
    elif opset <= _SEQUENCE_LENGTHS_OPSET:
        given -= 1
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.name, "inputs", given, len(attribute.g.input)
            yield attribute.name, "outputs", expected, len(attribute.g.output)
