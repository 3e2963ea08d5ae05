"""The wafers of a plan one by one: how full each is, how fast, and what goes from it to the next."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.cost.crossings import crossings_of, wafer_link_cycles, words_between, words_outside
from wsec.compiler.cost.host_clock import host_link_cycles, host_words
from wsec.compiler.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wsec.compiler.plan import Link, Phase, Plan, Wafer, WaferMode


@dataclass(frozen=True, slots=True)
class WaferEstimate:
    """One wafer of a plan.

    Attributes:
        mode: How kernels share it.
        kernels: How many are on it.
        cores_used: Cores that belong to a kernel, in its busiest phase.
        interval_cycles: Between two samples, if it had all its inputs.
        interval_bound_cycles: No placement of its kernels has a lower interval, by the measure of the search.
        outside_cycles: In which the words of a sample come in, or go out where that takes longer: from and to the host
            and other wafers, over its host link. Of phases that take turns, one after the other.
        tensors_on: Tensors that go from it, or past it, to the next wafer.
        words_on: Words of these, for one sample.
        cycles_on: In which these words pass the link to the next wafer.
    """

    mode: WaferMode
    kernels: int
    cores_used: int
    interval_cycles: int
    interval_bound_cycles: int
    outside_cycles: int
    tensors_on: int
    words_on: int
    cycles_on: int


def wafer_estimates(plan: Plan, intervals: Sequence[int]) -> tuple[WaferEstimate, ...]:
    """Every wafer, given the cycles between two samples on each."""
    crossings = crossings_of(plan.wafers)
    words = (*words_between(crossings, len(plan.wafers)), 0)
    return tuple(
        WaferEstimate(
            mode=wafer.mode,
            kernels=sum(1 for _ in wafer.kernels()),
            cores_used=max((cores_of(phase) for phase in wafer.phases), default=0),
            interval_cycles=intervals[number],
            interval_bound_cycles=(wafer.placement or plan.placement).interval_bound,
            outside_cycles=_outside_cycles(wafer, plan),
            tensors_on=sum(item.source <= number < item.last for item in crossings),
            words_on=words[number],
            cycles_on=math.ceil(wafer_link_cycles(words[number], plan.target)),
        )
        for number, wafer in enumerate(plan.wafers)
    )


def _outside_cycles(wafer: Wafer, plan: Plan) -> int:
    if len(wafer.phases) == 1 or wafer.mode == "sequential":
        return host_link_cycles(max(words_outside(wafer)), plan.target)
    return sum(host_cycles(phase.links, plan) for phase in wafer.phases)


def cores_of(phase: Phase) -> int:
    """Cores that belong to a kernel of a phase; kernels that take a turn together begin at one core, and share theirs."""
    found: dict[tuple[int, int], int] = {}
    for kernel in phase.kernels:
        place = kernel.rectangle
        found[place.x, place.y] = max(found.get((place.x, place.y), 0), place.width * place.height)
    return sum(found.values())


def host_cycles(links: Iterable[Link], plan: Plan) -> int:
    """Cycles in which the words of these links come from the host or go there, and not to other wafers and phases only."""
    wanted = {value.name for value in plan.outputs}
    wanted |= {name for item in plan.host_operators for name in item.inputs}
    kept = [link for link in links if link.target != HOST or link.tensor in wanted]
    return host_link_cycles(max(host_words(kept)), plan.target)


def host_bound(plan: Plan) -> int:
    """Cycles in which inputs and outputs pass the host links of all wafers, however they are divided among them."""
    return -(-host_cycles(plan.links(), plan) // max(len(plan.wafers), 1))
