"""Sums of products over labelled axes, as one matrix product that computes each core's block from its own blocks.

Axes that only one operand has become rows or columns of the product; axes that both have and that are not summed stay
batches. As an operand has a mesh axis only where its blocks differ along it, this is exactly what every core computes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from wsec.runtime.collectives import CHAIN, children, fold
from wsec.runtime.element_types import Array, accumulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Operand:
    """An array and the labels of its axes, each at most once; an axis of size 1 counts as absent."""

    array: Array
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SummedAxis:
    """The mesh axis along which partial products are added, its size, and by which tree (`wsec.runtime.collectives`)."""

    label: str
    size: int
    algorithm: str = CHAIN
    group: int = 0
    root: Literal["first", "middle"] = "first"


def contract(
    a: Operand, b: Operand, summed: Iterable[str], out: Sequence[str], along: SummedAxis | None = None
) -> Array:
    """The sum over `summed` of the products of `a` and `b`, axes in the order of `out`, size 1 for absent ones.

    `along` is no batch: its partial products are added in the order of the fabric, and it has size 1 in the result. Narrow floats are accumulated, and returned, in float32.

    Raises:
        ValueError: A label has different sizes in the two operands.
    """
    first, second = _drop_ones(a), _drop_ones(b)
    both = [label for label in first.labels if label in second.labels]
    inner = [label for label in both if label in set(summed)]
    alone = [label for label in summed if label not in both and label in (*first.labels, *second.labels)]
    if alone:
        raise ValueError(f"the operands do not share the axes {', '.join(alone)}")
    differing = along is not None and along.label in (*first.labels, *second.labels)
    lead = along.label if along is not None and differing else None
    batch = [label for label in both if label not in inner and label != lead]
    product = _Product.of(first, second, batch=batch, inner=inner, out=out, chain=lead)
    if along is None:
        return product.in_order(product.whole(), out)
    if (along.algorithm, along.root) == (CHAIN, "first"):
        total = product.chained(along.size) if differing else _repeat(product.whole(), along.size)
        return product.in_order(total, out)
    one = None if differing else product.whole()
    tree = children(along.algorithm, along.group, along.size, along.root)
    total = fold(lambda core: product.of_core(core) if one is None else one, tree, np.add)
    return product.in_order(total, out)


@dataclass(frozen=True, slots=True)
class _Product:
    """Two stacks of matrices `[chain?, batch ..., rows, columns]` ready to be multiplied, and what their axes are."""

    left: Array
    right: Array
    labels: tuple[str, ...]
    shape: tuple[int, ...]
    chained_left: bool
    chained_right: bool

    @staticmethod
    def of(
        a: Operand, b: Operand, *, batch: list[str], inner: list[str], out: Sequence[str], chain: str | None
    ) -> _Product:
        inner = sorted(inner, key=lambda label: -abs(b.array.strides[b.labels.index(label)]))
        fixed = {*batch, *inner, chain}
        rows = _by_stride(a, [label for label in a.labels if label not in fixed])
        columns = _by_stride(b, [label for label in b.labels if label not in fixed])
        lead_a = [chain] if chain in a.labels and chain else []
        lead_b = [chain] if chain in b.labels and chain else []
        left = _matrices(a, lead_a + batch, rows, inner)
        right = _matrices(b, lead_b + batch, columns, inner).swapaxes(-1, -2)
        sizes = {
            **dict(zip(a.labels, a.array.shape, strict=True)),
            **dict(zip(b.labels, b.array.shape, strict=True)),
        }
        order = {label: index for index, label in enumerate(out)}
        if rows and (not columns or order[rows[-1]] > order[columns[-1]]):
            left, right = right.swapaxes(-1, -2), left.swapaxes(-1, -2)
            rows, columns = columns, rows
            lead_a, lead_b = lead_b, lead_a
        labels = (*batch, *rows, *columns)
        shape = tuple(sizes[label] for label in labels)
        return _Product(left, right, labels, shape, bool(lead_a), bool(lead_b))

    def whole(self) -> Array:
        return _multiply(self.left, self.right)

    def chained(self, size: int) -> Array:
        """The products of the cores along the chain, added from the last to the first."""
        result = self.of_core(size - 1)
        if size == 1:
            return result
        partial = np.empty_like(result)
        for index in range(size - 2, -1, -1):
            _multiply(self._left_of(index), self._right_of(index), out=partial)
            np.add(partial, result, out=result)
        return result

    def of_core(self, index: int) -> Array:
        """The products of one core along the chain."""
        return _multiply(self._left_of(index), self._right_of(index))

    def in_order(self, result: Array, out: Sequence[str]) -> Array:
        """The result with its axes unfolded, in the order of `out`."""
        unfolded = result.reshape(self.shape)
        present = [label for label in out if label in self.labels]
        ordered = unfolded.transpose([self.labels.index(label) for label in present])
        absent = tuple(index for index, label in enumerate(out) if label not in self.labels)
        return np.expand_dims(ordered, absent)

    def _left_of(self, index: int) -> Array:
        return self.left[index] if self.chained_left else self.left

    def _right_of(self, index: int) -> Array:
        return self.right[index] if self.chained_right else self.right


def _multiply(left: Array, right: Array, out: Array | None = None) -> Array:
    """The matrix product; that of a vector sums every element in the same order.

    Matrix routines take the last few columns of a product with a vector another way than the others. Classes of equal
    weights would then differ, as they do on no core, and a softmax makes much of that.
    """
    if left.shape[-2] == 1 or right.shape[-1] == 1:
        return np.asarray(np.einsum("...mk,...kn->...mn", left, right, out=out))
    return np.asarray(np.matmul(left, right, out=out))


def _drop_ones(operand: Operand) -> Operand:
    keep = [index for index, size in enumerate(operand.array.shape) if size != 1]
    array = operand.array.reshape([1]) if not operand.array.shape else operand.array
    squeezed = array[tuple(slice(None) if index in keep else 0 for index in range(array.ndim))]
    wide = accumulator(squeezed.dtype)
    return Operand(squeezed.astype(wide, copy=False), tuple(operand.labels[index] for index in keep))


def _by_stride(operand: Operand, labels: list[str]) -> list[str]:
    """The labels from the slowest to the fastest in memory, so that folding them copies as little as possible."""
    return sorted(labels, key=lambda label: -abs(operand.array.strides[operand.labels.index(label)]))


def _matrices(operand: Operand, lead: list[str], outer: list[str], inner: list[str]) -> Array:
    """The operand as [lead ..., outer, inner], with the axes fastest in memory that make the longest runs there."""
    sizes = dict(zip(operand.labels, operand.array.shape, strict=True))
    inner_is_fast = _run(operand, inner) > _run(operand, outer)
    fast, slow = (inner, outer) if inner_is_fast else (outer, inner)
    ordered = operand.array.transpose([operand.labels.index(label) for label in (*lead, *slow, *fast)])
    shape = [sizes[label] for label in lead]
    folded = ordered.reshape(
        *shape, math.prod(sizes[label] for label in slow), math.prod(sizes[label] for label in fast)
    )
    if not _is_matrix(folded):
        folded = np.ascontiguousarray(folded)
    return folded if inner_is_fast else folded.swapaxes(-1, -2)


def _run(operand: Operand, labels: list[str]) -> float:
    """Elements in a row when these axes are walked, fewer where they lie apart: what makes a copy cheap."""
    run, distance = 1, 0
    for label in reversed(labels):
        axis = operand.labels.index(label)
        stride, size = abs(operand.array.strides[axis]), operand.array.shape[axis]
        if distance and stride != distance * run:
            break
        distance = distance or max(stride, 1)
        run *= size
    return run * operand.array.itemsize / max(distance, operand.array.itemsize)


def _is_matrix(array: Array) -> bool:
    """Whether a matrix routine can read the last two axes as they lie: unit stride along the last, rows apart."""
    rows, columns = array.shape[-2:]
    row_stride, column_stride = array.strides[-2:]
    unit = columns == 1 or column_stride == array.itemsize
    apart = rows == 1 or (row_stride >= columns * array.itemsize and row_stride % array.itemsize == 0)
    return unit and apart


def _repeat(result: Array, times: int) -> Array:
    """`times` equal partial results added one after the other."""
    total = result
    for _ in range(times - 1):
        total = result + total
    return total
