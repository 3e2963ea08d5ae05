"""Element-wise arithmetic as a list of steps on values, which get memory once it is known who reads them last."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.runtime.programs.kinds.tiles import Tile, row_major, vectors
from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wsec.runtime.programs.context import KernelContext
    from wsec.runtime.simulator.instructions import Instruction

    Emit = Callable[[Tile, Sequence[Tile]], list[Instruction]]


@dataclass(eq=False, slots=True)
class Value:
    """A tile that has a place in memory from the start, or gets one: then `tile` is None, and `sizes` says its loops."""

    sizes: dict[str, int]
    tile: Tile | None = None


@dataclass(frozen=True, slots=True)
class _Step:
    result: Value
    operands: tuple[Value, ...]
    emit: Emit
    in_place: bool


class Pool:
    """Scratch words of a kernel, used again by number of words."""

    def __init__(self, context: KernelContext) -> None:
        self.context = context
        self._free: dict[int, list[int]] = {}

    def take(self, words: int) -> int:
        """The address of so many words."""
        free = self._free.get(words)
        return free.pop() if free else self.context.scratch(words)

    def give(self, address: int, words: int) -> None:
        """They are no longer needed."""
        self._free.setdefault(words, []).append(address)


class Writer:
    """Collects steps, then writes their instructions."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._steps: list[_Step] = []

    def given(self, tile: Tile) -> Value:
        """A value that is in memory and stays."""
        return Value(tile.sizes, tile)

    def constant(self, value: float) -> Value:
        """The same number for all."""
        return Value({}, Tile(self.pool.context.constant(value)))

    def step(
        self, sizes: Mapping[str, int], operands: Sequence[Value], emit: Emit, *, in_place: bool = False
    ) -> Value:
        """What instructions make of the operands; `in_place`: the result may lie where an operand of its size lay."""
        result = Value({label: size for label, size in sizes.items() if size != 1})
        self._steps.append(_Step(result, tuple(operands), emit, in_place))
        return result

    def vector(self, operation: Operation, left: Value, right: Value | None = None) -> Value:
        """The operation on each element of operands that broadcast."""
        operands = (left,) if right is None else (left, right)
        sizes = joined(operands)

        def emit(result: Tile, tiles: Sequence[Tile]) -> list[Instruction]:
            return vectors(operation, result, *tiles)

        return self.step(sizes, operands, emit, in_place=True)

    def where(self, condition: Value, left: Value, right: Value) -> Value:
        """Left where the condition is not 0, else right."""
        sizes = joined((condition, left, right))

        def emit(result: Tile, tiles: Sequence[Tile]) -> list[Instruction]:
            chosen, one, other = tiles
            return [
                *vectors(Operation.COPY, result, other),
                *vectors(Operation.COPY_WHERE, result, one, chosen),
            ]

        return self.step(sizes, (condition, left, right), emit)

    def finish(self, value: Value, destination: Tile) -> list[Instruction]:
        """The instructions of all steps; they leave `value` at the destination."""
        if value.tile is not None or value.sizes != destination.sizes:
            value = self._copy(value, destination)
        value.tile = destination
        last = {id(operand): at for at, step in enumerate(self._steps) for operand in step.operands}
        instructions: list[Instruction] = []
        temporary: set[int] = set()
        for at, step in enumerate(self._steps):
            ending = [
                operand
                for operand in dict.fromkeys(step.operands)
                if id(operand) in temporary and last[id(operand)] == at
            ]
            early = [operand for operand in ending if step.in_place and _laid_alike(operand, step.result)]
            self._release(early, temporary)
            if step.result.tile is None:
                step.result.tile = row_major(self.pool.take(_words(step.result)), step.result.sizes)
                temporary.add(id(step.result))
            tiles = [_placed(operand) for operand in step.operands]
            instructions += step.emit(step.result.tile, tiles)
            self._release([operand for operand in ending if operand not in early], temporary)
        self._steps = []
        return instructions

    def _copy(self, value: Value, destination: Tile) -> Value:
        sizes = destination.sizes

        def emit(result: Tile, tiles: Sequence[Tile]) -> list[Instruction]:
            return vectors(Operation.COPY, result, tiles[0])

        return self.step(sizes, (value,), emit)

    def _release(self, values: Sequence[Value], temporary: set[int]) -> None:
        for value in values:
            self.pool.give(_placed(value).address, _words(value))
            temporary.discard(id(value))


def joined(values: Sequence[Value]) -> dict[str, int]:
    """Loops of operands that broadcast, in the order of the one that has most of them."""
    sizes: dict[str, int] = {}
    for value in sorted(values, key=lambda value: -len(value.sizes)):
        sizes |= {label: size for label, size in value.sizes.items() if label not in sizes}
    return sizes


def _laid_alike(operand: Value, result: Value) -> bool:
    """Whether each element of the result may take the place of the operand's."""
    return list(operand.sizes.items()) == list(result.sizes.items())


def _words(value: Value) -> int:
    return math.prod(value.sizes.values())


def _placed(value: Value) -> Tile:
    if value.tile is None:
        raise ValueError("a value is read before it is made")
    return value.tile
