"""A plan over time: when each kernel works on a sample, and what phases and wafers are at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.runtime.sample_timing import first_sample, settled_phase
from wsec.runtime.schedule import kernels_in_order

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.cost.pipeline import Timing
    from wsec.compiler.plan import Kernel, Phase, Plan
    from wsec.runtime.estimate import Estimate


@dataclass(frozen=True, slots=True)
class Stage:
    """What a phase is at from one cycle to another: `sample`, or of phases in turn `load`, `work`, `crossing`."""

    wafer: int
    phase: int
    what: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Timeline:
    """One sample through a pipeline, or one batch through phases that take turns, in cycles.

    Attributes:
        stages: In order.
        starts: When each kernel begins its first sample, in the order of the plan.
        ends: When it is done with it.
    """

    stages: tuple[Stage, ...]
    starts: tuple[int, ...]
    ends: tuple[int, ...]


def timeline_of(plan: Plan, estimate: Estimate) -> Timeline:
    """The timeline of a plan. Phases that take turns follow each other, as the estimate counts them."""
    in_order = kernels_in_order(plan)
    if estimate.phases:
        return _turns(plan, estimate, in_order)
    stages: list[Stage] = []
    times: list[tuple[int, int]] = []
    numbers: dict[int, int] = {}
    for wafer, phase, timing in first_sample(plan, in_order):
        number = numbers[wafer] = numbers.get(wafer, -1) + 1
        stages.append(Stage(wafer, number, "sample", min(timing.start.values(), default=0), timing.end))
        times += _of_kernels(phase, timing, 0)
    return _timeline(stages, times)


def _turns(plan: Plan, estimate: Estimate, in_order: Sequence[Kernel]) -> Timeline:
    """One batch through the phases of all wafers, one phase after the other."""
    places = [
        (wafer, number, phase)
        for wafer, each in enumerate(plan.wafers)
        for number, phase in enumerate(each.phases)
    ]
    stages: list[Stage] = []
    times: list[tuple[int, int]] = []
    at = 0
    for (wafer, number, phase), turn in zip(places, estimate.phases, strict=True):
        works, ends = at + turn.load_cycles, at + turn.batch_cycles
        crosses = max(ends - estimate.samples_per_phase * turn.crossing_cycles, works)
        parts = (("load", at, works), ("work", works, crosses), ("crossing", crosses, ends))
        stages += [Stage(wafer, number, what, start, end) for what, start, end in parts if end > start]
        times += _of_kernels(phase, settled_phase(phase, plan, in_order), works)
        at = ends
    return _timeline(stages, times)


def _of_kernels(phase: Phase, timing: Timing, begin: int) -> list[tuple[int, int]]:
    return [(begin + timing.start[each.name], begin + timing.finish[each.name]) for each in phase.kernels]


def _timeline(stages: list[Stage], times: list[tuple[int, int]]) -> Timeline:
    return Timeline(tuple(stages), tuple(start for start, _ in times), tuple(end for _, end in times))
