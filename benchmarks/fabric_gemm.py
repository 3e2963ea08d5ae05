"""C = A B on a square of cores, for the simulator: by shifts as Cannon does, and by multicasts as SUMMA does.

Blocks are [tile, tile]; those of A and C are held by columns, so that a vector is a column. Rows and columns of blocks are
numbered along the lines of the square, for shifts in the order of its interleaved rings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fabric_streams import FabricProgram, across, interleaved_ring, position, ring, ring_colour
from wsec.runtime.simulator.instructions import (
    CoreProgram,
    Join,
    Loop,
    Operation,
    ProgramArea,
    Receive,
    Send,
    Start,
    Vector,
)
from wsec.runtime.simulator.routes import Port
from wsec.runtime.simulator.switching import SwitchTurns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.runtime.simulator.instructions import Instruction
    from wsec.runtime.simulator.routes import Route

_ROW_RING, _BACK_RING, _COLUMN_RING = 0, 4, 8
_ROW_CAST, _COLUMN_CAST = 0, 1
"""First colours."""


def mesh_gemm(side: int, tile: int, seed: int = 0) -> FabricProgram:
    """By shifts: the blocks of A are brought to where they start, then both operands shift in each of `side` steps.

    The memory of a core: two blocks of A, two of B, and C. Blocks of B lie where they start.
    """
    order = interleaved_ring(side)
    back = tuple(reversed(order))
    routes = (
        *ring("rows", order, _ROW_RING),
        *ring("rows", back, _BACK_RING),
        *ring("columns", order, _COLUMN_RING),
    )
    areas = tuple(
        ProgramArea(x, y, 1, 1, _shifting(order, order.index(x), order.index(y), tile), 5 * tile * tile)
        for y in range(side)
        for x in range(side)
    )
    left, right = _blocks(side, tile, seed)
    memory = np.zeros((side, side, 5 * tile * tile), np.float32)
    expected = np.zeros((side, side, tile, tile), np.float32)
    place = np.arange(side)
    start = place[:, None] + place[None, :]
    grid = np.ix_(order, order)
    memory[..., : tile * tile][grid] = left.reshape(side, side, -1)
    own_column = np.broadcast_to(place[None, :], start.shape)
    own_row = np.broadcast_to(place[:, None], start.shape)
    memory[..., 2 * tile * tile : 3 * tile * tile][grid] = right[start % side, own_column].reshape(
        side, side, -1
    )
    sums = np.zeros_like(expected)
    for step in range(side):
        now = (start - step) % side
        _add_product(sums, left[own_row, now], right[now, own_column])
    expected[grid] = sums
    result = slice(4 * tile * tile, 5 * tile * tile)
    return FabricProgram(side, routes, areas, None, memory, result, expected.reshape(side, side, -1))


def summa(side: int, tile: int, seed: int = 0) -> FabricProgram:
    """By multicasts: in step k all cores get the blocks of A of column k along their row, and of B of row k along their column.

    The memory of a core: its blocks of A and B, two blocks of each that came, and C. The block of a step comes while that of the
    step before is multiplied.
    """
    words = tile * tile
    routes: list[Route] = []
    for place in range(side):
        routes.append(_cast("rows", side, place, _ROW_CAST))
        routes.append(_cast("columns", side, place, _COLUMN_CAST))

    def multiply(parity: int, loops: int) -> Loop:
        return _products(6 * words, (2 + parity) * words, (4 + parity) * words, tile, loops=loops)

    tasks: tuple[tuple[Instruction, ...], ...] = (
        (Send(_ROW_CAST, words, 0),),
        (Send(_COLUMN_CAST, words, words),),
        (Receive(_ROW_CAST, words, 2 * words),),
        (Receive(_COLUMN_CAST, words, 4 * words),),
        (Receive(_ROW_CAST, words, 3 * words),),
        (Receive(_COLUMN_CAST, words, 5 * words),),
    )
    first: tuple[Instruction, ...] = (Join(3), Join(4), Start(5), Start(6))
    second: tuple[Instruction, ...] = (Join(5), Join(6), Start(3), Start(4))
    main: tuple[Instruction, ...] = (
        *(Start(task) for task in (1, 2, 3, 4)),
        Loop(side // 2 - 1, (*first, multiply(0, 1), *second, multiply(1, 1))),
        *first,
        multiply(0, 0),
        Join(5),
        Join(6),
        multiply(1, 0),
    )
    left, right = _blocks(side, tile, seed)
    memory = np.zeros((side, side, 7 * words), np.float32)
    memory[..., :words] = left.reshape(side, side, -1)
    memory[..., words : 2 * words] = right.reshape(side, side, -1)
    sums = np.zeros((side, side, tile, tile), np.float32)
    for step in range(side):
        _add_product(sums, left[:, step, None], right[None, step])
    area = ProgramArea(0, 0, side, side, CoreProgram(main, tasks), 7 * words)
    return FabricProgram(
        side,
        tuple(routes),
        (area,),
        _cast_turns(side, words),
        memory,
        slice(6 * words, 7 * words),
        sums.reshape(side, side, -1),
    )


def _blocks(side: int, tile: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A as [block row, block column, k, m], B as [block row, block column, k, n]."""
    generator = np.random.default_rng(seed)
    left = generator.standard_normal((side, side, tile, tile), np.float32)
    right = generator.standard_normal((side, side, tile, tile), np.float32)
    return left, right


