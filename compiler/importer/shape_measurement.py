"""The last resort for shapes: run the model once and look.

Used for values that no shape inference resolves. The model runs on two different sets of inputs; a shape that
differs between them depends on the data and stays unknown. So does one that no two runs could tell from such a shape:
that of an operator whose output has as many elements as its data say, or which reads a size from an input of the model.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from wsec.compiler.absent_weights import absent_files
from wsec.compiler.guarded_division import guard_divisions
from wsec.compiler.importer.serialising import serialise_without_weights
from wsec.compiler.importer.shape_sources import varying_values
from wsec.compiler.importer.shapes import static_shape, unshaped_values
from wsec.compiler.importer.single_node import single_node_model
from wsec.compiler.onnxruntime_session import LOOP_SECONDS, SESSION_ERRORS, make_session, run_session
from wsec.compiler.original_model import has_loops

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

_FEED_BYTES = 1 << 16


def shape_oracle(model: ir.Model) -> bool:
    """Fill shapes and types that are still unknown, in place; says whether any were filled.

    A model that onnxruntime cannot load or run on these inputs, or whose weights are absent, is left as it is:
    check_supported then says why.
    Weights are mapped into onnxruntime from their files, not copied.
    """
    opened = list(unshaped_values(model))
    varying = varying_values(model, set(opened))
    unknown = [value for value in opened if value not in varying]
    if not unknown or any(_is_open(value) for value in model.graph.inputs) or absent_files(model):
        return False
    proto, weights = _instrumented(model, unknown)
    guard_divisions(proto)
    limit = LOOP_SECONDS if has_loops(proto.graph) else None
    return _measure(proto.SerializeToString(), unknown, model.graph.inputs, weights, limit)


def measure_custom_operators(model: ir.Model) -> bool:
    """Fill the output shapes of operators outside ai.onnx whose inputs are known, by running each alone.

    Shape inference knows few of them; says whether any shape was filled.
    """
    filled = False
    for node in model.graph:
        unknown = [value for value in node.outputs if value.name and _is_open(value)]
        if not node.domain or not unknown or any(v is not None and _is_open(v) for v in node.inputs):
            continue
        serialised, inputs = single_node_model(node, model)
        filled |= _measure(serialised, unknown, list(inputs.values()), {})
    return filled


def _is_open(value: ir.Value) -> bool:
    return static_shape(value) is None or value.dtype is None


def _measure(
    serialised: bytes,
    unknown: Sequence[ir.Value],
    inputs: Sequence[ir.Value],
    weights: Mapping[str, np.ndarray[Any, Any]],
    limit: float | None = None,
) -> bool:
    """Run twice and keep the shapes that are the same both times."""
    names = [str(value.name) for value in unknown]
    try:
        session = make_session(serialised)
        feeds = [{**_filled(inputs, fill), **weights} for fill in (0, 1)]
        runs = [run_session(session, feed, names, limit_seconds=limit) for feed in feeds]
    except SESSION_ERRORS:
        return False
    filled = False
    for value, zeros, ones in zip(unknown, *runs, strict=True):
        if isinstance(zeros, np.ndarray) and isinstance(ones, np.ndarray) and zeros.shape == ones.shape:
            value.shape = ir.Shape(zeros.shape)
            value.dtype = ir.DataType.from_numpy(zeros.dtype)
            filled = True
    return filled


def _instrumented(
    model: ir.Model, exposed: Sequence[ir.Value]
) -> tuple[onnx.ModelProto, dict[str, np.ndarray[Any, Any]]]:
    """The model with more outputs and with its large weights as inputs; and those weights, mapped."""
    proto, weights = serialise_without_weights(model, _FEED_BYTES)
    del proto.graph.value_info[:]
    declared = {output.name for output in proto.graph.output}
    for output in proto.graph.output:
        output.type.tensor_type.ClearField("shape")
    proto.graph.output.extend(_untyped(str(value.name)) for value in exposed if value.name not in declared)
    return proto, {name: np.asarray(tensor.numpy()) for name, tensor in weights.items()}


def _untyped(name: str) -> onnx.ValueInfoProto:
    return ir.serde.serialize_value(ir.Value(name=name))


def _filled(inputs: Sequence[ir.Value], fill: int) -> dict[str, np.ndarray[Any, Any]]:
    feeds = {}
    for value in inputs:
        shape = static_shape(value)
        if shape is not None and value.dtype is not None:
            filler = str(fill) if value.dtype == ir.DataType.STRING else fill
            feeds[str(value.name)] = np.full(shape, filler, dtype=value.dtype.numpy())
    return feeds
