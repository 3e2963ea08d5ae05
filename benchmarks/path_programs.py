"""Collectives along paths over a rectangle of cores, as routes and programs for the simulator.

For streams that the compiler has no circuits for: they turn corners, go around, or end one after the other. Routers get the
positions that the streams need, in the order in which the streams are listed.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from line_programs import run_programs
from wsec.runtime.simulator.instructions import (
    CoreProgram,
    Instruction,
    Join,
    Operation,
    Receive,
    ReceiveCombine,
    ReceiveCombineSend,
    Send,
    Start,
)
from wsec.runtime.simulator.routes import Port, Route, SwitchPosition
from wsec.runtime.simulator.switching import SwitchTurns

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from line_programs import Machine, Memory, Run

    Core = tuple[int, int]
    Program = CoreProgram | Sequence[Instruction]

_PORTS = {(0, -1): Port.NORTH, (1, 0): Port.EAST, (0, 1): Port.SOUTH, (-1, 0): Port.WEST}
_WEST = 4  # added to colours of words that go there
_BACK = {Port.NORTH: Port.SOUTH, Port.EAST: Port.WEST, Port.SOUTH: Port.NORTH, Port.WEST: Port.EAST}


@dataclass(frozen=True, slots=True)
class Stream:
    """Words that flow from the first core along neighbours, splitting where `ways` do, into the cores `into`."""

    colour: int
    words: int
    ways: tuple[tuple[Core, ...], ...]
    into: frozenset[Core]


def straight(colour: int, words: int, *way: Core) -> Stream:
    """Along one way, into its last core."""
    return Stream(colour, words, (way,), frozenset(way[-1:]))


def line(start: Core, end: Core) -> tuple[Core, ...]:
    """All cores from one to another on the same row or column."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]))
    x, y = (int(np.sign(end[axis] - start[axis])) for axis in (0, 1))
    return tuple((start[0] + x * step, start[1] + y * step) for step in range(steps + 1))


def broadcast_square(width: int, height: int, held: Memory, machine: Machine) -> Run:
    """What the first core has, to all, by one multicast along the first column and every row."""
    words = held.shape[1]
    cores = frozenset((x, y) for x in range(width) for y in range(height))
    ways = tuple((*line((0, 0), (0, y)), *line((0, y), (width - 1, y))[1:]) for y in range(height))
    programs: dict[Core, Program] = {core: [Receive(0, words, 0)] for core in cores}
    programs[0, 0] = [Send(0, words, 0)]
    return run([Stream(0, words, ways, cores - {(0, 0)})], programs, held, width, machine)


def reduce_along(
    order: Sequence[Core], colours: tuple[int, int], words: int
) -> tuple[list[Stream], list[Instruction]]:
    """The streams of a chain along neighbours, from the last to the first, and what the cores do, in their order."""
    streams: list[Stream] = []
    steps: list[Instruction] = []
    for at, core in enumerate(order):
        here, behind = colours[at % 2], colours[(at + 1) % 2]
        if at:
            streams.append(straight(here, words, core, order[at - 1]))
        if at == 0:
            steps.append(ReceiveCombine(Operation.ADD, behind, words, 0))
        elif at < len(order) - 1:
            steps.append(ReceiveCombineSend(Operation.ADD, behind, here, words, 0))
        else:
            steps.append(Send(here, words, 0))
    return streams, steps


def snake_square(width: int, height: int, held: Memory, machine: Machine) -> Run:
    """Sums to the first core along a snake through all."""
    order = [(x if y % 2 == 0 else width - 1 - x, y) for y in range(height) for x in range(width)]
    streams, steps = reduce_along(order, (0, 1), held.shape[1])
    programs: dict[Core, Program] = {core: [step] for core, step in zip(order, steps, strict=True)}
    return run(streams, programs, held, width, machine)


def reduce_square(width: int, height: int, held: Memory, machine: Machine) -> Run:
    """Sums to the first core by chains: along every row, then along the first column."""
    programs: defaultdict[Core, list[Instruction]] = defaultdict(list)
    streams: list[Stream] = []
    lines = [([(x, y) for x in range(width)], (0, 1)) for y in range(height)]
    for order, colours in [*lines, ([(0, y) for y in range(height)], (2, 3))]:
        found, steps = reduce_along(order, colours, held.shape[1])
        streams += found
        for core, step in zip(order, steps, strict=True):
            programs[core].append(step)
    return run(streams, programs, held, width, machine)


