"""The rhythm that a pipeline settles into: a kernel begins later where a consumer has no buffer free for its result.

A phase with finite buffers is a timed event graph: forward, a sample takes the cycles of kernels and links; backward, a
kernel is done with a sample only when the consumer's buffer is free of the one `slots` samples before. It settles at the
largest ratio of cycles to buffers over the circuits of that graph (Reiter, "Scheduling Parallel Computations", JACM 15,
1968): at the least interval for which there are times that keep both. The host has room for all samples, so what only
it feeds begins as late as its consumers need.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.cost.pipeline import buffered_interval, fixed_interval, lifetime, timing_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsec.compiler.cost.host_clock import HostClock
    from wsec.compiler.cost.pipeline import Timing
    from wsec.compiler.plan import Kernel, Link


def settled_timing(
    kernels: Sequence[Kernel], links: Sequence[Link], clock: Callable[[], HostClock]
) -> Timing:
    """When each kernel of a phase works on a sample, in cycles since its first word, at the least interval.

    Args:
        kernels: In topological order, the ways over host operators included.
        links: Of the phase.
        clock: Makes the clock of a host that nothing has reached yet.
    """
    soonest = timing_of(kernels, links, clock=clock())
    least = fixed_interval(kernels, links)
    most = max((buffered_interval(link, soonest) for link in links), default=0)
    if most <= least:
        return soonest
    found = _timing_at(least, kernels, links, clock)
    if found is not None:
        return found
    best = soonest
    while most - least > 1:
        middle = (least + most) // 2
        found = _timing_at(middle, kernels, links, clock)
        if found is None:
            least = middle
        else:
            best, most = found, middle
    return best


def _timing_at(
    interval: int, kernels: Sequence[Kernel], links: Sequence[Link], clock: Callable[[], HostClock]
) -> Timing | None:
    """The earliest times at which no sample stays longer in its buffer than the interval allows; None if there are none.

    Bellman and Ford's algorithm: times that are still too early after a round for each kernel never become late enough.
    """
    released: dict[str, int] = {}
    for _ in range(len(kernels) + 1):
        timing = timing_of(kernels, links, released=released, clock=clock())
        early = [
            (link.source, wait)
            for link in links
            if link.source in timing.finish and (wait := lifetime(link, timing) - interval * link.slots) > 0
        ]
        if not early:
            return timing
        for kernel, wait in early:
            released[kernel] = max(released.get(kernel, 0), timing.start[kernel] + wait)
    return None


def phase_interval(kernels: Sequence[Kernel], links: Sequence[Link], clock: Callable[[], HostClock]) -> int:
    """Cycles between two samples of a phase: the slowest of its kernels, links, and buffers. As `settled_timing`."""
    timing = settled_timing(kernels, links, clock)
    return max([fixed_interval(kernels, links), *(buffered_interval(link, timing) for link in links)])
