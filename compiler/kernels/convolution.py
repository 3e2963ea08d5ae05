"""Convolution and transposed convolution: any number of spatial dimensions, groups, strides, dilations, pads."""

from __future__ import annotations

import math

from wsec.compiler.kernels.loop_nest import DimensionMap, Loop, LoopNest, LoopRole, Operand, Work, follows
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, operand, shape_of


def begin_pads(
    operator: OperatorView,
    extents: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[int, ...]:
    """Elements of padding before each spatial dimension, `auto_pad` resolved as ONNX defines it."""
    auto_pad = operator.text("auto_pad", "NOTSET")
    if auto_pad == "VALID":
        return (0,) * len(extents)
    if auto_pad == "NOTSET":
        return operator.integers("pads", (0,) * 2 * len(extents))[: len(extents)]
    pads = []
    for extent, size, stride, dilation in zip(extents, window, strides, dilations, strict=True):
        outputs = -(-extent // stride)
        total = max(0, (outputs - 1) * stride + (size - 1) * dilation + 1 - extent)
        pads.append(total // 2 if auto_pad == "SAME_UPPER" else total - total // 2)
    return tuple(pads)


def make_convolution(operator: OperatorView) -> LoopNest:
    """The loop nest of a Conv node."""
    x, weights = shape_of(operator.input(0)), shape_of(operator.input(1))
    output = shape_of(operator.output)
    group, spatial = operator.integer("group", 1), len(x) - 2
    window = weights[2:]
    strides = operator.integers("strides", (1,) * spatial)
    dilations = operator.integers("dilations", (1,) * spatial)
    pads = begin_pads(operator, x[2:], window, strides, dilations)
    n, g = Loop("n", x[0]), Loop("g", group)
    k, c = Loop("k", weights[0] // group), Loop("c", weights[1], LoopRole.REDUCTION)
    outer = tuple(Loop(f"d{i}", output[2 + i]) for i in range(spatial))
    reads = tuple(
        DimensionMap(
            extent=x[2 + i],
            loop=outer[i].name,
            stride=strides[i],
            offset=-pads[i],
            reach=(window[i] - 1) * dilations[i] + 1,
        )
        for i in range(spatial)
    )
    return _contraction(
        operator,
        "convolution",
        (n, g, k, c, *outer),
        reads,
        weight_order=(g, k, c),
        arguments=(window, strides, dilations, pads),
    )


def make_transposed_convolution(operator: OperatorView) -> LoopNest:
    """The loop nest of a ConvTranspose node.

    Output `o` receives input `i` through tap `r` where `o + pad = i * stride + r * dilation`, so the inputs of output
    `o` begin at `ceil((o + pad - (window - 1) * dilation) / stride)`.
    """
    x, weights = shape_of(operator.input(0)), shape_of(operator.input(1))
    output = shape_of(operator.output)
    group, spatial = operator.integer("group", 1), len(x) - 2
    window = weights[2:]
    strides = operator.integers("strides", (1,) * spatial)
    dilations = operator.integers("dilations", (1,) * spatial)
    pads = _transposed_pads(operator, x[2:], output[2:], window, strides, dilations)
    n, g = Loop("n", x[0]), Loop("g", group)
    k, c = Loop("k", weights[1]), Loop("c", weights[0] // group, LoopRole.REDUCTION)
    outer = tuple(Loop(f"d{i}", output[2 + i]) for i in range(spatial))
    reads = []
    for i in range(spatial):
        reach = (window[i] - 1) * dilations[i]
        offset = pads[i] - reach + strides[i] - 1
        reads.append(DimensionMap(x[2 + i], outer[i].name, 1, offset, strides[i], reach + 1))
    return _contraction(
        operator,
        "transposed_convolution",
        (n, g, k, c, *outer),
        tuple(reads),
        weight_order=(g, c, k),
        arguments=(window, strides, dilations, pads),
    )


def _transposed_pads(
    operator: OperatorView,
    extents: tuple[int, ...],
    output: tuple[int, ...],
    window: tuple[int, ...],
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
) -> tuple[int, ...]:
    auto_pad = operator.text("auto_pad", "NOTSET")
    output_padding = operator.integers("output_padding", (0,) * len(extents))
    if auto_pad == "NOTSET" and "output_shape" not in operator.node.attributes:
        return operator.integers("pads", (0,) * 2 * len(extents))[: len(extents)]
    pads = []
    for extent, out, size, stride, dilation, extra in zip(
        extents, output, window, strides, dilations, output_padding, strict=True
    ):
        total = stride * (extent - 1) + extra + (size - 1) * dilation + 1 - out
        pads.append(total - total // 2 if auto_pad == "SAME_UPPER" else total // 2)
    return tuple(pads)


def _contraction(
    operator: OperatorView,
    kind: str,
    loops: tuple[Loop, ...],
    reads: tuple[DimensionMap, ...],
    *,
    weight_order: tuple[Loop, ...],
    arguments: tuple[tuple[int, ...], ...],
) -> LoopNest:
    n, g, k, c, *outer = loops
    window, strides, dilations, pads = arguments
    if 0 in (loop.extent for loop in loops):
        raise Unsplittable("it has an empty dimension")
    inputs: list[Operand] = [
        operator.operand("x", 0, (follows(n), follows(g), follows(c), *reads)),
        operator.operand("w", 1, (*map(follows, weight_order), *(DimensionMap(size) for size in window))),
    ]
    if operator.has_input(2):
        inputs.append(operator.operand("bias", 2, (follows(g), follows(k))))
    output = operand("result", operator.output, (follows(n), follows(g), follows(k), *map(follows, outer)))
    taps = math.prod(window) / (math.prod(strides) if kind == "transposed_convolution" else 1)
    return LoopNest(
        kind=kind,
        operators=(operator.name,),
        loops=loops,
        inputs=tuple(inputs),
        outputs=(output,),
        arguments={"window": window, "strides": strides, "dilations": dilations, "pads": pads},
        work=Work(
            tuple(loop.name for loop in loops),
            operations=taps,
            dtype=output.dtype,
            vectors=(("n", *(loop.name for loop in outer)), ("k",)),
        ),
        output_groups=((0,), (1, 2), *((3 + i,) for i in range(len(outer)))),
    )
