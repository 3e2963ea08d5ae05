"""Distributed programs for the simulator, and the streams that they share: lines, chains and interleaved rings.

A program is written for a square of cores. Along `columns` its lines are the columns of the square, words go north and south;
along `rows` its lines are the rows, words go west and east. Positions on a line count from 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from wsec.runtime.simulator.routes import Port, Route, SwitchPosition
from wsec.runtime.simulator.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.runtime.simulator.instructions import ProgramArea
    from wsec.runtime.simulator.switching import SwitchTurns
    from wsec.runtime.simulator.timing import EngineTiming, FabricTiming

Along = Literal["rows", "columns"]

_PORTS: Final[dict[Along, tuple[Port, Port]]] = {
    "rows": (Port.WEST, Port.EAST),
    "columns": (Port.NORTH, Port.SOUTH),
}
"""Towards lower and towards higher positions."""


@dataclass(frozen=True, slots=True, eq=False)
class FabricProgram:
    """A program on a square of cores, with its data and what must come out.

    Attributes:
        side: Cores of a side.
        routes: What routers hold.
        areas: What cores run.
        turns: When switches go on.
        memory: float32 [side, side, words], at the start.
        result: Addresses of the result in the memory of a core.
        expected: float32 [side, side, words of the result], summed in the order of the program.
    """

    side: int
    routes: tuple[Route, ...]
    areas: tuple[ProgramArea, ...]
    turns: SwitchTurns | None
    memory: NDArray[np.float32]
    result: slice
    expected: NDArray[np.float32]

    def simulate(self, fabric: FabricTiming, engines: EngineTiming) -> tuple[int, bool]:
        """Cycles to the end, and whether the result is what it must be, bit for bit."""
        simulation = Simulation(
            self.routes,
            self.areas,
            width=self.side,
            height=self.side,
            fabric=fabric,
            engines=engines,
            turns=self.turns,
        )
        for y, x in np.ndindex(self.side, self.side):
            simulation.memory(x, y)[:] = self.memory[y, x]
        cycles = simulation.run_to_end().cycles
        found = np.array(
            [[simulation.memory(x, y)[self.result] for x in range(self.side)] for y in range(self.side)]
        )
        return cycles, found.tobytes() == self.expected.tobytes()


def position(source: Port, *outputs: Port) -> SwitchPosition:
    """A position of a switch."""
    return SwitchPosition(source, outputs)


def across(along: Along, side: int, first: int, count: int, colour: int, *positions: SwitchPosition) -> Route:
    """The setting of `count` positions from `first` on, on every one of the `side` lines."""
    if along == "rows":
        return Route(first, 0, count, side, colour, positions)
    return Route(0, first, side, count, colour, positions)


def edge(along: Along, side: int, source: int, target: int, colour: int) -> tuple[Route, ...]:
    """From one position of every line to another; the routers between pass the words on."""
    low, high = _PORTS[along]
    ahead, behind = (high, low) if target > source else (low, high)
    between = abs(target - source) - 1
    first = min(source, target) + 1
    passing = (across(along, side, first, between, colour, position(behind, ahead)),) if between else ()
    return (
        across(along, side, source, 1, colour, position(Port.RAMP, ahead)),
        *passing,
        across(along, side, target, 1, colour, position(behind, Port.RAMP)),
    )


def multicast(along: Along, side: int, source: int, end: int, colour: int) -> tuple[Route, ...]:
    """From one position of every line to all others up to `end`, which is one of its two ends."""
    if source == end:
        return ()
    low, high = _PORTS[along]
    ahead, behind = (high, low) if end > source else (low, high)
    between = abs(end - source) - 1
    first = min(source, end) + 1
    passing = (
        (across(along, side, first, between, colour, position(behind, ahead, Port.RAMP)),) if between else ()
    )
    return (
        across(along, side, source, 1, colour, position(Port.RAMP, ahead)),
        *passing,
        across(along, side, end, 1, colour, position(behind, Port.RAMP)),
    )


def interleaved_ring(side: int) -> tuple[int, ...]:
    """Positions of a ring on a line in which neighbours are at most two hops apart: 0, 2, 4 ... 5, 3, 1."""
    return (*range(0, side, 2), *reversed(range(1, side, 2)))


def ring_colour(order: Sequence[int], step: int, first: int) -> int:
    """The colour on which the core at place `step` of a ring sends to the next; it receives on that of the place before.

    Four, from `first` on: neighbours alternate, and those that pass over each other go in opposite directions.
    """
    here, there = order[step], order[(step + 1) % len(order)]
    return first + step % 2 + (0 if there > here else 2)


def ring(along: Along, order: Sequence[int], first: int) -> tuple[Route, ...]:
    """From each place of a ring, of an even number of them, to the next, on every line."""
    side = len(order)
    return tuple(
        route
        for step in range(side)
        for route in edge(along, side, order[step], order[(step + 1) % side], ring_colour(order, step, first))
    )
