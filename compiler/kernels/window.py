"""The window of a convolution or pooling: sizes, strides, dilations and pads, with `auto_pad` resolved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.kernels.loop_nest import DimensionMap

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.kernels.loop_nest import Loop
    from wsec.compiler.kernels.operator_view import OperatorView


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding window; every tuple has one entry for each spatial dimension."""

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]
    ends: tuple[int, ...]

    def spans(self) -> tuple[int, ...]:
        """Elements from the first to the last tap of the window."""
        return tuple(
            (size - 1) * dilation + 1 for size, dilation in zip(self.sizes, self.dilations, strict=True)
        )

    def reads(self, extents: Sequence[int], outer: Sequence[Loop]) -> tuple[DimensionMap, ...]:
        """The elements of an input that output positions along the loops `outer` read."""
        return tuple(
            DimensionMap(extent, loop.name, stride=stride, offset=-begin, reach=span)
            for extent, loop, stride, begin, span in zip(
                extents, outer, self.strides, self.begins, self.spans(), strict=True
            )
        )


def sliding_window(operator: OperatorView, extents: Sequence[int], sizes: tuple[int, ...]) -> Window:
    """The window of a Conv or pooling node over an input of these spatial extents."""
    ones = (1,) * len(extents)
    strides = operator.integers("strides", ones)
    bare = Window(sizes, strides, operator.integers("dilations", ones), (), ())
    begins, ends = _pads(operator, [-(-e // s) for e, s in zip(extents, strides, strict=True)], extents, bare)
    return Window(sizes, strides, bare.dilations, begins, ends)


def _pads(
    operator: OperatorView, same: Sequence[int], extents: Sequence[int], window: Window
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Pads before and behind; `same` are the output extents for `auto_pad` SAME_UPPER and SAME_LOWER."""
    auto_pad = operator.text("auto_pad", "NOTSET")
    if auto_pad == "VALID":
        return (0,) * len(extents), (0,) * len(extents)
    if auto_pad == "NOTSET":
        pads = operator.integers("pads", (0,) * 2 * len(extents))
        return pads[: len(extents)], pads[len(extents) :]
    totals = [
        max(0, (out - 1) * stride + span - extent)
        for out, stride, span, extent in zip(same, window.strides, window.spans(), extents, strict=True)
    ]
    less, more = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    return (less, more) if auto_pad == "SAME_UPPER" else (more, less)


def transposed_window(
    operator: OperatorView, extents: Sequence[int], output: Sequence[int], sizes: tuple[int, ...]
) -> Window:
    """The window of a ConvTranspose node; `output_shape` and `auto_pad` decide the pads where they are given.

    With `total = stride * (input - 1) + output_padding + span - output`, SAME_UPPER puts the smaller half of the total
    before, everything else the larger: what onnxruntime does, and what the ONNX specification says.
    """
    ones = (1,) * len(extents)
    strides = operator.integers("strides", ones)
    dilations = operator.integers("dilations", ones)
    auto_pad = operator.text("auto_pad", "NOTSET")
    if auto_pad == "NOTSET" and "output_shape" not in operator.node.attributes:
        pads = operator.integers("pads", (0,) * 2 * len(extents))
        return Window(sizes, strides, dilations, pads[: len(extents)], pads[len(extents) :])
    extra = operator.integers("output_padding", (0,) * len(extents))
    spans = Window(sizes, strides, dilations, (), ()).spans()
    totals = [
        stride * (extent - 1) + padding + span - out
        for extent, out, stride, padding, span in zip(extents, output, strides, extra, spans, strict=True)
    ]
    less, more = tuple(total // 2 for total in totals), tuple(total - total // 2 for total in totals)
    begins, ends = (less, more) if auto_pad == "SAME_UPPER" else (more, less)
    return Window(sizes, strides, dilations, begins, ends)