def scatter_line(cores: int, held: Memory, machine: Machine) -> Run:
    """Core 0 has words for every other core, behind each other by their numbers; the farthest gets its own first."""
    words = held.shape[1] // cores
    streams = [straight(0, words, *line((0, 0), (core, 0))) for core in range(cores - 1, 0, -1)]
    programs: dict[Core, Program] = {(core, 0): [Receive(0, words, 0)] for core in range(1, cores)}
    programs[0, 0] = [Send(0, words, core * words) for core in range(cores - 1, 0, -1)]
    return run(streams, programs, held, cores, machine)


def gather_line(cores: int, held: Memory, machine: Machine) -> Run:
    """Core 0 gets the first words of every other core, behind each other by their numbers."""
    words = held.shape[1] // cores
    streams = [straight(0, words, *line((core, 0), (0, 0))) for core in range(1, cores)]
    programs: dict[Core, Program] = {(core, 0): [Send(0, words, 0)] for core in range(1, cores)}
    programs[0, 0] = [Receive(0, words, core * words) for core in range(1, cores)]
    return run(streams, programs, held, cores, machine)


def shift_line(order: Sequence[int], held: Memory, machine: Machine) -> Run:
    """Each core to the next in the order, the last one to the first; the words come in behind a core's own.

    A task of its own sends. Colours in alternation along the order; words to the west have colours of their own.
    """
    words, cores = held.shape[1] // 2, len(order)
    ways = [line((core, 0), (order[(at + 1) % cores], 0)) for at, core in enumerate(order)]
    colours = [at % 2 + _WEST * (way[-1] < way[0]) for at, way in enumerate(ways)]
    streams = [straight(colour, words, *way) for colour, way in zip(colours, ways, strict=True)]
    programs: dict[Core, Program] = {}
    for at, core in enumerate(order):
        received, sent = Receive(colours[at - 1], words, words), Send(colours[at], words, 0)
        programs[core, 0] = CoreProgram((Start(1), received, Join(1)), ((sent,),))
    return run(streams, programs, held, cores, machine)


def run(
    streams: Iterable[Stream], programs: Mapping[Core, Program], held: Memory, width: int, machine: Machine
) -> Run:
    """Simulate; memory by row and column."""
    positions: dict[tuple[Core, int], list[SwitchPosition]] = {}
    turns: list[tuple[int, int, int, int]] = []
    for stream in streams:
        for core, position in _positions(stream).items():
            held_here = positions.setdefault((core, stream.colour), [])
            if position not in held_here:
                held_here.append(position)
            turns.append((core[1] * width + core[0], stream.colour, held_here.index(position), stream.words))
    routes = [Route(*core, 1, 1, colour, tuple(each)) for (core, colour), each in positions.items()]
    several = {(y * width + x, colour) for ((x, y), colour), each in positions.items() if len(each) > 1}
    table = np.array([turn for turn in turns if turn[:2] in several], np.int64).reshape(-1, 4)
    table = table[np.lexsort((np.arange(len(table)), table[:, 1], table[:, 0]))]
    columns = SwitchTurns(*(np.ascontiguousarray(column) for column in table.T))
    return run_programs(routes, programs, columns, held=held, width=width, machine=machine)


def _positions(stream: Stream) -> dict[Core, SwitchPosition]:
    """What the stream asks of every router that it passes."""
    sources: dict[Core, Port] = {stream.ways[0][0]: Port.RAMP}
    outputs: dict[Core, set[Port]] = {core: {Port.RAMP} for core in stream.into}
    for way in stream.ways:
        for here, there in pairwise(way):
            port = _PORTS[there[0] - here[0], there[1] - here[1]]
            outputs.setdefault(here, set()).add(port)
            sources[there] = _BACK[port]
    return {core: SwitchPosition(port, tuple(sorted(outputs[core]))) for core, port in sources.items()}
