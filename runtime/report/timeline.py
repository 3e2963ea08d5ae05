"""A plan over time: when each kernel works on a sample, and what phases and wafers are at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.runtime.batch_timing import batch_stays, takes_turns
from wsec.runtime.sample_timing import first_sample
from wsec.runtime.schedule import kernels_in_order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.cost.pipeline import Timing
    from wsec.compiler.plan import Phase, Plan
    from wsec.runtime.batch_timing import BatchStay
    from wsec.runtime.estimate import Estimate
    from wsec.runtime.phase_estimate import PhaseEstimate


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


@dataclass(frozen=True, slots=True)
class Place:
    """A phase, where it stands in the plan, and what its turn costs where phases of its wafer take turns."""

    wafer: int
    number: int
    phase: Phase
    turn: PhaseEstimate | None


def places_of(plan: Plan, estimate: Estimate) -> list[Place]:
    """All phases, by wafer."""
    turns = iter(estimate.phases)
    return [
        Place(wafer, number, phase, next(turns, None) if takes_turns(each) else None)
        for wafer, each in enumerate(plan.wafers)
        for number, phase in enumerate(each.phases)
    ]


def timeline_of(plan: Plan, estimate: Estimate) -> Timeline:
    """The timeline of a plan. Phases that take turns follow each other, as the estimate counts them."""
    in_order = kernels_in_order(plan)
    places = places_of(plan, estimate)
    stages: list[Stage] = []
    times: list[tuple[int, int]] = []
    if not estimate.phases:
        for place, (_, phase, timing) in zip(places, first_sample(plan, in_order), strict=True):
            begin = min(timing.start.values(), default=0)
            stages.append(Stage(place.wafer, place.number, "sample", begin, timing.end))
            times += _of_kernels(phase, timing, 0)
        return _timeline(stages, times)
    intervals = [wafer.interval_cycles for wafer in estimate.wafers]
    for stay in batch_stays(plan, estimate.phases, intervals, in_order):
        stages += _of_stay(stay, estimate.samples_per_phase)
        times += _of_kernels(stay.phase, stay.timing, stay.works)
    return _timeline(stages, times)


def _of_stay(stay: BatchStay, samples: int) -> Iterator[Stage]:
    """What a phase is at while a batch is in it."""
    if stay.turn is None:
        yield Stage(stay.wafer, stay.number, "sample", stay.begins, stay.ends)
        return
    crosses = max(stay.ends - samples * stay.turn.crossing_cycles, stay.works)
    for what, start, end in (
        ("load", stay.begins, stay.works),
        ("work", stay.works, crosses),
        ("crossing", crosses, stay.ends),
    ):
        if end > start:
            yield Stage(stay.wafer, stay.number, what, start, end)


def _of_kernels(phase: Phase, timing: Timing, begin: int) -> list[tuple[int, int]]:
    return [(begin + timing.start[each.name], begin + timing.finish[each.name]) for each in phase.kernels]


def _timeline(stages: list[Stage], times: list[tuple[int, int]]) -> Timeline:
    return Timeline(tuple(stages), tuple(start for start, _ in times), tuple(end for _, end in times))