def _add_product(sums: NDArray[np.float32], left: NDArray[np.float32], right: NDArray[np.float32]) -> None:
    """Add the products of blocks to `sums` [..., n, m], a column of A times a row of B after the other."""
    for k in range(sums.shape[-1]):
        sums += right[..., k, :, None] * left[..., k, None, :]


def _products(result: int, left: int, right: int, tile: int, *, loops: int) -> Loop:
    """The product of two blocks in memory, added to a third, inside so many loops."""
    multiply = Vector(
        Operation.FMA,
        result,
        right,
        left,
        tile,
        strides=(1, 0, 1),
        steps=(*[(0, 0, 0)] * loops, (0, tile, tile), (tile, 1, 0)),
    )
    return Loop(tile, (Loop(tile, (multiply,)),))


def _shifting(order: tuple[int, ...], column: int, row: int, tile: int) -> CoreProgram:
    """The program of the core at these places of the rings."""
    side, words = len(order), tile * tile
    back = tuple(reversed(order))
    # to the left by `row` places, or to the right by the rest of the ring, whichever is less
    turned, colours, at = (back, _BACK_RING, side - 1 - column) if row <= side // 2 else (order, 0, column)
    shifts = min(row, side - row)
    out, back_in = ring_colour(turned, at, colours), ring_colour(turned, (at - 1) % side, colours)
    skew = [
        step
        for parity in (0, 1)
        for step in (Start(9 + parity), Receive(back_in, words, (1 - parity) * words), Join(9 + parity))
    ]
    a = [(shifts + parity) % 2 * words for parity in (0, 1)]
    b = [(2 + parity) * words for parity in (0, 1)]
    east, from_west = (ring_colour(order, at, _ROW_RING) for at in (column, (column - 1) % side))
    south, from_north = (ring_colour(order, at, _COLUMN_RING) for at in (row, (row - 1) % side))
    tasks: list[tuple[Instruction, ...]] = []
    steps: list[Instruction] = []
    for parity in (0, 1):
        tasks += [
            (Send(east, words, a[parity]),),
            (Receive(from_west, words, a[1 - parity]),),
            (Send(south, words, b[parity]),),
            (Receive(from_north, words, b[1 - parity]),),
        ]
        numbers = range(4 * parity + 1, 4 * parity + 5)
        steps += [Start(task) for task in numbers]
        steps += [_products(4 * words, a[parity], b[parity], tile, loops=1)]
        steps += [Join(task) for task in numbers]
    tasks += [(Send(out, words, 0),), (Send(out, words, words),)]
    main = (Loop(shifts // 2, tuple(skew)), *skew[: 3 * (shifts % 2)], Loop(side // 2, tuple(steps)))
    return CoreProgram(main, tuple(tasks))


def _cast(along: str, side: int, place: int, colour: int) -> Route:
    """Words of lower places pass, then the core's own go both ways and back to itself, then those of higher places."""
    low, high = (Port.WEST, Port.EAST) if along == "rows" else (Port.NORTH, Port.SOUTH)
    lower = (low,) if place > 0 else ()
    higher = (high,) if place < side - 1 else ()
    positions = [position(Port.RAMP, *lower, *higher, Port.RAMP)]
    if lower:
        positions.insert(0, position(low, *higher, Port.RAMP))
    if higher:
        positions.append(position(high, *lower, Port.RAMP))
    return across("rows" if along == "rows" else "columns", side, place, 1, colour, *positions)


def _cast_turns(side: int, words: int) -> SwitchTurns:
    rows = []
    for place in range(side):
        turns = [count * words for count in (place, 1, side - 1 - place) if count]
        for line in range(side):
            for number, count in enumerate(turns):
                rows.append((line * side + place, _ROW_CAST, number, count))
                rows.append((place * side + line, _COLUMN_CAST, number, count))
    # by core and colour, in order: the turns of a setting were written one after the other
    table = np.array(sorted(rows), np.int64)
    return SwitchTurns(table[:, 0], table[:, 1], table[:, 2], table[:, 3])
