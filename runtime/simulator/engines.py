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
from wsec.runtime.simulator.core_programs import Field, Operation
from wsec.runtime.simulator.routers import BLOCK, CAPACITY, HEAD, LATENCY, NEVER, TAIL, Routers

if TYPE_CHECKING:
    from numpy.typing import NDArray

TICKS: Final = 1024
"""Parts of a cycle that costs are counted in."""

ISSUE, LOOP, TASK_SWITCH, WORD = range(4)
"""Entries of `Engines.costs`."""

RUNNING, WAITS_FOR_INPUT, WAITS_FOR_OUTPUT, WAITS_FOR_TASK = range(4)
"""Why an engine or a task stands still; `RUNNING` if it does not."""

_NOT_ISSUED: Final = -1

# Compiled functions see plain numbers, not members of an enumeration.
_OPERATION, _RECEIVED, _SENT, _COUNT = (int(field) for field in list(Field)[:4])
_RESULT, _LEFT, _RIGHT, _LENGTH = (int(field) for field in list(Field)[4:8])
_RESULT_STEP, _LEFT_STEP, _RIGHT_STEP, _DEPTH = (int(field) for field in list(Field)[8:])
_HALT, _SEND, _RECEIVE, _RECEIVE_ADD, _RECEIVE_FMA = (int(operation) for operation in list(Operation)[:5])
_RECEIVE_ADD_SEND, _FMA, _ADD, _COPY, _FILL_ZERO = (int(operation) for operation in list(Operation)[5:10])
_WAIT, _LOOP, _REPEAT, _START, _JOIN = (int(operation) for operation in list(Operation)[10:])


class Engines(NamedTuple):
    """The cores that have a program, by core, and what they are at.

    Attributes:
        code: int32 [lines, fields], all programs; colours are numbered as in `inbox`.
        inbox: int32 [engines, colours], the queue that a colour comes in by; -1 where it does not.
        outbox: int32 [engines, colours], the entry that a colour goes out by; -1 where it does not.
        memory: float32 [words of all engines].
        memory_start: int64 [engines].
        line: int32 [engines, tasks], the instruction that a task is at.
        element: int32 [engines, tasks], words or vectors of it that are done.
        loops: int32 [engines, tasks, depth], iterations left.
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
        costs: int64 [4], in ticks.
        lanes: float64 [1].
    """

    code: NDArray[np.int32]
    inbox: NDArray[np.int32]
    outbox: NDArray[np.int32]
    memory: NDArray[np.float32]
    memory_start: NDArray[np.int64]
    line: NDArray[np.int32]
    element: NDArray[np.int32]
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
def next_wake(engines: Engines) -> int:
    """The first cycle in which an engine looks again; `NEVER` if none will by itself."""
    earliest = NEVER
    for band in range(engines.band_start.size - 1):
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
    operation = row[_OPERATION]
    if operation == _HALT or operation >= _LOOP:
        return _control(engines, engine, task, row)
    if engines.element[engine, task] == _NOT_ISSUED:
        engines.element[engine, task] = 0
        return engines.costs[ISSUE]  # type: ignore[no-any-return]
    if engines.element[engine, task] == row[_COUNT]:
        engines.line[engine, task] += 1
        engines.element[engine, task] = _NOT_ISSUED
        return 0
    if not (_FMA <= operation <= _FILL_ZERO):
        return _stream(routers, engines, engine, task, cycle)
    _compute(engines, engine, engines.element[engine, task], row)
    further = engines.costs[ISSUE] if engines.element[engine, task] else 0
    engines.element[engine, task] += 1
    return further + _vector_cost(engines, row[_LENGTH])


@inlined
def _vector_cost(engines: Engines, length: int) -> int:
    return int(math.ceil(length / engines.lanes[0]) * engines.costs[WORD])


