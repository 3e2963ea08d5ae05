"""Reads of a model file what the memory ledger needs: operators, weights by their declared sizes, inputs and outputs.

Nothing is lowered and no weight is read, so 100,000 operators take seconds. Shapes between operators come from onnx's
own inference; where operators of other domains leave some open and the model is small, from the importer's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from wsec.compiler.absent_weights import absent_files
from wsec.compiler.importer.dimensions import bind_dimensions
from wsec.compiler.importer.external_data import check_external_data
from wsec.compiler.importer.model_file import read_model_proto
from wsec.compiler.importer.shapes import infer_shapes
from wsec.compiler.importer.sparse_initializers import fill_sparse_initializers
from wsec.compiler.importer.tensor_checks import check_tensors
from wsec.compiler.original_model import sort_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_SEEN_BYTES = 1 << 10  # of weights whose values inference may need, as those of shapes
_MOST_FOR_IMPORTER = 5_000  # operators; the importer's inference takes a second for a thousand


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of which type and shape are known.

    Attributes:
        dtype: Element type.
        shape: Extents.
    """

    dtype: ir.DataType
    shape: tuple[int, ...]

    @property
    def elements(self) -> int:
        """How many."""
        return math.prod(self.shape)

    @property
    def bytes(self) -> int:
        """As ONNX stores it: two elements of 4 bits in a byte."""
        return math.ceil(self.elements * self.dtype.bitwidth / 8)


@dataclass(frozen=True, slots=True)
class Operator:
    """A node on which an output of the model depends; what its bodies read of outside is among its inputs."""

    name: str
    domain: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    numbers: dict[str, int]
    texts: dict[str, str]

    def input(self, index: int) -> str:
        """The name of an input; empty where it is not given."""
        return self.inputs[index] if index < len(self.inputs) else ""

    def is_a(self, kind: str, domain: str = "") -> bool:
        """Whether it is this operator."""
        return self.kind == kind and self.domain == domain


@dataclass(frozen=True, slots=True)
class Structure:
    """What the ledger knows of a model.

    Attributes:
        operators: In an order in which they can run, those that no output depends on left out.
        weights: Constant tensors by name, those of constant nodes and of bodies among them.
        tensors: What operators compute, and the inputs, as far as type and shape are known.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        absent: Files of weights that do not exist.
        notes: What was assumed of open dimensions.
    """

    operators: tuple[Operator, ...]
    weights: dict[str, Tensor]
    tensors: dict[str, Tensor]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    absent: tuple[str, ...]
    notes: tuple[str, ...]


def read_structure(path: Path, dims: Mapping[str, int]) -> Structure:
    """Read a model file; `dims` are sizes of open dimensions, by name or by `input:axis`.

    Raises:
        WsecError: WSEC101 to WSEC107 it is no model or its weights are broken, WSEC111 to WSEC113 dimensions without a size.
    """
    proto = read_model_proto(path)
    check_tensors(proto, path)
    fill_sparse_initializers(proto, path)
    sort_nodes(proto)
    frame, notes = _bind(proto, path, dims)
    weights = dict(_weights(proto.graph))
    operators = _needed(list(proto.graph.node), {value.name for value in proto.graph.output})
    constants = {tensor.name for tensor in proto.graph.initializer}
    return Structure(
        operators=operators,
        weights=weights,
        tensors=_inferred(_without_weights(proto)),
        inputs=tuple(value.name for value in proto.graph.input if value.name not in constants),
        outputs=tuple(value.name for value in proto.graph.output),
        absent=absent_files(frame),
        notes=notes,
    )


def _bind(proto: onnx.ModelProto, path: Path, dims: Mapping[str, int]) -> tuple[ir.Model, tuple[str, ...]]:
    """Give inputs and outputs of the protobuf the sizes of their dimensions; a model of inputs and weights, and notes."""
    outline = onnx.ModelProto(ir_version=proto.ir_version, opset_import=proto.opset_import)
    constants = {tensor.name for tensor in proto.graph.initializer}
    kept = [value for value in proto.graph.input if value.name not in constants]
    outline.graph.input.extend(kept)
    outline.graph.initializer.extend(
        tensor for tensor in proto.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL
    )
    frame = ir.serde.deserialize_model(outline)
    ir.external_data.set_base_dir(frame.graph, path.parent.resolve())
    check_external_data(frame, path)
    notes = bind_dimensions(frame, dims)
    sizes: dict[str, int] = {}
    for value, bound in zip(kept, frame.graph.inputs, strict=True):
        if bound.shape is None or not value.type.HasField("tensor_type"):
            continue
        shape = value.type.tensor_type.shape
        while len(shape.dim) < len(bound.shape):
            shape.dim.add()
        for dimension, size in zip(shape.dim, bound.shape, strict=True):
            if isinstance(size, int):
                if dimension.dim_param:
                    sizes[dimension.dim_param] = size
                dimension.dim_value = size
    for value in proto.graph.output:
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in sizes:
                dimension.dim_value = sizes[dimension.dim_param]
    return frame, notes


