"""Routes and programs on small fabrics that several tests of the simulator share."""

from __future__ import annotations

from wsec.runtime.simulator.instructions import (
    CoreProgram,
    Instruction,
    Loop,
    Operation,
    ProgramArea,
    Receive,
    ReceiveCombine,
    ReceiveCombineSend,
    ReceiveFma,
    Send,
    Vector,
)
from wsec.runtime.simulator.routes import Port, Route, SwitchPosition


def straight(area: tuple[int, int, int, int], colour: int, source: Port, *outputs: Port) -> Route:
    """A setting of one position on an area of x, y, width, height."""
    return Route(*area, colour, (SwitchPosition(source, outputs),))


def hop(x: int, y: int, colour: int, source: Port, *outputs: Port) -> Route:
    """The setting of one core."""
    return straight((x, y, 1, 1), colour, source, *outputs)


def program(x: int, y: int, *main: Instruction, words: int = 64) -> ProgramArea:
    """The program of one core."""
    return ProgramArea(x, y, 1, 1, CoreProgram(main), words)


def line(cores: int, colour: int = 0, y: int = 0) -> tuple[Route, ...]:
    """From the first core of a row to all others of it."""
    inner = [hop(x, y, colour, Port.WEST, Port.EAST, Port.RAMP) for x in range(1, cores - 1)]
    return (
        hop(0, y, colour, Port.RAMP, Port.EAST),
        *inner,
        hop(cores - 1, y, colour, Port.WEST, Port.RAMP),
    )


def broadcast_line(cores: int, words: int) -> tuple[tuple[Route, ...], tuple[ProgramArea, ...]]:
    """The first core of a row sends its memory to all others."""
    receivers = ProgramArea(1, 0, cores - 1, 1, CoreProgram((Receive(0, words, 0),)), words)
    return line(cores), (program(0, 0, Send(0, words, 0), words=words), receivers)


def step_colour(index: int, first: int = 0) -> int:
    """The colour of a step of a chain: two take turns, since a core receives on one and sends on the other."""
    return first + index % 2


def chain_routes_west(cores: int, y: int = 0, first: int = 0) -> tuple[Route, ...]:
    """From every core of a row into the core west of it."""
    return tuple(
        route
        for x in range(1, cores)
        for route in (
            hop(x, y, step_colour(x, first), Port.RAMP, Port.WEST),
            hop(x - 1, y, step_colour(x, first), Port.EAST, Port.RAMP),
        )
    )


def chain_reduce(cores: int, words: int) -> tuple[tuple[Route, ...], tuple[ProgramArea, ...]]:
    """The sum of all memories of a row into that of its first core, in the stream from core to core."""
    inner = [
        program(
            x, 0, ReceiveCombineSend(Operation.ADD, step_colour(x + 1), step_colour(x), words, 0), words=words
        )
        for x in range(1, cores - 1)
    ]
    first = program(0, 0, ReceiveCombine(Operation.ADD, step_colour(1), words, 0), words=words)
    last = program(cores - 1, 0, Send(step_colour(cores - 1), words, 0), words=words)
    return chain_routes_west(cores), (first, *inner, last)


def product_of_vector_and_matrix(
    columns: int, rows: int, tile: int
) -> tuple[tuple[Route, ...], tuple[ProgramArea, ...]]:
    """Y = x W on columns x rows cores: x goes along rows as it is multiplied, the products are summed up to row 0.

    The memory of a core: its part of y, its part of x (first column only), its tile of W by rows.
    """
    vector, matrix, words = tile, 2 * tile, 2 * tile + tile * tile
    routes = [route for y in range(rows) for route in line(columns, 0, y)]
    for y in range(1, rows):
        colour = step_colour(y, 1)
        routes.append(straight((0, y, columns, 1), colour, Port.RAMP, Port.NORTH))
        routes.append(straight((0, y - 1, columns, 1), colour, Port.SOUTH, Port.RAMP))
    programs = []
    for y in range(rows):
        received, sent = step_colour(y + 1, 1), step_colour(y, 1)
        reduce: Instruction
        if y == rows - 1:
            reduce = Send(sent, tile, 0)
        elif y == 0:
            reduce = ReceiveCombine(Operation.ADD, received, tile, 0)
        else:
            reduce = ReceiveCombineSend(Operation.ADD, received, sent, tile, 0)
        row = Vector(Operation.FMA, 0, vector, matrix, tile, (1, 0, 1), ((0, 1, tile),))
        own = Loop(tile, (row,))
        first = CoreProgram((Send(0, tile, vector), own, reduce))
        others = CoreProgram((ReceiveFma(0, tile, 0, matrix, tile), reduce))
        programs.append(ProgramArea(0, y, 1, 1, first, words))
        programs.append(ProgramArea(1, y, columns - 1, 1, others, words))
    return tuple(routes), tuple(programs)
