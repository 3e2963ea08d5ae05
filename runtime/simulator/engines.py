"""Compute engines: each runs the tasks of its core in turns, one word or one vector at a time.

An engine has one datapath. A word received or sent takes it for a cycle, a vector for as long as its lanes need; costs
are kept in parts of a cycle. A result leaves at the end of its cycle. Arithmetic is fp32, the product rounded before the
sum, so that numpy in the same order gives the same bits.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from wsec.compiler.native import compiled_without_allocation, inlined
from wsec.runtime.simulator.arithmetic import apply_operation, combine
from wsec.runtime.simulator.assembly import Field, Opcode
from wsec.runtime.simulator.routers import BLOCK, CAPACITY, HEAD, LATENCY, NEVER, TAIL, Routers

if TYPE_CHECKING:
    from numpy.typing import NDArray

TICKS: Final = 1024
"""Parts of a cycle that costs are counted in."""

ISSUE, LOOP, TASK_SWITCH, WORD, DIVIDE, TRANSCENDENTAL = range(6)
"""Entries of `Engines.costs`."""

RUNNING, WAITS_FOR_INPUT, WAITS_FOR_OUTPUT, WAITS_FOR_TASK = range(4)
"""Why an engine or a task stands still; `RUNNING` if it does not."""

_NOT_ISSUED: Final = -1

# Compiled functions see plain numbers, not members of an enumeration.
_OPCODE, _OPERATION, _RATE, _RECEIVED, _SENT, _COUNT, _LIST, _LIST_TO = (
    int(field) for field in list(Field)[:8]
)
_RESULT, _LEFT, _RIGHT, _LENGTH, _FIRST, _ROWS, _DEPTH = (int(field) for field in list(Field)[8:15])
_STRIDE_RESULT, _STRIDE_LEFT, _STRIDE_RIGHT, _STEPS = (int(field) for field in list(Field)[15:])
_HALT, _SEND, _RECEIVE, _RECEIVE_COMBINE, _RECEIVE_FMA = (int(opcode) for opcode in list(Opcode)[:5])
_RECEIVE_COMBINE_SEND, _WAIT, _VECTOR, _LOOK_UP, _COPY_LISTED = (int(opcode) for opcode in list(Opcode)[5:10])
_LOOP, _REPEAT, _START, _JOIN, _MARK = (int(opcode) for opcode in list(Opcode)[10:])


class Engines(NamedTuple):
    """The cores that have a program, by core, and what they are at.

    Attributes:
        code: int32 [lines, fields], all programs; colours are numbered as in `inbox`.
        inbox: int32 [engines, colours], the queue that a colour comes in by; -1 where it does not.
        outbox: int32 [engines, colours], the entry that a colour goes out by; -1 where it does not.
        memory: float32 [words of all engines].
        memory_start: int64 [engines].
        line: int32 [engines, tasks], the instruction that a task is at.
        element: int32 [engines, tasks], words of it that are done.
        total: int32 [engines, tasks], all words of it.
        cursor: int64 [engines, tasks, 2], where the lists of it start in `list_words`.
        loops: int32 [engines, tasks, depth], iterations that are over.
        running: uint8 [engines, tasks].
        waits_for: uint8 [engines, tasks], see `RUNNING`.
        last_task: uint8 [engines], the one that had the datapath last.
        ready: int64 [engines], ticks at which the datapath is free.
        wake: int32 [engines], the cycle in which to look again; `NEVER` while nothing can have changed.
        stall_cause: uint8 [engines], why no task gets on, see `RUNNING`.
        stall_start: int32 [engines], since when.
        stalls: int32 [engines, 4], cycles without progress, by cause.
        finished: int32 [engines], the cycle at whose start all is done; -1 before.
        live: int32 [engines], by band: the engines that are not finished.
        live_count: int64 [bands, 8], how many (first column).
        band_start: int64 [bands + 1], the first engine of each band.
        costs: int64 [6], in ticks.
        lanes: float64 [1].
        first_list: int32 [engines], where the lists of its area start in `list_offset`.
        rank: int32 [engines], its number in its area.
        list_offset: int64 [lists], where the starts of a list's cores start in `list_start`.
        list_start: int64, where the list of each core starts in `list_words`, and where that of the last ends.
        list_words: int32, addresses of memory.
        marks: int32 [engines, marks], the cycle in which a task last came to each; -1 before.
    """

    code: NDArray[np.int32]
    inbox: NDArray[np.int32]
    outbox: NDArray[np.int32]
    memory: NDArray[np.float32]
    memory_start: NDArray[np.int64]
    line: NDArray[np.int32]
    element: NDArray[np.int32]
    total: NDArray[np.int32]
    cursor: NDArray[np.int64]
    loops: NDArray[np.int32]
    running: NDArray[np.uint8]
    waits_for: NDArray[np.uint8]
    last_task: NDArray[np.uint8]
    ready: NDArray[np.int64]
    wake: NDArray[np.int32]
    stall_cause: NDArray[np.uint8]
    stall_start: NDArray[np.int32]
    stalls: NDArray[np.int32]
    finished: NDArray[np.int32]
    live: NDArray[np.int32]
    live_count: NDArray[np.int64]
    band_start: NDArray[np.int64]
    costs: NDArray[np.int64]
    lanes: NDArray[np.float64]
    first_list: NDArray[np.int32]
    rank: NDArray[np.int32]
    list_offset: NDArray[np.int64]
    list_start: NDArray[np.int64]
    list_words: NDArray[np.int32]
    marks: NDArray[np.int32]


@compiled_without_allocation
def run_engines(routers: Routers, engines: Engines, cycle: int, band: int) -> int:
    """Let every engine of a band that may get on do so; returns how many did."""
    wake, live = engines.wake, engines.live
    start = engines.band_start[band]
    end = start + engines.live_count[band, 0]
    kept = start
    progressed = 0
    for at in range(start, end):
        engine = live[at]
        if wake[engine] <= cycle:
            progressed += _run_engine(routers, engines, engine, cycle)
        if engines.finished[engine] < 0:
            live[kept] = engine
            kept += 1
    engines.live_count[band, 0] = kept - start
    return progressed


@compiled_without_allocation
def next_wake(engines: Engines, band: int) -> int:
    """The first cycle in which an engine of a band looks again; `NEVER` if none will by itself."""
    earliest = NEVER
    start = engines.band_start[band]
    for at in range(start, start + engines.live_count[band, 0]):
        earliest = min(earliest, engines.wake[engines.live[at]])
    return earliest


@inlined
def _run_engine(routers: Routers, engines: Engines, engine: int, cycle: int) -> int:
    """Take steps until the datapath is taken beyond this cycle, or no task can get on. 1 if there was a step."""
    progressed = 0
    now = max(engines.ready[engine], np.int64(cycle) * TICKS)
    while now < np.int64(cycle + 1) * TICKS:
        cost = _next_step(routers, engines, engine, cycle)
        if cost < 0:
            break
        progressed = 1
        now += cost
    engines.ready[engine] = now
    if progressed:
        _end_stall(engines, engine, cycle, RUNNING)
    if now >= np.int64(cycle + 1) * TICKS:
        engines.wake[engine] = now // TICKS
    elif not _is_running(engines, engine):
        engines.finished[engine] = -(-now // TICKS)
        engines.wake[engine] = NEVER
    else:
        engines.wake[engine] = _next_input(routers, engines, engine, cycle)
        _end_stall(engines, engine, cycle, _first_cause(engines, engine))
    return progressed


@inlined
def _is_running(engines: Engines, engine: int) -> bool:
    tasks = 0
    for task in range(engines.running.shape[1]):
        tasks += engines.running[engine, task]
    return tasks > 0


@inlined
def _end_stall(engines: Engines, engine: int, cycle: int, cause: int) -> None:
    """Count the cycles up to now to the cause so far, and go on with another."""
    if cause != engines.stall_cause[engine]:
        engines.stalls[engine, engines.stall_cause[engine]] += cycle - engines.stall_start[engine]
        engines.stall_cause[engine] = cause
        engines.stall_start[engine] = cycle


@inlined
def _first_cause(engines: Engines, engine: int) -> int:
    """What the first of the running tasks waits for; another task only if all do."""
    for task in range(engines.running.shape[1]):
        if engines.running[engine, task] and engines.waits_for[engine, task] != WAITS_FOR_TASK:
            return engines.waits_for[engine, task]  # type: ignore[no-any-return]
    return WAITS_FOR_TASK


@inlined
def _next_input(routers: Routers, engines: Engines, engine: int, cycle: int) -> int:
    """When a word that is already on the ramp arrives for a waiting task; otherwise a move wakes the engine."""
    earliest = NEVER
    for task in range(engines.running.shape[1]):
        if engines.running[engine, task] and engines.waits_for[engine, task] == WAITS_FOR_INPUT:
            queue = engines.inbox[engine, engines.code[engines.line[engine, task], _RECEIVED]]
            head = routers.queues[queue, HEAD]
            if head != routers.queues[queue, TAIL]:
                ready = routers.arrival[queue, head & (routers.arrival.shape[1] - 1)]
                earliest = min(earliest, max(ready, cycle + 1))
    return earliest


@inlined
def _next_step(routers: Routers, engines: Engines, engine: int, cycle: int) -> int:
    """One step of the next task in turn that can take one: its cost in ticks; -1 if none can."""
    tasks = engines.running.shape[1]
    for turn in range(tasks):
        task = (engines.last_task[engine] + 1 + turn) % tasks
        if engines.running[engine, task]:
            cost = _step(routers, engines, engine, task, cycle)
            if cost >= 0:
                engines.waits_for[engine, task] = RUNNING
                engines.last_task[engine] = task
                return cost
    return -1


@inlined
def _step(routers: Routers, engines: Engines, engine: int, task: int, cycle: int) -> int:
    """One step of a task: its cost in ticks; -1 if it has to wait."""
    row = engines.code[engines.line[engine, task]]
    opcode = row[_OPCODE]
    if opcode == _MARK:
        engines.marks[engine, row[_LEFT]] = cycle
        engines.line[engine, task] += 1
        return max(0, row[_COUNT] - cycle) * TICKS  # type: ignore[no-any-return]
    if opcode == _HALT or opcode >= _LOOP:
        return _control(engines, engine, task, row)
    if engines.element[engine, task] == _NOT_ISSUED:
        _issue(engines, engine, task, row)
        return engines.costs[ISSUE]  # type: ignore[no-any-return]
    if opcode < _VECTOR:
        return _stream(routers, engines, engine, task, cycle)
    cost = _compute(engines, engine, task, row)
    engines.line[engine, task] += 1
    engines.element[engine, task] = _NOT_ISSUED
    return cost


@inlined
def _issue(engines: Engines, engine: int, task: int, row: NDArray[np.int32]) -> None:
    """Set an instruction up; one of no words is over."""
    count = row[_COUNT]
    if row[_LIST] >= 0:
        start = _list_at(engines, engine, row[_LIST])
        count = engines.list_start[start + 1] - engines.list_start[start]
        engines.cursor[engine, task, 0] = engines.list_start[start]
        if row[_LIST_TO] >= 0:
            engines.cursor[engine, task, 1] = engines.list_start[_list_at(engines, engine, row[_LIST_TO])]
    if count:
        engines.total[engine, task] = count
        engines.element[engine, task] = 0
    else:
        engines.line[engine, task] += 1


@inlined
def _list_at(engines: Engines, engine: int, number: int) -> int:
    """Where an engine's part of a list starts is said in `list_start`: the index there."""
    return engines.list_offset[engines.first_list[engine] + number] + engines.rank[engine]  # type: ignore[no-any-return]


