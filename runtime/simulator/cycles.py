"""The clock: cycle after cycle until nothing is left to do, nothing can happen any more, or the time is over.

A cycle in which nothing moves and no engine gets on is repeated as it is until the next word or engine is due, so such
cycles are skipped. If none is due, it would be repeated for ever: the fabric is finished, or stuck.
"""

from __future__ import annotations

from wsec.compiler.native import compiled_in_parallel, compiled_without_allocation, inlined, parallel_range
from wsec.runtime.simulator.engines import Engines, next_wake, run_engines
from wsec.runtime.simulator.routers import NEVER, Routers, decide, move, next_arrival


@inlined
def _next_cycle(routers: Routers, engines: Engines, cycle: int, progress: int) -> int:
    if progress:
        return cycle + 1
    return min(next_arrival(routers, cycle), next_wake(engines))


@inlined
def _band_cycle(routers: Routers, engines: Engines, cycle: int, band: int) -> int:
    """Words, then engines, of one band after every band has decided."""
    return move(routers, cycle, band, engines.wake) + run_engines(routers, engines, cycle, band)


@compiled_without_allocation
def run_cycles(routers: Routers, engines: Engines, cycle: int, end: int) -> int:
    """Run from `cycle` to `end`; returns the cycle reached, `NEVER` when nothing can happen any more."""
    while cycle < end:
        progress = 0
        for band in range(routers.band_start.size - 1):
            decide(routers, cycle, band)
        for band in range(routers.band_start.size - 1):
            progress += _band_cycle(routers, engines, cycle, band)
        cycle = _next_cycle(routers, engines, cycle, progress)
    return cycle


@compiled_in_parallel
def run_cycles_in_threads(routers: Routers, engines: Engines, cycle: int, end: int) -> int:
    """The same with a thread a band."""
    while cycle < end:
        progress = 0
        for band in parallel_range(routers.band_start.size - 1):
            decide(routers, cycle, band)
        for band in parallel_range(routers.band_start.size - 1):
            progress += _band_cycle(routers, engines, cycle, band)
        cycle = _next_cycle(routers, engines, cycle, progress)
    return cycle


__all__ = ["NEVER", "run_cycles", "run_cycles_in_threads"]
