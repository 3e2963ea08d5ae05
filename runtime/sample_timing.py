"""When the kernels of a plan work on a sample, in cycles since its first word came in."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from wsec.compiler.cost.back_pressure import settled_timing
from wsec.compiler.cost.crossings import Crossing, crossings_of, passage_cycles
from wsec.compiler.cost.host_clock import HostClock
from wsec.compiler.cost.pipeline import Timing, timing_of
from wsec.compiler.cost.turns import turns_of
from wsec.compiler.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from wsec.compiler.plan import Kernel, Phase, Plan, Wafer


def settled_phase(phase: Phase, plan: Plan, in_order: Sequence[Kernel]) -> Timing:
    """A sample in one phase alone, once its pipeline has its rhythm; `in_order` are all kernels of the plan."""
    clock = partial(HostClock, plan.host_operators, phase.links, plan.target)
    return settled_timing(_of_phase(phase, in_order), phase.links, clock)


def first_sample(plan: Plan, in_order: Sequence[Kernel]) -> Iterator[tuple[int, Phase, Timing]]:
    """The first sample over wafers of one phase each, or of turns, from the host to the host: wafer, phase, and when there."""
    clock = HostClock(plan.host_operators, tuple(plan.links()), plan.target)
    crossings = {item.tensor: item for item in crossings_of(plan.wafers)}
    sent: dict[str, int] = {}
    for number, wafer in enumerate(plan.wafers):
        there = {name: at + _passage(crossings[name], number, plan) for name, at in sent.items()}
        if wafer.mode == "sequential":
            for phase, timing in timings_of_turns(wafer, there):
                yield number, phase, timing
                sent |= _sent(phase, timing, crossings)
            continue
        for phase in wafer.phases:
            of_phase = _of_phase(phase, in_order)
            timing = timing_of(of_phase, phase.links, earlier=there, clock=clock)
            yield number, phase, timing
            sent |= _sent(phase, timing, crossings)


def _sent(phase: Phase, timing: Timing, crossings: Mapping[str, Crossing]) -> dict[str, int]:
    """When the tensors for other wafers have left."""
    return {
        link.tensor: timing.finish[link.source] + link.cycles
        for link in phase.links
        if link.target == HOST and link.tensor in crossings and link.source in timing.finish
    }


def timings_of_turns(wafer: Wafer, there: Mapping[str, int]) -> Iterator[tuple[Phase, Timing]]:
    """The turns of a sequential wafer, one after the other, once all is there that other wafers make for them."""
    read = {link.tensor for link in wafer.links() if link.target != HOST}
    now = max((at for name, at in there.items() if name in read), default=0)
    for phase, cycles in zip(wafer.phases, turns_of(wafer.phases), strict=True):
        start, finish = {}, {}
        at = now + cycles.waiting + cycles.arriving
        for kernel in phase.kernels:
            start[kernel.name], at = at, at + kernel.cycles.work
            finish[kernel.name] = at
        now += cycles.total
        yield phase, Timing(start, finish, end=now)


def _of_phase(phase: Phase, in_order: Sequence[Kernel]) -> list[Kernel]:
    names = {kernel.name for kernel in phase.kernels}
    return [kernel for kernel in in_order if kernel.name in names]


def _passage(crossing: Crossing, wafer: int, plan: Plan) -> int:
    """Cycles of a tensor from the wafer where it is made to another."""
    return passage_cycles(crossing.words, wafer - crossing.source, plan.target)