@inlined
def _vector_cost(engines: Engines, length: int) -> int:
    return int(math.ceil(length / engines.lanes[0]) * engines.costs[WORD])


@inlined
def _control(engines: Engines, engine: int, task: int, row: NDArray[np.int32]) -> int:
    """A step of an instruction that moves no data."""
    opcode, depth, other = row[_OPCODE], row[_DEPTH], row[_LEFT]
    if opcode == _HALT:
        engines.running[engine, task] = 0
        return 0
    if opcode == _REPEAT:
        engines.loops[engine, task, depth] += 1
        again = engines.loops[engine, task, depth] < row[_COUNT]
        engines.line[engine, task] = other if again else engines.line[engine, task] + 1
        return 0 if row[_RATE] else engines.costs[LOOP]
    if opcode == _LOOP:
        engines.loops[engine, task, depth] = 0
        engines.line[engine, task] = engines.line[engine, task] + 1 if row[_COUNT] else other
        return 0
    if engines.running[engine, other]:
        engines.waits_for[engine, task] = WAITS_FOR_TASK
        return -1
    engines.line[engine, task] += 1
    if opcode == _JOIN:
        return 0
    engines.line[engine, other] = row[_RIGHT]
    engines.element[engine, other] = _NOT_ISSUED
    engines.running[engine, other] = 1
    return engines.costs[TASK_SWITCH]  # type: ignore[no-any-return]


