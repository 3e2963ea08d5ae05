"""Attention of a decoder with its cache: as GroupQueryAttention, and written out as exporters do.

Keys and values of new tokens go to their positions in a cache of fixed capacity, so that no shape depends on the step.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto

from decoder_parts import linear
from model_writer import ONNXRUNTIME

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from decoder_parts import Drawing, Rope

_IN_HEADS = (0, 2, 1, 3)


def rotary_tables(
    rope: Rope, head_size: int, context: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Cosines and sines [context, head size / 2], with YaRN's interpolation by parts and its factor on both."""
    steps = np.arange(0, head_size, 2, dtype=np.float64) / head_size
    frequencies = rope.theta**-steps
    factor = 1.0
    if rope.factor > 1:
        first, last = (_dimension(rope, head_size, turns) for turns in (rope.fast, rope.slow))
        kept = 1 - np.clip((np.arange(head_size // 2) - first) / max(last - first, 1e-3), 0, 1)
        frequencies = frequencies / rope.factor * (1 - kept) + frequencies * kept
        factor = 0.1 * math.log(rope.factor) + 1
    angles = np.arange(context)[:, None] * frequencies
    return (np.cos(angles) * factor).astype(np.float32), (np.sin(angles) * factor).astype(np.float32)


def _dimension(rope: Rope, head_size: int, turns: float) -> float:
    """The dimension that turns so often within the context of the training."""
    edge = head_size * math.log(rope.trained_context / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))
    return min(max(edge, 0.0), head_size - 1.0)


@dataclass(frozen=True, slots=True)
class Shared:
    """Values that all layers read.

    Attributes:
        cosine: Contrib: the whole table; standard: that of the new tokens, [batch, 1, sequence, head size / 2].
        sine: Likewise.
        lengths, total: Contrib: filled positions less one [batch], and the scalar that bounds them.
        masks: Standard: by window, what is added to the scores.
        hit: Standard: the slot of the cache of each new token, [batch, 1, context, sequence].
        written: Standard: the slots that new tokens go to, [batch, 1, context, 1].
    """

    cosine: str
    sine: str
    lengths: str = ""
    total: str = ""
    masks: dict[int, str] | None = None
    hit: str = ""
    written: str = ""


def _tables(drawing: Drawing) -> list[str]:
    config, export = drawing.config, drawing.export
    tables = rotary_tables(config.rope, config.head_size, export.context)
    return [drawing.maker.constant(table.astype(export.dtype)) for table in tables]


def share(drawing: Drawing) -> Shared:
    """What the attentions of all layers read, once."""
    return _contrib_shared(drawing) if drawing.export.contrib else _standard_shared(drawing)


def _contrib_shared(drawing: Drawing) -> Shared:
    maker, scope = drawing.maker, "/lengths"
    filled = maker.apply(scope, "ReduceSum", "attention_mask", maker.integers(1), keepdims=0)
    last = maker.apply(scope, "Sub", filled, maker.integers(1))
    lengths = maker.apply(scope, "Cast", last, to=TensorProto.INT32)
    bound = drawing.export.context if drawing.export.decodes else drawing.export.sequence
    total = maker.constant(np.asarray(bound, dtype=np.int32))
    cosine, sine = _tables(drawing)
    return Shared(cosine, sine, lengths=lengths, total=total)


def _standard_shared(drawing: Drawing) -> Shared:
    maker, export, config = drawing.maker, drawing.export, drawing.config
    scope, new = "/positions", np.arange(export.sequence, dtype=np.int64)
    if export.decodes:
        filled = maker.apply(scope, "ReduceSum", "attention_mask", maker.integers(1), keepdims=1)
        positions = maker.apply(scope, "Add", filled, maker.constant(new - export.sequence))
    else:
        positions = maker.constant(np.broadcast_to(new, (export.batch, export.sequence)).copy())
    chosen = [maker.apply("/rotary", "Gather", table, positions) for table in _tables(drawing)]
    turned = [maker.apply("/rotary", "Unsqueeze", table, maker.integers(1)) for table in chosen]
    rows = maker.apply(scope, "Unsqueeze", positions, maker.integers(1, 3))  # [batch, 1, sequence, 1]
    masks = {window: _mask(drawing, rows, window) for window in sorted(set(config.windows))}
    hit, written = _slots(drawing, positions) if export.decodes else ("", "")
    return Shared(turned[0], turned[1], masks=masks, hit=hit, written=written)


def _mask(drawing: Drawing, rows: str, window: int) -> str:
    """What is added to the scores: 0 where a query may look, else the most negative number."""
    maker, export, scope = drawing.maker, drawing.export, f"/mask_{window}"
    keys = export.context if export.decodes else export.sequence
    columns = maker.constant(np.arange(keys, dtype=np.int64).reshape(1, 1, 1, -1))
    allowed = maker.apply(scope, "LessOrEqual", columns, rows)
    if window:
        first = maker.apply(scope, "Sub", rows, maker.constant(np.asarray(window, dtype=np.int64)))
        allowed = maker.apply(scope, "And", allowed, maker.apply(scope, "Greater", columns, first))
    if not export.decodes:
        given = maker.apply(scope, "Slice", "attention_mask", *(maker.integers(v) for v in (0, keys, 1)))
        filled = maker.apply(scope, "Unsqueeze", given, maker.integers(1, 2))
        filled = maker.apply(scope, "Cast", filled, to=TensorProto.BOOL)
        allowed = maker.apply(scope, "And", allowed, filled)
    least = float(np.finfo(np.dtype(export.dtype)).min)
    return maker.apply(scope, "Where", allowed, drawing.scalar(0), drawing.scalar(least))


def _slots(drawing: Drawing, positions: str) -> tuple[str, str]:
    """Which slot of the cache is that of which new token; and for several tokens, which slots are written."""
    maker, export, scope = drawing.maker, drawing.export, "/slots"
    slots = maker.constant(np.arange(export.context, dtype=np.int64).reshape(1, 1, -1, 1))
    columns = maker.apply(scope, "Unsqueeze", positions, maker.integers(1, 2))  # [batch, 1, 1, sequence]
    hit = maker.apply(scope, "Equal", slots, columns)
    if export.sequence == 1:
        return hit, hit
    places = maker.apply(scope, "Cast", hit, to=export.kind)
    any_hit = maker.apply(scope, "ReduceMax", places, maker.integers(3), keepdims=1)
    return places, maker.apply(scope, "Cast", any_hit, to=TensorProto.BOOL)


def cache_shape(drawing: Drawing) -> tuple[int, int, int, int]:
    """[batch, heads of keys, context, head size]."""
    config, export = drawing.config, drawing.export
    return (export.batch, config.kv_heads, export.context, config.head_size)


def attend(drawing: Drawing, shared: Shared, layer: int, x: str) -> str:
    """Attention of one layer, from and to [batch, sequence, hidden]."""
    config, name = drawing.config, f"layers.{layer}.self_attn"
    heads = {"q": config.heads, "k": config.kv_heads, "v": config.kv_heads}
    q, k, v = (
        linear(
            drawing, f"{name}.{part}_proj", x, count * config.head_size, config.hidden, bias=config.qkv_bias
        )
        for part, count in heads.items()
    )
    if drawing.export.decodes:
        for part in ("key", "value"):
            past = f"past_key_values.{layer}.{part}"
            drawing.maker.input(past, drawing.export.kind, *cache_shape(drawing))
    sink = drawing.vector(f"{name}.sinks", config.heads, deviation=1.0) if config.sinks else ""
    write = _contrib_attention if drawing.export.contrib else _standard_attention
    result = write(drawing, shared, layer, (q, k, v), sink)
    width = config.heads * config.head_size
    return linear(drawing, f"{name}.o_proj", result, config.hidden, width, bias=config.output_bias)


def _contrib_attention(
    drawing: Drawing, shared: Shared, layer: int, projected: tuple[str, str, str], sink: str
) -> str:
    maker, config, export = drawing.maker, drawing.config, drawing.export
    scope = f"/layers.{layer}.self_attn"
    past = [f"past_key_values.{layer}.{part}" if export.decodes else "" for part in ("key", "value")]
    presents = [f"present.{layer}.{part}" for part in ("key", "value")]
    padded = not export.decodes and export.sequence < export.context
    written = [f"{scope}/{part}" for part in ("key", "value")] if padded else presents
    inputs = [*projected, *past, shared.lengths, shared.total, shared.cosine, shared.sine]
    if sink:
        inputs += ["", "", sink]
    attributes = {
        "num_heads": config.heads,
        "kv_num_heads": config.kv_heads,
        "scale": config.head_size**-0.5,
        "do_rotary": 1,
        "rotary_interleaved": 0,
        "local_window_size": config.window(layer) or -1,
    }
    outputs = (f"{scope}/attended", *written)
    result = maker.apply(
        scope, "GroupQueryAttention", *inputs, outputs=outputs, domain=ONNXRUNTIME, **attributes
    )
    if padded:
        for given, present in zip(written, presents, strict=True):
            _pad_cache(drawing, scope, given, present)
    return result


def _pad_cache(drawing: Drawing, scope: str, given: str, present: str) -> None:
    """Keys or values of a prompt, followed by zeros up to the capacity of the cache."""
    missing = drawing.export.context - drawing.export.sequence
    if not missing:
        drawing.maker.apply(scope, "Identity", given, outputs=(present,))
        return
    ends = drawing.maker.integers(0, 0, 0, 0, 0, 0, missing, 0)
    drawing.maker.apply(scope, "Pad", given, ends, outputs=(present,))


def _standard_attention(
    drawing: Drawing, shared: Shared, layer: int, projected: tuple[str, str, str], sink: str
) -> str:
    maker, config, export = drawing.maker, drawing.config, drawing.export
    scope = f"/layers.{layer}.self_attn"
    q = _rotated(drawing, shared, scope, _in_heads(drawing, scope, projected[0], config.heads))
    k = _rotated(drawing, shared, scope, _in_heads(drawing, scope, projected[1], config.kv_heads))
    v = _in_heads(drawing, scope, projected[2], config.kv_heads)
    k = _cached(drawing, shared, f"{layer}.key", k)
    v = _cached(drawing, shared, f"{layer}.value", v)
    k, v = (_repeated(drawing, scope, value) for value in (k, v))
    scores = maker.apply(scope, "MatMul", q, maker.apply(scope, "Transpose", k, perm=(0, 1, 3, 2)))
    scores = maker.apply(scope, "Mul", scores, drawing.scalar(config.head_size**-0.5))
    assert shared.masks is not None  # noqa: S101
    scores = maker.apply(scope, "Add", scores, shared.masks[config.window(layer)])
    mixed = maker.apply(scope, "MatMul", _softmax(drawing, scope, scores, sink), v)
    moved = maker.apply(scope, "Transpose", mixed, perm=_IN_HEADS)
    width = config.heads * config.head_size
    return maker.apply(scope, "Reshape", moved, maker.integers(export.batch, export.sequence, width))


def _in_heads(drawing: Drawing, scope: str, x: str, heads: int) -> str:
    """[batch, sequence, heads * size] as [batch, heads, sequence, size]."""
    maker, export = drawing.maker, drawing.export
    shape = maker.integers(export.batch, export.sequence, heads, drawing.config.head_size)
    return maker.apply(scope, "Transpose", maker.apply(scope, "Reshape", x, shape), perm=_IN_HEADS)


def _rotated(drawing: Drawing, shared: Shared, scope: str, x: str) -> str:
    """Each pair (a, b) of the two halves of a head as (a cos - b sin, b cos + a sin)."""
    maker, size = drawing.maker, drawing.config.head_size
    scope = f"{scope}/rotary"
    a, b = (
        maker.apply(scope, "Slice", x, maker.integers(start), maker.integers(end), maker.integers(3))
        for start, end in ((0, size // 2), (size // 2, size))
    )

    def product(value: str, table: str) -> str:
        return maker.apply(scope, "Mul", value, table)

    first = maker.apply(scope, "Sub", product(a, shared.cosine), product(b, shared.sine))
    second = maker.apply(scope, "Add", product(b, shared.cosine), product(a, shared.sine))
    return maker.apply(scope, "Concat", first, second, axis=-1)


def _cached(drawing: Drawing, shared: Shared, which: str, new: str) -> str:
    """Keys or values to attend to; declares the cache after the step, `present.{which}`."""
    maker, export, scope = drawing.maker, drawing.export, f"/cache.{which}"
    present = f"present.{which}"
    if not export.decodes:
        _pad_cache(drawing, scope, new, present)
        return new
    placed = new if export.sequence == 1 else maker.apply(scope, "MatMul", shared.hit, new)
    past = f"past_key_values.{which}"
    return maker.apply(scope, "Where", shared.written, placed, past, outputs=(present,))


def _repeated(drawing: Drawing, scope: str, x: str) -> str:
    """Keys or values [batch, heads of keys, keys, size] once for each head of queries."""
    maker, config, export = drawing.maker, drawing.config, drawing.export
    keys = export.context if export.decodes else export.sequence
    times = config.heads // config.kv_heads
    if times == 1:
        return x
    one = maker.apply(scope, "Unsqueeze", x, maker.integers(2))
    shape = maker.integers(export.batch, config.kv_heads, times, keys, config.head_size)
    merged = maker.integers(export.batch, config.heads, keys, config.head_size)
    return maker.apply(scope, "Reshape", maker.apply(scope, "Expand", one, shape), merged)


def _softmax(drawing: Drawing, scope: str, scores: str, sink: str) -> str:
    """Over the keys, and over a column with the sink of each head that is then dropped."""
    maker, config, export = drawing.maker, drawing.config, drawing.export
    if not sink:
        return maker.apply(scope, "Softmax", scores, axis=-1)
    keys = export.context if export.decodes else export.sequence
    column = maker.apply(scope, "Reshape", sink, maker.integers(1, config.heads, 1, 1))
    shape = maker.integers(export.batch, config.heads, export.sequence, 1)
    column = maker.apply(scope, "Expand", column, shape)
    joined = maker.apply(scope, "Concat", scores, column, axis=-1)
    shares = maker.apply(scope, "Softmax", joined, axis=-1)
    return maker.apply(scope, "Slice", shares, *(maker.integers(value) for value in (0, keys, 3)))
