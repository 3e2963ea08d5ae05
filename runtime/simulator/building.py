"""Lays out the arrays that the simulation runs on, from routes, programs and timings."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.core_programs import LOOP_DEPTH, Field, Operation, assemble, memory_reach
from wsec.runtime.simulator.engines import TICKS, Engines
from wsec.runtime.simulator.routers import BLOCK, CAPACITY, LATENCY, Routers
from wsec.runtime.simulator.routes import Port

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.runtime.simulator.core_programs import ProgramArea
    from wsec.runtime.simulator.routes import RouteTable
    from wsec.runtime.simulator.timing import EngineTiming, FabricTiming


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the programs are.

    Attributes:
        cores: int64 [engines], ascending.
        area: int64 [engines], the program area of each.
        engine: int32 [cores], the engine of a core; -1 for a core without a program.
    """

    cores: NDArray[np.int64]
    area: NDArray[np.int64]
    engine: NDArray[np.int32]


def place_programs(areas: Sequence[ProgramArea], *, width: int, height: int) -> Placement:
    """The cores of the areas.

    Raises:
        WsecError: WSEC593 an area leaves the grid or shares a core with another.
    """
    area_of = np.full((height, width), -1, np.int64)
    for index, area in enumerate(areas):
        inside = (
            area.x >= 0 and area.y >= 0 and area.x + area.width <= width and area.y + area.height <= height
        )
        found = f"{area.width} x {area.height} cores from ({area.x}, {area.y})"
        if not inside or area.width < 1 or area.height < 1:
            raise _bad_program(f"program {index}", f"a rectangle inside {width} x {height} cores", found)
        place = area_of[area.y : area.y + area.height, area.x : area.x + area.width]
        if (place >= 0).any():
            raise _bad_program(
                f"program {index}", "one program a core", f"{found}, where program {place.max()} is"
            )
        place[:] = index
    flat = area_of.reshape(-1)
    cores = np.flatnonzero(flat >= 0)
    engine = np.full(flat.size, -1, np.int32)
    engine[cores] = np.arange(cores.size)
    return Placement(cores, flat[cores], engine)


