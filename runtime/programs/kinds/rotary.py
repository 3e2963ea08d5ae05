"""The rotation of pairs of features: four products, a difference and a sum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.runtime.programs.kinds.tiles import Axis, Tile, part, row_major, tile_of, vectors
from wsec.runtime.rotary import slices
from wsec.runtime.simulator.instructions import Operation

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.runtime.programs.context import Block, KernelContext
    from wsec.runtime.rotary import Rotation
    from wsec.runtime.simulator.instructions import Instruction

    Own = Callable[[KernelContext, Block], list[Instruction]]


def rotary(rotation: Rotation) -> Own:
    """`in0` [batch, heads, positions, features], rotated by `in1` and `in2` [batch, positions, pairs]: cosines and sines."""

    def own(context: KernelContext, result: Block) -> list[Instruction]:
        labels = ("b", "h", "s", *(("half",) if rotation.halves else ()), "d")
        x, y = tile_of(context.block("in0"), labels), tile_of(result, labels)
        cosines, sines = (tile_of(context.block(role), ("b", "s", "d")) for role in ("in1", "in2"))
        if rotation.halves:
            (a, b), (first, second) = ([part(each, "half", at, 1) for at in (0, 1)] for each in (x, y))
        else:
            (a, b), (first, second) = ([_features(each, at) for at in slices(rotation)] for each in (x, y))
        one, other = (row_major(context.scratch(a.words), a.sizes) for _ in range(2))
        rest = slice(2 * rotation.pairs, result.shape[-1], 1)
        instructions = [
            *vectors(Operation.MULTIPLY, one, a, cosines),
            *vectors(Operation.MULTIPLY, other, b, sines),
            *vectors(Operation.SUBTRACT, first, one, other),
            *vectors(Operation.MULTIPLY, one, a, sines),
            *vectors(Operation.MULTIPLY, other, b, cosines),
            *vectors(Operation.ADD, second, one, other),
        ]
        if not rotation.halves and rest.stop > rest.start:
            instructions += vectors(Operation.COPY, _features(y, rest), _features(x, rest))
        return instructions

    return own


def _features(tile: Tile, where: slice) -> Tile:
    """Some features of a tile whose features are dense."""
    step = int(where.step or 1)
    count = len(range(where.start, where.stop, step))
    others = tuple(axis for axis in tile.axes if axis.label != "d")
    own = (Axis("d", count, step),) if count > 1 else ()
    return Tile(tile.address + where.start, (*others, *own))