@inlined
def _control(engines: Engines, engine: int, task: int, row: NDArray[np.int32]) -> int:
    """A step of an instruction that moves no data."""
    operation, depth, other = row[_OPERATION], row[_DEPTH], row[_LEFT]
    if operation == _HALT:
        engines.running[engine, task] = 0
        return 0
    if operation == _REPEAT:
        engines.loops[engine, task, depth] -= 1
        again = engines.loops[engine, task, depth] > 0
        engines.line[engine, task] = other if again else engines.line[engine, task] + 1
        return engines.costs[LOOP]  # type: ignore[no-any-return]
    if operation == _LOOP:
        engines.loops[engine, task, depth] = row[_COUNT]
        engines.line[engine, task] = engines.line[engine, task] + 1 if row[_COUNT] else other
        return 0
    if engines.running[engine, other]:
        engines.waits_for[engine, task] = WAITS_FOR_TASK
        return -1
    engines.line[engine, task] += 1
    if operation == _JOIN:
        return 0
    engines.line[engine, other] = row[_RIGHT]
    engines.element[engine, other] = _NOT_ISSUED
    engines.running[engine, other] = 1
    return engines.costs[TASK_SWITCH]  # type: ignore[no-any-return]


@inlined
def _stream(routers: Routers, engines: Engines, engine: int, task: int, cycle: int) -> int:
    """A word in, or out, or both: its cost in ticks; -1 if there is no word or no room."""
    row, start = engines.code[engines.line[engine, task]], engines.memory_start[engine]
    operation, element = row[_OPERATION], engines.element[engine, task]
    inbox, outbox = engines.inbox[engine, row[_RECEIVED]], engines.outbox[engine, row[_SENT]]
    if operation != _SEND and not _has_word(routers, inbox, cycle):
        engines.waits_for[engine, task] = WAITS_FOR_INPUT
        return -1
    if operation in (_SEND, _RECEIVE_ADD_SEND) and not _has_room(routers, outbox):
        engines.waits_for[engine, task] = WAITS_FOR_OUTPUT
        return -1
    engines.element[engine, task] = element + 1
    if operation == _SEND:
        _put(routers, outbox, engines.memory[start + row[_LEFT] + element], cycle)
        return TICKS
    head = routers.queues[inbox, HEAD]
    word = routers.words[inbox, head & (routers.words.shape[1] - 1)]
    routers.queues[inbox, HEAD] = head + 1
    if operation == _RECEIVE_ADD_SEND:
        _put(routers, outbox, word + engines.memory[start + row[_LEFT] + element], cycle)
        return TICKS
    return _receive(engines, engine, element, row, word)


@inlined
def _receive(engines: Engines, engine: int, element: int, row: NDArray[np.int32], word: float) -> int:
    """Do with a word what the instruction says: the cost in ticks."""
    memory, operation = engines.memory, row[_OPERATION]
    result = engines.memory_start[engine] + row[_RESULT]
    if operation == _WAIT:
        return TICKS + engines.costs[TASK_SWITCH]  # type: ignore[no-any-return]
    if operation == _RECEIVE_FMA:
        length = row[_LENGTH]
        matrix = engines.memory_start[engine] + row[_LEFT] + element * length
        for index in range(length):
            memory[result + index] += word * memory[matrix + index]
        further = engines.costs[ISSUE] if element else 0
        return further + max(TICKS, _vector_cost(engines, length))
    if operation == _RECEIVE_ADD:
        memory[result + element] += word
    else:
        memory[result + element] = word
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
def _put(routers: Routers, entry: int, word: float, cycle: int) -> None:
    """A word from the core to its router."""
    tail = routers.queues[entry, TAIL]
    mask = routers.words.shape[1] - 1
    routers.words[entry, tail & mask] = word
    routers.arrival[entry, tail & mask] = cycle + routers.queues[entry, LATENCY]
    routers.queues[entry, TAIL] = tail + 1
    routers.active[routers.router[entry]] = 1
    routers.active_block[routers.router[entry] // BLOCK] = 1


@inlined
def _compute(engines: Engines, engine: int, element: int, row: NDArray[np.int32]) -> None:
    """One vector from memory to memory."""
    memory, start, length = engines.memory, engines.memory_start[engine], row[_LENGTH]
    result = start + row[_RESULT] + element * row[_RESULT_STEP]
    left = start + row[_LEFT] + element * row[_LEFT_STEP]
    right = start + row[_RIGHT] + element * row[_RIGHT_STEP]
    operation = row[_OPERATION]
    if operation == _FMA:
        scalar = memory[left]
        for index in range(length):
            memory[result + index] += scalar * memory[right + index]
    elif operation == _ADD:
        for index in range(length):
            memory[result + index] = memory[left + index] + memory[right + index]
    elif operation == _COPY:
        for index in range(length):
            memory[result + index] = memory[left + index]
    else:
        for index in range(length):
            memory[result + index] = 0
