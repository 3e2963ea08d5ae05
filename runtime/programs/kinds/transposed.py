"""Transposed convolution: each tap of the window adds to every so many outputs.

Output `o` receives input `i` through tap `r` where `o + pad = i * stride + r * dilation`. Along each dimension positions are
counted from the last multiple of the stride at or before a core's first `o + pad`: so they meet taps alike on all cores.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.kernels.arguments import integers, output_sharding
from wsec.runtime.programs.context import Block
from wsec.runtime.programs.kinds.geometry import Places, dense, local, run_of, sharding_of, starts
from wsec.runtime.programs.kinds.movement import read
from wsec.runtime.programs.kinds.products import bias, fill
from wsec.runtime.programs.kinds.tiles import Axis, Tile, tile_of, vectors
from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel
    from wsec.runtime.programs.context import KernelContext
    from wsec.runtime.simulator.instructions import Instruction


@dataclass(frozen=True, slots=True)
class _Dimension:
    """One spatial dimension, in aligned positions.

    Attributes:
        window: Taps.
        stride: Outputs from one input to the next.
        dilation: Outputs from one tap to the next.
        first: The first aligned position that an output of some core has.
        count: Aligned positions of outputs, over all cores.
        inputs: Where each input in reach lies in the block of x, [mesh axes, inputs]; -1: nowhere, it is 0.
        lowest: The first of them, counted from the aligned position 0.
        outputs: Where each output of the block lies in the aligned positions, from `first` on, [mesh axes, block].
    """

    window: int
    stride: int
    dilation: int
    first: int
    count: int
    inputs: Places
    lowest: int
    outputs: Places

    def met(self, tap: int) -> tuple[int, int, int]:
        """Of a tap: the first output that it adds to, from `first` on; the input that this one receives; how many they are."""
        begin = -((tap * self.dilation - self.first) // self.stride)
        end = (self.first + self.count - 1 - tap * self.dilation) // self.stride
        position = begin * self.stride + tap * self.dilation - self.first
        return position, begin - self.lowest, max(0, end - begin + 1)


def transposed_convolution(context: KernelContext, result: Block) -> list[Instruction]:
    """`x` [n, g, c, D] with `w` [g, c, k, window]: for each tap in row-major order a sum over the channels."""
    kernel = context.kernel
    dimensions = [
        _dimension(kernel, index, result.shape[3 + index]) for index in range(len(result.shape) - 3)
    ]
    x, instructions = _inputs(context, dimensions)
    apart = any((item.outputs != np.arange(item.outputs.shape[-1])).any() for item in dimensions)
    shape = (*result.shape[:3], *(item.count for item in dimensions))
    made = Block(context.scratch(math.prod(shape)), shape) if apart else result
    spatial = [f"d{index}" for index in range(len(dimensions))]
    instructions += fill(context, tile_of(made, ("n", "g", "k", *spatial)), 0)
    for taps in itertools.product(*(range(item.window) for item in dimensions)):
        instructions += _tap(context, made, x, dimensions, taps)
    if apart:
        instructions += read(
            context, made, result, [*_whole(kernel, result), *(item.outputs for item in dimensions)]
        )
    y = tile_of(result, ("n", "g", "k", *spatial))
    root = output_sharding(kernel).root
    instructions += context.combine(root, y.address, result.words, Operation.ADD, everywhere=False)
    return [*instructions, *bias(context, y)]


def _dimension(kernel: Kernel, index: int, block: int) -> _Dimension:
    """Raises ValueError where the block of x does not hold what its core's outputs receive."""
    mesh, place = kernel.mesh, 3 + index
    held, made = sharding_of(kernel, "x").dimensions[place], output_sharding(kernel).dimensions[place]
    window, stride, dilation, pad = (
        integers(kernel, name)[index] for name in ("window", "strides", "dilations", "pads")
    )
    zero, phase = np.divmod(starts(made, mesh) + pad, stride)
    first, count = int(phase.min()), int(phase.max() - phase.min()) + block
    lowest = -(((window - 1) * dilation - first) // stride)
    reach = np.arange(lowest, (first + count - 1) // stride + 1)
    received = np.zeros((1,), np.bool_)
    for tap in range(window):
        output = starts(made, mesh)[..., None] + reach * stride + tap * dilation - phase[..., None]
        own = output - starts(made, mesh)[..., None]
        received = received | ((own >= 0) & (own < block) & (output < made.extent))
    return _Dimension(
        window=window,
        stride=stride,
        dilation=dilation,
        first=first,
        count=count,
        inputs=local(held, mesh, zero[..., None] + reach, received),
        lowest=lowest,
        outputs=(phase - first)[..., None] + np.arange(block),
    )


def _inputs(context: KernelContext, dimensions: list[_Dimension]) -> tuple[Tile, list[Instruction]]:
    """The inputs in reach, [n, g, c, D]: in the block of x where it holds just them on all cores, else copied among zeros.

    Scratch words are 0 from the start, and those that are not copied to stay so.
    """
    x = context.block("x")
    labels = ("n", "g", "c", *(f"d{index}" for index in range(len(dimensions))))
    shape = (*x.shape[:3], *(item.inputs.shape[-1] for item in dimensions))
    runs = [run_of(item.inputs) for item in dimensions]
    if all(
        run is not None and run.step == 1 and run.size == size
        for run, size in zip(runs, shape[3:], strict=True)
    ):
        strides = dense(x)
        address = x.address + sum(
            run.first * stride for run, stride in zip(runs, strides[3:], strict=True) if run is not None
        )
        axes = (Axis(*axis) for axis in zip(labels, shape, strides, strict=True) if axis[1] != 1)
        return Tile(address, tuple(axes)), []
    copied = Block(context.scratch(math.prod(shape)), shape)
    places = [*_whole(context.kernel, x), *(item.inputs for item in dimensions)]
    return tile_of(copied, labels), read(context, x, copied, places)


def _whole(kernel: Kernel, block: Block) -> list[Places]:
    """The places of the first three dimensions, which all cores read alike."""
    lead = (1,) * len(kernel.mesh.axes)
    return [np.arange(size).reshape(*lead, -1) for size in block.shape[:3]]


def _tap(
    context: KernelContext, made: Block, x: Tile, dimensions: list[_Dimension], taps: tuple[int, ...]
) -> list[Instruction]:
    """What one tap of the window adds to the outputs that meet an input by it."""
    weights, strides = context.block("w"), dense(made)
    read_strides = x.strides()
    result = [Axis(*axis) for axis in zip("ngk", made.shape, strides, strict=False)]
    seen = [axis for axis in x.axes if axis.label in {"n", "g", "c"}]
    at, source = made.address, x.address
    for index, (dimension, tap) in enumerate(zip(dimensions, taps, strict=True)):
        label = f"d{index}"
        position, first, count = dimension.met(tap)
        stride = read_strides.get(label, 0)
        at, source = at + position * strides[3 + index], source + first * stride
        result.append(Axis(label, count, dimension.stride * strides[3 + index]))
        seen.append(Axis(label, count, stride))
    w = dense(weights)
    tap_address = weights.address + sum(tap * step for tap, step in zip(taps, w[3:], strict=True))
    factors = [Axis(*axis) for axis in zip("gck", weights.shape, w, strict=False)]
    tiles = (
        Tile(address, tuple(axis for axis in axes if axis.size != 1))
        for address, axes in ((at, result), (source, seen), (tap_address, factors))
    )
    return vectors(Operation.FMA, *tiles, summed=("c",))
