"""Resize, nearest and linear, one dimension after the other; positions are computed in float32, as onnxruntime does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.blocks import along, positions
from wsec.runtime.element_types import Array, is_floating
from wsec.runtime.kernels.arguments import input_sharding, integers, numbers, output_sharding, text
from wsec.runtime.local_reads import read_dimension

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel


def resize(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Resize: output `o` reads `x` at the position that ONNX gives for it, clamped to the extent."""
    mesh, made, held = kernel.mesh, output_sharding(kernel), input_sharding(kernel, "x")
    linear = text(kernel, "mode") == "linear"
    x = blocks["x"]
    dtype = x.dtype
    shapes = zip(
        numbers(kernel, "scales"),
        integers(kernel, "input_shape"),
        integers(kernel, "output_shape"),
        strict=True,
    )
    for index, (scale, size, output_size) in enumerate(shapes):
        outputs = positions(made.dimensions[index], mesh)
        if scale == 1 and size == output_size:
            x = read_dimension(x, index, held.dimensions[index], outputs, mesh)
            continue
        at = source_positions(text(kernel, "coordinates"), outputs, np.float32(scale), size, output_size)
        if not linear:
            nearest = nearest_positions(text(kernel, "nearest"), at, downsampling=scale < 1)
            x = read_dimension(x, index, held.dimensions[index], np.clip(nearest, 0, size - 1), mesh)
            continue
        at = np.clip(at, np.float32(0), np.float32(size - 1))
        low = np.floor(at).astype(np.int64)
        weight = (at - low).astype(np.float32)
        below = read_dimension(x, index, held.dimensions[index], low, mesh)
        above = read_dimension(x, index, held.dimensions[index], np.minimum(low + 1, size - 1), mesh)
        share = weight.reshape(along(weight.shape, index, len(made.dimensions)))
        x = below * (np.float32(1) - share) + above * share
    if is_floating(dtype) or not linear:
        return x.astype(dtype, copy=False)
    return np.trunc(x).astype(dtype)


def source_positions(
    rule: str, output: NDArray[np.int64], scale: np.float32, size: int, output_size: int
) -> NDArray[np.float32]:
    """The position in the input, ONNX `coordinate_transformation_mode`."""
    at = output.astype(np.float32)
    half = np.float32(0.5)
    if rule == "asymmetric":
        return at / scale
    if rule == "align_corners":
        last = np.float32(output_size - 1)
        return np.zeros_like(at) if output_size == 1 else at * np.float32(size - 1) / last
    if rule == "pytorch_half_pixel" and output_size <= 1:
        return np.zeros_like(at)
    centred: NDArray[np.float32] = (at + half) / scale - half
    if rule == "half_pixel_symmetric":
        adjustment = np.float32(output_size) / (scale * np.float32(size))
        return centred + np.float32(size) / np.float32(2) * (np.float32(1) - adjustment)
    if rule in {"half_pixel", "pytorch_half_pixel"}:
        return centred
    raise ValueError(f"unknown coordinates {rule!r}")


def nearest_positions(rule: str, at: NDArray[np.float32], *, downsampling: bool) -> NDArray[np.int64]:
    """The element that is read, ONNX `nearest_mode`."""
    if rule == "simple":
        rule = "ceil" if downsampling else "floor"
    if rule == "floor":
        chosen = np.floor(at)
    elif rule == "ceil":
        chosen = np.ceil(at)
    elif rule == "round_prefer_floor":
        chosen = np.ceil(at - np.float32(0.5))
    elif rule == "round_prefer_ceil":
        chosen = np.floor(at + np.float32(0.5))
    else:
        raise ValueError(f"unknown rounding {rule!r}")
    return chosen.astype(np.int64)
