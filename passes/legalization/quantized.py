"""Quantised operators as DequantizeLinear, the standard operator, and QuantizeLinear.

Weights keep their few bits: MatMulNBits becomes a DequantizeLinear of packed 4- or 8-bit constants, which the kernel of the
product applies on the core.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from wsec.passes.legalization.emission import CannotRewrite, Emission, shape_of
from wsec.passes.rewriting import Array, constant_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Values = Sequence[ir.Value | None]

_UNSIGNED = {2: ir.DataType.UINT4, 4: ir.DataType.UINT4, 8: ir.DataType.UINT8}


def mat_mul_n_bits(emit: Emission) -> Values:
    """MatMulNBits: A [.., K] times B [N, blocks, bytes], packed from the lowest bits, blocks of K with a scale each."""
    features, columns = emit.integer("K", 0), emit.integer("N", 0)
    bits, block = emit.integer("bits", 4), emit.integer("block_size", 32)
    if bits not in _UNSIGNED:
        raise CannotRewrite(f"its weights have {bits} bits")
    if emit.has(4):
        raise CannotRewrite("its rows of weights are reordered by g_idx")
    packed, scales = emit.input(1), emit.input(2)
    if constant_of(packed) is None or constant_of(scales) is None:
        raise CannotRewrite("its weights are computed at run time")
    blocks = -(-features // block)
    dtype = _UNSIGNED[bits]

    def weights(raw: Array) -> Array:
        return _unpack(raw.reshape(columns, -1), bits)[:, :features].T.astype(dtype.numpy())

    codes = emit.derive("weights", dtype, [packed], (features, columns), weights)
    scale = emit.derive(
        "scales",
        scales.dtype or ir.DataType.FLOAT,
        [scales],
        (blocks, columns),
        lambda array: array.reshape(columns, blocks).T,
    )
    product = emit(
        "MatMul",
        emit.input(0),
        _dequantised(emit, codes, scale, shape=(blocks, columns), bits=bits, block=block),
    )
    return (emit("Add", product, emit.input(5)) if emit.has(5) else product,)


def _dequantised(
    emit: Emission, codes: ir.Value, scale: ir.Value, *, shape: tuple[int, int], bits: int, block: int
) -> ir.Value:
    """[K, N] of the scale's type; zero points are packed like the weights, or of the scale's type, or the middle."""
    blocks, columns = shape
    dtype = _UNSIGNED[bits]
    given = emit.optional(3)
    if given is not None and constant_of(given) is None:
        raise CannotRewrite("its zero points are computed at run time")
    if given is not None and given.dtype != ir.DataType.UINT8:
        raise CannotRewrite("its zero points are no whole numbers")

    def zeros(*raw: Array) -> Array:
        if not raw:
            return np.full(shape, 1 << (bits - 1)).astype(dtype.numpy())
        return _unpack(raw[0].reshape(columns, -1), bits)[:, :blocks].T.astype(dtype.numpy())

    sources = [] if given is None else [given]
    zero = emit.derive("zero_points", dtype, sources, shape, zeros)
    return emit("DequantizeLinear", codes, scale, zero, dtype=scale.dtype, axis=0, block_size=block)


def _unpack(raw: Array, bits: int) -> Array:
    """[N, bytes] as [N, codes]: the lowest bits of a byte are its first code."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    codes: Array = (raw[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return codes.reshape(raw.shape[0], -1)


def dynamic_quantize_linear(emit: Emission) -> Values:
    """DynamicQuantizeLinear as ONNX defines it, with a scale of one for zeros only: y, its scale and its zero point."""
    return _quantised_dynamically(emit, emit.input(0))


def _quantised_dynamically(emit: Emission, x: ir.Value) -> tuple[ir.Value, ir.Value, ir.Value]:
    zero = emit.scalar(0.0, x)
    highest = emit("Max", emit("ReduceMax", x, keepdims=0), zero)
    lowest = emit("Min", emit("ReduceMin", x, keepdims=0), zero)
    span = emit("Sub", highest, lowest)
    empty = emit("Equal", span, zero, dtype=ir.DataType.BOOL)
    scale = emit(
        "Div", emit("Where", empty, emit.scalar(255.0, x), span, dtype=x.dtype), emit.scalar(255.0, x)
    )
    place = emit("Round", emit("Div", emit("Sub", zero, lowest), scale))
    clipped = emit("Clip", place, zero, emit.scalar(255.0, x))
    moved = emit("Add", emit("Round", emit("Div", x, scale)), clipped)
    codes = emit("Clip", moved, zero, emit.scalar(255.0, x))
    return emit.cast(codes, ir.DataType.UINT8), scale, emit.cast(clipped, ir.DataType.UINT8)


