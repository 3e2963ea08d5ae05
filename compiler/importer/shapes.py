"""Shape inference over the whole model, for the importer and for the passes.

Declared shapes lie, so the importer forgets them all and believes inference. Weights are not read: inference sees
the values of small initializers only.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir
import onnx_shape_inference as symbolic

from wsec.compiler.importer import contributed_shapes
from wsec.compiler.importer.bounded_inference import infer_bounded
from wsec.compiler.importer.extents import check_extents
from wsec.compiler.importer.map_types import is_of_maps
from wsec.compiler.importer.serialising import serialise_without_weights
from wsec.compiler.importer.shape_sources import computed_shapes, deciding_inputs, varying_values
from wsec.compiler.walks import all_graphs, all_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SEEN_BYTES = 1 << 10
_LISTED_ELEMENTS = 1 << 20
_SYMBOLIC_DATA = "pkg.onnx_shape_inference.sym_data"
_POOLING_OPSET = (
    22  # from here on pooling drops windows that begin behind the input, as onnxruntime does for all opsets
)

contributed_shapes.register()

# Both packages log each operator they do not know; unshaped values are reported by check_supported instead.
for _name in ("onnx_ir", "onnx_shape_inference", "onnxscript"):
    logging.getLogger(_name).addHandler(logging.NullHandler())


def infer_shapes(model: ir.Model) -> bool:
    """Infer shapes and types of all values in place; says whether any changed.

    First onnx's own inference; where a value stays open, the one of onnx-shape-inference, which knows com.microsoft.

    Raises:
        WsecError: WSEC120 a tensor is larger than any machine holds, or has a negative extent.
    """
    before = _snapshot(model)
    _fill_initializers(model)
    check_extents(model.graph)
    _infer_by_onnx(model)
    opened = set(unshaped_values(model))
    if opened and not _has_long_vector(model):
        guessed = varying_values(model, opened) | computed_shapes(model, opened)
        shapes = {value: value.shape for value in guessed}
        _infer_symbolically(model)
        _forget_symbols(model)
        for value, shape in shapes.items():
            value.shape = shape
    check_extents(model.graph)
    return before != _snapshot(model)


def infer_open_shapes(model: ir.Model) -> bool:
    """Infer shapes and types where one of them is not known; says whether any changed.

    A model that knows all of them is only looked at: serialising it for inference costs more than most passes.
    """
    if all(_is_known(value) for node in all_nodes(model.graph) for value in node.outputs if value.name):
        return False
    return infer_shapes(model)


def static_shape(value: ir.Value) -> tuple[int, ...] | None:
    """The shape where every dimension is known, else None."""
    if value.shape is None or not value.shape.is_static():
        return None
    return value.shape.numpy()


def unshaped_values(model: ir.Model) -> Iterator[ir.Value]:
    """Values of the main graph that a node computes and whose shape or type is not fully known."""
    for node in model.graph:
        for value in node.outputs:
            if value.name and not _is_known(value):
                yield value


def _is_known(value: ir.Value) -> bool:
    """Whether the type is known and, of a tensor, every dimension."""
    if value.dtype is None:
        return False
    return not isinstance(value.type, ir.TensorType) or (value.shape is not None and value.shape.is_static())


def inputs_deciding_shapes(model: ir.Model) -> tuple[str, ...]:
    """Names of the inputs on whose values a shape depends that is not known, in the order of the model."""
    return deciding_inputs(model, set(unshaped_values(model)))


def forget_shapes(model: ir.Model) -> dict[str, ir.Shape]:
    """Clear all shapes but those of the inputs; returns the ones the outputs were declared with, by name."""
    declared = {
        str(value.name): value.shape
        for value in model.graph.outputs
        if value.name and value.shape is not None
    }
    certain = _certain_inputs(model)
    for graph in all_graphs(model):
        for value in graph.inputs:
            if value not in certain:
                value.shape = None
        for node in graph:
            for value in node.outputs:
                value.shape = None
    return declared


def _certain_inputs(model: ir.Model) -> set[ir.Value]:
    """The model's own inputs, and the number and the condition of the bodies of its loops, which are scalars."""
    certain = set(model.graph.inputs)
    for node in all_nodes(model.graph):
        if node.op_type == "Loop" and node.domain == "" and "body" in node.attributes:
            certain.update(node.attributes["body"].as_graph().inputs[:2])
    return certain


def contradictions(model: ir.Model, declared: Mapping[str, ir.Shape]) -> tuple[str, ...]:
    """A note for each output whose declared shape inference contradicts; names of dimensions contradict nothing."""
    notes = []
    for value in model.graph.outputs:
        said, found = declared.get(str(value.name)), value.shape
        if said is None or found is None:
            continue
        agree = len(said) == len(found) and all(
            a == b or not isinstance(a, int) or not isinstance(b, int) or a < 0
            for a, b in zip(said, found, strict=True)
        )
        if not agree:
            notes.append(
                f"output {value.name} is declared as {_plain(said)} but has shape {_plain(found)}; the latter is used"
            )
    return tuple(notes)


