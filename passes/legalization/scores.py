"""The decomposed form of attention that the pass `fuse-attention` knows, whatever operator it came from.

scores = MatMul(Q, Kt), Mul scale, optional soft cap, optional Add bias, optional column of sinks, Softmax, MatMul with V.
Where several heads share keys and values, Q is [B, G, R, S, D] and broadcasts over Kt [B, G, 1, D, T]: nothing is repeated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.passes.legalization.emission import CannotRewrite, Emission, shape_of

if TYPE_CHECKING:
    from wsec.passes.rewriting import Array


@dataclass(frozen=True, slots=True)
class Tensor:
    """A value and its shape, which inference has not yet written into the value."""

    value: ir.Value
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Heads:
    """Queries [B, H, S, D], keys [B, G, T, D] and values [B, G, T, V]; G divides H."""

    queries: Tensor
    keys: Tensor
    values: Tensor

    def __post_init__(self) -> None:
        heads, groups = self.queries.shape[1], self.keys.shape[1]
        if groups == 0 or heads % groups or self.values.shape[1] != groups:
            raise CannotRewrite(f"{heads} heads of queries do not share {groups} heads of keys evenly")

    @property
    def scores_shape(self) -> tuple[int, ...]:
        """[B, G, R, S, T] where heads share keys, else [B, H, S, T]."""
        batch, heads, rows, _ = self.queries.shape
        groups, columns = self.keys.shape[1:3]
        return (
            (batch, heads, rows, columns)
            if heads == groups
            else (batch, groups, heads // groups, rows, columns)
        )


@dataclass(frozen=True, slots=True)
class Weighting:
    """How scores become probabilities.

    Attributes:
        scale: Factor of the scores.
        softcap: Bound of the scores; 0 for none.
        bias: Added to the scores, in a shape that broadcasts to [B, H, S, T].
        sinks: A score for each head [H] that takes its share of the probabilities and no value.
        precision: Element type in which the softmax is computed; None for that of the scores.
        guarded: True where rows of the bias may be all -inf; they give zero.
    """

    scale: float
    softcap: float = 0.0
    bias: Tensor | None = None
    sinks: ir.Value | None = None
    precision: ir.DataType | None = None
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Attended:
    """The result [B, H, S, V], and what an operator may give beside it, each [B, H, S, T]."""

    result: ir.Value
    scores: ir.Value
    capped: ir.Value
    biased: ir.Value
    probabilities: ir.Value


def attend(emit: Emission, heads: Heads, weighting: Weighting) -> Attended:
    """The attention of all heads, in the decomposed form."""
    queries, keys, values = heads.queries, heads.keys, heads.values
    batch, groups, columns, size = keys.shape
    transposed = emit.transpose(keys.value, 0, 1, 3, 2)
    left, right = queries.value, values.value
    shape = heads.scores_shape
    if len(shape) == 5:
        left = emit.reshape(left, *shape[:4], size)
        transposed = emit.reshape(transposed, batch, groups, 1, size, columns)
        right = emit.reshape(right, batch, groups, 1, columns, values.shape[3])
    scores = emit("MatMul", left, transposed)
    if weighting.scale != 1.0:
        scores = emit("Mul", scores, emit.scalar(weighting.scale, scores))
    capped = scores
    if weighting.softcap > 0:
        cap = emit.scalar(weighting.softcap, scores)
        capped = emit("Mul", emit("Tanh", emit("Div", scores, cap)), cap)
    biased, bias = capped, None
    if weighting.bias is not None:
        bias = _laid(emit, weighting.bias, shape)
        biased = emit("Add", capped, bias)
    probabilities = _softmax(emit, biased, shape, weighting)
    if weighting.guarded and bias is not None:
        probabilities = _guarded(emit, probabilities, bias)
    result = emit("MatMul", probabilities, right)
    flat = (batch, queries.shape[1], queries.shape[2])
    if len(shape) == 5:
        result = emit.reshape(result, *flat, values.shape[3])
    given = [
        emit.reshape(value, *flat, columns) if len(shape) == 5 and emit.wants(3) else value
        for value in (scores, capped, biased, probabilities)
    ]
    return Attended(result, *given)


def _laid(emit: Emission, bias: Tensor, shape: tuple[int, ...]) -> ir.Value:
    """The bias in the rank of the scores."""
    full = (1,) * (4 - len(bias.shape)) + bias.shape
    if len(shape) == 4:
        return bias.value
    heads = shape[1:3] if full[1] != 1 else (1, 1)
    wanted = (full[0], *heads, *full[2:])
    return emit.reshape(bias.value, *wanted) if wanted[:3] != (1, 1, 1) else bias.value


def _softmax(emit: Emission, scores: ir.Value, shape: tuple[int, ...], weighting: Weighting) -> ir.Value:
    kind = scores.dtype
    if weighting.precision is not None:
        scores = emit.cast(scores, weighting.precision)
    if weighting.sinks is None:
        result = emit("Softmax", scores, axis=-1)
    else:
        heads = math.prod(shape[1:-2])
        over = emit.reshape(emit.cast(weighting.sinks, scores.dtype or ir.DataType.FLOAT), *sink_shape(shape))
        column = emit("Expand", over, emit.integers(*shape[:-1], 1))
        if shape_of(weighting.sinks) != (heads,):
            raise CannotRewrite(f"its sinks are not one for each of {heads} heads")
        widened = emit("Softmax", emit("Concat", scores, column, axis=-1), axis=-1)
        result = emit.slice(widened, len(shape) - 1, 0, shape[-1])
    return result if kind is None else emit.cast(result, kind)


def sink_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape in which a score for each head broadcasts to the scores."""
    return (1, *shape[1:-2], 1, 1)


