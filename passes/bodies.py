"""Copies the bodies of If, Loop and Scan into the graph that their node stands in.

Names stay traceable: what `conv1` of the body was is called `if_node/then/conv1`; scopes that both names begin
with are said once, and a number is put behind what would be taken. Weights of a body are moved once, however many copies read them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from wsec.compiler.kernels.unsplit import subgraphs
from wsec.compiler.walks import all_graphs, all_nodes, inner_graphs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wsec.passes.rewriting import Array

_WEIGHT_BYTES = 1 << 10
"""From here on a constant is a weight, and not an axis or a shape that inference has to see in its body."""


def bodies_of(node: ir.Node) -> list[ir.Graph]:
    """The graphs among the attributes of a node, in order."""
    return [graph for attribute in node.attributes.values() for graph in subgraphs(attribute)]


class BodyInliner:
    """Puts copies of bodies, and what joins them, in front of nodes of one model.

    Attributes:
        modified: Set by every method that changes the model.
    """

    def __init__(self, model: ir.Model) -> None:
        self.modified = False
        self._taken = set(_names(model))
        self._numbers: dict[str, int] = {}
        self._weights: dict[tuple[ir.Graph, int], ir.Value] = {}

    def copy(
        self, node: ir.Node, body: ir.Graph, given: Sequence[ir.Value], stem: str, *, shapes: bool
    ) -> tuple[list[ir.Value], list[ir.Node]]:
        """Copy the nodes of `body` in front of `node`.

        Args:
            node: The node whose attribute the body is.
            body: It stays as it is.
            given: What the copy reads in place of the inputs of the body.
            stem: What names of the copy begin with, before a slash.
            shapes: Whether the copy keeps the shapes of the body; those of a loop need not hold in each step.

        Returns:
            What the outputs of the body are in the copy, and the nodes of the copy.
        """
        copy = body.clone(allow_outer_scope_values=True)
        outputs = list(copy.outputs)
        copy.outputs.clear()
        inside = dict(zip(copy.inputs, given, strict=True))
        for graph in [copy, *inner_graphs(copy)]:
            inside |= self._move_weights(node, graph)
        for value, outer in inside.items():
            value.replace_all_uses_with(outer)
        nodes = list(copy)
        for inner in all_nodes(copy):
            inner.name = self.unique(f"{stem}/{_local(inner.name or inner.op_type, node)}")
            if not shapes:
                for value in inner.outputs:
                    value.shape = None
        for inner in nodes:
            for value in inner.outputs:
                if value.name:
                    value.name = self.unique(f"{stem}/{_local(value.name, node)}")
        copy.remove(nodes)
        _graph(node).insert_before(node, nodes)
        self.modified = True
        return [inside.get(value, value) for value in outputs], nodes

    def constant(self, node: ir.Node, name: str, array: Array, dtype: ir.DataType | None = None) -> ir.Value:
        """A new initializer of the graph that `node` stands in."""
        name = self.unique(name)
        return self._register(_graph(node), name, ir.tensor(array, dtype=dtype, name=name))

    def insert(
        self,
        node: ir.Node,
        op_type: str,
        inputs: Sequence[ir.Value | None],
        name: str,
        attributes: Mapping[str, Any] | None = None,
        *,
        like: ir.Value | None = None,
        dtype: ir.DataType | None = None,
    ) -> ir.Value:
        """A new node in front of `node`, which has one output, of the shape of `like` and its type or `dtype`."""
        name = self.unique(name)
        created = ir.node(op_type, inputs, attributes=attributes, name=name)
        output = created.outputs[0]
        output.name = self.unique(f"{name}_output")
        if like is not None:
            output.type, output.shape = like.type, None if like.shape is None else like.shape.copy()
        if dtype is not None:
            output.type = ir.TensorType(dtype)
        _graph(node).insert_before(node, created)
        self.modified = True
        return output

    def replace(self, node: ir.Node, values: Sequence[ir.Value]) -> None:
        """Let the users of each output of `node` read the value at its place, and remove the node.

        An output of the graph keeps its name: a value that a node of this graph computes takes it over, any other,
        and one that has such a name already, is copied.
        """
        graph = _graph(node)
        named: dict[ir.Value, str | None] = {}
        for output, value in zip(node.outputs, values, strict=True):
            source = value
            if output.is_graph_output():
                producer = value.producer()
                alien = producer is None or producer.graph is not graph
                if alien or value.is_graph_output() or value in named:
                    source = self.insert(node, "Identity", [value], f"{node.name}/copy", like=value)
                named[source] = output.name
            output.replace_all_uses_with(source, replace_graph_outputs=True)
        graph.remove(node, safe=True)
        for source, name in named.items():
            source.name = name
        self.modified = True

    def lift_weights(self, node: ir.Node) -> None:
        """Move the weights in the bodies of a node that stays whole into its graph: a plan spreads and counts those."""
        for body in bodies_of(node):
            for graph in [body, *inner_graphs(body)]:
                for value, outer in self._move_weights(node, graph, _WEIGHT_BYTES).items():
                    value.replace_all_uses_with(outer)

    def unique(self, stem: str) -> str:
        """A name that nothing in the model has; from now on it is taken."""
        name = stem
        while name in self._taken:
            self._numbers[stem] = self._numbers.get(stem, 1) + 1
            name = f"{stem}_{self._numbers[stem]}"
        self._taken.add(name)
        return name

    def _move_weights(self, node: ir.Node, body: ir.Graph, least: int = 0) -> dict[ir.Value, ir.Value]:
        """For initializers of a body, of `least` bytes or more, those of the graph around it that hold the same tensors.

        One that a body gives away stays: what a body gives must be its own.
        """
        moved = {}
        for name, value in body.initializers.items():
            tensor = value.const_value
            if tensor is None or value.is_graph_output() or tensor.nbytes < least:
                continue
            key = (_graph(node), id(tensor))
            if key not in self._weights:
                new = self.unique(f"{node.name}/{_local(name, node)}")
                self._weights[key] = self._register(_graph(node), new, tensor)
            moved[value] = self._weights[key]
        for value in moved:
            del body.initializers[str(value.name)]
        return moved

    def _register(self, graph: ir.Graph, name: str, tensor: ir.TensorProtocol) -> ir.Value:
        value = ir.Value(
            name=name,
            type=ir.TensorType(tensor.dtype),
            shape=ir.Shape(tensor.shape.numpy()),
            const_value=tensor,
        )
        graph.register_initializer(value)
        self.modified = True
        return value


def int64(*values: int) -> Array:
    """A list of whole numbers, as ONNX wants axes and indices."""
    return np.array(values, dtype=np.int64)


def _local(name: str, node: ir.Node) -> str:
    """A name from a body of `node`, without the scopes that it shares with the node."""
    scope = (node.name or "").rpartition("/")[0]
    return name.removeprefix(f"{scope}/").lstrip("/")


def _graph(node: ir.Node) -> ir.Graph:
    graph = node.graph
    assert isinstance(graph, ir.Graph)  # noqa: S101 - a node of a model stands in a graph
    return graph


def _names(model: ir.Model) -> Iterator[str]:
    """The names of all nodes and values of all graphs."""
    for graph in all_graphs(model):
        yield from (value.name or "" for value in graph.inputs)
        yield from graph.initializers
        for node in graph:
            yield node.name or ""
            yield from (value.name or "" for value in node.outputs)
