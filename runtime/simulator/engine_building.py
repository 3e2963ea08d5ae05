"""Lays out the arrays of the engines, from programs and timings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.simulator.assembly import FIELDS, Assembled, Field, Opcode, assemble
from wsec.runtime.simulator.engines import TICKS, Engines
from wsec.runtime.simulator.instructions import LOOP_DEPTH, Operation
from wsec.runtime.simulator.program_placement import bad_program
from wsec.runtime.simulator.router_building import ways_of_cores

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.runtime.simulator.instructions import ProgramArea, WordLists
    from wsec.runtime.simulator.program_placement import Placement
    from wsec.runtime.simulator.route_table import RouteTable
    from wsec.runtime.simulator.timing import EngineTiming


@dataclass(frozen=True, slots=True)
class _Code:
    """All programs in one table; areas that have the same program share its lines.

    Attributes:
        table: int32 [lines, FIELDS].
        first_line: int64 [areas].
        program: int64 [areas], numbers of different programs.
        uses: bool [programs, 2, colours], the colours that each receives and sends.
        tasks: The most of any program, the main one included.
    """

    table: NDArray[np.int32]
    first_line: NDArray[np.int64]
    program: NDArray[np.int64]
    uses: NDArray[np.bool_]
    tasks: int


@dataclass(frozen=True, slots=True)
class _Lists:
    """The lists of all areas, as in `Engines`; `first` is that of each area in `offset`."""

    first: NDArray[np.int64]
    offset: NDArray[np.int64]
    start: NDArray[np.int64]
    words: NDArray[np.int32]


def build_engines(
    table: RouteTable,
    areas: Sequence[ProgramArea],
    placement: Placement,
    timing: EngineTiming,
    band_start: NDArray[np.int64],
) -> Engines:
    """The engines, each at the start of its program, with memory of zeros.

    Raises:
        ValueError: A program that `assemble` refuses, or lists that are none of its area.
        WsecError: WSEC593 a program does not fit its memory, or uses a colour that has no way to or from its core.
    """
    code, lists = _assemble_all(areas), _join_lists(areas)
    colours, ways = _engine_ways(table, placement, code)
    for field in (Field.RECEIVED, Field.SENT):
        used = code.table[:, field]
        code.table[:, field] = np.where(used < 0, -1, np.searchsorted(colours, used))
    words = np.array([area.memory_words for area in areas], np.int64)[placement.area]
    count, tasks = placement.cores.size, code.tasks
    band_engine = np.searchsorted(placement.cores, band_start)
    running = np.zeros((count, tasks), np.uint8)
    running[:, 0] = 1
    line = np.zeros((count, tasks), np.int32)
    line[:, 0] = code.first_line[placement.area]
    live_count = np.zeros((band_engine.size - 1, 8), np.int64)
    live_count[:, 0] = np.diff(band_engine)
    return Engines(
        code=code.table,
        inbox=ways[0],
        outbox=ways[1],
        memory=np.zeros(int(words.sum()), np.float32),
        memory_start=np.cumsum(words) - words,
        line=line,
        element=np.full((count, tasks), -1, np.int32),
        total=np.zeros((count, tasks), np.int32),
        cursor=np.zeros((count, tasks, 2), np.int64),
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
        costs=_costs(timing),
        lanes=np.array([timing.lanes]),
        first_list=lists.first[placement.area].astype(np.int32),
        rank=placement.rank.astype(np.int32),
        list_offset=lists.offset,
        list_start=lists.start,
        list_words=lists.words,
        marks=np.full((count, _marks(code.table)), -1, np.int32),
    )


def _marks(code: NDArray[np.int32]) -> int:
    """How many marks the programs have: one more than the greatest number."""
    return 1 + int(code[code[:, Field.OPCODE] == Opcode.MARK, Field.LEFT].max(initial=-1))


def _costs(timing: EngineTiming) -> NDArray[np.int64]:
    cycles = (
        *(timing.issue_cycles, timing.loop_cycles, timing.task_switch_cycles),
        *(timing.word_cycles, timing.divide_cycles, timing.transcendental_cycles),
    )
    ticks: NDArray[np.int64] = np.rint(np.array(cycles) * TICKS).astype(np.int64)
    return ticks


def _assemble_all(areas: Sequence[ProgramArea]) -> _Code:
    numbers: dict[int, int] = {}  # by identity: to compare long programs takes longer than to assemble them
    programs: list[Assembled] = []
    for area in areas:
        if id(area.program) not in numbers:
            numbers[id(area.program)] = len(programs)
            programs.append(assemble(area.program))
    program = np.array([numbers[id(area.program)] for area in areas], np.int64)
    _check_reach(areas, programs, program)
    ways = [Field.RECEIVED, Field.SENT]
    colours = 1 + max((int(each.code[:, ways].max()) for each in programs), default=0)
    first_line, uses = [0], np.zeros((len(programs), 2, colours), np.bool_)
    tables = [np.zeros((0, FIELDS), np.int32)]
    for number, assembled in enumerate(programs):
        code = assembled.code.copy()
        goes_on = np.isin(code[:, Field.OPCODE], (Opcode.LOOP, Opcode.REPEAT))
        code[goes_on, Field.LEFT] += first_line[-1]
        starts = np.isin(code[:, Field.OPCODE], (Opcode.START, Opcode.JOIN))
        code[starts, Field.RIGHT] += first_line[-1]
        for way, field in enumerate(ways):
            uses[number, way, np.unique(code[code[:, field] >= 0, field])] = True
        tables.append(code)
        first_line.append(first_line[-1] + len(code))
    tasks = max((1 + len(area.program.tasks) for area in areas), default=1)
    return _Code(np.concatenate(tables), np.array(first_line)[program], program, uses, tasks)


def _check_reach(areas: Sequence[ProgramArea], programs: list[Assembled], program: NDArray[np.int64]) -> None:
    """Every address of every line lies in the memory of its core."""
    low = np.array([assembled.reach[:, 0].min() for assembled in programs], np.int64)
    high = np.array([assembled.reach[:, 1].max() for assembled in programs], np.int64)
    words = np.array([area.memory_words for area in areas], np.int64)
    beyond = np.flatnonzero((low[program] < 0) | (high[program] > words))
    if beyond.size:
        index = int(beyond[0])
        assembled, memory_words = programs[program[index]], areas[index].memory_words
        reach = assembled.reach
        line = int(np.flatnonzero((reach[:, 0] < 0) | (reach[:, 1] > memory_words))[0])
        row = assembled.code[line]
        opcode = Opcode(int(row[Field.OPCODE]))
        raise bad_program(
            f"program {index}, {(Operation(int(row[Field.OPERATION])) if opcode is Opcode.VECTOR else opcode).name}",
            f"addresses from 0 to {memory_words - 1}",
            f"addresses from {reach[line, 0]} to {reach[line, 1] - 1}",
        )
    for index, area in enumerate(areas):
        _check_lists(index, area, programs[program[index]].code)


def _check_lists(index: int, area: ProgramArea, code: NDArray[np.int32]) -> None:
    """The lists of an area are those that its program names, one for each core, of addresses in its memory."""
    named = code[:, [Field.LIST, Field.LIST_TO]]
    if named.max(initial=-1) >= len(area.lists):
        raise ValueError(f"program {index} names list {named.max()} of {len(area.lists)}")
    for number, lists in enumerate(area.lists):
        sizes = np.diff(lists.starts)
        whole = lists.starts[:1].tolist() == [0] and lists.starts[-1:].tolist() == [lists.addresses.size]
        if sizes.size != area.width * area.height or not whole or (sizes < 0).any():
            raise ValueError(f"list {number} of program {index} is not one for each of its cores")
        low, high = int(lists.addresses.min(initial=0)), int(lists.addresses.max(initial=-1))
        if low < 0 or high >= area.memory_words:
            raise bad_program(
                f"program {index}, list {number}",
                f"addresses from 0 to {area.memory_words - 1}",
                f"addresses from {low} to {high}",
            )
    for source, target in code[code[:, Field.OPCODE] == Opcode.COPY_LISTED][:, [Field.LIST, Field.LIST_TO]]:
        if not np.array_equal(area.lists[source].starts, area.lists[target].starts):
            raise ValueError(f"program {index} copies between lists {source} and {target} of other lengths")


def _join_lists(areas: Sequence[ProgramArea]) -> _Lists:
    lists: list[WordLists] = [each for area in areas for each in area.lists]
    counts = np.array([len(area.lists) for area in areas], np.int64)
    sizes = np.array([each.starts.size for each in lists], np.int64)
    words = np.array([each.addresses.size for each in lists], np.int64)
    start = np.concatenate([np.zeros(0, np.int64), *(each.starts for each in lists)])
    return _Lists(
        first=np.cumsum(counts) - counts,
        offset=np.cumsum(sizes) - sizes,
        start=(start + np.repeat(np.cumsum(words) - words, sizes)).astype(np.int64),
        words=np.concatenate([np.zeros(0, np.int32), *(each.addresses for each in lists)]).astype(np.int32),
    )


def _engine_ways(
    table: RouteTable, placement: Placement, code: _Code
) -> tuple[NDArray[np.int64], tuple[NDArray[np.int32], NDArray[np.int32]]]:
    """The colours in use, and by engine and colour the queue into the core and the entry out of it.

    Raises:
        WsecError: WSEC593 a program receives or sends a colour that does not come to its core, or leave it.
    """
    colours = np.unique(table.setting_colour)
    setting = table.find(*np.broadcast_arrays(placement.cores[:, None], colours[None, :]))
    ways = ways_of_cores(table)
    inbox, outbox = (
        np.where(setting < 0, -1, np.append(way, -1)[setting]).astype(np.int32)
        for way in (ways.into, ways.out)
    )
    routed = np.zeros(code.uses.shape[2], np.bool_)
    routed[colours[colours < routed.size]] = True
    program = code.program[placement.area]
    for way, uses, verb, expected in (
        (inbox, code.uses[:, 0], "receives", "a route into the core"),
        (outbox, code.uses[:, 1], "sends", "a route from the core"),
    ):
        unknown = np.where(routed, False, uses)  # noqa: FBT003 - an element, not a switch
        known = colours < routed.size
        missing = uses[:, colours[known]][program] & (way[:, known] < 0)
        astray = np.count_nonzero(unknown, axis=1) > 0
        engine = np.flatnonzero(astray[program] | missing.any(axis=1))
        if engine.size:
            at = int(engine[0])
            lost = [*np.flatnonzero(unknown[program[at]]), *colours[np.flatnonzero(missing[at])]]
            y, x = divmod(int(placement.cores[at]), table.width)
            raise bad_program(f"the program of core ({x}, {y})", expected, f"it {verb} colour {lost[0]}")
    return colours, (inbox, outbox)
