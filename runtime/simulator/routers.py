"""Routers, one cycle at a time: first every router decides by the state at the start of the cycle, then words move.

A word leaves a queue when the switch stands at the position of the queue, and every output of the position can take it: the
link is free in this cycle, and the queue at its other end had room. Of the colours that want one link the first in turn has
it; the first that lost goes first in the next cycle, so none starves. Because nothing that is decided sees what moves in the
same cycle, and each counter has one writer at a time, the result is the same for any division of the grid into bands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from wsec.compiler.native import compiled_without_allocation, inlined

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLOCK: Final = 64
"""Routers that are passed over together while no word is near them; a band is a whole number of blocks."""

NEVER: Final = 2**31 - 1

HEAD, TAIL, CAPACITY, LATENCY = range(4)
"""Columns of `Routers.queues`: words taken out, words put in, room, cycles from the queue before."""

FREE, LINK_TAKEN, NEXT_FULL, CORE_FULL, SWITCHED = range(5)
"""Why the front word of a queue does not move: another colour has the link, the next queue or the core's is full, the switch
stands at another position."""

CLOSED: Final = 1 << 5
"""`Routers.ports` of an entry at whose position the switch does not stand."""

WITH_ENGINE, TURNING = 1, 2
"""Bits of `Routers.marks`: an engine fills or empties the queue; words of the queue are counted by a switch or a filter."""

TURN, LEFT = range(2)
"""Columns of `Routers.turning`: the present turn, and the words of it that are still to pass."""

MOVED, VISITED = range(2)
"""Columns of `Routers.totals`: words moved over a link or a ramp, routers looked at."""


class Routers(NamedTuple):
    """Queues of words, one for each entry, and behind them one for each way into a core.

    Attributes:
        first_entry: int32 [cores + 1], the first entry of each core.
        router: int32 [entries], the core.
        engine: int32 [queues], the engine that fills an entry or empties a core's queue; -1 where none does.
        marks: uint8 [queues], see `WITH_ENGINE`.
        ports: uint8 [entries], the outputs as bits, or `CLOSED`.
        outputs: int32 [entries, 2], the first output and one past the last.
        output_queue: int32 [outputs], the queue that an output leads to.
        queues: int32 [queues, 4], see `HEAD`.
        words: float32 [queues, slots], slots a power of two.
        arrival: int32 [queues, slots], the cycle from which a word can move on.
        sent: int32 [outputs], words that left.
        stall_cause: uint8 [entries], why the front word waits now, see `FREE`.
        stall_start: int32 [entries], since when.
        stalls: int32 [entries, 5], cycles that front words waited, by cause.
        turn: int16 [cores], which of the core's entries goes first.
        active: uint8 [cores], whether a word may be in the router.
        active_block: uint8 [blocks], whether one may be in any of its routers.
        band_start: int64 [bands + 1], the first core of each band.
        granted: int32 [entries], by band: the queues that move a word in this cycle.
        granted_count: int64 [bands, 8], how many (first column; the others keep bands apart in the caches).
        totals: int64 [bands, 8], see `MOVED`.
        counter: int32 [queues], of those that are `TURNING`: the switch or filter that counts their words.
        turning: int32 [switches and filters, 2], see `TURN`.
        first_turn: int32 [switches and filters + 1], the first turn of each.
        turn_words: int32 [turns].
        turn_choice: int32 [turns], the position of a switch; 1 of a filter that drops, 0 of one that takes.
        position_entry: int32 [positions].
        position_ports: uint8 [positions], the outputs as bits.
        position_output: int32 [positions + 1], the first output of each.
    """

    first_entry: NDArray[np.int32]
    router: NDArray[np.int32]
    engine: NDArray[np.int32]
    marks: NDArray[np.uint8]
    ports: NDArray[np.uint8]
    outputs: NDArray[np.int32]
    output_queue: NDArray[np.int32]
    queues: NDArray[np.int32]
    words: NDArray[np.float32]
    arrival: NDArray[np.int32]
    sent: NDArray[np.int32]
    stall_cause: NDArray[np.uint8]
    stall_start: NDArray[np.int32]
    stalls: NDArray[np.int32]
    turn: NDArray[np.int16]
    active: NDArray[np.uint8]
    active_block: NDArray[np.uint8]
    band_start: NDArray[np.int64]
    granted: NDArray[np.int32]
    granted_count: NDArray[np.int64]
    totals: NDArray[np.int64]
    counter: NDArray[np.int32]
    turning: NDArray[np.int32]
    first_turn: NDArray[np.int32]
    turn_words: NDArray[np.int32]
    turn_choice: NDArray[np.int32]
    position_entry: NDArray[np.int32]
    position_ports: NDArray[np.uint8]
    position_output: NDArray[np.int32]


@compiled_without_allocation
def decide(routers: Routers, cycle: int, band: int) -> None:
    """List the queues of a band whose front word moves in this cycle; writes nothing that another band reads."""
    active, active_block, first_entry = routers.active, routers.active_block, routers.first_entry
    band_end = routers.band_start[band + 1]
    start = int(first_entry[routers.band_start[band]])
    end = start
    visited = 0
    for block in range(routers.band_start[band] // BLOCK, (band_end + BLOCK - 1) // BLOCK):
        if not active_block[block]:
            continue
        active_block[block] = 0
        for core in range(block * BLOCK, min((block + 1) * BLOCK, band_end)):
            if active[core]:
                visited += 1
                end = _decide_router(routers, cycle, core, end)
                active_block[block] |= active[core]
    routers.granted_count[band, 0] = end - start
    routers.totals[band, VISITED] += visited


@inlined
def _decide_router(routers: Routers, cycle: int, core: int, end: int) -> int:
    """Decide for one router, its entries from `turn` on; returns the new end of the list of granted queues."""
    first, last = routers.first_entry[core], routers.first_entry[core + 1]
    taken, loser, occupied = CLOSED, -1, 0
    entry = first + routers.turn[core]
    for _ in range(last - first):
        head = routers.queues[entry, HEAD]
        if head != routers.queues[entry, TAIL]:
            occupied = 1
            if routers.arrival[entry, head & (routers.arrival.shape[1] - 1)] <= cycle:
                cause = _stall_cause(routers, entry, taken)
                if cause == FREE:
                    taken |= routers.ports[entry]
                    routers.granted[end] = entry
                    end += 1
                elif cause == LINK_TAKEN and loser < 0:
                    loser = entry
                if cause != routers.stall_cause[entry]:
                    routers.stalls[entry, routers.stall_cause[entry]] += cycle - routers.stall_start[entry]
                    routers.stall_cause[entry] = cause
                    routers.stall_start[entry] = cycle
        entry = entry + 1 if entry + 1 < last else first
    if loser >= 0:
        routers.turn[core] = loser - first
    routers.active[core] = occupied
    return end


@inlined
def _stall_cause(routers: Routers, entry: int, taken: int) -> int:
    """Why the front word of an entry cannot leave by all of its outputs, when those in `taken` are gone."""
    ports = routers.ports[entry]
    if ports & taken:
        return SWITCHED if ports & CLOSED else LINK_TAKEN
    for output in range(routers.outputs[entry, 0], routers.outputs[entry, 1]):
        queue = routers.output_queue[output]
        if routers.queues[queue, TAIL] - routers.queues[queue, HEAD] >= routers.queues[queue, CAPACITY]:
            if queue < routers.ports.size:
                return NEXT_FULL
            if not (routers.marks[queue] & TURNING and _drops(routers, queue)):
                return CORE_FULL
    return FREE


@inlined
def _drops(routers: Routers, queue: int) -> bool:
    """Whether the filter of a way into a core drops the next word."""
    return routers.turn_choice[routers.turning[routers.counter[queue], TURN]] == 1  # type: ignore[no-any-return]


@inlined
def _count_word(routers: Routers, counter: int) -> bool:
    """A word has passed a switch or a filter; whether the next turn begins."""
    routers.turning[counter, LEFT] -= 1
    if routers.turning[counter, LEFT]:
        return False
    turn = routers.turning[counter, TURN] + 1
    if turn == routers.first_turn[counter + 1]:
        turn = routers.first_turn[counter]
    routers.turning[counter, TURN] = turn
    routers.turning[counter, LEFT] = routers.turn_words[turn]
    return True


@inlined
def _switch(routers: Routers, entry: int) -> None:
    """Go on from the position of an entry to that of the turn that begins."""
    position = routers.turn_choice[routers.turning[routers.counter[entry], TURN]]
    opened = routers.position_entry[position]
    routers.ports[entry] = CLOSED
    routers.ports[opened] = routers.position_ports[position]
    routers.outputs[opened, 0] = routers.position_output[position]
    routers.outputs[opened, 1] = routers.position_output[position + 1]


@compiled_without_allocation
def move(routers: Routers, cycle: int, band: int, wake: NDArray[np.int32]) -> int:
    """Move the words that were granted, and wake the engines that wait for them or for their room; returns how many."""
    start = routers.first_entry[routers.band_start[band]]
    count = routers.granted_count[band, 0]
    moved = 0
    for at in range(start, start + count):
        entry = routers.granted[at]
        moved += _move_word(routers, cycle, entry, wake)
        if routers.marks[entry]:
            if routers.marks[entry] & WITH_ENGINE:
                wake[routers.engine[entry]] = min(wake[routers.engine[entry]], cycle)
            if routers.marks[entry] & TURNING and _count_word(routers, routers.counter[entry]):
                _switch(routers, entry)
    routers.totals[band, MOVED] += moved
    return count  # type: ignore[no-any-return]


@inlined
def _move_word(routers: Routers, cycle: int, entry: int, wake: NDArray[np.int32]) -> int:
    """Move the front word of an entry to all outputs; returns how many took it."""
    queues, words = routers.queues, routers.words
    mask = words.shape[1] - 1
    word = words[entry, queues[entry, HEAD] & mask]
    queues[entry, HEAD] += 1
    moved = 0
    for output in range(routers.outputs[entry, 0], routers.outputs[entry, 1]):
        queue = routers.output_queue[output]
        ready = cycle + queues[queue, LATENCY]
        if queue < routers.router.size:
            routers.active[routers.router[queue]] = 1
            routers.active_block[routers.router[queue] // BLOCK] = 1
        elif routers.marks[queue]:
            if routers.marks[queue] & TURNING:
                dropped = _drops(routers, queue)
                _count_word(routers, routers.counter[queue])
                if dropped:
                    continue
            if routers.marks[queue] & WITH_ENGINE:
                wake[routers.engine[queue]] = min(wake[routers.engine[queue]], ready)
        tail = queues[queue, TAIL]
        words[queue, tail & mask] = word
        routers.arrival[queue, tail & mask] = ready
        queues[queue, TAIL] = tail + 1
        routers.sent[output] += 1
        moved += 1
    return moved


@compiled_without_allocation
def next_arrival(routers: Routers, cycle: int, band: int) -> int:
    """The first cycle after this one in which a front word on its way in a band arrives; `NEVER` if there is none."""
    earliest = NEVER
    for core in range(routers.band_start[band], routers.band_start[band + 1]):
        if not routers.active[core]:
            continue
        for entry in range(routers.first_entry[core], routers.first_entry[core + 1]):
            head = routers.queues[entry, HEAD]
            if head != routers.queues[entry, TAIL]:
                ready = routers.arrival[entry, head & (routers.arrival.shape[1] - 1)]
                if ready > cycle:
                    earliest = min(earliest, ready)
    return earliest
