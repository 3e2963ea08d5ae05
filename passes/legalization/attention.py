"""Attention of `ai.onnx`, and Attention and MultiHeadAttention of com.microsoft, in decomposed form."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.passes.legalization.emission import CannotRewrite, Emission, shape_of
from wsec.passes.legalization.scores import (
    Attended,
    Heads,
    Tensor,
    Weighting,
    added,
    appended,
    attend,
    from_heads,
    position_bias,
    run_time_bias,
    to_heads,
)
from wsec.passes.rewriting import constant_of, is_cheap

if TYPE_CHECKING:
    from collections.abc import Sequence

_GUARD_BYTES = 1 << 20


def attention(emit: Emission) -> Sequence[ir.Value | None]:
    """Attention of `ai.onnx` 23 to 25: Y, present key, present value and one of its stages."""
    queries = to_heads(emit, emit.input(0), emit.integer("q_num_heads", 0))
    heads_of_keys = emit.integer("kv_num_heads", 0)
    keys = appended(emit, emit.optional(4), to_heads(emit, emit.input(1), heads_of_keys))
    values = appended(emit, emit.optional(5), to_heads(emit, emit.input(2), heads_of_keys))
    heads = Heads(queries, keys, values)
    biases, guarded = _standard_biases(emit, heads)
    given = emit.node.attributes.get("softmax_precision")
    attended = attend(
        emit,
        heads,
        Weighting(
            emit.real("scale", 1 / math.sqrt(queries.shape[3])),
            emit.real("softcap", 0.0),
            added(emit, biases),
            precision=None if given is None else ir.DataType(given.as_int()),
            guarded=guarded,
        ),
    )
    result = attended.result
    if len(shape_of(emit.input(0))) == 3:
        result = from_heads(emit, result, heads)
    stage = _stage(attended, emit.integer("qk_matmul_output_mode", 0)) if emit.wants(3) else None
    return (
        result,
        keys.value if emit.wants(1) else None,
        values.value if emit.wants(2) else None,
        stage,
    )


def _stage(attended: Attended, mode: int) -> ir.Value:
    return (attended.scores, attended.capped, attended.biased, attended.probabilities)[mode]


def _standard_biases(emit: Emission, heads: Heads) -> tuple[list[Tensor], bool]:
    """The biases of masks, position and length, and whether a row of them may be closed."""
    rows, columns = heads.queries.shape[2], heads.keys.shape[2]
    queries = heads.queries.value
    biases, guarded = [], False
    if emit.has(3):
        biases.append(_standard_mask(emit, emit.input(3), columns, queries))
        guarded = _may_close_a_row(emit.input(3)) or shape_of(emit.input(3))[-1] < columns
    windows = [emit.integer(name, -1) for name in ("left_window_size", "right_window_size")]
    before, behind = (None if size < 0 else size for size in windows)
    if emit.integer("is_causal", 0):
        behind = 0
    if emit.has(6):
        biases += _length_biases(emit, heads, before, behind)
        return biases, True
    if (before, behind) != (None, None):
        offset = shape_of(emit.input(4))[2] if emit.has(4) else 0
        biases.append(position_bias(emit, (rows, columns), (before, behind), offset, queries))
        guarded = guarded or (before is not None and offset + rows - 1 - before >= columns)
    return biases, guarded and bool(biases)


def _standard_mask(emit: Emission, mask: ir.Value, columns: int, like: ir.Value) -> Tensor:
    """The mask as a bias over all keys; what is short of them is closed."""
    shape = shape_of(mask)
    bias = run_time_bias(emit, mask, shape, like).value if mask.dtype == ir.DataType.BOOL else mask
    missing = columns - shape[-1]
    if missing > 0:
        pads = emit.integers(*(0,) * (2 * len(shape) - 1), missing)
        bias = emit("Pad", bias, pads, emit.scalar(-np.inf, bias), mode="constant")
    return Tensor(bias, (*shape[:-1], columns))


def _may_close_a_row(mask: ir.Value) -> bool:
    """Whether some query may see no key; of a small constant it is known."""
    tensor = constant_of(mask)
    if tensor is None or not is_cheap(tensor, _GUARD_BYTES, _GUARD_BYTES):
        return True
    array = tensor.numpy()
    opened = array if array.dtype == np.bool_ else array > -np.inf
    return not bool(opened.any(axis=-1).all())


def _length_biases(emit: Emission, heads: Heads, before: int | None, behind: int | None) -> list[Tensor]:
    """The biases of `nonpad_kv_seqlen`, which are known at run time only: [B, 1, S, T] and [B, 1, 1, T]."""
    batch, _, rows, _ = heads.queries.shape
    columns, like = heads.keys.shape[2], heads.queries.value
    lengths = emit.reshape(emit.input(6), batch, 1, 1, 1)
    key = emit.constant(np.arange(columns, dtype=np.int64).reshape(1, 1, 1, columns))
    inside = emit("Less", key, lengths, dtype=ir.DataType.BOOL)
    biases = [run_time_bias(emit, inside, (batch, 1, 1, columns), like)]
    query = emit.constant(np.arange(-rows, 0, dtype=np.int64).reshape(1, 1, rows, 1))
    place = emit("Add", lengths, query)
    for bound, comparison in (
        (behind, "LessOrEqual"),
        (None if before is None else -before, "GreaterOrEqual"),
    ):
        if bound is not None:
            limit = emit("Add", place, emit.scalar(bound, place))
            allowed = emit(comparison, key, limit, dtype=ir.DataType.BOOL)
            biases.append(run_time_bias(emit, allowed, (batch, 1, rows, columns), like))
    return biases


def multi_head_attention(emit: Emission) -> Sequence[ir.Value | None]:
    """MultiHeadAttention: packed or apart, with bias, masks and past; output, present key and value."""
    for index, name in ((8, "past_sequence_length"), (9, "cache_indirection")):
        if emit.has(index):
            raise CannotRewrite(f"{name} is given: its buffers are written in place")
    if emit.wants(3):
        raise CannotRewrite("its scores are an output")
    count = emit.integer("num_heads", 0)
    query, key, value = _with_bias(emit, *_unpacked(emit), count)
    keys = appended(emit, emit.optional(6), to_heads(emit, key, count))
    values = appended(emit, emit.optional(7), to_heads(emit, value, count))
    heads = Heads(to_heads(emit, query, count), keys, values)
    scale = emit.real("scale", 0.0) or 1 / math.sqrt(heads.queries.shape[3])
    bias = added(emit, _contributed_biases(emit, heads, mask=4, bias=5))
    result = from_heads(emit, attend(emit, heads, Weighting(scale, bias=bias)).result, heads)
    return (
        result,
        keys.value if emit.wants(1) else None,
        values.value if emit.wants(2) else None,
    )


def _unpacked(emit: Emission) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Queries, keys and values; packed ones [B, S, H, 2 or 3, D] are taken apart."""
    query = emit.input(0)
    if len(shape_of(query)) == 5:
        parts = _parts(emit, query, 3)
        return parts[0], parts[1], parts[2]
    key = emit.input(1)
    if len(shape_of(key)) == 5:
        parts = _parts(emit, key, 2)
        return query, parts[0], parts[1]
    return query, key, emit.input(2)