@inlined
def _stream(routers: Routers, engines: Engines, engine: int, task: int, cycle: int) -> int:
    """A word in, or out, or both: its cost in ticks; -1 if there is no word or no room."""
    row = engines.code[engines.line[engine, task]]
    opcode, element = row[_OPCODE], engines.element[engine, task]
    inbox, outbox = engines.inbox[engine, row[_RECEIVED]], engines.outbox[engine, row[_SENT]]
    if opcode != _SEND and not _has_word(routers, inbox, cycle):
        engines.waits_for[engine, task] = WAITS_FOR_INPUT
        return -1
    if opcode in (_SEND, _RECEIVE_COMBINE_SEND) and not _has_room(routers, outbox):
        engines.waits_for[engine, task] = WAITS_FOR_OUTPUT
        return -1
    address = engines.memory_start[engine]
    if row[_LIST] >= 0:
        address += engines.list_words[engines.cursor[engine, task, 0] + element]
    else:
        address += row[_LEFT if opcode in (_SEND, _RECEIVE_COMBINE_SEND) else _RESULT] + element
    if element + 1 < engines.total[engine, task]:
        engines.element[engine, task] = element + 1
    else:
        engines.line[engine, task] += 1
        engines.element[engine, task] = _NOT_ISSUED
    if opcode == _SEND:
        _put(routers, outbox, engines.memory[address], cycle)
        return TICKS
    head = routers.queues[inbox, HEAD]
    word = routers.words[inbox, head & (routers.words.shape[1] - 1)]
    routers.queues[inbox, HEAD] = head + 1
    if opcode == _RECEIVE:
        engines.memory[address] = word
        return TICKS
    if opcode == _RECEIVE_COMBINE_SEND:
        _put(routers, outbox, combine(row[_OPERATION], engines.memory[address], word), cycle)
        return TICKS
    return _receive(engines, engine, element, row, word)


