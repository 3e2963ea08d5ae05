"""Checks that each node of a freshly decoded model is a use of its operator: how many operands, which attributes.

Works on the protobuf, before anything relies on an operand or an attribute being there. It judges operators of ai.onnx
that the model's opset has; `support` lists the others, and `operand_checks` looks at types and shapes.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import onnx

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

_ONNX_DOMAINS = frozenset({"", "ai.onnx"})
SHOWN = 20  # of a list of findings; a damaged model may have thousands


def check_nodes(proto: onnx.ModelProto) -> None:
    """Check every node, those of bodies and functions included.

    Raises:
        WsecError: WSEC119 lists every node that is no use of its operator.
    """
    findings = [
        *_findings(proto.graph.node, proto.opset_import, proto.ir_version),
        *(
            finding
            for function in proto.functions
            for finding in _findings(function.node, function.opset_import, proto.ir_version)
        ),
    ]
    if findings:
        raise misused(findings)


def misused(findings: Sequence[tuple[str, str, str]]) -> WsecError:
    """The error for operators that are used as ONNX forbids: of each its place, what was expected and found."""
    count = len(findings)
    rest = [f"and {count - SHOWN} more"] if count > SHOWN else []
    where, expected, found = (
        "\n".join([*dict.fromkeys(column[:SHOWN]), *rest]) for column in zip(*findings, strict=True)
    )
    return WsecError(
        "WSEC119",
        f"{count} operator{'s are' if count != 1 else ' is'} used in a way that ONNX forbids",
        where=where,
        expected=expected,
        found=found,
        hint="mend what built the model, or export it again",
    )


def _findings(
    nodes: Iterable[onnx.NodeProto], opsets: Iterable[onnx.OperatorSetIdProto], ir_version: int
) -> Iterator[tuple[str, str, str]]:
    versions = {"" if entry.domain == "ai.onnx" else entry.domain: entry.version for entry in opsets}
    if "" not in versions:
        return
    context = onnx.checker.C.CheckerContext()
    context.ir_version = min(max(ir_version, 3), onnx.IR_VERSION)
    context.opset_imports = versions
    sound: set[tuple[object, ...]] = set()
    for place, node in all_nodes(nodes, ""):
        if node.domain not in _ONNX_DOMAINS or not _is_current(node.op_type, versions[""]):
            continue
        form = (node.op_type, node.domain, tuple(map(bool, node.input)), tuple(map(bool, node.output)))
        if form in sound and not node.attribute:
            continue
        try:
            onnx.checker.check_node(_without_bodies(node), context)
        except onnx.checker.ValidationError as error:
            expected = f"{node.op_type} as ai.onnx {versions['']} defines it"
            yield place, expected, str(error).partition("\n")[0]
            continue
        missing = missing_operand(node, versions[""], frozenset())
        if missing is not None:
            yield place, f"an operand {missing}", "none"
        elif not node.attribute:
            sound.add(form)  # of nodes without attributes nothing else is checked


def missing_operand(node: onnx.NodeProto, version: int, absent: Collection[str]) -> str | None:
    """The name of a required operand that a node of ai.onnx leaves out, or that is one of the values `absent`."""
    if node.domain not in _ONNX_DOMAINS or not _is_current(node.op_type, version):
        return None
    for required, name in zip(_required(node.op_type, version), node.input, strict=False):
        if required and (not name or name in absent):
            return required
    return None


@cache
def _required(op_type: str, version: int) -> tuple[str, ...]:
    """The names of an operator's operands in order, empty for those that may be left out."""
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    formal = onnx.defs.get_schema(op_type, version, "").inputs
    return tuple(str(each.name) if each.option == single else "" for each in formal)


@cache
def _is_current(op_type: str, version: int) -> bool:
    """Whether the opset has the operator, and did not withdraw it."""
    return onnx.defs.has(op_type, version, "") and not onnx.defs.get_schema(op_type, version, "").deprecated


def all_nodes(nodes: Iterable[onnx.NodeProto], inside: str) -> Iterator[tuple[str, onnx.NodeProto]]:
    """The nodes and those of their bodies, each behind where it stands; `inside` says where the first ones do."""
    for index, node in enumerate(nodes):
        place = (
            f"{inside}node {index} {node.name!r} ({node.op_type})"
            if node.name
            else f"{inside}node {index} ({node.op_type})"
        )
        yield place, node
        for attribute in node.attribute:
            for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from all_nodes(body.node, f"{place}, {attribute.name}: ")


def _without_bodies(node: onnx.NodeProto) -> onnx.NodeProto:
    """The node with its bodies emptied: the checker of onnx would take what they read from outside for undefined."""
    if not any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute):
        return node
    copy = onnx.NodeProto(op_type=node.op_type, domain=node.domain, input=node.input, output=node.output)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            copy.attribute.add(
                name=attribute.name, type=attribute.type, g=onnx.GraphProto(name="body", node=())
            )
        elif not attribute.graphs:
            copy.attribute.append(attribute)
    return copy