def dynamic_quantize_mat_mul(emit: Emission) -> Values:
    """A, B, scale and zero point of B, bias: A is quantised as it comes."""
    codes, scale, point = _quantised_dynamically(emit, emit.input(0))
    product = emit("MatMulInteger", codes, emit.input(1), point, emit.optional(3), dtype=ir.DataType.INT32)
    return (_scaled(emit, product, emit("Mul", scale, emit.input(2)), emit.optional(4)),)


def mat_mul_integer_to_float(emit: Emission) -> Values:
    """A, B, their scales and zero points, bias."""
    product = emit(
        "MatMulInteger",
        *(emit.input(index) for index in (0, 1)),
        emit.optional(4),
        emit.optional(5),
        dtype=ir.DataType.INT32,
    )
    return (_scaled(emit, product, emit("Mul", emit.input(2), emit.input(3)), emit.optional(6)),)


def _scaled(emit: Emission, product: ir.Value, scale: ir.Value, bias: ir.Value | None) -> ir.Value:
    result = emit("Mul", emit.cast(product, ir.DataType.FLOAT), scale)
    return result if bias is None else emit("Add", result, bias)


def standard_quantization(emit: Emission) -> Values:
    """QuantizeLinear and DequantizeLinear of com.microsoft: those of `ai.onnx`."""
    node = emit.node
    own = {name: node.attributes[name].value for name in ("axis", "block_size") if name in node.attributes}
    inputs = [value for value in node.inputs if value is not None]
    return (emit(node.op_type, *inputs, dtype=node.outputs[0].dtype, **own),)


def _dequantise(emit: Emission, first: int) -> ir.Value:
    """The input at `first`, with its scale and zero point behind it."""
    scale = emit.input(first + 1)
    return emit("DequantizeLinear", emit.input(first), scale, emit.optional(first + 2), dtype=scale.dtype)


def _quantise(emit: Emission, x: ir.Value, scale: int) -> Values:
    point = emit.optional(scale + 1)
    kind = ir.DataType.UINT8 if point is None else point.dtype
    return (emit("QuantizeLinear", x, emit.input(scale), point, dtype=kind),)


def binary(operator: str) -> Callable[[Emission], Values]:
    """QLinearAdd, QLinearMul: A, B and C with a scale and a zero point each."""

    def rewrite(emit: Emission) -> Values:
        return _quantise(emit, emit(operator, _dequantise(emit, 0), _dequantise(emit, 3)), 6)

    return rewrite


def unary(operator: str, *attributes: str) -> Callable[[Emission], Values]:
    """QLinearSigmoid, QLinearLeakyRelu ...: X and Y with a scale and a zero point each."""

    def rewrite(emit: Emission) -> Values:
        own: dict[str, Any] = {
            name: emit.node.attributes[name].value for name in attributes if name in emit.node.attributes
        }
        return _quantise(emit, emit(operator, _dequantise(emit, 0), **own), 3)

    return rewrite


def concat(emit: Emission) -> Values:
    """QLinearConcat: scale and zero point of Y, then each input with its own."""
    parts = [_dequantise(emit, first) for first in range(2, len(emit.node.inputs), 3)]
    joined = emit("Concat", *parts, axis=emit.integer("axis", 0))
    return (emit("QuantizeLinear", joined, emit.input(0), emit.input(1), dtype=emit.input(1).dtype),)


def global_average_pool(emit: Emission) -> Values:
    """QLinearGlobalAveragePool: the mean over all dimensions but samples and channels."""
    rank = len(shape_of(emit.input(0)))
    first = 1 if emit.integer("channels_last", 0) else 2
    axes = emit.integers(*range(first, first + rank - 2))
    return _quantise(emit, emit("ReduceMean", _dequantise(emit, 0), axes, keepdims=1), 3)


def softmax(emit: Emission) -> Values:
    """QLinearSoftmax: before opset 13 over all dimensions from `axis` on."""
    rank = len(shape_of(emit.input(0)))
    axis = emit.integer("axis", -1) % rank
    if emit.integer("opset", 13) < 13 and axis != rank - 1:
        raise CannotRewrite("it normalises several dimensions together")
    return _quantise(emit, emit("Softmax", _dequantise(emit, 0), axis=axis), 3)


def gemm(emit: Emission) -> Values:
    """QGemm: A, B with scales and zero points, C of int32 in the scale of the products, scale and zero point of Y."""
    left, right, bias = emit.input(0), emit.input(3), emit.optional(6)
    if emit.real("alpha", 1.0) != 1.0 or emit.integer("transA", 0):
        raise CannotRewrite("it scales or transposes A")
    if emit.integer("transB", 0):
        right = emit.transpose(right, 1, 0)
    product = emit("MatMulInteger", left, right, emit.optional(2), emit.optional(5), dtype=ir.DataType.INT32)
    if bias is not None:
        product = emit("Add", product, bias)
    scale = emit("Mul", emit.input(1), emit.input(4))
    result = emit("Mul", emit.cast(product, ir.DataType.FLOAT), scale)
    return _quantise(emit, result, 7) if emit.has(7) else (result,)
