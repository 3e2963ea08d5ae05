"""Elements of core memory along labelled loops, and the vector instructions that walk through them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.runtime.simulator.instructions import LOOP_DEPTH, Loop, Operation, Vector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsec.runtime.programs.context import Block
    from wsec.runtime.simulator.instructions import Instruction


@dataclass(frozen=True, slots=True)
class Axis:
    """How a tile follows a loop: its iterations, and the words from the element of one to that of the next."""

    label: str
    size: int
    stride: int


@dataclass(frozen=True, slots=True)
class Tile:
    """Elements of core memory. It has no axis for a loop on which all iterations see the same."""

    address: int
    axes: tuple[Axis, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Iterations of its loops."""
        return {axis.label: axis.size for axis in self.axes}

    @property
    def words(self) -> int:
        """How many elements it has."""
        return math.prod(axis.size for axis in self.axes)

    def strides(self) -> dict[str, int]:
        """Words from one iteration to the next, by loop."""
        return {axis.label: axis.stride for axis in self.axes}


def row_major(address: int, sizes: Mapping[str, int]) -> Tile:
    """A dense tile whose last loop is the fastest."""
    axes, stride = [], 1
    for label, size in reversed(list(sizes.items())):
        if size != 1:
            axes.append(Axis(label, size, stride))
        stride *= size
    return Tile(address, tuple(reversed(axes)))


def tile_of(block: Block, labels: Sequence[str]) -> Tile:
    """A block whose dimensions follow these loops. Raises ValueError where there is another number of them."""
    return row_major(block.address, dict(zip(labels, block.shape, strict=True)))


def part(tile: Tile, label: str, first: int, size: int) -> Tile:
    """Iterations `[first, first + size)` of a loop; the tile itself if it does not follow that loop."""
    axes = []
    address = tile.address
    for axis in tile.axes:
        if axis.label != label:
            axes.append(axis)
            continue
        address += first * axis.stride
        if size != 1:
            axes.append(Axis(label, size, axis.stride))
    return Tile(address, tuple(axes))


@dataclass(frozen=True, slots=True)
class _Walk:
    """One or several loops that are walked as one: words from one iteration to the next of result, left and right."""

    size: int
    strides: tuple[int, int, int]
    summed: bool


def vectors(
    operation: Operation,
    result: Tile,
    left: Tile,
    right: Tile | None = None,
    *,
    summed: Sequence[str] = (),
) -> list[Instruction]:
    """Instructions that do the operation for all iterations of the loops of the tiles.

    The loops of `summed` add to one element of the result; each element sees them in their order, the last the fastest. All
    others may come in any order. docs/core-programs.md says which loop is the vector and which are around it.

    Args:
        operation: What is done.
        result: Where to.
        left: Its left operand.
        right: Its right one, where the operation has two.
        summed: Loops that the result does not follow.

    Raises:
        ValueError: The tiles have different sizes of one loop.
    """
    second = left if right is None else right
    sizes: dict[str, int] = {}
    for tile in (result, left, second):
        for label, size in tile.sizes.items():
            if sizes.setdefault(label, size) != size:
                raise ValueError(f"loop {label} has {sizes[label]} and {size} iterations")
    labels = [*(label for label in sizes if label not in summed), *summed]
    strides = [tile.strides() for tile in (result, left, second)]
    walks = [
        _Walk(sizes[label], _moves(strides, label), label in summed) for label in labels if label in sizes
    ]
    if not all(walk.size for walk in walks):
        return []
    around, vector = _arranged(_merged(walks))
    return _emitted(operation, (result.address, left.address, second.address), around, vector)


def _moves(strides: Sequence[Mapping[str, int]], label: str) -> tuple[int, int, int]:
    first, second, third = (held.get(label, 0) for held in strides)
    return first, second, third


def _merged(walks: Sequence[_Walk]) -> list[_Walk]:
    """Neighbours joined where the end of the inner one is a step of the outer one, for all three."""
    merged: list[_Walk] = []
    for walk in walks:
        outer = merged[-1] if merged else None
        if (
            outer is not None
            and outer.summed == walk.summed
            and all(a == b * walk.size for a, b in zip(outer.strides, walk.strides, strict=True))
        ):
            merged[-1] = _Walk(outer.size * walk.size, walk.strides, walk.summed)
        else:
            merged.append(walk)
    return merged


def _arranged(walks: list[_Walk]) -> tuple[list[_Walk], _Walk]:
    """The loops around the vector, outermost first, and the vector: the longest walk, around it the next longest.

    Of walks that are summed only the last that is left may go further in than all others.
    """
    left = list(walks)
    vector = _taken(left) if left else _Walk(1, (0, 0, 0), summed=False)
    if not left:
        return [], vector
    innermost = _taken(left)
    around = []
    while left:
        first_summed = next((walk for walk in left if walk.summed), None)
        free = [walk for walk in left if not walk.summed or walk is first_summed]
        shortest = min(free, key=lambda walk: walk.size)
        left.remove(shortest)
        around.append(shortest)
    return [*around, innermost], vector


def _taken(walks: list[_Walk]) -> _Walk:
    """The longest walk that may stand furthest in, taken out; the last of several, and rather one that is not summed."""
    last_summed = next((walk for walk in reversed(walks) if walk.summed), None)
    free = [index for index, walk in enumerate(walks) if not walk.summed or walk is last_summed]
    return walks.pop(max(free, key=lambda index: (walks[index].size, not walks[index].summed, index)))


def _emitted(
    operation: Operation, addresses: tuple[int, int, int], around: list[_Walk], vector: _Walk
) -> list[Instruction]:
    if len(around) > LOOP_DEPTH:  # the outermost are written out
        instructions = []
        for index in range(around[0].size):
            first, second, third = (
                at + index * move for at, move in zip(addresses, around[0].strides, strict=True)
            )
            instructions += _emitted(operation, (first, second, third), around[1:], vector)
        return instructions
    steps = tuple(walk.strides for walk in around)
    body: Instruction = Vector(operation, *addresses, vector.size, vector.strides, steps)
    for walk in reversed(around):
        body = Loop(walk.size, (body,))
    return [body]
