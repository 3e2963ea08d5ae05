"""Checks that the graph of a freshly decoded model is a graph: names defined once, before they are used.

Works on the protobuf, before anything trusts it, in time linear in the nodes. It checks the names and the opsets,
not the attributes and types of operators: shape inference and onnxruntime judge those.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import onnx

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Sequence

_ONNX_DOMAINS = frozenset({"", "ai.onnx"})


def check_graph(proto: onnx.ModelProto) -> None:
    """Check opsets and names.

    Raises:
        WsecError: WSEC102 a name that is no text, WSEC108 opset missing or unknown, WSEC109 a name defined twice,
            WSEC110 a name used before or without its definition, or an input without one.
    """
    _check_ir_version(proto)
    _check_opsets(proto)
    _check_domains(proto)
    check_names(proto.graph, frozenset())


def _check_ir_version(proto: onnx.ModelProto) -> None:
    if proto.ir_version > onnx.IR_VERSION:
        raise WsecError(
            "WSEC108",
            "the model is of an IR version that this installation does not know",
            where="ir_version",
            expected=f"3 to {onnx.IR_VERSION}",
            found=str(proto.ir_version),
            hint="install a newer onnx package, or export the model with an older one",
        )


def _check_opsets(proto: onnx.ModelProto) -> None:
    versions = {entry.domain: entry.version for entry in proto.opset_import}
    newest = onnx.defs.onnx_opset_version()
    version = versions.get("", versions.get("ai.onnx"))
    uses_onnx = any(node.domain in _ONNX_DOMAINS for node in proto.graph.node)
    if version is None and uses_onnx:
        raise WsecError(
            "WSEC108",
            "the model does not say which ONNX opset it uses",
            where="opset_import",
            expected=f"an entry for the domain ai.onnx with a version up to {newest}",
            found=", ".join(f"{domain} {number}" for domain, number in versions.items()) or "no entry",
            hint="export the model again, naming the opset",
        )
    if version is not None and not 1 <= version <= newest:
        raise WsecError(
            "WSEC108",
            "the model uses an ONNX opset that this installation does not know",
            where="opset_import",
            expected=f"ai.onnx 1 to {newest}",
            found=f"ai.onnx {version}",
            hint=f"install a newer onnx package, or export the model with opset {newest} or older",
        )


def _check_domains(proto: onnx.ModelProto) -> None:
    """Every other domain of an operator has an opset too."""
    known = {entry.domain for entry in proto.opset_import} | _ONNX_DOMAINS
    unknown = [
        (_label(node, index), node.domain)
        for index, node in enumerate(proto.graph.node)
        if node.domain not in known
    ]
    if unknown:
        domains = ", ".join(dict.fromkeys(domain for _, domain in unknown))
        raise WsecError(
            "WSEC108",
            "the model uses operators of domains that it gives no opset",
            where="\n".join(f"{label}: domain {domain}" for label, domain in unknown),
            expected="an entry in opset_import for each domain",
            found=", ".join(entry.domain or "ai.onnx" for entry in proto.opset_import) or "no entry",
            hint=f"export the model again, naming the opset of {domains}",
        )


def check_names(graph: onnx.GraphProto, outer: frozenset[str]) -> None:
    """Check that names are text, defined once and before their use, through nested graphs.

    Args:
        graph: The graph.
        outer: Names that are visible from around it.

    Raises:
        WsecError: WSEC102, WSEC109, WSEC110.
    """
    _check_text(graph)
    defined: dict[str, str] = {}
    for kind, names in (
        ("input", [value.name for value in graph.input]),
        ("initializer", [tensor.name for tensor in graph.initializer]),
    ):
        for name in names:
            if not name and kind == "input":
                raise _unnamed(graph)
            # Up to IR version 3 an initializer had to be listed as an input too: that pair is no clash.
            if defined.get(name) in {None, "input"} and not (kind == "input" and name in defined):
                defined[name] = kind
            else:
                raise _defined_twice(name, defined[name], kind)
    for index, node in enumerate(graph.node):
        _check_node(graph, index, node, defined, outer)
    for output in graph.output:
        if output.name not in defined and output.name not in outer:
            raise _undefined(
                output.name, f"output of graph {graph.name!r}", graph, list(defined), len(graph.node)
            )


def _check_text(graph: onnx.GraphProto) -> None:
    """A damaged file may hold names that are not UTF-8, which protobuf gives as bytes."""
    for where, texts in (
        ("the name of the graph", [graph.name]),
        ("an input or output", [value.name for value in (*graph.input, *graph.output, *graph.value_info)]),
        ("an initializer", [tensor.name for tensor in graph.initializer]),
        *(
            (
                f"node {index}",
                [
                    node.name,
                    node.op_type,
                    node.domain,
                    *node.input,
                    *node.output,
                    *(a.name for a in node.attribute),
                ],
            )
            for index, node in enumerate(graph.node)
        ),
    ):
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None:
            raise WsecError(
                "WSEC102",
                "the file is not a valid ONNX model",
                where=where,
                expected="names in UTF-8",
                found=repr(wrong),
                hint="fetch or copy the file again, or export the model again",
            )


def _check_node(
    graph: onnx.GraphProto, index: int, node: onnx.NodeProto, defined: dict[str, str], outer: frozenset[str]
) -> None:
    for name in node.input:
        if name and name not in defined and name not in outer:
            raise _undefined(name, f"input of {_label(node, index)}", graph, list(defined), index)
    bodies = [
        body for attribute in node.attribute for body in ([attribute.g] if attribute.HasField("g") else [])
    ]
    bodies += [body for attribute in node.attribute for body in attribute.graphs]
    if bodies:
        visible = outer | defined.keys()
        for body in bodies:
            check_names(body, visible)
    for name in node.output:
        if name in defined:
            raise _defined_twice(name, defined[name], f"output of {_label(node, index)}")
        if name:
            defined[name] = f"output of {_label(node, index)}"


def _label(node: onnx.NodeProto, index: int) -> str:
    return f"node {index} {node.name!r} ({node.op_type})" if node.name else f"node {index} ({node.op_type})"


def _defined_twice(name: str, first: str, second: str) -> WsecError:
    return WsecError(
        "WSEC109",
        f"the name {name!r} is defined twice",
        where=second,
        expected="each name to be defined once (single assignment)",
        found=f"{name!r} is already defined as {first}",
        hint="export the model again, or rename one of the two",
    )


def _unnamed(graph: onnx.GraphProto) -> WsecError:
    return WsecError(
        "WSEC110",
        "an input of the model has no name",
        where=f"input {[value.name for value in graph.input].index('')} of graph {graph.name!r}",
        expected="a name, by which nodes read it",
        found="an empty name",
        hint="export the model again, or name the input",
    )


def _undefined(
    name: str, where: str, graph: onnx.GraphProto, defined: Sequence[str], position: int
) -> WsecError:
    later = next(
        (
            _label(node, index)
            for index, node in enumerate(graph.node[position:], position)
            if name in node.output
        ),
        None,
    )
    if later is not None:
        return WsecError(
            "WSEC110",
            f"the value {name!r} is used before it is computed",
            where=where,
            expected="nodes without a cycle",
            found=f"{name!r} is computed by {later}",
            hint="export the model again; no order of the nodes is right",
        )
    near = difflib.get_close_matches(name, defined, n=1)
    return WsecError(
        "WSEC110",
        f"nothing defines the value {name!r}",
        where=where,
        expected="a graph input, an initializer or the output of an earlier node",
        found="no such name",
        hint=f"perhaps {near[0]!r} was meant" if near else "export the model again",
    )