@inlined
def _receive(engines: Engines, engine: int, element: int, row: NDArray[np.int32], word: np.float32) -> int:
    """Do with a word what the instruction says: the cost in ticks."""
    memory, opcode = engines.memory, row[_OPCODE]
    result = engines.memory_start[engine] + row[_RESULT]
    if opcode == _WAIT:
        return TICKS + engines.costs[TASK_SWITCH]  # type: ignore[no-any-return]
    if opcode == _RECEIVE_FMA:
        length = row[_LENGTH]
        matrix = engines.memory_start[engine] + row[_LEFT] + element * length
        for index in range(length):
            memory[result + index] += word * memory[matrix + index]
        further = engines.costs[ISSUE] if element else 0
        return further + max(TICKS, _vector_cost(engines, length))
    memory[result + element] = combine(row[_OPERATION], memory[result + element], word)
    return TICKS


@inlined
def _has_word(routers: Routers, queue: int, cycle: int) -> bool:
    head = routers.queues[queue, HEAD]
    if head == routers.queues[queue, TAIL]:
        return False
    return routers.arrival[queue, head & (routers.arrival.shape[1] - 1)] <= cycle  # type: ignore[no-any-return]


@inlined
def _has_room(routers: Routers, queue: int) -> bool:
    return routers.queues[queue, TAIL] - routers.queues[queue, HEAD] < routers.queues[queue, CAPACITY]  # type: ignore[no-any-return]


