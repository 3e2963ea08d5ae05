"""Products whose operands shift around a square of cores: the partial sums of all cores, step by step (docs/kernels.md)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.contraction import Operand, contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, Rotation
    from wsec.runtime.element_types import Array

    Numbers = NDArray[np.int64]


def shifted_product(
    kernel: Kernel,
    rotation: Rotation,
    first: tuple[Array, Sequence[str]],
    second: tuple[Array, Sequence[str]],
    out: Sequence[str],
) -> Array:
    """The blocks of the result where they lie in the end, narrow floats as float32.

    Args:
        kernel: Gives the mesh.
        rotation: Which loop goes around.
        first: Blocks of `a`, and the loop that each block dimension follows; `m` and `k` among them.
        second: Blocks of `b`, likewise; `k` and `n` among them.
        out: Loops of the block dimensions of the result.

    Raises:
        ValueError: The two other loops have no axes, or not as many parts as there are steps.
    """
    mesh = kernel.mesh
    sides = [name for name in ("m", "n", "k") if name != rotation.loop]
    if {axis.name for axis in mesh.axes} < set(sides) or {mesh.size(name) for name in sides} != {
        rotation.steps
    }:
        raise ValueError(f"{rotation.steps} steps do not go around axes {', '.join(sides)}")
    axes = [mesh.index(name) for name in sides]
    names = tuple(f"mesh {axis.name}" for axis in mesh.axes)
    total: Array | None = None
    for step in range(rotation.steps):
        parts = _parts(rotation, sides, step)
        left, right = (
            Operand(_taken(blocks, labels, parts, rotation.loop, axes), (*names, *labels))
            for blocks, labels in (first, second)
        )
        product = contract(left, right, ["k"], (*names, *out))
        total = product if total is None else total + product
    if total is None:
        raise ValueError("no steps")
    return total


def _parts(rotation: Rotation, sides: Sequence[str], step: int) -> dict[str, Numbers]:
    """Which part of each loop is multiplied in a step into the block of the result that lies at each core of the square in the end.

    In step s the core at (i, j) has part (i + j + s) of the loop that goes around. Where that is no summed loop the result moves, and the
    part of the summed loop is the axis that it goes along: that of the core at which the block is then.
    """
    size = rotation.steps
    along = dict(zip(sides, np.indices((size, size), dtype=np.int64), strict=True))
    if rotation.loop == "k":
        return along | {"k": (along["m"] + along["n"] + step) % size}
    kept = next(name for name in sides if name != "k")
    moving = along["k"]  # the result that lies here is the part of the loop that goes around of this number
    return {kept: along[kept], rotation.loop: moving, "k": (moving - along[kept] - step) % size}


def _taken(
    blocks: Array, labels: Sequence[str], parts: Mapping[str, Numbers], turning: str, axes: Sequence[int]
) -> Array:
    """The block that each core of the square multiplies; it lies at the parts of the two loops that the operand follows.

    Blocks are [mesh axes, dimensions]; `axes` are those of the square. What goes around lies along the axis of the loop that the
    operand does not follow.
    """
    sides = [name for name in ("m", "n", "k") if name != turning]
    places = [parts[name if name in labels else turning] for name in sides]
    square = np.moveaxis(blocks, axes, (0, 1))
    if square.shape[:2] != places[0].shape:
        raise ValueError(f"blocks lie on {square.shape[:2]} cores of a square of {places[0].shape}")
    return np.moveaxis(square[places[0], places[1]], (0, 1), axes)
