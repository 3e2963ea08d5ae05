"""GroupQueryAttention of com.microsoft in decomposed form: rotary positions, past keys, windows, sinks.

How long each sample is stands in `seqlens_k`: where that is a constant, positions and masks are constants too; else they
are computed at run time, and a buffer of keys that is filled only in part is put in order by a Gather.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.legalization.cache_updates import column_of_positions, write_rows
from wsec.passes.legalization.emission import CannotRewrite, Emission, shape_of
from wsec.passes.legalization.rotary import rotate
from wsec.passes.legalization.scores import (
    Heads,
    Tensor,
    Weighting,
    added,
    attend,
    from_heads,
    position_bias,
    run_time_bias,
    to_heads,
)
from wsec.passes.rewriting import integers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_UNSUPPORTED = {
    12: "its keys are quantised",
    13: "its values are quantised",
    14: "it normalises its queries",
    15: "it normalises its keys",
    16: "its queries have lengths of their own",
}


@dataclass(frozen=True, slots=True)
class _Past:
    """How many keys precede the new ones: a number, or a vector [B] that is known at run time.

    `last` [B] is the last key that counts, where samples may be padded behind it; the rows of the padding see no more.
    """

    known: int | None
    vector: ir.Value | None = None
    last: ir.Value | None = None


def grouped_query_attention(emit: Emission) -> Sequence[ir.Value | None]:
    """GroupQueryAttention: output, present key and present value."""
    _check(emit)
    query, key, value = _unpacked(emit)
    count, groups = emit.integer("num_heads", 0), emit.integer("kv_num_heads", 0)
    queries, keys, values = (
        to_heads(emit, item, heads) for item, heads in ((query, count), (key, groups), (value, groups))
    )
    batch, _, rows, size = queries.shape
    past = _past(emit, batch, rows)
    if emit.integer("do_rotary", 0):
        positions = _positions(emit, past, batch, rows)
        queries, keys = (_rotated(emit, item, positions) for item in (queries, keys))
    columns = _columns(emit, past, rows)
    keys = _present(emit, emit.optional(3), keys, past, columns)
    values = _present(emit, emit.optional(4), values, past, columns)
    heads = Heads(queries, keys, values)
    biases = [_causal(emit, past, heads)]
    if emit.has(10):
        biases.append(Tensor(emit.input(10), shape_of(emit.input(10))))
    sinks = emit.optional(11)
    if sinks is None and emit.integer("smooth_softmax", 0) == 1:  # -1 stands for "not given"
        sinks = emit.constant(np.zeros(count, np.float32))
        sinks.shape = ir.Shape((count,))
    scale = emit.real("scale", 0.0) or 1 / math.sqrt(size)
    weighting = Weighting(scale, emit.real("softcap", 0.0), added(emit, biases), sinks)
    result = from_heads(emit, attend(emit, heads, weighting).result, heads)
    return (
        result,
        keys.value if emit.wants(1) else None,
        values.value if emit.wants(2) else None,
    )


def _check(emit: Emission) -> None:
    for index, reason in _UNSUPPORTED.items():
        if emit.has(index):
            raise CannotRewrite(reason)
    if emit.wants(3):
        raise CannotRewrite("its scores are an output")
    if not emit.integer("causal", 1):
        raise CannotRewrite("it is not causal")
    if emit.integer("sliding_window_cache", 0):
        raise CannotRewrite("its cache is a ring")
    if any(emit.text(name, "NONE") not in {"", "NONE"} for name in ("k_quant_type", "v_quant_type")):
        raise CannotRewrite("its past is quantised")


def _unpacked(emit: Emission) -> tuple[ir.Value, ir.Value, ir.Value]:
    """Queries, keys and values [B, S, H D], which may come in one tensor."""
    query = emit.input(0)
    if emit.has(1) and emit.has(2):
        return query, emit.input(1), emit.input(2)
    heads, groups = emit.integer("num_heads", 0), emit.integer("kv_num_heads", 0)
    batch, rows, hidden = shape_of(query)
    size, rest = divmod(hidden, heads + 2 * groups)
    if rest:
        raise CannotRewrite(f"{hidden} features do not hold {heads} + 2 x {groups} heads")
    start, parts = 0, []
    for width in (heads * size, groups * size, groups * size):
        part = emit.slice(query, 2, start, start + width)
        part.shape = ir.Shape((batch, rows, width))
        parts.append(part)
        start += width
    return parts[0], parts[1], parts[2]


def _past(emit: Emission, batch: int, rows: int) -> _Past:
    """The keys before the new ones: `seqlens_k + 1 - rows`, and none for a prompt, which may be padded behind."""
    empty = not emit.has(3) or shape_of(emit.input(3))[2] == 0
    lengths = integers_of(emit.input(5))
    if lengths is not None and len(set(lengths)) == 1 and (lengths[0] + 1 == rows or not empty):
        before = lengths[0] + 1 - rows
        if before >= 0:
            return _Past(before)
    last = emit.cast(emit.reshape(emit.input(5), batch), ir.DataType.INT64)
    if empty:
        return _Past(0, last=last)
    before_new = emit("Add", last, emit.scalar(1 - rows, last))
    return _Past(None, emit("Max", before_new, emit.scalar(0, last)), last)


def _columns(emit: Emission, past: _Past, rows: int) -> int:
    """Length of the present keys: of the buffer, or of all keys where that is more."""
    buffer = shape_of(emit.input(3))[2] if emit.has(3) else 0
    total = integers_of(emit.optional(6))
    if total is not None:
        return max(buffer, total[0])
    present = static_shape(emit.node.outputs[1]) if len(emit.node.outputs) > 1 else None
    if present is not None:
        return present[2]
    if past.known is not None:
        return max(buffer, past.known + rows)
    raise CannotRewrite(
        "total_sequence_length is known at run time only, and with it the length of its results"
    )


def _positions(emit: Emission, past: _Past, batch: int, rows: int) -> ir.Value:
    """Position of each new key, [B, S]."""
    if emit.has(9):
        return emit.cast(emit.input(9), ir.DataType.INT64)
    steps = np.arange(rows, dtype=np.int64)[None]
    if past.vector is None:
        known = np.repeat(steps + (past.known or 0), batch, axis=0)
        return emit.shared(("positions", batch, rows, past.known), lambda: known)
    return emit("Add", emit.reshape(past.vector, batch, 1), emit.constant(steps))


def _rotated(emit: Emission, item: Tensor, positions: ir.Value) -> Tensor:
    cosines, sines = emit.input(7), emit.input(8)
    rotated = 2 * shape_of(cosines)[1]
    value = rotate(
        emit,
        item.value,
        (cosines, sines),
        positions,
        interleaved=emit.integer("rotary_interleaved", 0),
        rotary_embedding_dim=rotated if rotated < item.shape[3] else 0,
    )
    return Tensor(value, item.shape)


def _present(emit: Emission, buffer: ir.Value | None, new: Tensor, past: _Past, columns: int) -> Tensor:
    """The first keys of the buffer, the new ones behind them, and zeros up to `columns`."""
    batch, groups, rows, size = new.shape
    shape = (batch, groups, columns, size)
    held = 0 if buffer is None else shape_of(buffer)[2]
    if past.vector is None:
        parts = [] if buffer is None or not past.known else [buffer]
        if past.known and parts and past.known < held:
            parts = [emit.slice(parts[0], 2, 0, past.known)]
        parts.append(new.value)
        missing = columns - (past.known or 0) - rows
        if missing > 0:
            parts.append(_zeros(emit, (batch, groups, missing, size), new.value))
        return Tensor(parts[0] if len(parts) == 1 else emit("Concat", *parts, axis=2), shape)
    if buffer is None:
        raise CannotRewrite("it has past lengths without past keys")
    if held == columns:
        return Tensor(_written(emit, buffer, new, past.vector), shape)
    together = emit("Concat", buffer, new.value, _zeros(emit, (batch, groups, 1, size), new.value), axis=2)
    index = _order(emit, past.vector, (batch, columns), held, rows)
    if batch == 1:
        return Tensor(emit("Gather", together, emit.reshape(index, columns), axis=2), shape)
    apart = emit.transpose(together, 0, 2, 1, 3)
    gathered = emit("GatherND", apart, emit.reshape(index, batch, columns, 1), batch_dims=1)
    return Tensor(emit.transpose(gathered, 0, 2, 1, 3), shape)


def _written(emit: Emission, buffer: ir.Value, new: Tensor, past: ir.Value) -> ir.Value:
    """The buffer with new rows behind the past ones, and zeros behind them: an update in place (docs/states.md)."""
    rows, dtype = new.shape[2], new.value.dtype
    steps = column_of_positions(emit, shape_of(buffer)[2])
    positions = emit.reshape(past, new.shape[0], 1, 1, 1)
    earlier = emit("Less", steps, positions, dtype=ir.DataType.BOOL)
    cleared = emit("Where", earlier, buffer, emit.scalar(0, new.value), dtype=dtype)
    if rows > 1:
        positions = emit(
            "Add", positions, emit.constant(np.arange(rows, dtype=np.int64).reshape(1, 1, 1, -1))
        )
    marks = emit("Equal", steps, positions, dtype=ir.DataType.BOOL)
    return write_rows(emit, cleared, new.value, rows, marks)


def _zeros(emit: Emission, shape: tuple[int, ...], like: ir.Value) -> ir.Value:
    dtype = ir.DataType.FLOAT if like.dtype is None else like.dtype
    return emit.shared(("zeros", shape, like.dtype), lambda: np.zeros(shape, dtype.numpy()))


def _order(emit: Emission, past: ir.Value, shape: tuple[int, int], held: int, rows: int) -> ir.Value:
    """Where position t of the present lies in [buffer, new, zero]: [B, T]."""
    batch, columns = shape
    steps = emit.constant(np.arange(columns, dtype=np.int64).reshape(1, columns))
    start = emit.reshape(past, batch, 1)
    behind = emit("Sub", steps, start)
    zero = emit.constant(np.array(held + rows, np.int64))
    new = emit("Less", behind, emit.constant(np.array(rows, np.int64)), dtype=ir.DataType.BOOL)
    shifted = emit("Add", behind, emit.constant(np.array(held, np.int64)))
    later = emit("Where", new, shifted, zero, dtype=ir.DataType.INT64)
    earlier = emit("Less", steps, start, dtype=ir.DataType.BOOL)
    return emit("Where", earlier, steps, later, dtype=ir.DataType.INT64)


def _causal(emit: Emission, past: _Past, heads: Heads) -> Tensor:
    """The bias of the causal mask and of the local window."""
    batch, _, rows, _ = heads.queries.shape
    columns, like = heads.keys.shape[2], heads.queries.value
    window = emit.integer("local_window_size", -1)
    before = window - 1 if window > 0 else None
    if past.last is None:
        return position_bias(emit, (rows, columns), (before, 0), past.known or 0, like)
    known = past.known or 0
    key = emit.shared(
        ("row of keys", columns), lambda: np.arange(columns, dtype=np.int64).reshape(1, 1, 1, -1)
    )
    place = emit.shared(
        ("column of rows", rows, known),
        lambda: (np.arange(rows, dtype=np.int64) + known).reshape(1, 1, -1, 1),
    )
    if past.vector is not None:
        place = emit("Add", emit.reshape(past.vector, batch, 1, 1, 1), place)
    final = emit("Min", place, emit.reshape(past.last, batch, 1, 1, 1))
    allowed = emit("LessOrEqual", key, final, dtype=ir.DataType.BOOL)
    if before is not None:
        first = emit("Sub", place, emit.scalar(before, place))
        within = emit("GreaterOrEqual", key, first, dtype=ir.DataType.BOOL)
        allowed = emit("And", allowed, within, dtype=ir.DataType.BOOL)
    return run_time_bias(emit, allowed, (batch, 1, rows, columns), like)