@inlined
def _put(routers: Routers, entry: int, word: np.float32, cycle: int) -> None:
    """A word from the core to its router."""
    tail = routers.queues[entry, TAIL]
    mask = routers.words.shape[1] - 1
    routers.words[entry, tail & mask] = word
    routers.arrival[entry, tail & mask] = cycle + routers.queues[entry, LATENCY]
    routers.queues[entry, TAIL] = tail + 1
    routers.active[routers.router[entry]] = 1
    routers.active_block[routers.router[entry] // BLOCK] = 1


@inlined
def _compute(engines: Engines, engine: int, task: int, row: NDArray[np.int32]) -> int:
    """A vector from memory to memory: the cost in ticks."""
    if row[_OPCODE] == _COPY_LISTED:
        return _copy_listed(engines, engine, task)
    start = engines.memory_start[engine]
    result, left, right = start + row[_RESULT], start + row[_LEFT], start + row[_RIGHT]
    for depth in range(row[_DEPTH]):
        iteration = np.int64(engines.loops[engine, task, depth])
        result += iteration * row[_STEPS + 3 * depth]
        left += iteration * row[_STEPS + 3 * depth + 1]
        right += iteration * row[_STEPS + 3 * depth + 2]
    length = row[_LENGTH]
    if row[_OPCODE] == _LOOK_UP:
        _look_up(engines.memory, (result, left, right), row)
        return _vector_cost(engines, length)
    strides = (row[_STRIDE_RESULT], row[_STRIDE_LEFT], row[_STRIDE_RIGHT])
    apply_operation(engines.memory, row[_OPERATION], (result, left, right), strides, length)
    if row[_RATE]:
        return length * engines.costs[WORD + row[_RATE]]  # type: ignore[no-any-return]
    return _vector_cost(engines, length)


@inlined
def _copy_listed(engines: Engines, engine: int, task: int) -> int:
    """Words from the addresses of a list to those of another, one a cycle: the cost in ticks."""
    memory, start, count = engines.memory, engines.memory_start[engine], engines.total[engine, task]
    source, target = engines.cursor[engine, task, 0], engines.cursor[engine, task, 1]
    for index in range(count):
        memory[start + engines.list_words[target + index]] = memory[
            start + engines.list_words[source + index]
        ]
    return count * TICKS  # type: ignore[no-any-return]


@inlined
def _look_up(memory: NDArray[np.float32], addresses: tuple[int, int, int], row: NDArray[np.int32]) -> None:
    """A row of a table, or zeros."""
    result, table, index = addresses
    length = row[_LENGTH]
    number = np.float64(memory[index]) - row[_FIRST]
    if 0 <= number < row[_ROWS]:
        source = table + np.int64(number) * length
        for word in range(length):
            memory[result + word] = memory[source + word]
    else:
        for word in range(length):
            memory[result + word] = 0