def _weights(graph: onnx.GraphProto) -> Iterator[tuple[str, Tensor]]:
    for tensor in graph.initializer:
        yield tensor.name, Tensor(ir.DataType(tensor.data_type), tuple(tensor.dims))
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value":
                yield node.output[0], Tensor(ir.DataType(attribute.t.data_type), tuple(attribute.t.dims))
            for body in (*([attribute.g] if attribute.HasField("g") else ()), *attribute.graphs):
                yield from _weights(body)


def _needed(nodes: list[onnx.NodeProto], wanted: set[str]) -> tuple[Operator, ...]:
    """The operators on which a wanted tensor depends, in their order."""
    found = []
    for node in reversed(nodes):
        if node.op_type == "Constant" or wanted.isdisjoint(node.output):
            continue
        operator = _operator(node)
        wanted.update(operator.inputs)
        found.append(operator)
    return tuple(reversed(found))


def _operator(node: onnx.NodeProto) -> Operator:
    numbers, texts, of_bodies = {}, {}, []
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.INT:
            numbers[attribute.name] = attribute.i
        elif attribute.type == onnx.AttributeProto.STRING:
            texts[attribute.name] = attribute.s.decode(errors="replace")
        elif attribute.HasField("g") or attribute.graphs:
            of_bodies += [name for body in (attribute.g, *attribute.graphs) for name in _reads(body)]
    return Operator(
        name=node.name or (node.output[0] if node.output else ""),
        domain="" if node.domain == "ai.onnx" else node.domain,
        kind=node.op_type,
        inputs=(*node.input, *of_bodies),
        outputs=tuple(node.output),
        numbers=numbers,
        texts=texts,
    )


def _reads(graph: onnx.GraphProto) -> Iterator[str]:
    """All names that the nodes of a body read, its own among them, which no one outside gives."""
    for node in graph.node:
        yield from _operator(node).inputs
        if node.op_type == "Constant":
            yield node.output[0]


def _without_weights(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The same with weights of more than a few bytes as inputs of their type and shape; `proto` is used up."""
    graph = proto.graph
    given = {value.name for value in graph.input}
    kept = []
    for tensor in graph.initializer:
        weight = Tensor(ir.DataType(tensor.data_type), tuple(tensor.dims))
        if weight.bytes <= _SEEN_BYTES and tensor.data_location != onnx.TensorProto.EXTERNAL:
            kept.append(onnx.TensorProto.FromString(tensor.SerializeToString()))
        elif tensor.name not in given:
            graph.input.append(onnx.helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    graph.ClearField("initializer")
    graph.initializer.extend(kept)
    graph.ClearField("value_info")  # declared shapes may lie
    return proto


def _inferred(proto: onnx.ModelProto) -> dict[str, Tensor]:
    """The tensors of which type and shape are known: without values of vectors, which takes half as long and is mostly enough."""
    try:
        graph = onnx.shape_inference.infer_shapes(proto, check_type=False, strict_mode=False).graph
    except onnx.shape_inference.InferenceError:
        graph = proto.graph
    known = _tensors(graph)
    computed = {name for node in graph.node for name in node.output if name}
    if computed <= known.keys() or len(graph.node) > _MOST_FOR_IMPORTER:
        return known
    try:
        model = ir.serde.deserialize_model(proto)
    except ir.serde.SerdeError:
        return known  # compile says what is wrong with it; the ledger goes without these shapes
    infer_shapes(model)
    return _tensors(ir.serde.serialize_model(model).graph)


def _tensors(graph: onnx.GraphProto) -> dict[str, Tensor]:
    found = {}
    types = {number: ir.DataType(number) for number in onnx.TensorProto.DataType.values()}
    for value in (*graph.input, *graph.value_info, *graph.output):
        of_tensor = value.type.tensor_type
        shape = tuple([dim.dim_value for dim in of_tensor.shape.dim])
        if not of_tensor.HasField("shape") or not of_tensor.elem_type:
            continue
        if 0 in shape and not all(dim.HasField("dim_value") for dim in of_tensor.shape.dim):
            continue  # an open dimension reads as 0
        found[value.name] = Tensor(types[of_tensor.elem_type], shape)
    return found
