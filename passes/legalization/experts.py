"""QMoE as a DequantizeLinear of packed constants for each matrix, and MoE, whose kernel dequantises on its cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from wsec.passes.legalization.emission import CannotRewrite, Emission, shape_of
from wsec.passes.rewriting import Array, constant_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    Values = Sequence[ir.Value | None]

DOMAIN = "com.microsoft"
SCALE_TYPES_OPSET = 24  # DequantizeLinear with scales of float8e8m0

_CODES = {
    ("int", 2): ir.DataType.UINT4,
    ("int", 4): ir.DataType.UINT4,
    ("int", 8): ir.DataType.UINT8,
    ("fp4", 4): ir.DataType.FLOAT4E2M1,
}
"""Types that hold codes: those of two bits are held in four."""

_FP4_BLOCK = 32
_OWN = ("activation_alpha", "activation_beta", "activation_type", "k", "normalize_routing_weights", "swiglu_fusion",
        "swiglu_limit", "swiglu_limit_after_activation")  # fmt: skip
_UNUSED = ((14, "router_weights"), (18, "activation scales"), (19, "activation scales"))


@dataclass(frozen=True, slots=True)
class _Matrix:
    """Numbers of the inputs of QMoE that belong to one matrix."""

    number: int
    weights: int
    scales: int
    bias: int
    zeros: int
    factor: int = -1


_MATRICES = (_Matrix(1, 2, 3, 4, 11, 15), _Matrix(2, 5, 6, 7, 12, 16), _Matrix(3, 8, 9, 10, 13))


def quantised_experts(emit: Emission) -> Values:
    """QMoE: matrices [experts, N, bytes], packed from the lowest bits, a scale for each block of the last dimension."""
    kind = emit.text("quant_type", "int")
    for index, name in _UNUSED:
        if emit.has(index):
            raise CannotRewrite(f"it has {name}")
    if kind == "int" and emit.integer("weights_prepacked", 0) == 1:
        raise CannotRewrite("its weights are packed for another machine")
    inputs: list[ir.Value | None] = [emit.input(0), emit.input(1)]
    for matrix in _MATRICES:
        if emit.has(matrix.weights):
            inputs += [_dequantised(emit, matrix, kind), emit.optional(matrix.bias)]
    attributes: dict[str, Any] = {
        name: emit.node.attributes[name].value for name in _OWN if name in emit.node.attributes
    }
    return (emit("MoE", *inputs, domain=DOMAIN, **attributes),)


def _dequantised(emit: Emission, matrix: _Matrix, kind: str) -> ir.Value:
    """[experts, N, K] of the type of the rows."""
    packed, scales = emit.input(matrix.weights), emit.input(matrix.scales)
    inherited = emit.integer("expert_weight_bits", 4)
    bits = 4 if kind == "fp4" else emit.integer(f"fc{matrix.number}_expert_weight_bits", inherited)
    dtype = _CODES.get((kind, bits))
    if dtype is None:
        raise CannotRewrite(f"its weights are quantised as {kind} of {bits} bits")
    if constant_of(packed) is None or constant_of(scales) is None:
        raise CannotRewrite("its weights are computed at run time")
    experts, columns, held = shape_of(packed)
    features = held * 8 // bits
    block = _FP4_BLOCK if kind == "fp4" else emit.integer("block_size", 0) or features
    shape = (experts, columns, -(-features // block))
    if len(shape_of(scales)) == 2:
        scales = emit.same_bytes("scales", scales, _dtype(scales), shape, lambda array: array.reshape(shape))
    codes = _stored_codes(emit, matrix, packed, dtype, bits)
    zero = None if kind == "fp4" else _zero_points(emit, matrix, shape, dtype, bits)
    rows = _dtype(emit.input(0))
    attributes: dict[str, Any] = {"axis": 2, "block_size": block}
    if _dtype(scales) == ir.DataType.FLOAT8E8M0:
        emit.require_opset(SCALE_TYPES_OPSET)
    if _dtype(scales) != rows:
        attributes["output_dtype"] = int(rows)
    wide = emit("DequantizeLinear", codes, scales, zero, dtype=rows, **attributes)
    if matrix.factor < 0 or not emit.has(matrix.factor) or _is_one(emit.input(matrix.factor)):
        return wide
    raise CannotRewrite("its experts have scales of their own")


def _stored_codes(
    emit: Emission, matrix: _Matrix, packed: ir.Value, dtype: ir.DataType, bits: int
) -> ir.Value:
    """[experts, N, K]: of weights in a file their own bytes, unless the type is wider than their codes."""
    *columns, held = shape_of(packed)
    shape, stem = (*columns, held * 8 // bits), f"weights{matrix.number}"

    def unpack(raw: Array) -> Array:
        return unpacked(raw, dtype, bits)

    if dtype.itemsize * 8 != bits:
        return emit.derive(stem, dtype, [packed], shape, unpack)
    return emit.same_bytes(stem, packed, dtype, shape, unpack)


def _zero_points(
    emit: Emission, matrix: _Matrix, shape: tuple[int, int, int], dtype: ir.DataType, bits: int
) -> ir.Value:
    """[experts, N, blocks]: packed along the blocks, or along the columns where these have one each; or the middle."""
    given = emit.optional(matrix.zeros)
    if given is None:
        middle = np.asarray(1 << (bits - 1)).astype(dtype.numpy())
        return emit.shared(("zeros", dtype, shape), lambda: np.full(shape, middle))
    if constant_of(given) is None:
        raise CannotRewrite("its zero points are computed at run time")
    along = shape[-1] if len(shape_of(given)) == 3 else shape[1]

    def unpack(raw: Array) -> Array:
        return unpacked(raw, dtype, bits)[..., :along].reshape(shape)

    return emit.derive(f"zeros{matrix.number}", dtype, [given], shape, unpack)


def unpacked(raw: Array, dtype: ir.DataType, bits: int) -> Array:
    """Bytes as codes of a byte or less, [..., codes]: the lowest bits of a byte are its first code."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes = (raw.astype(np.uint8)[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    flat = codes.reshape(*raw.shape[:-1], -1)
    return flat.view(dtype.numpy()) if dtype == ir.DataType.FLOAT4E2M1 else flat.astype(dtype.numpy())


def _is_one(value: ir.Value) -> bool:
    tensor = constant_of(value)
    return tensor is not None and bool(np.all(tensor.numpy() == 1))


def _dtype(value: ir.Value) -> ir.DataType:
    return value.dtype or ir.DataType.FLOAT
