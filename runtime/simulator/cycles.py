"""The clock: cycle after cycle until nothing is left to do, nothing can happen any more, or the time is over.

A cycle in which nothing moves and no engine gets on is repeated as it is until the next word or engine is due, so such
cycles are skipped. If none is due, it would be repeated for ever: the fabric is finished, or stuck.

The grid is divided in bands. In a cycle all bands decide, and when the last is done, all move. Any thread works on any band
that nobody has taken yet, its own first: a thread that does not get a processor holds nobody up, unless it lost it in the
middle of a band. Threads wait by looking at a number that another one writes, as a cycle is over in less time than it takes
to wake a thread that sleeps.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.native import (
    add_shared,
    compiled_without_allocation,
    inlined,
    load_shared,
    replace_shared,
    store_shared,
    yield_processor,
)
from wsec.runtime.simulator.engines import Engines, next_wake, run_engines
from wsec.runtime.simulator.routers import NEVER, Routers, decide, move, next_arrival

if TYPE_CHECKING:
    from numpy.typing import NDArray

PHASE, CYCLE, DONE, PROGRESS, TAKEN = 0, 8, 16, 24, 32
"""Of the numbers that threads share: the phase, of which a cycle has two, negative at the end; the cycle; bands that are done
in this phase; what moved in it; for each band the last phase in which somebody took it. All in lines of the cache of their own."""

_APART: Final = 8
"""Numbers of different bands are so many elements apart, in different lines of the cache."""

_LOOKS: Final = 2048
"""How often a thread looks before it lets others have the processor."""

_UPDATES_OF_A_STRETCH: Final = 4_000_000
"""Routers and engines times cycles that are run at a stretch; in between the program can be interrupted."""


@compiled_without_allocation
def work(routers: Routers, engines: Engines, end: int, shared: NDArray[np.int64], first_band: int) -> None:
    """Run cycles up to `end` together with all others who do the same; `shared` says where they are."""
    bands = routers.band_start.size - 1
    phase = load_shared(shared, PHASE)
    while phase >= 0:
        for turn in range(bands):
            band = (first_band + turn) % bands
            if replace_shared(shared, TAKEN + band * _APART, phase - 1, phase):
                cycle = load_shared(shared, CYCLE)
                _run_band(routers, engines, cycle, phase, band, shared)
                if add_shared(shared, DONE, 1) == bands - 1:
                    _end_phase(routers, engines, cycle, phase, end, shared)
        looks = 0
        while load_shared(shared, PHASE) == phase:
            looks += 1
            if looks % _LOOKS == 0:
                yield_processor()
        phase = load_shared(shared, PHASE)


@inlined
def _run_band(
    routers: Routers, engines: Engines, cycle: int, phase: int, band: int, shared: NDArray[np.int64]
) -> None:
    if phase & 1:
        decide(routers, cycle, band)
        return
    progress = move(routers, cycle, band, engines.wake) + run_engines(routers, engines, cycle, band)
    if progress:
        add_shared(shared, PROGRESS, progress)


@inlined
def _end_phase(
    routers: Routers, engines: Engines, cycle: int, phase: int, end: int, shared: NDArray[np.int64]
) -> None:
    """What the last one does before all go on: nobody else does anything meanwhile."""
    following = phase + 1
    if not phase & 1:
        if not load_shared(shared, PROGRESS):
            following_cycle = NEVER
            for band in range(routers.band_start.size - 1):
                earliest = min(next_arrival(routers, cycle, band), next_wake(engines, band))
                following_cycle = min(following_cycle, earliest)
            cycle = following_cycle
        else:
            cycle += 1
        store_shared(shared, CYCLE, cycle)
        store_shared(shared, PROGRESS, 0)
        if cycle >= end:
            following = -1
    store_shared(shared, DONE, 0)
    store_shared(shared, PHASE, following)


def run_cycles(routers: Routers, engines: Engines, cycle: int, end: int, *, threads: int) -> int:
    """Run from `cycle` to `end`; returns the cycle reached.

    That is beyond `end` if nothing happens before, and `NEVER` if nothing can happen any more.
    """
    bands = routers.band_start.size - 1
    stretch = max(1, _UPDATES_OF_A_STRETCH // (routers.active.size + engines.ready.size + 1))
    with ThreadPoolExecutor(threads) as pool:
        while cycle < end:
            stop = min(end, cycle + stretch)
            shared = np.zeros(TAKEN + bands * _APART, np.int64)
            shared[PHASE], shared[CYCLE] = 1, cycle
            others = [
                pool.submit(work, routers, engines, stop, shared, thread * bands // threads)
                for thread in range(1, threads)
            ]
            work(routers, engines, stop, shared, 0)
            for other in others:
                other.result()
            cycle = int(shared[CYCLE])
    return cycle


__all__ = ["NEVER", "run_cycles"]
