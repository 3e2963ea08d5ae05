"""Kernels that compute nothing, and place each element where the output wants it; embedding; resizing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.runtime.kernels.arguments import integer, integers, numbers, output_sharding, text
from wsec.runtime.kernels.resize import nearest_positions, source_positions
from wsec.runtime.programs.context import Block
from wsec.runtime.programs.kinds.geometry import (
    Places,
    copy_listed,
    dense,
    inside,
    local,
    positions,
    run_of,
    sharding_of,
    starts,
    table,
)
from wsec.runtime.programs.kinds.tiles import Axis, Tile, row_major, tile_of, vectors
from wsec.runtime.simulator.instructions import LookUp, Loop, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel
    from wsec.runtime.programs.context import KernelContext
    from wsec.runtime.simulator.instructions import Instruction


def read(context: KernelContext, source: Block, target: Block, places: Sequence[Places]) -> list[Instruction]:
    """The target, read from places of the source along each dimension [mesh axes, count]; -1: left as it is.

    Strided vectors where all cores read alike at equal steps, else element by element.
    """
    if any((place < 0).all() for place in places):
        return []
    strides, own = dense(source), dense(target)
    runs = [run for run in map(run_of, places) if run is not None]
    if len(runs) < len(places):
        return copy_listed(context, (source.address, strides), (target.address, own), places)
    read_axes = tuple(
        Axis(f"d{index}", run.size, run.step * strides[index])
        for index, run in enumerate(runs)
        if run.size != 1
    )
    written_axes = tuple(
        Axis(f"d{index}", run.size, own[index]) for index, run in enumerate(runs) if run.size != 1
    )
    first = source.address + sum(run.first * stride for run, stride in zip(runs, strides, strict=True))
    begin = target.address + sum(run.at * stride for run, stride in zip(runs, own, strict=True))
    return vectors(Operation.COPY, Tile(begin, written_axes), Tile(first, read_axes))


def transpose(context: KernelContext, result: Block) -> list[Instruction]:
    """Dimension `j` of the output is dimension `perm[j]` of `x`."""
    perm = integers(context.kernel, "perm")
    x = context.block("x")
    if tuple(x.shape[axis] for axis in perm) != result.shape:
        raise ValueError(f"blocks of {x.shape} transposed are not those of {result.shape}")
    labels = [f"d{perm.index(axis)}" for axis in range(len(perm))]
    y = tile_of(result, [f"d{index}" for index in range(len(perm))])
    return vectors(Operation.COPY, y, tile_of(x, labels))


def reshape(context: KernelContext, result: Block) -> list[Instruction]:
    """`x` is viewed in the shape of the output already."""
    return _same_places(context, result)


def expand(context: KernelContext, result: Block) -> list[Instruction]:
    """`x` at the output's rank, with extent 1 where it is repeated."""
    return _same_places(context, result)


def _same_places(context: KernelContext, result: Block) -> list[Instruction]:
    return _all_read(context, result, lambda _index, extent, at: at * (extent != 1))


def slice_(context: KernelContext, result: Block) -> list[Instruction]:
    """Output `o` reads `x` at `starts + o * steps`."""
    begins, steps = integers(context.kernel, "starts"), integers(context.kernel, "steps")
    return _all_read(context, result, lambda index, _extent, at: begins[index] + at * steps[index])


def pad(context: KernelContext, result: Block) -> list[Instruction]:
    """Output `o` reads `x` at `o - pads_begin`; outside of it the fill of the block, or what the mode says."""
    begins, mode = integers(context.kernel, "pads_begin"), text(context.kernel, "mode")
    if mode not in _SHOWN:
        raise ValueError(f"mode {mode}")
    return _all_read(context, result, lambda index, extent, at: _SHOWN[mode](at - begins[index], extent))


def _reflected(position: Places, extent: int) -> Places:
    last = extent - 1
    shown: Places = np.clip(last - np.abs(last - np.abs(position)), 0, last)
    return shown


_SHOWN: Final[dict[str, Callable[[Places, int], Places]]] = {
    "constant": lambda position, _extent: position,
    "reflect": _reflected,
    "edge": lambda position, extent: np.clip(position, 0, extent - 1),
    "wrap": np.mod,
}
"""The element that stands for each position, by the mode of a Pad."""


def _all_read(
    context: KernelContext, result: Block, wanted: Callable[[int, int, Places], Places]
) -> list[Instruction]:
    """The result, read from `x` at positions by dimension, the extent of `x` there, and positions of the output."""
    kernel = context.kernel
    held, made = sharding_of(kernel, "x").dimensions, output_sharding(kernel).dimensions
    places = []
    for index, (dimension, out) in enumerate(zip(held, made, strict=True)):
        at = wanted(index, dimension.extent, positions(out, kernel.mesh))
        places.append(local(dimension, kernel.mesh, at, inside(out, kernel.mesh)))
    return read(context, context.block("x"), result, places)


