"""Scales and zero points of products of integers, and of weights that a kernel dequantises on its cores.

A parameter of an operand has a view of the operand's rank: it follows the loops along which it differs, and has 1 elsewhere.
A scale for each block of `size` positions of a loop is read at `position // size`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.kernels.loop_nest import DimensionMap, Loop, Operand, Work, fixed
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, dtype_of, operand, shape_of
from wsec.compiler.operators import KERNEL_KEY, KIND_KEY, WEIGHTS_KIND

if TYPE_CHECKING:
    import onnx_ir as ir

ACCUMULATOR_BYTES = 4  # products of bytes are summed in 32 bits


@dataclass(frozen=True, slots=True)
class Places:
    """Where an operator has its factors and their parameters: numbers of inputs, -1 for what it has not."""

    first: int = 0
    second: int = 1
    first_scale: int = -1
    first_zero: int = -1
    second_scale: int = -1
    second_zero: int = -1
    result_scale: int = -1
    result_zero: int = -1
    bias: int = -1


PLACES = {
    "Conv": Places(bias=2),
    "ConvInteger": Places(first_zero=2, second_zero=3),
    "ConvTranspose": Places(bias=2),
    "MatMul": Places(),
    "MatMulInteger": Places(first_zero=2, second_zero=3),
    "QLinearConv": Places(0, 3, 1, 2, 4, 5, 6, 7, 8),
    "QLinearMatMul": Places(0, 3, 1, 2, 4, 5, 6, 7),
}


def is_integer(operator: OperatorView) -> bool:
    """Whether the operator multiplies integers."""
    return PLACES[operator.op_type].second_zero >= 0


def weights_node(operator: OperatorView, index: int) -> OperatorView | None:
    """The DequantizeLinear of weights that belongs to the kernel of the operator; None where there is none."""
    value = operator.input(index)
    producer = value.producer()
    label = operator.node.metadata_props.get(KERNEL_KEY) or operator.name
    if producer is None or producer.metadata_props.get(KIND_KEY) != WEIGHTS_KIND:
        return None
    return OperatorView(producer) if producer.metadata_props.get(KERNEL_KEY) == label else None


def dequantization(
    weights: OperatorView | None, codes: Operand, chosen: tuple[tuple[str, int], ...] = ()
) -> tuple[Work, ...]:
    """The arithmetic of dequantising a core's block of the weights, for every sample: a subtraction and a product.

    Of the loops that `chosen` names, so many positions at most.
    """
    if weights is None:
        return ()
    loops = tuple(m.loop for m in codes.maps if m.loop)
    whole = math.prod(m.extent for m in codes.maps if not m.loop)
    return (Work(loops, operations=2 * whole, dtype=dtype_of(weights.output), chosen=chosen),)


def requantization(operator: OperatorView, loops: tuple[Loop, ...]) -> tuple[Work, ...]:
    """The arithmetic of rounding each result to a byte: scaled, rounded, moved, bounded twice."""
    if PLACES[operator.op_type].result_scale < 0:
        return ()
    return (Work(tuple(loop.name for loop in loops), operations=5, dtype="float32"),)


def factors(
    operator: OperatorView,
    roles: tuple[str, str],
    maps: tuple[tuple[DimensionMap, ...], tuple[DimensionMap, ...]],
    axes: tuple[tuple[int, ...], tuple[int, ...]],
) -> tuple[Operand, ...]:
    """The two factors of a product with their scales and zero points, and those of the result.

    Args:
        operator: An operator of `PLACES`.
        roles: Of the factors; parameters are called after them, with `_scale` and `_zero`.
        maps: The view of each factor.
        axes: The dimensions of each view along which a vector of parameters lies.

    Raises:
        Unsplittable: Parameters that differ along other dimensions.
    """
    places = PLACES[operator.op_type]
    weights = weights_node(operator, places.second)
    found = [
        operator.operand(roles[0], places.first, maps[0]),
        operator.operand(roles[1], places.second, maps[1])
        if weights is None
        else weights.operand(roles[1], 0, maps[1]),
    ]
    wanted = (
        (roles[0], maps[0], axes[0], places.first_scale, places.first_zero),
        (roles[1], maps[1], axes[1], places.second_scale, places.second_zero),
        ("y", (fixed(1),), (), places.result_scale, places.result_zero),
    )
    for role, view, along, scale, zero in wanted:
        for index, name in ((scale, f"{role}_scale"), (zero, f"{role}_zero")):
            if index >= 0 and operator.has_input(index):
                found.append(_vector(name, operator.input(index), view, along))
    if weights is not None:
        found += parameters_of_weights(roles[1], weights, maps[1])
    return tuple(found)


def parameters_of_weights(
    role: str, weights: OperatorView, view: tuple[DimensionMap, ...]
) -> tuple[Operand, ...]:
    """Scale and zero point of the codes that a DequantizeLinear reads and a kernel holds in this view."""
    return tuple(
        _of_weights(name, weights, index, view)
        for index, name in ((1, f"{role}_scale"), (2, f"{role}_zero"))
        if weights.has_input(index)
    )


def _vector(role: str, value: ir.Value, view: tuple[DimensionMap, ...], along: tuple[int, ...]) -> Operand:
    """A parameter of all elements, or for each index of the dimensions `along` together."""
    if math.prod(shape_of(value)) == 1:
        return operand(role, value, tuple(fixed(1) for _ in view))
    if len(shape_of(value)) != 1:
        raise Unsplittable(f"{role} has shape {list(shape_of(value))}")
    return operand(role, value, tuple(m if i in along else fixed(1) for i, m in enumerate(view)))


def _of_weights(role: str, weights: OperatorView, index: int, view: tuple[DimensionMap, ...]) -> Operand:
    """A parameter of DequantizeLinear: of the tensor, of an axis of it, or of blocks along an axis."""
    value = weights.input(index)
    given, held = shape_of(value), shape_of(weights.input(0))
    if math.prod(given) == 1:
        return operand(role, value, tuple(fixed(1) for _ in view))
    groups = _view_dimensions(held, view)
    axis = weights.integer("axis", 1) % len(held)
    size = weights.integer("block_size", 0)
    if not size:
        return operand(role, value, tuple(m if i in groups[axis] else fixed(1) for i, m in enumerate(view)))
    along = [i for i in groups[axis] if view[i].loop and view[i].extent == held[axis]]
    if not along:
        raise Unsplittable(f"{role} is for blocks of a dimension that no loop follows")
    blocked = along[0]
    maps = [
        DimensionMap(given[axis], m.loop, divisor=size) if i == blocked else m for i, m in enumerate(view)
    ]
    return operand(role, value, tuple(maps))


def _view_dimensions(shape: tuple[int, ...], view: tuple[DimensionMap, ...]) -> list[tuple[int, ...]]:
    """For each dimension of a tensor the dimensions of its view that make it up."""
    groups: list[tuple[int, ...]] = []
    at = 0
    for extent in shape:
        start, size = at, 1
        while at < len(view) and (size < extent or (at == start)):
            size *= view[at].extent
            at += 1
        if size != extent:
            raise Unsplittable(f"weights of shape {list(shape)}")
        groups.append(tuple(range(start, at)))
    return groups