def _plain(shape: ir.Shape) -> str:
    return "[" + ", ".join(str(d if isinstance(d, int) else d.value or "?") for d in shape) + "]"


def _snapshot(model: ir.Model) -> list[tuple[object, object]]:
    return [
        (
            None if v.shape is None else v.shape.dims,
            v.dtype if isinstance(v.type, ir.TensorType) else str(v.type),
        )
        for node in all_nodes(model.graph)
        for v in node.outputs
    ]


def _fill_initializers(model: ir.Model) -> None:
    for graph in all_graphs(model):
        for value in graph.initializers.values():
            if value.const_value is not None:
                value.shape = ir.Shape(value.const_value.shape.numpy())
                value.dtype = value.const_value.dtype


def _infer_by_onnx(model: ir.Model) -> None:
    proto, _ = serialise_without_weights(model, _SEEN_BYTES)
    for entry in proto.opset_import:
        if entry.domain == "" and entry.version == _POOLING_OPSET - 1:
            entry.version = _POOLING_OPSET  # which only widened types otherwise
    try:
        inferred = infer_bounded(proto)
    except onnx.shape_inference.InferenceError:
        return  # it gives up on the whole model; what stays open is reported with its nodes later
    _adopt(model.graph, inferred.graph)


def _adopt(graph: ir.Graph, proto: onnx.GraphProto) -> None:
    """Take over types and shapes of what the nodes of a graph and of their bodies compute."""
    types = {entry.name: entry.type for entry in (*proto.value_info, *proto.output)}
    for node, node_proto in zip(graph, proto.node, strict=True):
        for value in node.outputs:
            if value.name in types:
                _adopt_type(value, types[value.name])
        for attribute in node_proto.attribute:
            if attribute.HasField("g"):
                _adopt(node.attributes[attribute.name].as_graph(), attribute.g)


def _adopt_type(value: ir.Value, proto: onnx.TypeProto) -> None:
    if proto.HasField("tensor_type"):  # nearly all are: read here, which takes a fifth of the general way
        _adopt_tensor_type(value, proto.tensor_type)
        return
    if is_of_maps(proto):
        return
    found = ir.serde.deserialize_type_proto_for_type(proto)
    shape = ir.serde.deserialize_type_proto_for_shape(proto)
    if found is not None:
        value.type = found
    if shape is not None:
        value.shape = ir.Shape([d if isinstance(d, int) else None for d in shape])


def _adopt_tensor_type(value: ir.Value, proto: onnx.TypeProto.Tensor) -> None:
    if proto.HasField("elem_type") and (
        not isinstance(value.type, ir.TensorType) or value.type.dtype != proto.elem_type
    ):
        value.type = ir.TensorType(ir.DataType(proto.elem_type))
    if proto.HasField("shape"):
        value.shape = ir.Shape([d.dim_value if d.HasField("dim_value") else None for d in proto.shape.dim])


def _has_long_vector(model: ir.Model) -> bool:
    """Whether a vector of whole numbers is so long that inference by symbols, which lists its elements, takes minutes."""
    return any(
        value.dtype in {ir.DataType.INT32, ir.DataType.INT64}
        and len(shape) == 1
        and shape[0] > _LISTED_ELEMENTS
        for node in all_nodes(model.graph)
        for value in node.outputs
        if (shape := static_shape(value)) is not None
    )


def _infer_symbolically(model: ir.Model) -> None:
    """Infer shapes only: the values that it thinks it knows are those of whole numbers, and not kept."""
    computed = [value for node in all_nodes(model.graph) for value in node.outputs]
    known = [value.const_value for value in computed]
    _run_symbolic_inference(model)
    for value, constant in zip(computed, known, strict=True):
        value.const_value = constant
        value.metadata_props.pop(_SYMBOLIC_DATA, None)


def _run_symbolic_inference(model: ir.Model) -> None:
    try:
        symbolic.infer_symbolic_shapes(model, policy="refine", warn_on_missing=False)
    except (symbolic.ShapeInferenceError, symbolic.OpUsageError, ValueError):
        # It stops at the first operator it cannot make sense of; what it found until there is kept, and what
        # stays open is left to the shape oracle.
        return


def _forget_symbols(model: ir.Model) -> None:
    """Symbols invented by inference name no input dimension; a partly known shape says no more than its rank."""
    for node in all_nodes(model.graph):
        for value in node.outputs:
            if value.shape is not None and not value.shape.is_static():
                value.shape = ir.Shape([d if isinstance(d, int) else None for d in value.shape])
