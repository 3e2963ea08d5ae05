"""Attention as exporters write it, in standard operators; shapes are small and odd."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto
from small_models import ModelMaker

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

MOVED = (0, 2, 1, 3)


@dataclass(frozen=True)
class Sizes:
    """Batch, heads, heads of keys, rows, keys, size of a head and of its values."""

    batch: int = 1
    heads: int = 2
    groups: int = 2
    rows: int = 7
    keys: int = 7
    size: int = 4
    width: int = 4

    @property
    def inputs(self) -> dict[str, Sequence[int]]:
        """Query, key and value [B, S, H D], as projections give them."""
        return {
            "q": [self.batch, self.rows, self.heads * self.size],
            "k": [self.batch, self.keys, self.groups * self.size],
            "v": [self.batch, self.keys, self.groups * self.width],
        }


def save(maker: ModelMaker, path: Path, sizes: Sizes, output: str, kind: int = TensorProto.FLOAT) -> Path:
    """The model with inputs q, k and v."""
    return maker.save(path, sizes.inputs, [output], kind)


def in_heads(maker: ModelMaker, name: str, shape: Sequence[int], order: Sequence[int] = MOVED) -> str:
    """[B, S, H D] in heads."""
    split = maker.apply("Reshape", name, maker.integers(*shape))
    return maker.apply("Transpose", split, perm=list(order))


def operands(maker: ModelMaker, sizes: Sizes) -> tuple[str, str, str]:
    """Query [B, H, S, D], key [B, G, D, T] and value [B, G, T, V]."""
    q = in_heads(maker, "q", (sizes.batch, sizes.rows, sizes.heads, sizes.size))
    k = in_heads(maker, "k", (sizes.batch, sizes.keys, sizes.groups, sizes.size), (0, 2, 3, 1))
    v = in_heads(maker, "v", (sizes.batch, sizes.keys, sizes.groups, sizes.width))
    return q, k, v


def finish(maker: ModelMaker, scores: str, value: str, sizes: Sizes) -> str:
    """Softmax, the product with the values, and the result as [B, S, H V]."""
    return merged(maker, maker.apply("MatMul", maker.apply("Softmax", scores, axis=-1), value), sizes)


def merged(maker: ModelMaker, result: str, sizes: Sizes) -> str:
    """[B, H, S, V] as [B, S, H V]."""
    moved = maker.apply("Transpose", result, perm=list(MOVED))
    shape = maker.integers(sizes.batch, sizes.rows, sizes.heads * sizes.width)
    return maker.apply("Reshape", moved, shape)


def scalar(maker: ModelMaker, value: float, dtype: type[np.generic] = np.float32) -> str:
    """A constant without dimensions."""
    return maker.constant(np.asarray(value, dtype=dtype))


def causal(sizes: Sizes, window: int = 1 << 20) -> NDArray[np.bool_]:
    """[S, T]: what a row may see, its own key and `window` - 1 before it."""
    distance = np.arange(sizes.rows)[:, None] + sizes.keys - sizes.rows - np.arange(sizes.keys)
    return (distance >= 0) & (distance < window)


def bert(path: Path, sizes: Sizes) -> Path:
    """Scores over a number, an additive mask of the keys."""
    maker = ModelMaker()
    q, k, v = operands(maker, sizes)
    scores = maker.apply("Div", maker.apply("MatMul", q, k), scalar(maker, 2.0))
    mask = np.where(np.arange(sizes.keys) % 3 == 2, -1e9, 0).astype(np.float32)
    scores = maker.apply("Add", scores, maker.constant(mask.reshape(1, 1, 1, -1)))
    return save(maker, path, sizes, finish(maker, scores, v, sizes))


def sdpa(path: Path, sizes: Sizes) -> Path:
    """As torch writes it: the root of the scale on both operands, a guard against rows that see nothing."""
    maker = ModelMaker()
    q, k, v = operands(maker, sizes)
    q, k = (maker.apply("Mul", name, scalar(maker, 0.7)) for name in (q, k))
    mask = np.where(causal(sizes), 0, -np.inf).astype(np.float32)
    mask[0] = -np.inf
    scores = maker.apply("Add", maker.apply("MatMul", q, k), maker.constant(mask))
    p = maker.apply("Softmax", scores, axis=-1)
    p = maker.apply("Where", maker.apply("IsNaN", p), scalar(maker, 0.0), p)
    return save(maker, path, sizes, merged(maker, maker.apply("MatMul", p, v), sizes))


def gpt2(path: Path, sizes: Sizes) -> Path:
    """A condition for each score, and a bias behind; element-wise operators behind the result."""
    maker = ModelMaker()
    q, k, v = operands(maker, sizes)
    scores = maker.apply("Mul", maker.apply("MatMul", q, k), scalar(maker, 0.5))
    allowed = maker.constant(causal(sizes)[None, None])
    scores = maker.apply("Where", allowed, scores, scalar(maker, -3e38))
    scores = maker.apply("Add", scores, maker.weight(1, sizes.heads, 1, sizes.keys))
    result = finish(maker, scores, v, sizes)
    behind = maker.apply("Add", result, maker.weight(sizes.heads * sizes.width))
    return save(maker, path, sizes, maker.apply("Tanh", behind))


def t5(path: Path, sizes: Sizes) -> Path:
    """Nothing but a bias of positions for each head; the result stays in heads."""
    maker = ModelMaker()
    q, k, v = operands(maker, sizes)
    bias = maker.weight(1, sizes.heads, sizes.rows, sizes.keys)
    scores = maker.apply("Add", bias, maker.apply("MatMul", q, k))
    result = maker.apply("MatMul", maker.apply("Softmax", scores, axis=-1), v)
    return save(maker, path, sizes, result)


def bart(path: Path, sizes: Sizes) -> Path:
    """Batch and heads in one dimension, apart only where the mask is added."""
    maker = ModelMaker()
    flat = sizes.batch * sizes.heads
    q, k, v = operands(maker, sizes)
    q = maker.apply("Reshape", q, maker.integers(flat, sizes.rows, sizes.size))
    k = maker.apply("Reshape", k, maker.integers(flat, sizes.size, sizes.keys))
    v = maker.apply("Reshape", v, maker.integers(flat, sizes.keys, sizes.width))
    scores = maker.apply("MatMul", q, k)
    apart = maker.integers(sizes.batch, sizes.heads, sizes.rows, sizes.keys)
    scores = maker.apply(
        "Add", maker.apply("Reshape", scores, apart), maker.weight(sizes.batch, 1, 1, sizes.keys)
    )
    scores = maker.apply("Reshape", scores, maker.integers(flat, sizes.rows, sizes.keys))
    result = maker.apply("MatMul", maker.apply("Softmax", scores, axis=-1), v)
    shape = maker.integers(sizes.batch, sizes.heads, sizes.rows, sizes.width)
    return save(maker, path, sizes, merged(maker, maker.apply("Reshape", result, shape), sizes))


def llama(path: Path, sizes: Sizes) -> Path:
    """Half precision with a softmax in single, keys and values repeated for the heads that share them; a window."""
    maker = ModelMaker()
    q, _, v = operands(maker, sizes)
    k = in_heads(maker, "k", (sizes.batch, sizes.keys, sizes.groups, sizes.size))
    k, v = (_repeated(maker, name, sizes, width) for name, width in ((k, sizes.size), (v, sizes.width)))
    k = maker.apply("Transpose", k, perm=[0, 1, 3, 2])
    scores = maker.apply("Mul", maker.apply("MatMul", q, k), scalar(maker, 0.5, np.float16))
    mask = np.where(causal(sizes, window=4), 0, -65504).astype(np.float16)
    scores = maker.apply("Add", scores, maker.constant(mask[None, None]))
    p = maker.apply("Softmax", maker.apply("Cast", scores, to=TensorProto.FLOAT), axis=-1)
    result = maker.apply("MatMul", maker.apply("Cast", p, to=TensorProto.FLOAT16), v)
    return save(maker, path, sizes, merged(maker, result, sizes), TensorProto.FLOAT16)


def _repeated(maker: ModelMaker, name: str, sizes: Sizes, width: int) -> str:
    shape = (sizes.batch, sizes.groups, 1, sizes.keys, width)
    times = (sizes.batch, sizes.groups, sizes.heads // sizes.groups, sizes.keys, width)
    apart = maker.apply("Unsqueeze", name, maker.integers(2)) if width else name
    wide = maker.apply("Expand", apart, maker.integers(*times))
    return maker.apply("Reshape", wide, maker.integers(shape[0], sizes.heads, *shape[3:]))


def gemma(path: Path, sizes: Sizes) -> Path:
    """Scores in groups of heads that broadcast over shared keys, bounded by a hyperbolic tangent."""
    maker = ModelMaker()
    q, k, v = operands(maker, sizes)
    shared = sizes.heads // sizes.groups
    q = maker.apply("Reshape", q, maker.integers(sizes.batch, sizes.groups, shared, sizes.rows, sizes.size))
    k, v = (maker.apply("Unsqueeze", name, maker.integers(2)) for name in (k, v))
    scores = maker.apply("Div", maker.apply("MatMul", q, k), scalar(maker, 3.0))
    scores = maker.apply("Mul", maker.apply("Tanh", scores), scalar(maker, 3.0))
    result = maker.apply("MatMul", maker.apply("Softmax", scores, axis=-1), v)
    flat = maker.integers(sizes.batch, sizes.heads, sizes.rows, sizes.width)
    return save(maker, path, sizes, merged(maker, maker.apply("Reshape", result, flat), sizes))


def gpt_oss(path: Path, sizes: Sizes) -> Path:
    """A sink: a score for each head that takes its share of the softmax and no value."""
    maker = ModelMaker()
    q, k, v = operands(maker, sizes)
    scores = maker.apply("MatMul", q, k)
    column = maker.integers(sizes.batch, sizes.heads, sizes.rows, 1)
    sink = maker.apply("Expand", maker.weight(1, sizes.heads, 1, 1), column)
    p = maker.apply("Softmax", maker.apply("Concat", scores, sink, axis=-1), axis=-1)
    p = maker.apply("Slice", p, maker.integers(0), maker.integers(-1), maker.integers(-1))
    return save(maker, path, sizes, merged(maker, maker.apply("MatMul", p, v), sizes))


ATTENTIONS: tuple[Callable[[Path, Sizes], Path], ...] = (
    bert,
    sdpa,
    gpt2,
    t5,
    bart,
    llama,
    gemma,
    gpt_oss,
)
