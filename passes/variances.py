"""Finds variances and mean squares: what a normalisation divides by, and what it was computed from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.formulas import producer_of, scalar_of, without_ones
from wsec.passes.rewriting import integers_of

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True, slots=True)
class Variance:
    """A root of a variance, or of a mean square.

    Attributes:
        source: x.
        narrow_source: What x was cast from, in half precision, if it was.
        means: Values that hold the mean of x; empty for a mean square.
        axes: The axes of the mean, ascending.
        epsilon: Added under the root.
        deviation: The value (variance + epsilon) ** (exponent / 2).
        exponent: 1 or -1.
    """

    source: ir.Value
    narrow_source: ir.Value | None
    means: tuple[ir.Value, ...]
    axes: tuple[int, ...]
    epsilon: float
    deviation: ir.Value
    exponent: int

    @property
    def centred(self) -> bool:
        """Whether the mean is taken off."""
        return bool(self.means)

    @property
    def reduced(self) -> tuple[int, ...]:
        """The shape in which statistics stand against x."""
        return _reduced(self.source, self.axes)


def _reduced(source: ir.Value, axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(1 if axis in axes else extent for axis, extent in enumerate(static_shape(source) or ()))


def variance_of(root: ir.Node) -> Variance | None:
    """The variance whose root a Sqrt, or a Pow with exponent 1/2 or -1/2, takes."""
    exponent = 1
    if root.op_type == "Pow":
        power = scalar_of(root.inputs[1])
        if power not in (0.5, -0.5):
            return None
        exponent = 1 if power == 0.5 else -1
    inner, epsilon = _less_epsilon(_aligned(root.inputs[0]))
    found = _centred(inner) or _by_moments(inner)
    if found is None:
        return None
    source, means, axes = found
    shape, statistic = static_shape(source), static_shape(root.outputs[0])
    if shape is None or statistic is None or not axes:
        return None
    variance = Variance(source, _narrow(source), means, axes, epsilon, root.outputs[0], exponent)
    # A statistic that was broadcast against another would have grown.
    return variance if without_ones(statistic) == without_ones(variance.reduced) else None


def _narrow(source: ir.Value) -> ir.Value | None:
    cast = producer_of(source, "Cast")
    before = None if cast is None else cast.inputs[0]
    if before is None or before.dtype is None or source.dtype is None:
        return None
    is_widened = before.dtype.is_floating_point() and before.dtype.itemsize < source.dtype.itemsize
    return before if is_widened else None


def _aligned(value: ir.Value | None) -> ir.Value | None:
    """What stands behind Reshapes that only add or drop extents of one, and behind a maximum with zero."""
    for _ in range(4):
        node = producer_of(value, "Reshape", "Max", "Relu")
        if node is None or value is None:
            break
        inner = node.inputs[0]
        if node.op_type == "Max":
            others = [operand for operand in node.inputs if scalar_of(operand) != 0.0]
            inner = others[0] if len(others) == 1 and len(node.inputs) == 2 else None
        before, after = None if inner is None else static_shape(inner), static_shape(value)
        if inner is None or before is None or after is None or without_ones(before) != without_ones(after):
            break
        value = inner
    return value


def _less_epsilon(value: ir.Value | None) -> tuple[ir.Value | None, float]:
    node = producer_of(value, "Add")
    if node is None:
        return value, 0.0
    for one, other in (node.inputs, node.inputs[::-1]):
        number = scalar_of(other)
        if number is not None and number >= 0:
            return _aligned(one), number
    return value, 0.0


_Found = tuple["ir.Value", tuple["ir.Value", ...], tuple[int, ...]]
"""x, its means, the axes."""


def mean_of(value: ir.Value | None) -> tuple[ir.Value, tuple[int, ...]] | None:
    """What a value is the mean of and over which axes, whether a mean or a sum over its number."""
    value = _aligned(value)
    factor = 1.0
    node = producer_of(value, "Mul", "Div")
    if node is not None:
        for one, other in [
            tuple(node.inputs),
            *([tuple(node.inputs[::-1])] if node.op_type == "Mul" else []),
        ]:
            number = scalar_of(other)
            if number:
                factor = number if node.op_type == "Mul" else 1 / number
                value = _aligned(one)
                break
    pooled = producer_of(value, "GlobalAveragePool")
    reduction = producer_of(value, "ReduceMean", "ReduceSum")
    if pooled is not None and pooled.inputs[0] is not None and factor == 1.0:
        return pooled.inputs[0], tuple(range(2, len(static_shape(pooled.inputs[0]) or ())))
    if reduction is None or reduction.inputs[0] is None:
        return None
    source = reduction.inputs[0]
    shape = static_shape(source)
    axes = integers_of(reduction.inputs[1]) if len(reduction.inputs) > 1 else None
    if shape is None or not axes:
        return None
    ordered = tuple(sorted(axis % len(shape) for axis in axes))
    count = math.prod(shape[axis] for axis in ordered) if reduction.op_type == "ReduceSum" else 1
    return (source, ordered) if math.isclose(factor * count, 1.0, rel_tol=1e-6) else None


def _squared(value: ir.Value | None) -> ir.Value | None:
    """What a value is the square of."""
    node = producer_of(value, "Mul", "Pow")
    if node is None:
        return None
    if node.op_type == "Pow":
        return node.inputs[0] if scalar_of(node.inputs[1]) == 2.0 else None
    return node.inputs[0] if node.inputs[0] is node.inputs[1] else None


def _centred(value: ir.Value | None) -> _Found | None:
    """The mean of the squares of x - mean x, or of x."""
    mean = mean_of(value)
    centred = None if mean is None else _squared(mean[0])
    if mean is None or centred is None:
        return None
    axes = mean[1]
    difference = producer_of(centred, "Sub")
    if difference is not None and difference.inputs[0] is not None and difference.inputs[1] is not None:
        subtracted = difference.inputs[1]
        inner = mean_of(subtracted)
        if inner == (difference.inputs[0], axes) and static_shape(subtracted) == _reduced(inner[0], axes):
            return inner[0], _values_of_mean(subtracted), axes
    return centred, (), axes


def _by_moments(value: ir.Value | None) -> _Found | None:
    """The mean of the squares of x less the square of its mean."""
    node = producer_of(value, "Sub")
    if node is None:
        return None
    squares, square = mean_of(node.inputs[0]), _squared(_aligned(node.inputs[1]))
    mean = mean_of(square)
    source = None if squares is None else _squared(squares[0])
    if squares is None or square is None or mean is None or source is None or mean != (source, squares[1]):
        return None
    return source, _values_of_mean(square), squares[1]


def _values_of_mean(value: ir.Value) -> tuple[ir.Value, ...]:
    """The mean itself, and what it was reshaped from."""
    found = [value]
    while (node := producer_of(found[-1], "Reshape")) is not None and node.inputs[0] is not None:
        found.append(node.inputs[0])
    return tuple(found)
