"""Checks the structure of a model between passes and collects everything it finds.

It checks: each value is defined once in its scope, before its uses, by the node or graph it says; inputs of nodes and
outputs of graphs are defined; initializers have a value; nodes and values know their graph; each operator's domain
has an opset; named nodes have unique names. With `shapes=True` also that each value has an element type and a
static shape. It does not check attributes, or that shapes follow from operators: inference does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong with a model: where, what was expected there and what was found."""

    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, found {self.found}"


def verify_model(model: ir.Model, *, shapes: bool = False) -> tuple[Finding, ...]:
    """All findings, in the order of the graph; none for a sound model."""
    findings = list(_graph(model.graph, model, None))
    findings.extend(_node_names(model))
    if shapes:
        findings.extend(_shapes(model.graph))
    return tuple(findings)


Signature = tuple[tuple[str, ir.DataType | None], ...]


def signature_of(model: ir.Model) -> tuple[Signature, Signature]:
    """Inputs and outputs in order, with their names and element types, which no pass may change."""
    return _signature(model.graph.inputs), _signature(model.graph.outputs)


def verify_signature(model: ir.Model, before: tuple[Signature, Signature]) -> tuple[Finding, ...]:
    """A finding for inputs and for outputs that are not what they were; a type that was unknown may become known."""
    sides = zip(("inputs", "outputs"), before, signature_of(model), strict=True)
    return tuple(
        Finding(f"{side} of the model", _signed(old), _signed(new))
        for side, old, new in sides
        if not _agree(old, new)
    )


def _signature(values: Sequence[ir.Value]) -> Signature:
    return tuple((str(value.name), value.dtype) for value in values)


def _agree(old: Signature, new: Signature) -> bool:
    return len(old) == len(new) and all(
        name == other and (dtype is None or found is None or dtype == found)
        for (name, dtype), (other, found) in zip(old, new, strict=True)
    )


def _signed(signature: Signature) -> str:
    return (
        ", ".join(
            f"{name} ({'unknown' if dtype is None else dtype.name.lower()})" for name, dtype in signature
        )
        or "none"
    )


@dataclass(frozen=True, slots=True)
class _Scope:
    """What is defined at one point of a graph, with what its surrounding graphs had defined."""

    values: set[ir.Value]
    names: set[str]
    outer: _Scope | None = None

    def sees(self, value: ir.Value) -> bool:
        return value in self.values or (self.outer is not None and self.outer.sees(value))

    def has_name(self, name: str) -> bool:
        return name in self.names or (self.outer is not None and self.outer.has_name(name))

    def define(self, value: ir.Value, where: str) -> Iterator[Finding]:
        if not value.name:
            yield Finding(where, "a name for each value", "a value without one")
        elif self.has_name(value.name):
            yield Finding(where, "a name that is not taken", f"{value.name!r}, which is")
        self.names.add(value.name or "")
        self.values.add(value)


def _graph(graph: ir.Graph, model: ir.Model, outer: _Scope | None) -> Iterator[Finding]:
    scope = _Scope(set(), set(), outer)
    for value in graph.inputs:
        yield from scope.define(value, f"input {value.name!r} of graph {graph.name!r}")
    yield from _initializers(graph, scope)
    for node in graph:
        yield from _node(node, graph, model, scope)
        for body in _bodies(node):
            yield from _graph(body, model, scope)
        for index, value in enumerate(node.outputs):
            if value.name or value.uses():
                yield from scope.define(value, f"{node_label(node)}, output {index}")
    for value in graph.outputs:
        if not scope.sees(value):
            yield Finding(
                f"output {value.name!r} of graph {graph.name!r}", "a defined value", "nothing defines it"
            )


def _initializers(graph: ir.Graph, scope: _Scope) -> Iterator[Finding]:
    for key, value in graph.initializers.items():
        where = f"initializer {key!r}"
        if value.const_value is None:
            yield Finding(where, "a constant value", "none")
        if value.name != key:
            yield Finding(where, f"the name {key!r}", repr(value.name))
        if not scope.sees(value):
            yield from scope.define(value, where)


def _node(node: ir.Node, graph: ir.Graph, model: ir.Model, scope: _Scope) -> Iterator[Finding]:
    where = node_label(node)
    if node.graph is not graph:
        yield Finding(where, f"to belong to graph {graph.name!r}", "another graph")
    if node.domain not in model.opset_imports and node.op_identifier() not in model.functions:
        yield Finding(where, f"an opset for the domain {node.domain!r}", "none")
    for index, value in enumerate(node.inputs):
        if value is None or scope.sees(value):
            continue
        producer = value.producer()
        if producer is None or producer.graph is None:
            found = f"{value.name!r}, which nothing defines"
        else:
            found = f"{value.name!r}, computed later by {node_label(producer)}"
        yield Finding(f"{where}, input {index}", "a value defined before", found)


def _bodies(node: ir.Node) -> Iterator[ir.Graph]:
    for attribute in node.attributes.values():
        if attribute.is_ref():
            continue
        if attribute.type == ir.AttributeType.GRAPH:
            yield attribute.as_graph()
        elif attribute.type == ir.AttributeType.GRAPHS:
            yield from attribute.as_graphs()


def node_label(node: ir.Node) -> str:
    """Name and operator of a node; where it has no name, that of its first output."""
    if node.name:
        return f"node {node.name!r} ({node.op_type})"
    return f"node of {node.outputs[0].name!r} ({node.op_type})" if node.outputs else f"node ({node.op_type})"


def _node_names(model: ir.Model) -> Iterator[Finding]:
    seen: set[str] = set()
    for node in all_nodes(model.graph):
        if node.name and node.name in seen:
            yield Finding(node_label(node), "a name that is not taken", "a second node of this name")
        seen.add(node.name or "")


def _shapes(graph: ir.Graph) -> Iterator[Finding]:
    for node in graph:
        for value in node.outputs:
            if not value.name or not (value.type is None or isinstance(value.type, ir.TensorType)):
                continue
            where = f"{node_label(node)}, output {value.name!r}"
            if value.dtype is None:
                yield Finding(where, "an element type", "none")
            if static_shape(value) is None:
                yield Finding(where, "a static shape", "none" if value.shape is None else str(value.shape))
