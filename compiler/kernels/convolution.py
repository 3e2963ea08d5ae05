"""Convolution and transposed convolution: any number of spatial dimensions, groups, strides, dilations, pads."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wsec.compiler.kernels.loop_nest import (
    DimensionMap,
    Loop,
    LoopNest,
    LoopRole,
    Operand,
    Product,
    Work,
    fixed,
    follows,
)
from wsec.compiler.kernels.operator_view import Unsplittable, operand, shape_of
from wsec.compiler.kernels.quantization import (
    ACCUMULATOR_BYTES,
    PLACES,
    dequantization,
    factors,
    is_integer,
    requantization,
    weights_node,
)
from wsec.compiler.kernels.window import Window, sliding_window, transposed_window

if TYPE_CHECKING:
    from wsec.compiler.kernels.operator_view import OperatorView


@dataclass(frozen=True, slots=True)
class _Loops:
    n: Loop
    g: Loop
    k: Loop
    c: Loop
    outer: tuple[Loop, ...]

    def all(self) -> tuple[Loop, ...]:
        return (self.n, self.g, self.k, self.c, *self.outer)


def make_convolution(operator: OperatorView) -> LoopNest:
    """The loop nest of a Conv, ConvInteger or QLinearConv node."""
    places = PLACES[operator.op_type]
    x, weights = shape_of(operator.input(places.first)), shape_of(operator.input(places.second))
    group = operator.integer("group", 1)
    loops = _loops(operator, group, outputs=weights[0] // group, inputs=weights[1])
    window = sliding_window(operator, x[2:], weights[2:])
    reads = window.reads(x[2:], loops.outer)
    order = (loops.g, loops.k, loops.c)
    return _contraction(operator, "convolution", loops, window, reads=reads, weight_order=order)


def make_transposed_convolution(operator: OperatorView) -> LoopNest:
    """The loop nest of a ConvTranspose node.

    Output `o` receives input `i` through tap `r` where `o + pad = i * stride + r * dilation`, so the inputs of output
    `o` begin at `ceil((o + pad - (window - 1) * dilation) / stride)`.
    """
    x, weights = shape_of(operator.input(0)), shape_of(operator.input(1))
    group = operator.integer("group", 1)
    loops = _loops(operator, group, outputs=weights[1], inputs=weights[0] // group)
    window = transposed_window(operator, x[2:], shape_of(operator.output)[2:], weights[2:])
    reads = tuple(
        DimensionMap(extent, loop.name, offset=begin - span + stride, divisor=stride, reach=span)
        for extent, loop, begin, span, stride in zip(
            x[2:], loops.outer, window.begins, window.spans(), window.strides, strict=True
        )
    )
    order = (loops.g, loops.c, loops.k)
    return _contraction(operator, "transposed_convolution", loops, window, reads=reads, weight_order=order)


def _loops(operator: OperatorView, group: int, *, outputs: int, inputs: int) -> _Loops:
    x, output = shape_of(operator.input(0)), shape_of(operator.output)
    return _Loops(
        n=Loop("n", x[0]),
        g=Loop("g", group),
        k=Loop("k", outputs),
        c=Loop("c", inputs, LoopRole.REDUCTION),
        outer=tuple(Loop(f"d{i}", extent) for i, extent in enumerate(output[2:])),
    )


def _taps(kind: str, places: tuple[str, ...], window: Window) -> dict[str, Any]:
    """A convolution sums over its taps; a transposed one takes each tap by itself, at the outputs that it meets."""
    if kind == "transposed_convolution":
        return {"every": tuple(zip(places, window.strides, strict=True))}
    over = (name if dilation == 1 else "" for name, dilation in zip(places, window.dilations, strict=True))
    return {"taps": window.sizes, "taps_over": tuple(over)}


def _contraction(
    operator: OperatorView,
    kind: str,
    loops: _Loops,
    window: Window,
    *,
    reads: tuple[DimensionMap, ...],
    weight_order: tuple[Loop, ...],
) -> LoopNest:
    if 0 in (loop.extent for loop in loops.all()):
        raise Unsplittable("it has an empty dimension")
    n, g, k = loops.n, loops.g, loops.k
    places = PLACES[operator.op_type]
    taken = (follows(n), follows(g), follows(loops.c), *reads)
    weights = (*map(follows, weight_order), *map(fixed, window.sizes))
    channels = tuple(i for i, loop in enumerate(weight_order) if loop is not loops.c)
    inputs: list[Operand] = [*factors(operator, ("x", "w"), (taken, weights), ((), channels))]
    if places.bias >= 0 and operator.has_input(places.bias):
        inputs.append(operator.operand("bias", places.bias, (follows(g), follows(k))))
    dequantized = weights_node(operator, places.second)
    output = operand(
        "result", operator.output, (follows(n), follows(g), follows(k), *map(follows, loops.outer))
    )
    result = (n, g, k, *loops.outer)
    names = tuple(loop.name for loop in result)
    places_of = names[3:]
    dense = all(size == stride == 1 for size, stride in zip(window.sizes, window.strides, strict=True))
    return LoopNest(
        kind=kind,
        operators=(operator.name,) if dequantized is None else (operator.name, dequantized.name),
        loops=loops.all(),
        inputs=tuple(inputs),
        outputs=(output,),
        arguments={
            "window": window.sizes,
            "strides": window.strides,
            "dilations": window.dilations,
            "pads": window.begins,
        },
        work=Work(
            tuple(loop.name for loop in loops.all()),
            operations=1 if kind == "convolution" else math.prod(window.sizes),
            dtype=inputs[0].dtype,
            walks=(("n",), ("g",), ("k",), *([places_of] if dense else ((name,) for name in places_of))),
            summed=(("c",),),
            **_taps(kind, places_of, window),
            partial_bytes=ACCUMULATOR_BYTES if is_integer(operator) else 0,
            product=Product(("n", *places_of), ("k",)),
        ),
        further_work=(
            Work(names, operations=1 + any(item.role == "bias" for item in inputs), dtype=output.dtype),
            *dequantization(dequantized, inputs[1]),
            *requantization(operator, result),
        ),
        output_groups=((0,), (1, 2), *((3 + i,) for i in range(len(loops.outer)))),
    )
