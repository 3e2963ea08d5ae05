"""The lowered model as the checker reads it: shapes, element types, nodes and their attributes, as plain values."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from wsec.compiler.lowered_model_file import read_lowered_model
from wsec.compiler.plan import TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx_ir

    from wsec.compiler.plan import Argument

_PLAIN_ATTRIBUTES = ("INT", "FLOAT", "STRING", "INTS", "FLOATS", "STRINGS")


@dataclass(frozen=True, slots=True)
class TensorFacts:
    """Shape and element type of a tensor, in numpy's words."""

    shape: tuple[int, ...]
    dtype: str

    @property
    def elements(self) -> int:
        """How many elements it holds."""
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class OperatorFacts:
    """A node: names of its tensors (empty for an optional one not given), attributes that are plain values.

    `captured` are tensors of the outer graph that its subgraphs use.
    """

    name: str
    op_type: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Argument]
    captured: tuple[str, ...]

    @property
    def qualified_name(self) -> str:
        """The operator with its domain, `domain.Name`; of `ai.onnx` the name alone."""
        return f"{self.domain}.{self.op_type}" if self.domain else self.op_type

    def input(self, index: int) -> str:
        """Name of the input at `index`, empty where it is not given."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def integer(self, name: str, default: int) -> int:
        """An integer attribute."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, int) else default

    def integers(self, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
        """A list of integers."""
        value = self.attributes.get(name, default)
        return tuple(int(item) for item in value) if isinstance(value, tuple) else default

    def text(self, name: str, default: str) -> str:
        """A string attribute."""
        value = self.attributes.get(name, default)
        return value if isinstance(value, str) else default


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What the checker needs of the lowered model.

    Attributes:
        inputs: Names of the inputs that are not initializers.
        outputs: Names of the outputs.
        tensors: Every tensor of the main graph whose shape and type are known.
        initializers: Names of the initializers, each with its value where it was given.
        operators: The nodes in the model's order.
        by_name: The same by name.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tensors: dict[str, TensorFacts]
    initializers: dict[str, onnx_ir.TensorProtocol | None]
    operators: tuple[OperatorFacts, ...]
    by_name: dict[str, OperatorFacts]

    def operator(self, name: str) -> OperatorFacts | None:
        """The node of that name; None where the model has none."""
        return self.by_name.get(name)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor. Raises KeyError where it is not known."""
        return self.tensors[name].shape

    def numbers(self, name: str) -> tuple[float, ...] | None:
        """The elements of a small constant; None where the tensor is not a constant that was given."""
        tensor = self.initializers.get(name)
        return None if tensor is None else tuple(tensor.numpy().reshape(-1).tolist())


def read_model(lowered: onnx_ir.Model | Path) -> ModelFacts:
    """The facts of a model, of a model file, or of the `model.onnx` in a plan folder.

    Raises:
        WsecError: WSEC567 the file cannot be read.
    """
    if isinstance(lowered, Path):
        lowered = read_lowered_model(lowered / "model.onnx" if lowered.is_dir() else lowered)
    graph = lowered.graph
    operators = tuple(_operator(node) for node in graph)
    initializers = {value.name or "": value.const_value for value in graph.initializers.values()}
    return ModelFacts(
        inputs=tuple(value.name or "" for value in graph.inputs if value.name not in initializers),
        outputs=tuple(value.name or "" for value in graph.outputs),
        tensors={value.name or "": facts for value in _values(graph) if (facts := _tensor(value))},
        initializers=initializers,
        operators=operators,
        by_name={operator.name: operator for operator in operators},
    )


def item_bytes(dtype: str) -> int:
    """Bytes of an element in core memory; types under a byte take one."""
    bits = re.match(r"[a-z]+(\d+)", dtype)
    return max(1, int(bits[1]) // 8) if bits else 1


def packed_bytes(elements: int, dtype: str) -> int:
    """Bytes of so many weights; two of four bits share a byte."""
    return -(-elements // 2) if re.fullmatch(r"u?int4|float4_\w+", dtype) else elements * item_bytes(dtype)


def _values(graph: onnx_ir.Graph) -> Iterator[onnx_ir.Value]:
    yield from graph.inputs
    yield from graph.initializers.values()
    for node in graph:
        yield from node.outputs


def _tensor(value: onnx_ir.Value) -> TensorFacts | None:
    if value.shape is None or value.dtype is None or not value.shape.is_static():
        return None
    if type(value.type).__name__ != "TensorType":  # the shape is that of a sequence's elements
        return None
    dtype = TEXT if value.dtype.name == "STRING" else str(value.dtype.numpy())
    return TensorFacts(tuple(int(extent) for extent in value.shape.numpy()), dtype)


def _operator(node: onnx_ir.Node) -> OperatorFacts:
    return OperatorFacts(
        name=node.name or "",
        op_type=node.op_type,
        domain="" if node.domain == "ai.onnx" else node.domain,
        inputs=tuple("" if value is None else value.name or "" for value in node.inputs),
        outputs=tuple(value.name or "" for value in node.outputs),
        attributes={
            name: _plain(attribute)
            for name, attribute in node.attributes.items()
            if attribute.type.name in _PLAIN_ATTRIBUTES
        },
        captured=_captured(node),
    )


def _plain(attribute: onnx_ir.Attr) -> Argument:
    value = attribute.value
    return tuple(value) if isinstance(value, list | tuple) else value


def _captured(node: onnx_ir.Node) -> tuple[str, ...]:
    """Tensors of the main graph used anywhere inside the node's subgraphs, in order of first use."""
    names: dict[str, None] = {}
    for attribute in node.attributes.values():
        graphs = {"GRAPH": [attribute.value], "GRAPHS": attribute.value}.get(attribute.type.name, [])
        for graph in graphs:
            used = [value for inside in graph.all_nodes() for value in inside.inputs] + list(graph.outputs)
            names.update(
                {value.name or "": None for value in used if value is not None and _is_outer(value, node)}
            )
    return tuple(names)


def _is_outer(value: onnx_ir.Value, node: onnx_ir.Node) -> bool:
    return value.graph is node.graph
