"""Normalisations, activations, products and rotary embeddings of com.microsoft in standard operators."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir as ir

from wsec.passes.legalization.emission import CannotRewrite, Emission, shape_of
from wsec.passes.legalization.rotary import rotate

if TYPE_CHECKING:
    from collections.abc import Sequence

    Values = Sequence[ir.Value | None]


def skip_layer_normalization(emit: Emission) -> Values:
    """Input, skip, gamma, beta, bias: LayerNormalization of the sum; the sum is the fourth output."""
    total = _sum(emit, emit.optional(4))
    result = emit(
        "LayerNormalization", total, *_scales(emit, 2), axis=-1, epsilon=emit.real("epsilon", 1e-12)
    )
    return (result, *_statistics(emit, total, centred=True), total if emit.wants(3) else None)


def embed_layer_normalization(emit: Emission) -> Values:
    """Words, segments and positions looked up, added and normalised; how many words of a sample count; the sum."""
    words = emit.input(0)
    batch, length = shape_of(words)
    places = emit.optional(8)
    if places is None:
        places = emit.constant(np.arange(length, dtype=np.int64)[None])
    total = emit(
        "Add", emit("Gather", emit.input(2), words, axis=0), emit("Gather", emit.input(3), places, axis=0)
    )
    if emit.has(1):
        total = emit("Add", total, emit("Gather", emit.input(4), emit.input(1), axis=0))
    total.shape = ir.Shape((batch, length, shape_of(emit.input(2))[1]))
    result = emit(
        "LayerNormalization", total, *_scales(emit, 5), axis=-1, epsilon=emit.real("epsilon", 1e-12)
    )
    counted = _words_that_count(emit, batch) if emit.wants(1) else None
    return (result, counted, total if emit.wants(2) else None)


def _words_that_count(emit: Emission, batch: int) -> ir.Value:
    """For each sample how many elements of the mask are 1, as onnxruntime counts them; none without a mask."""
    if not emit.has(7):
        return emit.constant(np.zeros(batch, np.int32))
    ones = emit("Equal", emit.input(7), emit.scalar(1, emit.input(7)), dtype=ir.DataType.BOOL)
    return emit("ReduceSum", emit.cast(ones, ir.DataType.INT32), emit.integers(1), keepdims=0)


def skip_simplified_layer_normalization(emit: Emission) -> Values:
    """Input, skip, gamma, bias: RMSNormalization of the sum; the sum is the fourth output."""
    total = _sum(emit, emit.optional(3))
    result = emit("RMSNormalization", total, emit.input(2), axis=-1, epsilon=emit.real("epsilon", 1e-12))
    return (result, *_statistics(emit, total, centred=False), total if emit.wants(3) else None)


def simplified_layer_normalization(emit: Emission) -> Values:
    """RMSNormalization; the inverse deviation is the second output. The result is of the type of the scale."""
    axis, epsilon = emit.integer("axis", -1), emit.real("epsilon", 1e-5)
    x = emit.input(0)
    single = emit.integer("stash_type", 1) == 1 or x.dtype == ir.DataType.FLOAT
    if not single:
        raise CannotRewrite("its statistics are not in single precision")
    scale = emit.input(1)
    kind = x.dtype if x.dtype == scale.dtype or scale.dtype is None else ir.DataType.FLOAT
    operands = [value if kind is None else emit.cast(value, kind) for value in (x, scale)]
    result = emit("RMSNormalization", *operands, axis=axis, epsilon=epsilon)
    result = result if scale.dtype is None else emit.cast(result, scale.dtype)
    rank = len(shape_of(x))
    inverse = _inverse_deviation(emit, x, tuple(range(axis % rank, rank)), epsilon) if emit.wants(1) else None
    return (result, inverse)


def _scales(emit: Emission, first: int) -> tuple[ir.Value | None, ...]:
    return (emit.input(first), emit.optional(first + 1))


def _sum(emit: Emission, bias: ir.Value | None) -> ir.Value:
    total = emit("Add", emit.input(0), emit.input(1))
    return total if bias is None else emit("Add", total, bias)


def _statistics(emit: Emission, x: ir.Value, *, centred: bool) -> tuple[ir.Value | None, ir.Value | None]:
    """Mean and inverse deviation over the last dimension, where they are read."""
    single = emit.cast(x, ir.DataType.FLOAT)
    mean = (
        emit("ReduceMean", single, emit.integers(-1))
        if emit.wants(1) or (centred and emit.wants(2))
        else None
    )
    if not emit.wants(2):
        return mean, None
    apart = emit("Sub", single, mean) if centred else single
    axis = len(shape_of(emit.input(0))) - 1
    inverse = _inverse_deviation(emit, apart, (axis,), emit.real("epsilon", 1e-12))
    return (mean if emit.wants(1) else None), inverse


def _inverse_deviation(emit: Emission, x: ir.Value, axes: tuple[int, ...], epsilon: float) -> ir.Value:
    single = emit.cast(x, ir.DataType.FLOAT)
    mean = emit("ReduceMean", emit("Mul", single, single), emit.integers(*axes))
    return emit("Reciprocal", emit("Sqrt", emit("Add", mean, emit.scalar(epsilon, mean))))


def gelu(emit: Emission) -> Values:
    """Gelu and BiasGelu: by the error function."""
    return (emit("Gelu", _biased(emit)),)


def fast_gelu(emit: Emission) -> Values:
    """FastGelu: by the hyperbolic tangent, of x plus an optional bias."""
    return (emit("Gelu", _biased(emit), approximate="tanh"),)


def _biased(emit: Emission) -> ir.Value:
    return emit("Add", emit.input(0), emit.input(1)) if emit.has(1) else emit.input(0)


def quick_gelu(emit: Emission) -> Values:
    """X times the sigmoid of alpha x."""
    x = emit.input(0)
    scaled = emit("Mul", x, emit.scalar(emit.real("alpha", 1.702), x))
    return (emit("Mul", x, emit("Sigmoid", scaled)),)


def fused_mat_mul(emit: Emission) -> Values:
    """Alpha op(A) op(B), where `transBatch` moves the first dimension in front of the last."""
    left, right = (
        _transposed(
            emit, emit.input(index), emit.integer(f"trans{name}", 0), emit.integer(f"transBatch{name}", 0)
        )
        for index, name in enumerate("AB")
    )
    product = emit("MatMul", left, right)
    alpha = emit.real("alpha", 1.0)
    return (product if alpha == 1.0 else emit("Mul", product, emit.scalar(alpha, product)),)


def _transposed(emit: Emission, value: ir.Value, last: int, batch: int) -> ir.Value:
    order = list(range(len(shape_of(value))))
    if batch and len(order) > 2:
        order = [*order[1:-1], 0, order[-1]]
    if last and len(order) > 1:
        order = [*order[:-2], order[-1], order[-2]]
    return value if order == sorted(order) else emit.transpose(value, *order)


def fused_conv(emit: Emission) -> Values:
    """Conv, an addend and an activation."""
    own = ("auto_pad", "dilations", "group", "kernel_shape", "pads", "strides")
    attributes = {name: emit.node.attributes[name].value for name in own if name in emit.node.attributes}
    result = emit("Conv", emit.input(0), emit.input(1), emit.optional(2), **attributes)
    if emit.has(3):
        result = emit("Add", result, emit.input(3))
    given = emit.node.attributes.get("activation_params")
    return (_activated(emit, result, () if given is None else tuple(given.as_floats())),)


def fused_gemm(emit: Emission) -> Values:
    """Gemm and an activation."""
    own = ("alpha", "beta", "transA", "transB")
    attributes = {name: emit.node.attributes[name].value for name in own if name in emit.node.attributes}
    result = emit("Gemm", emit.input(0), emit.input(1), emit.optional(2), **attributes)
    names = ("activation_alpha", "activation_beta")
    parameters = tuple(emit.real(name, 0.0) for name in names if name in emit.node.attributes)
    return (_activated(emit, result, parameters),)


_PARAMETERS = {"Clip": (), "HardSigmoid": ("alpha", "beta"), "LeakyRelu": ("alpha",), "Elu": ("alpha",)}
_PLAIN = frozenset({"", "Relu", "Sigmoid", "Tanh", "Softplus", "Softsign", "HardSwish"})


def _activated(emit: Emission, x: ir.Value, parameters: tuple[float, ...]) -> ir.Value:
    name = emit.text("activation", "")
    if name in _PLAIN:
        return emit(name, x) if name else x
    if name not in _PARAMETERS:
        raise CannotRewrite(f"its activation is {name}")
    if name == "Clip":
        bounds = [emit.scalar(value, x) for value in parameters[:2]]
        return emit("Clip", x, *bounds)
    attributes: dict[str, Any] = dict(zip(_PARAMETERS[name], parameters, strict=False))
    return emit(name, x, **attributes)


def rotary_embedding(emit: Emission) -> Values:
    """RotaryEmbedding: positions [B, S], or one [1] from which they count."""
    if emit.integer("is_packed_batching", 0):
        raise CannotRewrite("its samples are packed")
    if emit.real("scale", 1.0) != 1.0:
        raise CannotRewrite("it scales its input")
    x, positions, cosines = emit.input(0), emit.input(1), emit.input(2)
    shape, given = shape_of(x), emit.integer("rotary_embedding_dim", 0)
    rotated = 2 * shape_of(cosines)[1]
    heads = emit.integer("num_heads", 0)
    size = shape[-1] if len(shape) == 4 else shape[-1] // heads if heads else rotated
    length = shape[2] if len(shape) == 4 else shape[1]
    if shape_of(positions) != (shape[0], length):
        steps = np.broadcast_to(np.arange(length, dtype=np.int64), (shape[0], length)).copy()
        positions = emit("Add", positions, emit.constant(steps))
    rotated = given or rotated
    attributes: dict[str, Any] = {} if len(shape) == 4 else {"num_heads": shape[-1] // size}
    return (
        rotate(
            emit,
            x,
            (cosines, emit.input(3)),
            emit.cast(positions, ir.DataType.INT64),
            interleaved=emit.integer("interleaved", 0),
            rotary_embedding_dim=rotated if rotated < size else 0,
            **attributes,
        ),
    )
