"""What cores can hold: dense tensors of these element types, whose shape is known before the model runs."""

from __future__ import annotations

import onnx_ir as ir

CORE_TYPES = frozenset(
    {
        ir.DataType.FLOAT16, ir.DataType.FLOAT, ir.DataType.DOUBLE, ir.DataType.BFLOAT16, ir.DataType.BOOL,
        ir.DataType.INT8, ir.DataType.INT16, ir.DataType.INT32, ir.DataType.INT64,
        ir.DataType.UINT8, ir.DataType.UINT16, ir.DataType.UINT32, ir.DataType.UINT64,
        ir.DataType.INT4, ir.DataType.UINT4,
    }
)  # fmt: skip


WEIGHT_TYPES = CORE_TYPES | {ir.DataType.FLOAT4E2M1, ir.DataType.FLOAT8E8M0}
"""What cores can hold of constants: those that a kernel dequantises (MXFP4, OCP Microscaling Formats 1.0) as well."""


def why_not_on_cores(value: ir.Value) -> str:
    """Why cores cannot hold the value; empty where they can."""
    if value.type is None:
        return f"{value.name} is no tensor"
    if not isinstance(value.type, ir.TensorType):
        return f"{value.name} is of type {container_of(value)}"
    if value.dtype is None:
        return f"the element type of {value.name} is unknown"
    if value.dtype not in (WEIGHT_TYPES if value.is_initializer() else CORE_TYPES):
        return f"{value.name} is of element type {value.dtype.name.lower()}"
    if value.shape is None or not value.shape.is_static():
        return f"the shape of {value.name} is known only when the model runs"
    return ""


def container_of(value: ir.Value) -> str:
    """What the value is: `tensor`, `sequence`, `optional sequence` ...; `other` for what onnx_ir has no word for, as maps."""
    if value.type is None:
        return "other"
    words = []
    kind: object = value.type
    while isinstance(kind, ir.SequenceType | ir.OptionalType):
        words.append(type(kind).__name__.removesuffix("Type").lower())
        kind = kind.elem_type
    return " ".join(words) or type(kind).__name__.removesuffix("Type").lower()
