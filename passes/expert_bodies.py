"""Reads what one expert of a mixture computes: two matrix products with an activation between them.

An activation is a product of factors in any order: a gate, the sigmoid of the gate, the linear part plus a number; or one
operator. Gate and linear part come from a product each, or are parts of one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.formulas import producer_of, scalar_of
from wsec.passes.rewriting import constant_of, integers_of

if TYPE_CHECKING:
    import onnx_ir as ir

_MOST_FACTORS = 4
_TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Product:
    """A matrix product with what is added to it: `x` [rows, K], the value of the weights [K, N] or, turned, [N, K]."""

    x: ir.Value
    weights: ir.Value
    turned: bool
    bias: ir.Value | None


@dataclass(frozen=True, slots=True)
class Activation:
    """The attributes of MoE for what stands between the products."""

    name: str
    fusion: int = 0
    alpha: float = 1.0
    beta: float = 0.0
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """An expert: its rows, its products, the third one only where gate and linear part have one each."""

    x: ir.Value
    first: Product
    second: Product
    third: Product | None
    activation: Activation


Reader = Callable[["ir.Value | None"], "Product | None"]
"""Reads a product; `read_product`, or for weights that stand elsewhere another."""


def read_body(result: ir.Value, read: Reader) -> Body | None:
    """The expert whose result this is; None where it is none."""
    second = read(result)
    if second is None:
        return None
    found = _gated(second.x, read) or _plain(second.x, read)
    if found is None:
        return None
    first, third, activation = found
    if third is not None and third.x is not first.x:
        return None
    return Body(first.x, first, second, third, activation)


def read_product(value: ir.Value | None) -> Product | None:
    """A MatMul with an Add behind it, or a Gemm, whose second factor is a matrix of weights."""
    if (gemm := producer_of(value, "Gemm")) is not None:
        return _gemm(gemm)
    bias: ir.Value | None = None
    if (add := producer_of(value, "Add")) is not None:
        operands = [
            (add.inputs[index], add.inputs[1 - index])
            for index in (0, 1)
            if producer_of(add.inputs[index], "MatMul")
        ]
        if len(operands) != 1:
            return None
        value, bias = operands[0]
    node = producer_of(value, "MatMul")
    if node is None or node.inputs[0] is None or node.inputs[1] is None:
        return None
    return Product(node.inputs[0], node.inputs[1], turned=False, bias=bias)


def _gemm(node: ir.Node) -> Product | None:
    numbers = {name: attribute.value for name, attribute in node.attributes.items()}
    plain = (numbers.get("alpha", 1.0), numbers.get("beta", 1.0), numbers.get("transA", 0)) == (1.0, 1.0, 0)
    if not plain or node.inputs[0] is None or node.inputs[1] is None:
        return None
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    return Product(node.inputs[0], node.inputs[1], turned=bool(numbers.get("transB", 0)), bias=bias)


def _plain(value: ir.Value, read: Reader) -> tuple[Product, Product | None, Activation] | None:
    """An activation of one product."""
    relu, gelu = producer_of(value, "Relu"), producer_of(value, "Gelu")
    name, node = ("relu", relu) if relu is not None else ("gelu", gelu)
    if node is None or (name == "gelu" and _text(node, "approximate") != "tanh"):
        return None
    product = read(node.inputs[0])
    return None if product is None else (product, None, Activation(name))


def _gated(value: ir.Value, read: Reader) -> tuple[Product, Product | None, Activation] | None:
    """Gate, sigmoid of alpha times the gate, and perhaps a linear part plus beta, multiplied."""
    factors = _factors(value)
    for factor in factors:
        rest = [other for other in factors if other is not factor]
        found = _sigmoid_of(factor)
        if found is None:
            continue
        gate, alpha, own = found
        if not own and gate not in rest:
            continue
        rest = rest if own else [other for other in rest if other is not gate]
        if len(rest) > 1 or len(factors) != len(rest) + (1 if own else 2):
            return None
        return _with_parts(gate, rest[0] if rest else None, alpha, read)
    return None


def _factors(value: ir.Value) -> list[ir.Value]:
    """What a value is the product of, no more than it takes."""
    found = [value]
    for _ in range(_MOST_FACTORS):
        node = next((n for each in found if (n := producer_of(each, "Mul")) is not None), None)
        if node is None or any(operand is None or scalar_of(operand) is not None for operand in node.inputs):
            break
        place = found.index(node.outputs[0])
        found[place : place + 1] = [operand for operand in node.inputs if operand is not None]
    return found


def _sigmoid_of(value: ir.Value) -> tuple[ir.Value, float, bool] | None:
    """Gate, alpha, and whether the gate itself is a factor of the value already: x sigmoid(alpha x) in one operator."""
    node = value.producer()
    if node is None or not node.inputs or node.inputs[0] is None:
        return None
    if (node.domain, node.op_type) == ("com.microsoft", "QuickGelu"):
        return node.inputs[0], _real(node, "alpha", 1.702), True
    if (node.domain, node.op_type) == ("", "Swish"):
        return node.inputs[0], _real(node, "alpha", 1.0), True
    if (node.domain, node.op_type) != ("", "Sigmoid"):
        return None
    argument = node.inputs[0]
    scaled = producer_of(argument, "Mul")
    for index in (0, 1) if scaled is not None else ():
        number = None if scaled is None else scalar_of(scaled.inputs[index])
        other = None if scaled is None else scaled.inputs[1 - index]
        if number is not None and other is not None:
            return other, number, False
    return argument, 1.0, False


def _with_parts(
    gate: ir.Value, linear: ir.Value | None, alpha: float, read: Reader
) -> tuple[Product, Product | None, Activation] | None:
    """Where gate and linear part come from, and which numbers bound and move them."""
    if linear is None:
        product = read(gate)
        return None if product is None or alpha != 1.0 else (product, None, Activation("silu"))
    beta, bounded = _moved(linear)
    top, gate = _bounded(gate, symmetric=False)
    limit, linear = _bounded(bounded, symmetric=True)
    if top != limit:
        return None
    bound = None if math.isinf(top) else top
    whole, parts = _parts(gate, linear)
    if whole is not None:
        product = read(whole)
        fusion = {"pairs": 1, "halves": 2}.get(parts, 0)
        if product is None or not fusion:
            return None
        return product, None, Activation("swiglu", fusion, alpha, beta, bound)
    first, third = read(gate), read(linear)
    if first is None or third is None:
        return None
    return first, third, Activation("swiglu", 0, alpha, beta, bound)


def _moved(value: ir.Value) -> tuple[float, ir.Value]:
    """The number that is added, and to what."""
    node = producer_of(value, "Add")
    for index in (0, 1) if node is not None else ():
        number = None if node is None else scalar_of(node.inputs[index])
        other = None if node is None else node.inputs[1 - index]
        if number is not None and other is not None:
            return number, other
    return 0.0, value


def _bounded(value: ir.Value, *, symmetric: bool) -> tuple[float, ir.Value]:
    """The bound from above, infinite where there is none, and what is bounded; NaN for other bounds from below."""
    node = producer_of(value, "Clip", "Min")
    if node is None or node.inputs[0] is None:
        return math.inf, value
    if node.op_type == "Min":
        number = scalar_of(node.inputs[1]) if len(node.inputs) == 2 else None
        return (math.nan if number is None or symmetric else number), node.inputs[0]
    low, high = (
        _bound(node.inputs[index] if index < len(node.inputs) else None, default)
        for index, default in ((1, -math.inf), (2, math.inf))
    )
    wanted = -high if symmetric else -math.inf
    below = low == wanted or (not symmetric and low <= _LOWEST)
    return (high if below else math.nan), node.inputs[0]


_LOWEST = -65504.0  # the least number of float16, which exporters write for none


def _bound(value: ir.Value | None, default: float) -> float:
    if value is None:
        return default
    number = scalar_of(value)
    return math.nan if number is None else number


def _parts(gate: ir.Value, linear: ir.Value) -> tuple[ir.Value | None, str]:
    """The product that both are parts of, and how they lie in it."""
    split = producer_of(gate, "Split")
    if split is not None and producer_of(linear, "Split") is split:
        shapes = [static_shape(value) for value in split.outputs]
        halves = len(shapes) == 2 and shapes[0] == shapes[1] and _is_last_axis(split, shapes[0])
        in_order = split.outputs[0] is gate
        return (split.inputs[0], "halves") if halves and in_order else (None, "")
    first, second = producer_of(gate, "Slice"), producer_of(linear, "Slice")
    if first is None or second is None or first.inputs[0] is not second.inputs[0]:
        return None, ""
    return first.inputs[0], _layout(_section(first), _section(second), static_shape(gate))


def _is_last_axis(node: ir.Node, shape: tuple[int, ...] | None) -> bool:
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    return shape is not None and axis in {-1, len(shape) - 1}


def _layout(
    gate: tuple[int, int] | None, linear: tuple[int, int] | None, shape: tuple[int, ...] | None
) -> str:
    if shape is None:
        return ""
    if (gate, linear) == ((0, 2), (1, 2)):
        return "pairs"
    return "halves" if (gate, linear) == ((0, 1), (shape[-1], 1)) else ""


def _section(node: ir.Node) -> tuple[int, int] | None:
    """Start and step of a Slice of the last axis, which has as many elements as half of its input."""
    source, result = (
        static_shape(value) if value is not None else None for value in (node.inputs[0], node.outputs[0])
    )
    numbers = [integers_of(value) for value in node.inputs[1:]]
    single = [found[0] for found in numbers if found is not None and len(found) == 1]
    if source is None or result is None or len(single) < len(numbers) or len(single) not in {3, 4}:
        return None
    start, _, axis, step = single if len(single) == 4 else [*single, 1]
    if axis not in {-1, len(source) - 1} or 2 * result[-1] != source[-1]:
        return None
    return start, step


def row_of(value: ir.Value | None) -> tuple[ir.Value, int] | None:
    """A stacked constant and the index along its first dimension, where a value is one row of it."""
    node = producer_of(value, "Gather")
    if node is None or node.inputs[0] is None or constant_of(node.inputs[0]) is None:
        return None
    index = integers_of(node.inputs[1])
    axis = node.attributes["axis"].as_int() if "axis" in node.attributes else 0
    place = node.inputs[1]
    if index is None or len(index) != 1 or axis != 0 or place is None or static_shape(place) != ():
        return None
    return node.inputs[0], index[0]


def _text(node: ir.Node, name: str) -> str:
    return node.attributes[name].as_string() if name in node.attributes else ""


def _real(node: ir.Node, name: str, default: float) -> float:
    return node.attributes[name].as_float() if name in node.attributes else default