def _parts(emit: Emission, packed: ir.Value, count: int) -> list[ir.Value]:
    batch, length, heads, _, size = shape_of(packed)
    parts = []
    for index in range(count):
        part = emit.reshape(emit.slice(packed, 3, index, index + 1), batch, length, heads * size)
        part.shape = ir.Shape((batch, length, heads * size))
        parts.append(part)
    return parts


def _with_bias(
    emit: Emission, query: ir.Value, key: ir.Value, value: ir.Value, count: int
) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Queries, keys and values with their parts of the bias [hidden + hidden + hidden of values] added."""
    if not emit.has(3):
        return query, key, value
    if len(shape_of(key)) == 4 or not count:
        raise CannotRewrite("its bias does not reach keys that come in heads")
    start, results = 0, []
    for item in (query, key, value):
        shape = shape_of(item)
        part = emit.slice(emit.input(3), 0, start, start + shape[2])
        start += shape[2]
        total = emit("Add", item, part)
        total.shape = ir.Shape(shape)
        results.append(total)
    return results[0], results[1], results[2]


def projected_attention(emit: Emission) -> Sequence[ir.Value | None]:
    """Attention of com.microsoft, which projects its input itself: output, and present keys and values in one tensor."""
    if emit.has(6) or emit.integer("past_present_share_buffer", 0):
        raise CannotRewrite("its past is a buffer that is written in place")
    if emit.integer("do_rotary", 0):
        raise CannotRewrite("it turns its queries and keys")
    count = emit.integer("num_heads", 0)
    queries, keys, values = (to_heads(emit, item, count) for item in _projections(emit))
    if emit.has(4):
        keys, values = (
            appended(emit, _of_pair(emit, emit.input(4), index), new)
            for index, new in enumerate((keys, values))
        )
    heads = Heads(queries, keys, values)
    scale = emit.real("scale", 0.0) or 1 / math.sqrt(queries.shape[3])
    bias = added(emit, _contributed_biases(emit, heads, mask=3, bias=5))
    result = from_heads(emit, attend(emit, heads, Weighting(scale, bias=bias)).result, heads)
    if not emit.wants(1):
        return result, None
    pair = (emit.reshape(item.value, 1, *item.shape) for item in (keys, values))
    return result, emit("Concat", *pair, axis=0)


def _projections(emit: Emission) -> list[ir.Value]:
    """Queries, keys and values [B, S, width], each with its columns of the weights [C, all widths] and of the bias."""
    batch, rows, _ = shape_of(emit.input(0))
    weights = emit.input(1)
    given = emit.node.attributes.get("qkv_hidden_sizes")
    widths = (shape_of(weights)[1] // 3,) * 3 if given is None else tuple(given.as_ints())
    start, results = 0, []
    for width in widths:
        part = emit("MatMul", emit.input(0), emit.slice(weights, 1, start, start + width))
        if emit.has(2):
            part = emit("Add", part, emit.slice(emit.input(2), 0, start, start + width))
        part.shape = ir.Shape((batch, rows, width))
        results.append(part)
        start += width
    return results


def _of_pair(emit: Emission, pair: ir.Value, index: int) -> ir.Value:
    """Keys or values [B, H, P, D] of a past [2, B, H, P, D]."""
    shape = shape_of(pair)[1:]
    part = emit.reshape(emit.slice(pair, 0, index, index + 1), *shape)
    part.shape = ir.Shape(shape)
    return part


def _contributed_biases(emit: Emission, heads: Heads, *, mask: int, bias: int) -> list[Tensor]:
    """Padding mask, attention bias, which are the inputs of these numbers, and causal mask."""
    batch, _, rows, _ = heads.queries.shape
    columns, like = heads.keys.shape[2], heads.queries.value
    biases = []
    if emit.has(mask):
        biases.append(_padding_bias(emit, emit.input(mask), batch, columns, like))
    if emit.has(bias):
        biases.append(Tensor(emit.input(bias), shape_of(emit.input(bias))))
    if emit.integer("unidirectional", 0):
        biases.append(position_bias(emit, (rows, columns), (None, 0), columns - rows, like))
    return biases


def _padding_bias(emit: Emission, mask: ir.Value, batch: int, columns: int, like: ir.Value) -> Tensor:
    """0 for a key that counts, `mask_filter_value` for one that does not."""
    shape = shape_of(mask)
    if shape == (batch,):
        key = emit.constant(np.arange(columns).astype(np.int32).reshape(1, columns))
        counts = emit("Less", key, emit.reshape(mask, batch, 1), dtype=ir.DataType.BOOL)
    elif shape == (batch, columns) or (len(shape) == 3 and shape[-1] == columns):
        counts = emit("Greater", mask, emit.scalar(0, mask), dtype=ir.DataType.BOOL)
    else:
        raise CannotRewrite(f"its mask has shape {list(shape)}")
    laid = (shape[0], 1, shape[1], columns) if len(shape) == 3 else (batch, 1, 1, columns)
    closed = emit.scalar(emit.real("mask_filter_value", -10000.0), like)
    bias = emit("Where", counts, emit.scalar(0, like), closed, dtype=like.dtype)
    return Tensor(emit.reshape(bias, *laid), laid)
