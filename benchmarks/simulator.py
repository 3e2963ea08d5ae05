"""How fast the fabric simulator is: router updates and word-hops a second, and the memory it takes.

    .venv/bin/python benchmarks/simulator.py --sides 32 100 316 1000 --threads 1 2 --updates 2e7 --json results.json

Three loads keep routers busy, on squares of up to 50 cores a side. `crossing`: a stream along every row and one along every
column, programs on the edges. `broadcast`: one core sends to all, and all of them receive. `turns`: switches gather what the
cores of a row send in turns, filters deal a stream along every column out. A router update is a router with a word in it,
looked at in a cycle with all its colours; idle routers are passed over and count nothing. One thread is measured in
processor time, several by the clock.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.simulator.instructions import (
    CoreProgram,
    Instruction,
    Loop,
    ProgramArea,
    Receive,
    Send,
    Start,
)
from wsec.runtime.simulator.routes import Port, Route, SwitchPosition
from wsec.runtime.simulator.simulation import Simulation
from wsec.runtime.simulator.switching import RampFilters, SwitchTurns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_BURST = 64


@dataclass(frozen=True, slots=True)
class Speed:
    """One measured run."""

    load: str
    side: int
    threads: int
    cycles: int
    seconds: float
    router_updates_per_second: float
    word_hops_per_second: float
    megabytes: float


Load = tuple[tuple[Route, ...], tuple[ProgramArea, ...]]
Square = tuple[int, int, int]
"""Column and row of the first core, and the side."""


def crossing(x: int, y: int, side: int) -> Load:
    """Rows to the east on colour 0, columns to the south on colour 1."""
    last, inner = side - 1, side - 2
    routes = (
        _straight((x, y, 1, side), 0, Port.RAMP, Port.EAST),
        _straight((x + 1, y, inner, side), 0, Port.WEST, Port.EAST),
        _straight((x + last, y, 1, side), 0, Port.WEST, Port.RAMP),
        _straight((x, y, side, 1), 1, Port.RAMP, Port.SOUTH),
        _straight((x, y + 1, side, inner), 1, Port.NORTH, Port.SOUTH),
        _straight((x, y + last, side, 1), 1, Port.NORTH, Port.RAMP),
    )
    programs = (
        ProgramArea(x, y + 1, 1, inner, _for_ever(Send(0, _BURST, 0)), _BURST),
        ProgramArea(x + last, y + 1, 1, inner, _for_ever(Receive(0, _BURST, 0)), _BURST),
        ProgramArea(x + 1, y, inner, 1, _for_ever(Send(1, _BURST, 0)), _BURST),
        ProgramArea(x + 1, y + last, inner, 1, _for_ever(Receive(1, _BURST, 0)), _BURST),
    )
    return routes, programs


def broadcast(x: int, y: int, side: int) -> Load:
    """From the core in the north-west along its row, and from there down every column."""
    last, inner = side - 1, side - 2
    onward, down = (Port.EAST, Port.SOUTH, Port.RAMP), (Port.SOUTH, Port.RAMP)
    routes = (
        _straight((x, y, 1, 1), 0, Port.RAMP, Port.EAST, Port.SOUTH),
        _straight((x + 1, y, inner, 1), 0, Port.WEST, *onward),
        _straight((x + last, y, 1, 1), 0, Port.WEST, *down),
        _straight((x, y + 1, side, inner), 0, Port.NORTH, *down),
        _straight((x, y + last, side, 1), 0, Port.NORTH, Port.RAMP),
    )
    receive = _for_ever(Receive(0, _BURST, 0))
    programs = (
        ProgramArea(x, y, 1, 1, _for_ever(Send(0, _BURST, 0)), _BURST),
        ProgramArea(x + 1, y, last, 1, receive, _BURST),
        ProgramArea(x, y + 1, side, last, receive, _BURST),
    )
    return routes, programs


def turns(x: int, y: int, side: int) -> Load:
    """Rows send to the east on colour 0, the first core of each column to all below it on colour 1."""
    last, inner = side - 1, side - 2
    own, others = SwitchPosition(Port.RAMP, (Port.EAST,)), SwitchPosition(Port.WEST, (Port.EAST,))
    routes = (
        _straight((x, y, 1, side), 0, Port.RAMP, Port.EAST),
        Route(x + 1, y, inner, side, 0, (own, others)),
        _straight((x + last, y, 1, side), 0, Port.WEST, Port.RAMP),
        _straight((x, y, side, 1), 1, Port.RAMP, Port.SOUTH),
        _straight((x, y + 1, side, inner), 1, Port.NORTH, Port.SOUTH, Port.RAMP),
        _straight((x, y + last, side, 1), 1, Port.NORTH, Port.RAMP),
    )
    send, deal = _for_ever(Send(0, _BURST, 0)).main, _for_ever(Send(1, _BURST, 0)).main
    take, gather = _for_ever(Receive(1, _BURST, 0)).main, _for_ever(Receive(0, _BURST, 0)).main
    start = Start(1)
    programs = (
        ProgramArea(x, y, last, 1, CoreProgram((start, *deal), (send,)), _BURST),
        ProgramArea(x + last, y, 1, 1, CoreProgram((start, *deal), (gather,)), _BURST),
        ProgramArea(x, y + 1, last, last, CoreProgram((start, *take), (send,)), _BURST),
        ProgramArea(x + last, y + 1, 1, last, CoreProgram((start, *take), (gather,)), _BURST),
    )
    return routes, programs


def switches(squares: list[Square], width: int) -> SwitchTurns:
    """A burst of its own and those of all cores west of it, for the inner cores of every row of `turns`."""
    rows = [
        (
            np.repeat((y + np.arange(side))[:, None] * width + x + np.arange(1, side - 1), 2),
            np.tile([0, 1], side * (side - 2)),
            _BURST * np.tile(np.stack([np.ones(side - 2), np.arange(1, side - 1)], axis=1).reshape(-1), side),
        )
        for x, y, side in squares
    ]
    core, position, words = (np.concatenate(each).astype(np.int64) for each in zip(*rows, strict=True))
    return SwitchTurns(core, np.zeros_like(core), position, words)


def filters(squares: list[Square], width: int) -> RampFilters:
    """A burst for each core of every column of `turns`, in turns."""
    rows = []
    for x, y, side in squares:
        number = np.repeat(np.arange(side - 1), side)
        core = (y + 1 + number) * width + x + np.tile(np.arange(side), side - 1)
        rows.append((np.repeat(core, 2), np.stack([number, side - 2 - number], axis=1).reshape(-1)))
    core, skip = (np.concatenate(each).astype(np.int64) for each in zip(*rows, strict=True))
    take = np.tile([_BURST, 0], core.size // 2)
    return RampFilters(core, np.ones_like(core), _BURST * skip, take)


LOADS: dict[str, Callable[[int, int, int], Load]] = {
    "crossing": crossing,
    "broadcast": broadcast,
    "turns": turns,
}


def _straight(area: tuple[int, int, int, int], colour: int, source: Port, *outputs: Port) -> Route:
    return Route(*area, colour, (SwitchPosition(source, outputs),))


def _for_ever(instruction: Instruction) -> CoreProgram:
    return CoreProgram((Loop(2**20, (instruction,)),))


def fill(load: str, side: int, threads: int) -> Simulation:
    """The load on every square of a grid: squares of up to 50 cores a side, so that all are busy after 100 cycles."""
    square = side // -(-side // 50)
    corners = range(0, side - square + 1, square)
    squares = [(x, y, square) for y in corners for x in corners]
    loads = [LOADS[load](*each) for each in squares]
    return Simulation(
        [route for routes, _ in loads for route in routes],
        [area for _, areas in loads for area in areas],
        width=side,
        height=side,
        turns=switches(squares, side) if load == "turns" else None,
        filters=filters(squares, side) if load == "turns" else None,
        threads=threads,
    )


def measure(load: str, side: int, threads: int, updates: float) -> Speed:
    """Fill the fabric, then run for about `updates` router updates."""
    simulation = fill(load, side, threads)
    filled = 2 * min(side, 50) + 16
    before = simulation.run(filled)
    clock = time.thread_time if threads == 1 else time.perf_counter
    start = clock()
    after = simulation.run(filled + max(1, int(updates) // (side * side)))
    seconds = clock() - start
    return Speed(
        load,
        side,
        threads,
        after.cycles - before.cycles,
        seconds,
        (after.router_updates - before.router_updates) / seconds,
        (after.word_hops - before.word_hops) / seconds,
        simulation.nbytes / 1e6,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 100, 316, 1000])
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--updates", type=float, default=2e7, help="router updates of each run")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    print(
        f"{'load':<10} {'side':>5} {'threads':>7} {'cycles':>7} {'seconds':>8} {'M updates/s':>11} {'M hops/s':>9} {'MB':>7}"
    )
    speeds = []
    for load in LOADS:
        for side in options.sides:
            for threads in options.threads:
                measure(load, 32, threads, 1)  # compiles
                speed = measure(load, side, threads, options.updates)
                speeds.append(speed)
                print(
                    f"{load:<10} {side:>5} {threads:>7} {speed.cycles:>7} {speed.seconds:>8.2f} "
                    f"{speed.router_updates_per_second / 1e6:>11.1f} {speed.word_hops_per_second / 1e6:>9.1f} "
                    f"{speed.megabytes:>7.0f}"
                )
    if options.json:
        options.json.write_text(
            json.dumps([asdict(speed) for speed in speeds], indent=1) + "\n", encoding="utf-8"
        )


if __name__ == "__main__":
    main()
