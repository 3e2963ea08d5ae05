"""What the output positions of a core see of its block of the input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.runtime.kernels.arguments import integers, output_sharding
from wsec.runtime.programs.kinds.geometry import dense, sharding_of, starts
from wsec.runtime.programs.kinds.tiles import Axis, Tile

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.runtime.programs.context import Block, KernelContext


def windows(
    context: KernelContext, result: Block, lead: str, pads: Sequence[int]
) -> tuple[Tile, tuple[str, ...]]:
    """The block of `x` [lead, D], which begins with the first window, with loops `d0` ... and, for taps, `r0` ...; the taps.

    Raises:
        ValueError: It begins elsewhere, or does not hold all windows.
    """
    kernel = context.kernel
    held, made = sharding_of(kernel, "x"), output_sharding(kernel)
    x = context.block("x")
    strides = dense(x)
    axes = list(zip(lead, x.shape, strides, strict=False))
    taps = []
    arguments = zip(
        integers(kernel, "window"),
        integers(kernel, "strides"),
        integers(kernel, "dilations"),
        pads,
        strict=True,
    )
    for index, (window, stride, dilation, pad) in enumerate(arguments):
        place = len(lead) + index
        first = starts(made.dimensions[place], kernel.mesh) * stride - pad
        reach = (result.shape[place] - 1) * stride + (window - 1) * dilation + 1
        if (first != starts(held.dimensions[place], kernel.mesh)).any() or reach > x.shape[place]:
            raise ValueError(f"the blocks of x do not hold the windows of d{index}")
        axes.append((f"d{index}", result.shape[place], strides[place] * stride))
        taps.append((f"r{index}", window, strides[place] * dilation))
    seen = Tile(x.address, tuple(Axis(*axis) for axis in (*axes, *taps) if axis[1] != 1))
    return seen, tuple(tap[0] for tap in taps)
