"""The lowered model of a plan folder: its constants, read when they are asked for, and its nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.compiler.lowered_model_file import read_lowered_model, unreadable
from wsec.runtime.node_sessions import NodeSessions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    import onnx

    from wsec.runtime.element_types import Array


class LoweredModel:
    """Answers what a runtime may know of the model: weights by name, nodes by name, shapes of values.

    Attributes:
        sessions: Runs single nodes in the operator sets of this model.

    Raises:
        WsecError: WSEC567 the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._model = read_lowered_model(path)
        self._nodes = {node.name: node for node in self._model.graph if node.name}
        self._shapes = {value.name: value.shape for value in _values(self._model.graph)}
        self._constants: dict[str, Array] = {}
        functions = [ir.serde.serialize_function(item) for item in self._model.functions.values()]
        self.sessions = NodeSessions(self._model.opset_imports, self._model.ir_version, functions)

    def is_initializer(self, name: str) -> bool:
        """Whether the model holds a weight of that name."""
        return name in self._model.graph.initializers

    def constant(self, name: str) -> Array:
        """The weight of that name; external data is mapped into memory.

        Raises:
            KeyError: There is none.
            WsecError: WSEC567 its data cannot be read.
        """
        if name not in self._constants:
            tensor = self._model.graph.initializers[name].const_value
            if tensor is None:
                raise KeyError(name)
            try:
                self._constants[name] = _data_of(tensor)
            except (OSError, ValueError) as error:
                raise unreadable(
                    f"{self._path}, weight {name}", f"{type(error).__name__}: {error}"
                ) from error
        return self._constants[name]

    def nodes(self, names: tuple[str, ...]) -> list[onnx.NodeProto]:
        """The nodes of these names.

        Raises:
            KeyError: There is none.
            WsecError: WSEC567 one is damaged.
        """
        try:
            return [ir.serde.serialize_node(self._nodes[name]) for name in names]
        except ir.serde.SerdeError as error:
            raise unreadable(str(self._path), f"{type(error).__name__}: {error}") from error

    def node_names(self) -> Iterator[str]:
        """Names of the nodes in the order of the graph."""
        return iter(self._nodes)

    def signature(self, name: str) -> tuple[tuple[str, ...], dict[str, str]]:
        """What a node reads, its subgraphs included, and what it writes with element types."""
        node = self._nodes[name]
        read = [value for value in node.inputs if value is not None]
        read += [value for value in _captured(node) if value not in read]
        written = [value for value in node.outputs if value.name]
        return (
            tuple(value.name or "" for value in read),
            {value.name or "": value.dtype.numpy().name if value.dtype else "" for value in written},
        )

    def run_node(self, name: str, operands: Mapping[str, Array]) -> dict[str, Array]:
        """What a node gives for these operands, by name; text, sequences and optionals included.

        Raises:
            KeyError: The model has no such node, or an operand is missing.
            SESSION_ERRORS: Neither onnxruntime nor the reference can run it.
        """
        read, written = self.signature(name)
        node = self._nodes[name]
        others = {
            value.name or "": _type_of(value)
            for value in (*node.inputs, *_captured(node), *node.outputs)
            if value is not None and value.name and not _is_numeric(value)
        }
        given = {operand: operands[operand] for operand in read}
        results = self.sessions.run_nodes(self.nodes((name,)), given, written, others)
        return dict(zip(written, results, strict=True))

    def value_shape(self, name: str) -> tuple[int, ...]:
        """Shape of the value of that name. Raises KeyError where there is none or its shape is not known."""
        shape = self._shapes[name]
        if shape is None or not shape.is_static():
            raise KeyError(f"the shape of {name} is not known")
        return tuple(int(extent) for extent in shape.numpy())


def _data_of(tensor: ir.TensorProtocol) -> Array:
    """The elements of a constant; text as objects, as onnxruntime takes it."""
    if not isinstance(tensor, ir.StringTensor):
        return tensor.numpy()
    texts = [text.decode() for text in tensor.string_data()]
    return np.array(texts, dtype=object).reshape(tensor.shape.numpy())


def _values(graph: ir.Graph) -> Iterator[ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _is_numeric(value: ir.Value) -> bool:
    return isinstance(value.type, ir.TensorType) and value.dtype != ir.DataType.STRING


def _type_of(value: ir.Value) -> onnx.TypeProto | None:
    """The type alone; None where there is no word for it."""
    if value.type is None:
        return None
    return ir.serde.serialize_value(ir.Value(name="value", type=value.type)).type


def _captured(node: ir.Node) -> list[ir.Value]:
    """Values of the outer graph that the subgraphs of a node read."""
    inner = [
        inside
        for attribute in node.attributes.values()
        if attribute.type in {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}
        for graph in (
            attribute.as_graphs() if attribute.type == ir.AttributeType.GRAPHS else [attribute.as_graph()]
        )
        for inside in _subgraph_reads(graph)
    ]
    return [value for value in dict.fromkeys(inner) if value.graph is node.graph]


def _subgraph_reads(graph: ir.Graph) -> Iterator[ir.Value]:
    for node in graph.all_nodes():
        yield from (value for value in node.inputs if value is not None)
    yield from graph.outputs
