"""Factors with scales and zero points, and results rounded to a quantum.

Products of bytes are summed exactly: float64 holds every sum of up to 2^37 of them, and matrix routines are made for it. The
scale of a result is that of onnxruntime: scale of the one factor times that of the other over the result's, in float32.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.blocks import block_starts, positions, validity
from wsec.runtime.element_types import Array, element_type, is_floating
from wsec.runtime.kernels.arguments import input_sharding
from wsec.runtime.local_reads import take

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wsec.compiler.plan import Kernel


def multiplies_bytes(kernel: Kernel, role: str) -> bool:
    """Whether the factor `role` takes part as integers, and is not dequantised first."""
    dtype = next(item.dtype for item in kernel.inputs if item.role == role)
    scaled = any(item.role == f"{role}_scale" for item in kernel.inputs)
    requantised = any(item.role == "y_scale" for item in kernel.inputs)
    return (
        element_type(dtype).itemsize == 1 and not is_floating(element_type(dtype)) and scaled == requantised
    )


def factor(kernel: Kernel, blocks: Mapping[str, Array], role: str) -> Array:
    """The blocks of a factor as they are multiplied: less their zero point, scaled where the kernel dequantises them.

    What lies outside the extents is zero.
    """
    values, zero, scale = blocks[role], blocks.get(f"{role}_zero"), blocks.get(f"{role}_scale")
    if multiplies_bytes(kernel, role):
        wide = values.astype(np.float64)
        return wide if zero is None else _inside(kernel, role, wide - zero.astype(np.float64))
    return values if scale is None else _inside(kernel, role, dequantised(kernel, role, values, zero, scale))


def dequantised(kernel: Kernel, role: str, codes: Array, zero: Array | None, scale: Array | None) -> Array:
    """Codes less their zero points, times their scales, in the type of these; of powers of two alone in single precision."""
    if scale is None:
        return codes
    wide = codes.astype(np.float32)
    if zero is not None:
        wide = wide - _spread(kernel, role, f"{role}_zero", zero.astype(np.float32))
    scaled = wide * _spread(kernel, role, f"{role}_scale", scale.astype(np.float32))
    return scaled if scale.dtype.itemsize == 1 else scaled.astype(scale.dtype, copy=False)


def _inside(kernel: Kernel, role: str, values: Array) -> Array:
    valid = validity(input_sharding(kernel, role), kernel.mesh)
    return values if valid.all() else np.where(valid, values, np.zeros((), values.dtype))


def _spread(kernel: Kernel, role: str, parameter: str, values: Array) -> Array:
    """The blocks of a parameter made to broadcast to those of its factor: one of a block is repeated over it."""
    axes = len(kernel.mesh.axes)
    factor_sharding, own = input_sharding(kernel, role), input_sharding(kernel, parameter)
    pairs = zip(factor_sharding.dimensions, own.dimensions, strict=True)
    for index, (dimension, held) in enumerate(pairs):
        if held.divisor == 1:
            continue
        at = positions(dimension, kernel.mesh) // held.divisor
        local = at - block_starts(held, kernel.mesh)[..., None]
        values = take(values, axes + index, np.clip(local, 0, held.block - 1), axes)
    return values


def result_dtype(kernel: Kernel, blocks: Mapping[str, Array], roles: tuple[str, str]) -> str:
    """Element type of what a product gives, before the chain."""
    first, second = (multiplies_bytes(kernel, role) for role in roles)
    if not (first and second):
        return str(blocks[roles[0]].dtype.name)
    zero = blocks.get("y_zero")
    return "int32" if "y_scale" not in blocks else "uint8" if zero is None else str(zero.dtype.name)


def finished(kernel: Kernel, blocks: Mapping[str, Array], roles: tuple[str, str], total: Array) -> Array:
    """The sums of a product in the element type of the result, rounded to a quantum where it has a scale."""
    dtype = element_type(result_dtype(kernel, blocks, roles))
    if "y_scale" not in blocks:
        return total.astype(dtype, copy=False)
    axes, rank = len(kernel.mesh.axes), total.ndim - len(kernel.mesh.axes)
    first, second, scale = (
        _laid(blocks[f"{role}_scale"].astype(np.float32), axes, rank) for role in (*roles, "y")
    )
    zero = blocks.get("y_zero")
    rounded = np.rint(total.astype(np.float32) * (first * second / scale))
    if zero is not None:
        rounded = rounded + _laid(zero.astype(np.float32), axes, rank)
    limits = np.iinfo(dtype)
    return np.clip(rounded, limits.min, limits.max).astype(dtype)


def _laid(parameter: Array, axes: int, rank: int) -> Array:
    """A parameter in the rank of the result: its own dimensions are the last ones."""
    own = parameter.shape[axes:]
    extra = (1,) * max(0, rank - len(own))
    kept = own[len(own) - rank :] if len(own) > rank else own
    return parameter.reshape(*parameter.shape[:axes], *extra, *kept)
