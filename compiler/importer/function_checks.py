"""Checks the model's own functions before anything expands them: defined once, not recursive, of bounded size.

A file of a few kilobytes may hold forty functions that each call the next one twice: inlined, more nodes than any memory holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.graph_checks import check_names
from wsec.compiler.importer.node_checks import missing_operand

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_MOST_NODES = 1 << 20  # 7 GB in memory; the largest models that are published have a tenth
_DEEPEST = 100  # what onnx's shape inference follows

_Key = tuple[str, str, str]


def check_functions(proto: onnx.ModelProto) -> None:
    """Check every function of the model.

    Raises:
        WsecError: WSEC121 a function is defined twice, calls itself, is nested too deeply, or expands to too many nodes;
            what `check_names` raises for the names inside of a function.
    """
    calls: dict[_Key, list[_Key]] = {}
    for function in proto.functions:
        key = (function.domain, function.name, function.overload)
        if key in calls:
            raise _wrong(f"function {_label(key)}", "each function to be defined once", "a second definition")
        calls[key] = [_key(node) for node in _nodes(function.node)]
        check_names(_as_graph(function), frozenset())
        newest = onnx.defs.onnx_opset_version()
        for entry in function.opset_import:
            if entry.domain in {"", "ai.onnx"} and not 1 <= entry.version <= newest:
                found = f"ai.onnx {entry.version}"
                raise _wrong(f"function {_label(key)}, opset_import", f"ai.onnx 1 to {newest}", found)
    by_key = dict(zip(calls, proto.functions, strict=True))
    for scope in (proto.graph, *proto.functions):
        for node in _nodes(scope.node):
            if (called := by_key.get(_key(node))) is not None:
                _check_call(node, called, scope.name)
    sizes: dict[_Key, int] = {}
    total = sum(_expanded(_key(node), calls, sizes, ()) for node in _nodes(proto.graph.node))
    for key in calls:
        _expanded(key, calls, sizes, ())
    if calls and total > _MOST_NODES:
        found = f"{total:,} nodes once every call is replaced by its function"
        raise _wrong(f"graph {proto.graph.name!r}", f"at most {_MOST_NODES:,} nodes", found)


def _check_call(node: onnx.NodeProto, called: onnx.FunctionProto, scope: str) -> None:
    """A call may leave out operands, but none that a node of the function needs."""
    where = f"call {node.name!r} of function {_label(_key(node))} in {scope!r}"
    for what, given, declared in (
        ("operands", node.input, called.input),
        ("results", node.output, called.output),
    ):
        if len(given) > len(declared):
            raise _wrong(where, f"at most {len(declared)} {what}", str(len(given)))
    version = next((entry.version for entry in called.opset_import if entry.domain in {"", "ai.onnx"}), None)
    absent = {
        name for slot, name in enumerate(called.input) if slot >= len(node.input) or not node.input[slot]
    }
    if version is None or not absent:
        return
    for inner in called.node:
        if missing_operand(inner, version, absent) is not None:
            missing = next(name for name in inner.input if name in absent)
            raise _wrong(where, f"an operand {missing}, which its {inner.op_type} needs", "none")


def _as_graph(function: onnx.FunctionProto) -> onnx.GraphProto:
    return onnx.GraphProto(
        name=function.name,
        input=[onnx.ValueInfoProto(name=name) for name in function.input],
        output=[onnx.ValueInfoProto(name=name) for name in function.output],
        node=function.node,
    )


def _expanded(
    key: _Key, calls: dict[_Key, list[_Key]], sizes: dict[_Key, int], path: tuple[_Key, ...]
) -> int:
    """How many nodes a call becomes."""
    if key not in calls:
        return 1
    if key in path:
        shown = " -> ".join(_label(item) for item in (*path[path.index(key) :], key))
        raise _wrong(f"function {_label(key)}", "functions that do not call themselves", shown)
    if len(path) == _DEEPEST:
        raise _wrong(
            f"function {_label(path[0])}", f"calls at most {_DEEPEST} deep", "a longer chain of calls"
        )
    if key not in sizes:
        sizes[key] = sum(_expanded(called, calls, sizes, (*path, key)) for called in calls[key])
    return sizes[key]


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for body in [*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs]:
                yield from _nodes(body.node)


def _key(node: onnx.NodeProto) -> _Key:
    return (node.domain, node.op_type, node.overload)


def _label(key: _Key) -> str:
    return ".".join(part for part in key if part)


def _wrong(where: str, expected: str, found: str) -> WsecError:
    return WsecError(
        "WSEC121",
        "the model's functions cannot be expanded",
        where=where,
        expected=expected,
        found=found,
        hint="export the model again, or inline its functions before",
    )
