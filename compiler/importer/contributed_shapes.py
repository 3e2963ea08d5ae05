"""Shape inference of operators of com.microsoft for which onnx-shape-inference says something else than onnxruntime does.

Mixtures of experts give what they read. QGemm gives what its last zero point is, not floats; QLinearGlobalAveragePool leaves one position of each channel. The keys
that GroupQueryAttention gives are as many as those of its past, which may be a buffer with room, or as all that count: the
larger number, and known only where the number of those that count is.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_shape_inference as symbolic

if TYPE_CHECKING:
    from collections.abc import Callable

    from onnx_shape_inference import ShapeInferenceContext

    _Inference = Callable[[ShapeInferenceContext, ir.Node], None]


def register() -> None:
    """Let the inference of these operators be the one of this module."""
    symbolic.registry.collect()  # of two for one operator the later is taken
    given = symbolic.registry.get("com.microsoft", "GroupQueryAttention", version=1)
    functions = {
        "GroupQueryAttention": partial(_grouped_attention, given),
        "MoE": _as_input,
        "QGemm": _product,
        "QLinearGlobalAveragePool": _global_pool,
        "QMoE": _as_input,
    }
    for name, function in functions.items():
        symbolic.registry.register("com.microsoft", name, since_version=1)(function)


def _as_input(context: ShapeInferenceContext, node: ir.Node) -> None:
    value = node.inputs[0]
    if value is not None and value.shape is not None:
        context.set_shape_and_dtype(node.outputs[0], value.shape, value.dtype)


def _product(context: ShapeInferenceContext, node: ir.Node) -> None:
    extents = []
    for index, flag, free in ((0, "transA", 0), (3, "transB", 1)):
        value = node.inputs[index] if index < len(node.inputs) else None
        attribute = node.attributes.get(flag)
        if value is None or value.shape is None or value.shape.rank() != 2:
            return
        turned = attribute is not None and attribute.as_int() != 0
        extents.append(value.shape[1 - free if turned else free])
    zero = node.inputs[8] if len(node.inputs) > 8 else None
    dtype = ir.DataType.FLOAT if zero is None else zero.dtype
    context.set_shape_and_dtype(node.outputs[0], ir.Shape(extents), dtype)


def _global_pool(context: ShapeInferenceContext, node: ir.Node) -> None:
    value = node.inputs[0]
    if value is None or value.shape is None:
        return
    last = "channels_last" in node.attributes and node.attributes["channels_last"].as_int() != 0
    rank = value.shape.rank()
    kept = {0, rank - 1 if last else 1}
    shape = ir.Shape([value.shape[i] if i in kept else 1 for i in range(rank)])
    context.set_shape_and_dtype(node.outputs[0], shape, value.dtype)


def _grouped_attention(given: _Inference | None, context: ShapeInferenceContext, node: ir.Node) -> None:
    """With `given`, the inference of the package, where there is no past, or a ring of it."""
    past = node.inputs[3] if len(node.inputs) > 3 else None
    query = node.inputs[0]
    ring = "sliding_window_cache" in node.attributes and node.attributes["sliding_window_cache"].as_int() == 1
    if past is None or ring:
        if given is not None:
            given(context, node)
        return
    if query is None or query.shape is None or past.shape is None or past.shape.rank() != 4:
        return
    held, size = past.shape[2], past.shape[3]
    heads = node.attributes["num_heads"].as_int()
    packed = len(node.inputs) < 3 or node.inputs[2] is None
    hidden = heads * size if packed and isinstance(size, int) else query.shape[2]
    context.set_shape_and_dtype(
        node.outputs[0], ir.Shape([query.shape[0], query.shape[1], hidden]), query.dtype
    )
    count = query.shape[1] if held == 0 else _keys_that_count(context, node)
    present = (
        max(held, count) if isinstance(held, int) and isinstance(count, int) else context.new_symbolic_dim()
    )
    for value in node.outputs[1:3]:
        if value.name:
            shape = ir.Shape([past.shape[0], past.shape[1], present, size])
            context.set_shape_and_dtype(value, shape, past.dtype)


def _keys_that_count(context: ShapeInferenceContext, node: ir.Node) -> int | ir.SymbolicDim | None:
    """`total_sequence_length`; None where it is not known."""
    total = node.inputs[6] if len(node.inputs) > 6 else None
    numbers = None if total is None else context.get_symbolic_value(total)
    return numbers[0] if numbers else None