def build_routers(table: RouteTable, placement: Placement, timing: FabricTiming, bands: int) -> Routers:
    """The routers of a table, empty. Queues are those of its entries, then one for each way into a core."""
    entries, cores = table.core.size, table.width * table.height
    from_core, into_core = table.source == Port.RAMP, np.flatnonzero(table.outputs[:, Port.RAMP])
    queues = np.zeros((entries + into_core.size, 4), np.int32)
    queues[:entries, LATENCY] = np.where(from_core, 1 + timing.ramp_cycles, timing.hop_cycles)
    queues[entries:, LATENCY] = timing.ramp_cycles
    queues[:, CAPACITY] = timing.queue_words + np.maximum(queues[:, LATENCY] - 1, 0)
    target = table.next_entry.copy()
    target[into_core, Port.RAMP] = entries + np.arange(into_core.size)
    slots = 1 << int(queues[:, CAPACITY].max(initial=1) - 1).bit_length()
    engine = np.concatenate([table.core, table.core[into_core]])
    return Routers(
        first_entry=np.searchsorted(table.core, np.arange(cores + 1)).astype(np.int32),
        router=table.core.astype(np.int32),
        engine=np.where(
            np.concatenate([from_core, np.ones(into_core.size, np.bool_)]),
            placement.engine[engine],
            np.int32(-1),
        ),
        ports=(table.outputs @ (1 << np.arange(len(Port)))).astype(np.uint8),
        first_output=np.concatenate([[0], np.cumsum(table.outputs.sum(axis=1))]).astype(np.int32),
        output_queue=target[table.outputs].astype(np.int32),
        queues=queues,
        words=np.zeros((len(queues), slots), np.float32),
        arrival=np.zeros((len(queues), slots), np.int32),
        sent=np.zeros(int(table.outputs.sum()), np.int32),
        stall_cause=np.zeros(entries, np.uint8),
        stall_start=np.zeros(entries, np.int32),
        stalls=np.zeros((entries, 4), np.int32),
        turn=np.zeros(cores, np.uint8),
        active=np.zeros(cores, np.uint8),
        active_block=np.zeros(-(-cores // BLOCK), np.uint8),
        band_start=band_starts(cores, bands),
        granted=np.zeros(entries, np.int32),
        granted_count=np.zeros((bands, 8), np.int64),
        totals=np.zeros((bands, 8), np.int64),
    )


def band_starts(cores: int, bands: int) -> NDArray[np.int64]:
    """The first core of each band, a whole number of blocks each, and the number of cores."""
    blocks = -(-cores // BLOCK)
    return np.minimum(np.arange(bands + 1) * blocks // bands * BLOCK, cores)


def build_engines(
    table: RouteTable,
    areas: Sequence[ProgramArea],
    placement: Placement,
    timing: EngineTiming,
    band_start: NDArray[np.int64],
) -> Engines:
    """The engines, each at the start of its program, with memory of zeros.

    Raises:
        WsecError: WSEC593 a program does not fit its memory, or uses a colour that has no way to or from its core.
    """
    code, first_line, tasks = _assemble_all(areas)
    colours, inbox, outbox = _ways(table, placement)
    for area, (first, last) in enumerate(itertools.pairwise([*first_line, len(code)])):
        engines = np.flatnonzero(placement.area == area)
        _check_ways(
            table, placement.cores[engines], code[first:last], colours, (inbox[engines], outbox[engines])
        )
    for field in (Field.RECEIVED, Field.SENT):
        code[:, field] = np.where(code[:, field] < 0, -1, np.searchsorted(colours, code[:, field]))
    words = np.array([area.memory_words for area in areas], np.int64)[placement.area]
    count = placement.cores.size
    band_engine = np.searchsorted(placement.cores, band_start)
    running = np.zeros((count, tasks), np.uint8)
    running[:, 0] = 1
    line = np.zeros((count, tasks), np.int32)
    line[:, 0] = first_line[placement.area]
    costs = (timing.issue_cycles, timing.loop_cycles, timing.task_switch_cycles, timing.word_cycles)
    live_count = np.zeros((band_engine.size - 1, 8), np.int64)
    live_count[:, 0] = np.diff(band_engine)
    return Engines(
        code=code,
        inbox=inbox,
        outbox=outbox,
        memory=np.zeros(int(words.sum()), np.float32),
        memory_start=np.cumsum(words) - words,
        line=line,
        element=np.full((count, tasks), -1, np.int32),
        loops=np.zeros((count, tasks, LOOP_DEPTH), np.int32),
        running=running,
        waits_for=np.zeros((count, tasks), np.uint8),
        last_task=np.full(count, tasks - 1, np.uint8),
        ready=np.zeros(count, np.int64),
        wake=np.zeros(count, np.int32),
        stall_cause=np.zeros(count, np.uint8),
        stall_start=np.zeros(count, np.int32),
        stalls=np.zeros((count, 4), np.int32),
        finished=np.full(count, -1, np.int32),
        live=np.arange(count, dtype=np.int32),
        live_count=live_count,
        band_start=band_engine.astype(np.int64),
        costs=np.rint(np.array(costs) * TICKS).astype(np.int64),
        lanes=np.array([timing.lanes]),
    )


def _assemble_all(areas: Sequence[ProgramArea]) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """All programs in one table, the first line of each area's, and the most tasks of any."""
    tables = [np.zeros((0, len(Field)), np.int32)]
    lines, at = [], 0
    for index, area in enumerate(areas):
        table = assemble(area.program, at)
        for row in table:
            low, high = memory_reach(row)
            if low < 0 or high > area.memory_words:
                raise _bad_program(
                    f"program {index}, {Operation(int(row[0])).name}",
                    f"addresses from 0 to {area.memory_words - 1}",
                    f"addresses from {low} to {high - 1}",
                )
        tables.append(table)
        lines.append(at)
        at += len(table)
    tasks = max((1 + len(area.program.tasks) for area in areas), default=1)
    return np.concatenate(tables), np.array(lines, np.int32), tasks


def _ways(
    table: RouteTable, placement: Placement
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """The colours in use, and by engine and colour the queue into the core and the entry out of it."""
    colours = np.unique(table.colour)
    entry = table.find(*np.broadcast_arrays(placement.cores[:, None], colours[None, :]))
    into_core = table.outputs[:, Port.RAMP]
    number = np.where(into_core, table.core.size + np.cumsum(into_core) - 1, -1)
    from_core = np.where(table.source == Port.RAMP, np.arange(table.core.size), -1)
    ways = [
        np.where(entry < 0, -1, np.append(queue, -1)[entry]).astype(np.int32) for queue in (number, from_core)
    ]
    return colours, ways[0], ways[1]


def _check_ways(
    table: RouteTable,
    cores: NDArray[np.int64],
    code: NDArray[np.int32],
    colours: NDArray[np.int64],
    ways: tuple[NDArray[np.int32], NDArray[np.int32]],
) -> None:
    """Each colour that the program of an area receives ends at its cores, and each that it sends starts there."""
    fields = (
        (Field.RECEIVED, "receives", "a route into the core"),
        (Field.SENT, "sends", "a route from the core"),
    )
    for (field, verb, expected), way in zip(fields, ways, strict=True):
        for colour in np.unique(code[code[:, field] >= 0, field]):
            used = np.flatnonzero(colours == colour)
            missing = cores[way[:, used[0]] < 0] if used.size else cores
            if missing.size:
                y, x = divmod(int(missing[0]), table.width)
                raise _bad_program(f"the program of core ({x}, {y})", expected, f"it {verb} colour {colour}")


def _bad_program(where: str, expected: str, found: str) -> WsecError:
    return WsecError(
        code="WSEC593",
        what="a core program does not fit its place",
        where=where,
        expected=expected,
        found=found,
        hint="the plan is broken: compile it again",
    )
