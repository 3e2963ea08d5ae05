"""Shape inference of operators of com.microsoft for which onnx-shape-inference says something else than onnxruntime does.

QGemm gives what its last zero point is, not floats; QLinearGlobalAveragePool leaves one position of each channel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir
import onnx_shape_inference as symbolic

if TYPE_CHECKING:
    from onnx_shape_inference import ShapeInferenceContext


def register() -> None:
    """Let the inference of these operators be the one of this module."""
    symbolic.registry.collect()  # of two for one operator the later is taken
    for name, function in (("QGemm", _product), ("QLinearGlobalAveragePool", _global_pool)):
        symbolic.registry.register("com.microsoft", name, since_version=1)(function)


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
