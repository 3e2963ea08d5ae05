"""From a path to a checked model: every dimension bound, one opset, shapes inferred, weights still on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.body_checks import check_bodies
from wsec.compiler.importer.cache_checks import check_cache_operands, check_caches
from wsec.compiler.importer.cast_like import write_casts_with_their_type
from wsec.compiler.importer.constants import lift_constants
from wsec.compiler.importer.dimensions import bind_dimensions
from wsec.compiler.importer.external_data import check_external_data
from wsec.compiler.importer.function_checks import check_functions
from wsec.compiler.importer.graph_checks import check_graph
from wsec.compiler.importer.loop_checks import check_loops
from wsec.compiler.importer.map_types import forget_map_types
from wsec.compiler.importer.mixture_checks import check_mixtures
from wsec.compiler.importer.model_file import read_model_proto
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.importer.node_checks import check_nodes
from wsec.compiler.importer.operand_checks import check_operands
from wsec.compiler.importer.opset import adaptation_reads_shapes, normalise_opset
from wsec.compiler.importer.shape_measurement import measure_custom_operators
from wsec.compiler.importer.shapes import contradictions, forget_shapes, infer_shapes
from wsec.compiler.importer.sparse_initializers import fill_sparse_initializers
from wsec.compiler.importer.tensor_checks import check_tensors
from wsec.compiler.importer.weight_notes import unusual_weights
from wsec.compiler.original_model import sort_nodes
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


_MISREAD_DEFAULTS = {"STFT": ("onesided", 1)}
"""Attributes for which onnx's shape inference assumes another default than the operator has."""


@dataclass(frozen=True, slots=True)
class ImportedModel:
    """A model that the passes may start from.

    Attributes:
        model: The model; external weights stay memory-mapped in their files.
        path: The file it came from.
        notes: What was assumed or disbelieved on the way, one sentence each, for the user.
    """

    model: ir.Model
    path: Path
    notes: tuple[str, ...]


def import_model(path: Path, dims: Mapping[str, int], *, caches: bool = True) -> ImportedModel:
    """Load, check and normalise a model.

    Args:
        path: An ONNX file; external data lie beside it.
        dims: Sizes of dimensions, by name or by `input:axis`.
        caches: Whether KV caches have to agree with each other, as they do where they stay on the wafer.

    Raises:
        WsecError: WSEC101 to WSEC114, WSEC119 to WSEC121, WSEC140 to WSEC143, WSEC150 to WSEC152; each has a page in docs/errors.
    """
    model, notes = _load(path)
    notes += _drop_initializer_inputs(model)
    notes += bind_dimensions(model, dims)
    if caches:
        check_caches(model)
    _state_defaults(model)
    declared = forget_shapes(model)
    if adaptation_reads_shapes(model):
        infer_shapes(model)
        normalise_opset(model)
        forget_shapes(model)  # inference of the older opset may know them otherwise, and is not corrected
    else:
        normalise_opset(model)
    infer_shapes(model)
    write_casts_with_their_type(model)
    lift_constants(model)
    name_nodes(model)
    check_loops(model)
    while measure_custom_operators(model):
        infer_shapes(model)
    check_cache_operands(model)
    check_operands(model)
    check_mixtures(model)
    notes += (*contradictions(model, declared), *unusual_weights(model))
    return ImportedModel(model=model, path=path, notes=notes)


def _state_defaults(model: ir.Model) -> None:
    for node in all_nodes(model.graph):
        if node.domain == "" and node.op_type in _MISREAD_DEFAULTS:
            name, value = _MISREAD_DEFAULTS[node.op_type]
            node.attributes.setdefault(name, ir.AttrInt64(name, value))


def _load(path: Path) -> tuple[ir.Model, tuple[str, ...]]:
    proto = read_model_proto(path)
    check_tensors(proto, path)
    notes = fill_sparse_initializers(proto, path)
    if sort_nodes(proto):
        notes += ("the nodes stand in no order that can be run; they are sorted",)
    check_graph(proto)
    check_functions(proto)
    check_nodes(proto)
    check_bodies(proto)
    forget_map_types(proto.graph)
    try:
        model = ir.serde.deserialize_model(proto)
    except ir.serde.SerdeError as error:
        raise WsecError(
            "WSEC102",
            "the file is not a valid ONNX model",
            where=str(path),
            expected="a ModelProto that follows the ONNX specification",
            found=_root_cause(error),
            hint="export the model again; onnx.checker.check_model says more",
        ) from error
    # An absolute folder: with an empty one onnx_ir would skip its own check of where the weights lie.
    ir.external_data.set_base_dir(model.graph, path.parent.resolve())
    check_external_data(model, path)
    return model, notes


def _root_cause(error: BaseException) -> str:
    while error.__cause__ is not None:
        error = error.__cause__
    return " ".join(str(error).split())


def _drop_initializer_inputs(model: ir.Model) -> tuple[str, ...]:
    """Up to IR version 3 initializers had to be inputs; later that marks a default that a caller may replace."""
    kept = [value for value in model.graph.inputs if not value.is_initializer()]
    dropped = len(model.graph.inputs) - len(kept)
    if not dropped:
        return ()
    overridable = model.ir_version > 3
    names = ", ".join(str(value.name) for value in model.graph.inputs if value.is_initializer())
    model.graph.inputs.clear()
    model.graph.inputs.extend(kept)
    if not overridable:
        return ()
    return (f"inputs with a default value are compiled as constants: {names}",)
