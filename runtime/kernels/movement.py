"""Data movement: kernels that compute nothing and place each element where the output wants it.

Links have brought each core the elements that its block of the output is made of; what the core then does is to read
its own block in another order. An element that the record says is needed and the core does not hold reads poison.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.runtime.blocks import along, positions
from wsec.runtime.element_types import Array, element_type, poison
from wsec.runtime.kernels.arguments import input_sharding, integer, integers, number, output_sharding, text
from wsec.runtime.local_reads import read_dimension, resized

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel
    from wsec.runtime.element_types import DType


def transpose(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Transpose: dimension `j` of the output is dimension `perm[j]` of `x`."""
    axes = len(kernel.mesh.axes)
    order = [*range(axes), *(axes + axis for axis in integers(kernel, "perm"))]
    return _in_output_shape(kernel, blocks["x"].transpose(order))


def reshape(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Reshape: `x` is viewed in the shape of the output already."""
    return _in_output_shape(kernel, blocks["x"])


def expand(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Expand: `x` at the output's rank, with extent 1 where it is repeated."""
    x = blocks["x"]
    axes = len(kernel.mesh.axes)
    made, held = output_sharding(kernel), input_sharding(kernel, "x")
    for index, (out, dimension) in enumerate(zip(made.dimensions, held.dimensions, strict=True)):
        if dimension.extent != 1:
            x = resized(x, axes + index, out.block)
    return np.broadcast_to(x, (*x.shape[:axes], *made.block_shape))


def slice_(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Slice: output `o` reads `x` at `starts + o * steps`."""
    starts, steps = integers(kernel, "starts"), integers(kernel, "steps")
    return _read_all(kernel, blocks["x"], starts, steps, 0)


def pad(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Pad: output `o` reads `x` at `o - pads_begin`; outside of it `value`, or what the mode says."""
    begins, mode = integers(kernel, "pads_begin"), text(kernel, "mode")
    made, held = output_sharding(kernel), input_sharding(kernel, "x")
    x = blocks["x"]
    for index, begin in enumerate(begins):
        dimension = held.dimensions[index]
        wanted = positions(made.dimensions[index], kernel.mesh) - begin
        inside = _inside(mode, wanted, dimension.extent)
        x = read_dimension(x, index, dimension, inside, kernel.mesh, outside=number(kernel, "value"))
    return x


def _inside(mode: str, position: NDArray[np.int64], extent: int) -> NDArray[np.int64]:
    """The element that stands for each position, in all modes but constant one of the tensor's."""
    last = extent - 1
    match mode:
        case "constant":
            return position
        case "reflect":
            mirrored: NDArray[np.int64] = np.abs(last - np.abs(position))
            return np.clip(last - mirrored, 0, last)
        case "edge":
            return np.clip(position, 0, last)
        case "wrap":
            return np.mod(position, extent)
        case _:
            raise ValueError(f"mode {mode}")


def pad_fill(kernel: Kernel, _role: str, _dtype: DType) -> Any:
    """What surrounds the tensor."""
    return number(kernel, "value")


def concat(kernel: Kernel, blocks: Mapping[str, Array]) -> Array:
    """Concat along `axis`: input `i` begins at `offsets[i]` of the output."""
    mesh, made = kernel.mesh, output_sharding(kernel)
    axis = integer(kernel, "axis")
    rank = len(made.dimensions)
    at = positions(made.dimensions[axis], mesh)
    dtype = element_type(kernel.outputs[0].dtype)
    result: Array = np.full((1,) * (len(mesh.axes) + rank), poison(dtype), dtype=dtype)
    for number_, offset in enumerate(integers(kernel, "offsets")):
        role = f"x{number_}"
        held = input_sharding(kernel, role).dimensions[axis]
        source = at - offset
        inside = (source >= 0) & (source < held.extent)
        if not inside.any():
            continue
        part = read_dimension(blocks[role], axis, held, source, mesh)
        result = np.where(inside.reshape(along(inside.shape, axis, rank)), part, result)
    return _in_output_shape(kernel, result)


def _read_all(
    kernel: Kernel, x: Array, starts: tuple[int, ...], steps: tuple[int, ...], outside: float
) -> Array:
    made, held = output_sharding(kernel), input_sharding(kernel, "x")
    for index, (start, step) in enumerate(zip(starts, steps, strict=True)):
        wanted = start + positions(made.dimensions[index], kernel.mesh) * step
        x = read_dimension(x, index, held.dimensions[index], wanted, kernel.mesh, outside=outside)
    return x


def _in_output_shape(kernel: Kernel, blocks: Array) -> Array:
    for index, size in enumerate(output_sharding(kernel).block_shape):
        blocks = resized(blocks, len(kernel.mesh.axes) + index, size)
    return blocks