def _guarded(emit: Emission, probabilities: ir.Value, bias: ir.Value) -> ir.Value:
    """Zero instead of NaN in rows that attend to nothing."""
    highest = emit("ReduceMax", bias, emit.integers(-1), keepdims=1)
    nothing = emit("Equal", highest, emit.scalar(-np.inf, bias), dtype=ir.DataType.BOOL)
    return emit("Where", nothing, emit.scalar(0, bias), probabilities, dtype=bias.dtype)


def to_heads(emit: Emission, value: ir.Value, heads: int) -> Tensor:
    """[B, S, H D] as [B, H, S, D]; four dimensions already are that."""
    shape = shape_of(value)
    if len(shape) == 4:
        return Tensor(value, shape)
    if len(shape) != 3 or not heads or shape[2] % heads:
        raise CannotRewrite(f"{value.name} {list(shape)} does not hold {heads} heads")
    size = shape[2] // heads
    split = emit.reshape(value, shape[0], shape[1], heads, size)
    return Tensor(emit.transpose(split, 0, 2, 1, 3), (shape[0], heads, shape[1], size))


def from_heads(emit: Emission, value: ir.Value, heads: Heads) -> ir.Value:
    """[B, H, S, V] as [B, S, H V]."""
    batch, count, rows, _ = heads.queries.shape
    return emit.reshape(emit.transpose(value, 0, 2, 1, 3), batch, rows, count * heads.values.shape[3])


def appended(emit: Emission, past: ir.Value | None, new: Tensor) -> Tensor:
    """Past and new keys or values, one behind the other."""
    if past is None:
        return new
    batch, heads, length, size = new.shape
    before = shape_of(past)[2]
    value = emit("Concat", past, new.value, axis=2) if before else new.value
    return Tensor(value, (batch, heads, before + length, size))


def added(emit: Emission, biases: list[Tensor]) -> Tensor | None:
    """The sum of biases; None for none."""
    total: Tensor | None = None
    for bias in biases:
        if total is None:
            total = bias
        else:
            shape = np.broadcast_shapes(total.shape, bias.shape)
            total = Tensor(emit("Add", total.value, bias.value), shape)
    return total


def position_bias(
    emit: Emission,
    extents: tuple[int, int],
    bounds: tuple[int | None, int | None],
    offset: int,
    like: ir.Value,
) -> Tensor:
    """[S, T]: 0 where key t is at most `bounds` before and behind query s + `offset`, else -inf; a constant."""
    rows, columns = extents
    before, behind = bounds

    def mask() -> Array:
        distance = np.arange(columns) - (np.arange(rows)[:, None] + offset)
        allowed = np.ones_like(distance, dtype=np.bool_)
        if before is not None:
            allowed &= distance >= -before
        if behind is not None:
            allowed &= distance <= behind
        dtype = ir.DataType.FLOAT if like.dtype is None else like.dtype
        return np.where(allowed, 0, -np.inf).astype(dtype.numpy())

    key = ("position", rows, columns, bounds, offset, like.dtype)
    return Tensor(emit.shared(key, mask), (rows, columns))


def run_time_bias(emit: Emission, allowed: ir.Value, shape: tuple[int, ...], like: ir.Value) -> Tensor:
    """0 where a run-time condition holds, else -inf."""
    zero, closed = emit.scalar(0, like), emit.scalar(-np.inf, like)
    return Tensor(emit("Where", allowed, zero, closed, dtype=like.dtype), shape)