def concat(context: KernelContext, result: Block) -> list[Instruction]:
    """Input `i` begins at `offsets[i]` of the output along `axis`."""
    kernel = context.kernel
    mesh, axis, made = kernel.mesh, integer(kernel, "axis"), output_sharding(kernel).dimensions
    instructions: list[Instruction] = []
    for number, offset in enumerate(integers(kernel, "offsets")):
        role = f"x{number}"
        places = []
        for index, (dimension, out) in enumerate(
            zip(sharding_of(kernel, role).dimensions, made, strict=True)
        ):
            at = positions(out, mesh)
            if index == axis:
                at = at - offset
                at = np.where((at >= 0) & (at < dimension.extent), at, _NOWHERE)
            places.append(local(dimension, mesh, at, inside(out, mesh)))
        instructions += read(context, context.block(role), result, places)
    return instructions


_NOWHERE: Final = -(1 << 40)
"""A position that no block holds."""


def gather(context: KernelContext, result: Block) -> list[Instruction]:
    """Rows of `x` [P, v, Q] that `indices` [I] name; zeros for those of other cores. Negative ones count from the end."""
    kernel = context.kernel
    axis, extent = integer(kernel, "axis"), integer(kernel, "extent")
    x, indices = context.block("x"), context.block("indices")
    rows, length = x.shape[axis], math.prod(x.shape[axis + 1 :])
    own = row_major(context.scratch(indices.words), {"i": indices.words})
    given = row_major(indices.address, {"i": indices.words})
    first = table(context, starts(sharding_of(kernel, "x").dimensions[axis], kernel.mesh), ())
    tables, count = math.prod(x.shape[:axis]), indices.words
    walks = [(tables, (count * length, rows * length, 0)), (count, (length, 0, 1))]
    walks.sort(key=lambda walk: walk[0])  # the longer loop is innermost, around the look-up alone
    steps = tuple(moves for size, moves in walks if size != 1)
    look_up: Instruction = LookUp(result.address, x.address, own.address, 0, rows, length, steps)
    for size, _ in reversed(walks):
        look_up = look_up if size == 1 else Loop(size, (look_up,))
    return [
        *vectors(Operation.GREATER, own, Tile(context.constant(0)), given),
        *vectors(Operation.MULTIPLY, own, own, Tile(context.constant(extent))),
        *vectors(Operation.ADD, own, own, given),
        *vectors(Operation.SUBTRACT, own, own, first),
        look_up,
        *context.combine(
            output_sharding(kernel).root, result.address, result.words, Operation.ADD, everywhere=False
        ),
    ]


def resize(context: KernelContext, result: Block) -> list[Instruction]:
    """One dimension after the other, as the positions in the input say."""
    kernel = context.kernel
    held, made = sharding_of(kernel, "x").dimensions, output_sharding(kernel).dimensions
    linear = text(kernel, "mode") == "linear"
    block = context.block("x")
    instructions: list[Instruction] = []
    shapes = zip(
        numbers(kernel, "scales"),
        integers(kernel, "input_shape"),
        integers(kernel, "output_shape"),
        strict=True,
    )
    unread: list[Places] = [_identity(kernel, size) for size in block.shape]
    for index, (scale, size, output_size) in enumerate(shapes):
        outputs = positions(made[index], kernel.mesh)
        if scale == 1 and size == output_size:
            unread[index] = local(held[index], kernel.mesh, outputs, inside(made[index], kernel.mesh))
            continue
        at = source_positions(text(kernel, "coordinates"), outputs, np.float32(scale), size, output_size)
        if not linear:
            nearest = nearest_positions(text(kernel, "nearest"), at, downsampling=scale < 1)
            unread[index] = local(
                held[index], kernel.mesh, np.clip(nearest, 0, size - 1), inside(made[index], kernel.mesh)
            )
            continue
        block, more = _blended(context, block, index, np.clip(at, np.float32(0), np.float32(size - 1)))
        instructions += more
        unread[index] = _identity(kernel, block.shape[index])
    return [*instructions, *read(context, block, result, unread)]


def _identity(kernel: Kernel, size: int) -> Places:
    return np.arange(size).reshape((1,) * len(kernel.mesh.axes) + (-1,))


def _blended(
    context: KernelContext, block: Block, index: int, at: NDArray[np.float32]
) -> tuple[Block, list[Instruction]]:
    """A block whose dimension `index` lies between two neighbours of the one that is read, at positions [mesh axes, count]."""
    kernel = context.kernel
    held, made = sharding_of(kernel, "x").dimensions[index], output_sharding(kernel).dimensions[index]
    low = np.floor(at).astype(np.int64)
    share = (at - low).astype(np.float32)
    shape = (*block.shape[:index], made.block, *block.shape[index + 1 :])
    labels = [f"d{place}" for place in range(len(shape))]
    neighbours = []
    instructions: list[Instruction] = []
    for position, part in ((low, np.float32(1) - share), (np.minimum(low + 1, held.extent - 1), share)):
        target = Block(context.scratch(math.prod(shape)), shape)
        places = [_identity(kernel, size) for size in shape]
        places[index] = local(held, kernel.mesh, position, inside(made, kernel.mesh))
        instructions += read(context, block, target, places)
        tile = tile_of(target, labels)
        instructions += vectors(Operation.MULTIPLY, tile, tile, table(context, part, [labels[index]]))
        neighbours.append((target, tile))
    (below, tile), (_, other) = neighbours
    return below, [*instructions, *vectors(Operation.ADD, tile, tile, other)]
