"""Convolution and transposed convolution, grouped or not, in any number of spatial dimensions.

Each core multiplies its block of the weights with the windows of its block of the input; partial sums over the input
channels are added in the order of the fabric, then the bias.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.runtime.blocks import block_starts, positions
from wsec.runtime.element_types import Array, accumulator
from wsec.runtime.kernels.arguments import input_sharding, integers, output_sharding
from wsec.runtime.kernels.products import contract_on_mesh
from wsec.runtime.kernels.quantization import factor, finished
from wsec.runtime.kernels.sliding_windows import sliding_windows
from wsec.runtime.local_reads import take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsec.compiler.plan import Kernel


def convolution(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Conv: `x` [n, g, c, D], `w` [g, k, c, window], `bias` [g, k] to [n, g, k, D]."""
    total = _weighted_windows(kernel, windows_of(kernel, blocks), factor(kernel, blocks, "w"), "gkc")
    return rounded(kernel, blocks, with_bias(kernel, blocks, total))


def windows_of(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """What each output of a convolution sees of `x`, [mesh, n, g, c, D, window]."""
    x = factor(kernel, blocks, "x")
    for index, pad in enumerate(integers(kernel, "pads")):
        x = sliding_windows(kernel, x, index, first=3, pad=pad)
    return x


def with_bias(kernel: Kernel, blocks: Mapping[str, Array], total: Array) -> Array:
    """The sums [mesh, n, g, k, D] plus the bias of their channels, if there is one."""
    bias = blocks.get("bias")
    if bias is None:
        return total
    axes = len(kernel.mesh.axes)
    laid = np.expand_dims(bias, (axes, *range(axes + 3, axes + 3 + len(integers(kernel, "window")))))
    result: Array = total + laid.astype(total.dtype, copy=False)
    return result


def rounded(kernel: Kernel, blocks: Mapping[str, Array], total: Array) -> Array:
    """The sums [mesh, n, g, k, D] as results; scales of the weights, by channel [g, k, 1, window], laid along them."""
    axes = len(kernel.mesh.axes)
    parameters = dict(blocks)
    for name in ("w_scale", "x_scale", "y_scale", "y_zero"):
        if name in blocks and "y_scale" in blocks:
            held = blocks[name]
            channels = held.shape[axes : axes + 2] if name == "w_scale" else (1, 1)
            spatial = (1,) * (total.ndim - axes - 3)
            parameters[name] = held.reshape(*held.shape[:axes], 1, *channels, *spatial)
    return finished(kernel, parameters, ("x", "w"), total)


def transposed_convolution(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """ConvTranspose: `x` [n, g, c, D], `w` [g, c, k, window], `bias` [g, k] to [n, g, k, D]."""
    windows = transposed_windows_of(kernel, blocks)
    total = _weighted_windows(kernel, windows, factor(kernel, blocks, "w"), "gck")
    return finished(kernel, blocks, ("x", "w"), with_bias(kernel, blocks, total))


def transposed_windows_of(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """What reaches each output of a transposed convolution of `x`, [mesh, n, g, c, D, window].

    Output `o` receives input `i` through tap `r` where `o + pad = i * stride + r * dilation`; taps that meet no input
    meet zero.
    """
    mesh = kernel.mesh
    axes = len(mesh.axes)
    held, made = input_sharding(kernel, "x"), output_sharding(kernel)
    x = blocks["x"]  # of floats; weights may be quantised
    arguments = zip(
        *(integers(kernel, name) for name in ("window", "strides", "dilations", "pads")), strict=True
    )
    for index, (taps, stride, dilation, pad) in enumerate(arguments):
        place = 3 + index
        at = positions(made.dimensions[place], mesh)[..., None] + pad - np.arange(taps) * dilation
        source, rest = np.divmod(at, stride)
        meets = (rest == 0) & (source >= 0) & (source < held.dimensions[place].extent)
        local = np.where(meets, source - block_starts(held.dimensions[place], mesh)[..., None, None], 0)
        read = take(x, axes + place, local, axes)
        shape = (
            *meets.shape[:axes],
            *(1,) * place,
            *meets.shape[axes:],
            *(1,) * (read.ndim - axes - place - 2),
        )
        x = np.moveaxis(np.where(meets.reshape(shape), read, np.zeros((), read.dtype)), axes + place + 1, -1)
    return x


def _weighted_windows(kernel: Kernel, x: Array, w: Array, weight_loops: str) -> Array:
    """The windows `x` [mesh, n, g, c, D, window] times the weights, summed over `c` and the window."""
    axes = len(kernel.mesh.axes)
    dimensions = len(integers(kernel, "window"))
    spatial = tuple(f"d{index}" for index in range(dimensions))
    taps = tuple(f"r{index}" for index in range(dimensions))
    if _is_depthwise(kernel, x, w, axes):
        return _depthwise(x, w, axes, dimensions)
    return contract_on_mesh(
        kernel,
        (x, ("n", "g", "c", *spatial, *taps)),
        (w, (*weight_loops, *taps)),
        ("n", "g", "k", *spatial),
    )


def _is_depthwise(kernel: Kernel, x: Array, w: Array, axes: int) -> bool:
    """Whether each core has one channel in and out for each group, and no input is used by several outputs."""
    channels = x.shape[axes + 2] == 1 and w.shape[axes + 1 : axes + 3] == (1, 1)
    shared = any(w.shape[axis] > 1 and x.shape[axis] == 1 for axis in range(axes))
    return channels and not shared and not output_sharding(kernel).root


def _depthwise(x: Array, w: Array, axes: int, dimensions: int) -> Array:
    """One multiply-add for each tap of the window."""
    wide = accumulator(x.dtype)
    weights = w.reshape(*w.shape[:axes], 1, w.shape[axes], 1, *(1,) * dimensions, *w.shape[axes + 3 :])
    result: Array | None = None
    for tap in itertools.product(*(range(size) for size in w.shape[axes + 3 :])):
        section: tuple[Any, ...] = (..., *tap)
        product = x[section].astype(wide, copy=False) * weights[section].astype(wide, copy=False)
        result = product if result is None else np.add(result, product, out=result)
    if result is None:
        raise ValueError("the window of the convolution is empty")
    return result
