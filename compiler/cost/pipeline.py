"""A pipelined phase over time: when each kernel runs, how long each link's samples live, what interval that allows.

Kernels run as soon as their inputs are there. A sample of a link occupies a buffer of its consumer from the first word
sent until the consumer is done with it, so a link with `n` buffers lets a sample through every `lifetime / n` cycles:
the cycle-ratio bound of a dataflow graph with finite buffers. Words of links pass the ramps of a kernel while it works on other
samples: they count between two samples (`Cycles.total`), not on a sample's way (`Cycles.work`), where they are the link's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.cost.host_clock import HostClock
from wsec.compiler.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsec.compiler.plan import Kernel, Link


@dataclass(frozen=True, slots=True)
class Timing:
    """Cycles since the first word of a sample came in, for a pipeline that is otherwise empty.

    Attributes:
        start: When each kernel begins, by name.
        finish: When each kernel is done, by name.
        end: When all kernels are done and the last word of the last output is out.
    """

    start: Mapping[str, int]
    finish: Mapping[str, int]
    end: int


def timing_of(
    kernels: Sequence[Kernel],
    links: Sequence[Link],
    *,
    earlier: Mapping[str, int] | None = None,
    released: Mapping[str, int] | None = None,
    clock: HostClock | None = None,
) -> Timing:
    """Every kernel of a phase runs as soon as possible. Linear in kernels and links.

    Args:
        kernels: In topological order, the ways over host operators included.
        links: Of the phase.
        earlier: When tensors of kernels of other wafers are there, by name; one that is missing is there
            from the beginning.
        released: Before when kernels do not begin, by name.
        clock: Of the host; it is told what the phase gives to host operators. None where there are none.
    """
    incoming: dict[str, list[Link]] = {}
    for link in links:
        incoming.setdefault(link.target, []).append(link)
    start: dict[str, int] = {}
    finish: dict[str, int] = {}

    there, allowed = earlier or {}, released or {}
    host = clock or HostClock(())

    def arrivals(target: str) -> list[int]:
        return [0, *(sent(link) + link.cycles for link in incoming.get(target, ()))]

    def sent(link: Link) -> int:
        if link.source == HOST:
            return host.sends(link.tensor, link.words)
        return finish[link.source] if link.source in finish else there.get(link.tensor, 0)

    to_host: dict[str, list[Link]] = {}
    for link in incoming.get(HOST, ()):
        to_host.setdefault(link.source, []).append(link)
    for kernel in kernels:
        start[kernel.name] = max(allowed.get(kernel.name, 0), *arrivals(kernel.name))
        finish[kernel.name] = start[kernel.name] + kernel.cycles.work
        for link in to_host.get(kernel.name, ()):
            host.receive(link.tensor, link.words, finish[kernel.name] + link.cycles)
    return Timing(start, finish, end=max([*arrivals(HOST), *finish.values()]))


def lifetime(link: Link, timing: Timing) -> int:
    """Cycles for which a sample occupies a buffer of the consumer; the host sends when a tensor is due."""
    if link.target not in timing.finish:
        return 0
    when_due = timing.start[link.target] - link.cycles
    return timing.finish[link.target] - timing.finish.get(link.source, when_due)


def buffered_interval(link: Link, timing: Timing) -> int:
    """Least cycles between two samples that the buffers of the link's consumer allow."""
    return -(-lifetime(link, timing) // link.slots)


def result_cycles(kernel: Kernel, sent: Sequence[Link]) -> int:
    """Cycles for which a sample occupies a buffer of the kernel's result: computed, then sent over the slowest link."""
    return kernel.cycles.work + max((link.cycles for link in sent), default=0)


def result_interval(kernel: Kernel, sent: Sequence[Link]) -> int:
    """Least cycles between two samples that the buffers of the kernel's results allow."""
    slots = min((output.slots for output in kernel.outputs if not output.state), default=1)
    return -(-result_cycles(kernel, sent) // slots)


def fixed_interval(kernels: Sequence[Kernel], links: Sequence[Link]) -> int:
    """Least cycles between two samples that kernels, links and results allow, whatever waits in buffers of consumers."""
    sent: dict[str, list[Link]] = {}
    for link in links:
        sent.setdefault(link.source, []).append(link)
    cycles = [link.interval for link in links]
    for kernel in kernels:
        cycles += [kernel.cycles.total, result_interval(kernel, sent.get(kernel.name, ()))]
    return max(cycles, default=0)
