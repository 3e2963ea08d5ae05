"""Kinds that slide a window: convolution, transposed convolution and pooling."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.expectation import Expectation, Loop, Operand, Read, along, whole
from wsec.compiler.plan_checker.kinds.quantization import parameter

if TYPE_CHECKING:
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts

    Extents = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Window:
    """Extent, stride, dilation and padding of a window by spatial dimension."""

    size: Extents
    strides: Extents
    dilations: Extents
    begins: Extents
    ends: Extents


def expect_convolution(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Conv: x [n, g, c, D], w [g, k, c, window], bias [g, k]; output [n, g, k, D].

    ConvInteger and QLinearConv have zero points and scales beside them.
    """
    place = 3 if node.op_type == "QLinearConv" else 1
    x, weights, output = (
        model.shape(node.input(0)),
        model.shape(node.input(place)),
        model.shape(node.outputs[0]),
    )
    group = node.integer("group", 1)
    window = window_of(node, x[2:], weights[2:])
    reads = window_reads(window, x[2:], output[2:])
    ends = (group, weights[0] // group, weights[1])
    found = _contraction(node, (x[0], *ends), output[2:], reads, window, transposed=False)
    return found if node.op_type == "Conv" else _of_integers(found, node, model)


def _of_integers(expectation: Expectation, node: OperatorFacts, model: ModelFacts) -> Expectation:
    """The operands of a convolution of integers: factors, their parameters and the bias are elsewhere in the node."""
    x, w = expectation.operands[:2]
    reads = {"x": (x.reads, ()), "w": (w.reads, (0, 1)), "y": ((whole(1),), ())}
    places: tuple[tuple[str, int], ...] = (("x_zero", 2), ("w_zero", 3))
    operands = [x, w]
    if node.op_type == "QLinearConv":
        operands = [x, Operand("w", node.input(3), w.reads)]
        places = (("x_scale", 1), ("x_zero", 2), ("w_scale", 4), ("w_zero", 5), ("y_scale", 6), ("y_zero", 7))
        if node.input(8):
            operands.append(Operand("bias", node.input(8), w.reads[:2], at_root=True))
    operands += [
        parameter(role, node.input(index), *reads[role[0]], model)
        for role, index in places
        if node.input(index)
    ]
    return replace(expectation, operands=tuple(operands))


def expect_transposed_convolution(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """ConvTranspose: x [n, g, c, D], w [g, c, k, window], bias [g, k]; output [n, g, k, D]."""
    x, weights, output = model.shape(node.input(0)), model.shape(node.input(1)), model.shape(node.outputs[0])
    group = node.integer("group", 1)
    window = _transposed_window(node, x[2:], output[2:], weights[2:])
    reads = []
    for i, (extent, positions) in enumerate(zip(x[2:], output[2:], strict=True)):
        # Output o receives input i through tap r where o + pad = i * stride + r * dilation, 0 <= r < size.
        last = np.arange(positions, dtype=np.int64) + window.begins[i]
        first = last - (window.size[i] - 1) * window.dilations[i]
        low, high = -(-first // window.strides[i]), last // window.strides[i] + 1
        reads.append(Read(extent, f"d{i}", low, high, anchored=False))
    ends = (group, weights[1], weights[0] // group)
    return _contraction(node, (x[0], *ends), output[2:], tuple(reads), window, transposed=True)


def expect_pooling(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """MaxPool, AveragePool: x [n, c, D]; output [n, c, D]."""
    x, output = model.shape(node.input(0)), model.shape(node.outputs[0])
    window = window_of(node, x[2:], node.integers("kernel_shape", ()))
    reads = window_reads(window, x[2:], output[2:])
    return Expectation(
        operands=(Operand("x", node.input(0), (along("n", x[0]), along("c", x[1]), *reads)),),
        output=(Loop("n", x[0]), Loop("c", x[1]), *_spatial(output[2:])),
        reductions={},
        arguments={
            "mode": "max" if node.op_type == "MaxPool" else "average",
            "window": window.size,
            "strides": window.strides,
            "dilations": window.dilations,
            "pads_begin": window.begins,
            "pads_end": window.ends,
            "count_include_pad": bool(node.integer("count_include_pad", 0)),
        },
    )


def _contraction(
    node: OperatorFacts,
    extents: tuple[int, int, int, int],
    spatial: Extents,
    reads: tuple[Read, ...],
    window: Window,
    *,
    transposed: bool,
) -> Expectation:
    n, g, k, c = (along(name, extent) for name, extent in zip("ngkc", extents, strict=True))
    taps = tuple(whole(size) for size in window.size)
    operands = [
        Operand("x", node.input(0), (n, g, c, *reads)),
        Operand("w", node.input(1), (g, c, k, *taps) if transposed else (g, k, c, *taps)),
    ]
    if node.input(2):
        operands.append(Operand("bias", node.input(2), (g, k), at_root=True))
    return Expectation(
        operands=tuple(operands),
        output=(*(Loop(read.loop, read.extent) for read in (n, g, k)), *_spatial(spatial)),
        reductions={"c": c.extent},
        arguments={
            "window": window.size,
            "strides": window.strides,
            "dilations": window.dilations,
            "pads": window.begins,
        },
    )


def _spatial(extents: Extents) -> tuple[Loop, ...]:
    return tuple(Loop(f"d{i}", extent) for i, extent in enumerate(extents))


def window_reads(window: Window, extents: Extents, outputs: Extents) -> tuple[Read, ...]:
    """What the output positions d0, d1 ... read of an input of these extents."""
    reads = []
    for i, (extent, positions) in enumerate(zip(extents, outputs, strict=True)):
        low = np.arange(positions, dtype=np.int64) * window.strides[i] - window.begins[i]
        high = low + (window.size[i] - 1) * window.dilations[i] + 1
        reads.append(Read(extent, f"d{i}", low, high, window.strides[i], window=True))
    return tuple(reads)


def window_of(node: OperatorFacts, extents: Extents, size: Extents) -> Window:
    """The window of a convolution or pooling; `auto_pad` resolved as the operators' definition says."""
    ones = (1,) * len(extents)
    strides, dilations = node.integers("strides", ones), node.integers("dilations", ones)
    auto_pad = node.text("auto_pad", "NOTSET")
    if not auto_pad.startswith("SAME"):
        none = (0,) * 2 * len(extents)
        pads = node.integers("pads", none) if auto_pad == "NOTSET" else none
        return Window(size, strides, dilations, pads[: len(extents)], pads[len(extents) :])
    spans = [(taps - 1) * dilation + 1 for taps, dilation in zip(size, dilations, strict=True)]
    totals = [
        max(0, (-(-extent // stride) - 1) * stride + span - extent)
        for extent, stride, span in zip(extents, strides, spans, strict=True)
    ]
    less, more = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    begins, ends = (less, more) if auto_pad == "SAME_UPPER" else (more, less)
    return Window(size, strides, dilations, begins, ends)


def _transposed_window(node: OperatorFacts, extents: Extents, outputs: Extents, size: Extents) -> Window:
    """The window of a transposed convolution; the pads follow from the output where that is what is given."""
    ones = (1,) * len(extents)
    strides, dilations = node.integers("strides", ones), node.integers("dilations", ones)
    auto_pad = node.text("auto_pad", "NOTSET")
    if auto_pad == "NOTSET" and "output_shape" not in node.attributes:
        pads = node.integers("pads", (0,) * 2 * len(extents))
        return Window(size, strides, dilations, pads[: len(extents)], pads[len(extents) :])
    extra = node.integers("output_padding", (0,) * len(extents))
    totals = [
        max(0, stride * (extent - 1) + added + (taps - 1) * dilation + 1 - output)
        for extent, output, taps, stride, dilation, added in zip(
            extents, outputs, size, strides, dilations, extra, strict=True
        )
    ]
    less, more = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    begins, ends = (less, more) if auto_pad == "SAME_UPPER" else (more, less)
    return Window(size, strides, dilations, begins, ends)
