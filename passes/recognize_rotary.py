"""Finds rotary position embeddings that exporters wrote as slices, products and concatenations.

A pair of elements (a, b) of a head is turned to (a cos - b sin, b cos + a sin). The pairs are the two halves of a head,
or its even and odd elements (`interleaved`). Written with x whole, as x cos + concat(-b, a) sin, tables of the whole
width must have equal halves: constants are compared, and a computed table must be a concatenation of one value with
itself. Where only the first elements of a head are turned and the rest is joined to them, the operator does that too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import UNARY_ELEMENTWISE
from wsec.passes.base import Pass, PassResult
from wsec.passes.formulas import collapse, cone_of, is_allowed, producer_of, scalar_of
from wsec.passes.rewriting import Array, Rewriter, constant_of, integers_of, is_cheap, only_user

if TYPE_CHECKING:
    from collections.abc import Iterator

_OPSET = 23
_TYPES = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16})
_TABLE_BYTES = 1 << 24


@dataclass(frozen=True)
class RecognizeRotary(Pass):
    """Finds RotaryEmbedding written as slices, products and concatenations."""

    name: ClassVar[str] = "recognize-rotary"

    def run(self, model: ir.Model) -> PassResult:
        """Rotations of values [batch, heads, sequence, head size] whose intermediate values nothing else reads."""
        rewriter = Rewriter(model)
        if is_allowed(model, _OPSET):
            for node in rewriter.nodes("Add", "Concat", "Reshape"):
                turn = None if node.graph is None else _turn_of(node)
                if turn is not None:
                    _replace(rewriter, node, turn)
        return PassResult(modified=rewriter.modified)


@dataclass(frozen=True, slots=True)
class _Turn:
    """x, and the tables of cosines and sines that turn it."""

    source: ir.Value
    cosine: ir.Value
    sine: ir.Value
    interleaved: bool = False


@dataclass(frozen=True, slots=True)
class _Slice:
    """The elements start, start + step, ... below end of the last axis of a value."""

    source: ir.Value
    start: int
    end: int
    step: int


def _slice_of(value: ir.Value | None) -> _Slice | None:
    node = producer_of(value, "Slice")
    source = None if node is None else node.inputs[0]
    shape = None if source is None else static_shape(source)
    if node is None or source is None or not shape or len(node.inputs) < 4:
        return None
    steps = integers_of(node.inputs[4]) if len(node.inputs) > 4 else (1,)
    given = [integers_of(node.inputs[index]) for index in (1, 2, 3)] + [steps]
    if any(numbers is None or len(numbers) != 1 for numbers in given):
        return None
    start, end, axis, step = (numbers[0] for numbers in given if numbers is not None)
    width = shape[-1]
    if axis % len(shape) != len(shape) - 1 or step < 1:
        return None
    start, end = (min(max(edge + width if edge < 0 else edge, 0), width) for edge in (start, end))
    return _Slice(source, start, end, step)


def _is_part(part: _Slice | None, source: ir.Value, second: int, *, interleaved: bool) -> bool:
    """Whether a slice is the first (0) or second (1) of the elements of each pair."""
    width = (static_shape(source) or (0,))[-1]
    if part is None or part.source is not source or width % 2:
        return False
    if interleaved:
        return (part.start, part.step) == (second, 2) and part.end >= width - 1 + second
    half = width // 2
    return (part.start, part.end, part.step) == (second * half, (second + 1) * half, 1)


def _turn_of(root: ir.Node) -> _Turn | None:
    if root.op_type == "Add":
        return _turn_of_whole(root)
    joined, interleaved = root, False
    if root.op_type == "Reshape":
        concat = producer_of(root.inputs[0], "Concat")
        if concat is None:
            return None
        joined, interleaved = concat, True
    if len(joined.inputs) != 2 or not _joins_last(joined):
        return None
    parts = [_unwrapped(value) if interleaved else value for value in joined.inputs]
    return _turn_of_parts(parts[0], parts[1], interleaved=interleaved)


def _joins_last(node: ir.Node) -> bool:
    rank = len(static_shape(node.outputs[0]) or ())
    return node.attributes["axis"].as_int() % max(1, rank) == rank - 1


def _unwrapped(value: ir.Value | None) -> ir.Value | None:
    """What a Reshape has given a last axis of one."""
    node = producer_of(value, "Reshape")
    inner = None if node is None else node.inputs[0]
    if value is None or inner is None or static_shape(value) != (*(static_shape(inner) or ()), 1):
        return None
    return inner


def _products(node: ir.Node | None) -> Iterator[tuple[ir.Value, ir.Value, ir.Value, ir.Value]]:
    """For a p + b q (or a p - b q), a, p, b, q in each order of each product."""
    left, right = (None, None) if node is None else (producer_of(v, "Mul") for v in node.inputs[:2])
    if left is None or right is None:
        return
    for a, p in (tuple(left.inputs), tuple(left.inputs[::-1])):
        for b, q in (tuple(right.inputs), tuple(right.inputs[::-1])):
            if a is not None and p is not None and b is not None and q is not None:
                yield a, p, b, q


def _turn_of_parts(first: ir.Value | None, second: ir.Value | None, *, interleaved: bool) -> _Turn | None:
    """The two sums a cos - b sin and b cos + a sin, apart."""
    for a, cosine, b, sine in _products(producer_of(first, "Sub")):
        part = _slice_of(a)
        if part is None or not _is_part(part, part.source, 0, interleaved=interleaved):
            continue
        if not _is_part(_slice_of(b), part.source, 1, interleaved=interleaved):
            continue
        for c, p, d, q in _products(producer_of(second, "Add")):
            for one, table, other, rest in ((c, p, d, q), (d, q, c, p)):
                if (
                    table is cosine
                    and rest is sine
                    and _is_part(_slice_of(one), part.source, 1, interleaved=interleaved)
                    and _is_part(_slice_of(other), part.source, 0, interleaved=interleaved)
                ):
                    return _Turn(part.source, cosine, sine, interleaved)
    return None


def _turn_of_whole(root: ir.Node) -> _Turn | None:
    """The one sum x cos + concat(-b, a) sin."""
    for one, p, other, q in _products(root):
        for source, cosine, turned, sine in ((one, p, other, q), (other, q, one, p)):
            concat = producer_of(turned, "Concat")
            if concat is None or len(concat.inputs) != 2 or not _joins_last(concat):
                continue
            negated = producer_of(concat.inputs[0], "Neg")
            if negated is None or not _is_part(_slice_of(negated.inputs[0]), source, 1, interleaved=False):
                continue
            if not _is_part(_slice_of(concat.inputs[1]), source, 0, interleaved=False):
                continue
            if _has_equal_halves(cosine) and _has_equal_halves(sine):
                return _Turn(source, cosine, sine)
    return None


def _has_equal_halves(value: ir.Value | None) -> bool:
    """Whether the last axis holds the same elements twice."""
    for _ in range(12):
        tensor = constant_of(value)
        shape = None if value is None else static_shape(value)
        if value is None or not shape or shape[-1] % 2:
            return False
        if tensor is not None:
            array = tensor.numpy() if is_cheap(tensor, _TABLE_BYTES, _TABLE_BYTES) else np.zeros((0, 1))
            half = shape[-1] // 2
            return array.size > 0 and bool(np.array_equal(array[..., :half], array[..., half:]))
        node = value.producer()
        if node is None or node.domain != "":
            return False
        if node.op_type == "Concat":
            return len(node.inputs) == 2 and node.inputs[0] is node.inputs[1] and _joins_last(node)
        value = _same_halves(node, shape)
    return False


def _same_halves(node: ir.Node, shape: tuple[int, ...]) -> ir.Value | None:
    """The operand whose halves are equal exactly where those of the result are."""
    source = node.inputs[0]
    if node.op_type in UNARY_ELEMENTWISE:
        return source
    if node.op_type == "Gather":
        axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
        table = () if source is None else static_shape(source) or ()
        return source if table and axis % len(table) != len(table) - 1 and table[-1] == shape[-1] else None
    if node.op_type in {"Mul", "Div"}:
        others = [value for value in node.inputs if scalar_of(value) is None]
        return others[0] if len(others) == 1 else None
    before = None if source is None else static_shape(source)
    keeps_last = before is not None and before[-1:] == shape[-1:]
    return source if keeps_last and node.op_type in {"Expand", "Reshape"} else None


def _replace(rewriter: Rewriter, root: ir.Node, turn: _Turn) -> None:
    shape = static_shape(turn.source)
    if shape is None or len(shape) != 4 or turn.source.dtype not in _TYPES:
        return
    if static_shape(root.outputs[0]) != shape or not all(
        _fits(table, shape) for table in (turn.cosine, turn.sine)
    ):
        return
    cone = cone_of(root, [turn.source, turn.cosine, turn.sine])
    if cone is None:
        return
    tables = [_table(rewriter, root, table, shape) for table in (turn.cosine, turn.sine)]
    collapse(
        rewriter, cone, "RotaryEmbedding", [turn.source, *tables], {"interleaved": int(turn.interleaved)}
    )
    _take_in_rest(rewriter, root, turn.source)


def _fits(table: ir.Value, shape: tuple[int, ...]) -> bool:
    """Whether a table has a row for each position: [batch or 1, 1, sequence, head size or half of it]."""
    given = static_shape(table) or ()
    padded = (1,) * (4 - len(given)) + given
    return (
        len(padded) == 4
        and padded[0] in {1, shape[0]}
        and padded[1:3] == (1, shape[2])
        and padded[3] in {shape[3], shape[3] // 2}
    )


def _table(rewriter: Rewriter, root: ir.Node, table: ir.Value, shape: tuple[int, ...]) -> ir.Value:
    """The table as [batch, sequence, half a head]."""
    given = static_shape(table) or ()
    wanted = (shape[0], shape[2], shape[3] // 2)
    padded = ((1,) * (4 - len(given)) + given)[0], shape[2], given[-1]
    tensor = constant_of(table)

    def cut(array: Array) -> Array:
        return np.broadcast_to(array.reshape(padded)[..., : wanted[2]], wanted)

    if tensor is not None:
        return rewriter.derive(f"{table.name}_table", [tensor], wanted, cut)

    def insert(op_type: str, value: ir.Value, to: tuple[int, ...], *numbers: tuple[int, ...]) -> ir.Value:
        operands = [rewriter.constant(f"{root.name}_table", np.array(each, np.int64)) for each in numbers]
        return rewriter.insert_before(root, op_type, [value, *operands], shape=to, role="table")

    if given != padded:
        table = insert("Reshape", table, padded, padded)
    if padded[2] != wanted[2]:
        table = insert("Slice", table, (*padded[:2], wanted[2]), (0,), (wanted[2],), (2,))
    return table if padded[0] == wanted[0] else insert("Expand", table, wanted, wanted)


def _take_in_rest(rewriter: Rewriter, root: ir.Node, source: ir.Value) -> None:
    """Where x is the beginning of a head, and its rest is joined to the result, work on the whole head."""
    join, part = only_user(root.outputs[0]), _slice_of(source)
    if part is None or part.start or part.step != 1 or join is None or join.domain != "":
        return
    if (
        join.op_type != "Concat"
        or len(join.inputs) != 2
        or not _joins_last(join)
        or join.inputs[0] is not root.outputs[0]
    ):
        return
    rest, width = _slice_of(join.inputs[1]), (static_shape(part.source) or (0,))[-1]
    if rest != _Slice(part.source, part.end, width, 1):
        return
    cone = cone_of(join, [part.source, *(value for value in root.inputs[1:] if value is not None)])
    if cone is None:
        return
    attributes = {"interleaved": root.attributes["interleaved"].as_int(), "rotary_embedding_dim": part.end}
    operands = [part.source, *(value for value in root.inputs[1:] if value is not None)]
    collapse(rewriter, cone, "RotaryEmbedding", operands, dict(attributes))
