"""When a batch of samples is where in a plan of which wafers work in phases: one wafer after the other, phase by phase."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.cost.crossings import crossings_of, passage_cycles, words_between
from wsec.runtime.sample_timing import settled_phase, timings_of_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.cost.pipeline import Timing
    from wsec.compiler.plan import Kernel, Phase, Plan, Wafer
    from wsec.runtime.phase_estimate import PhaseEstimate


@dataclass(frozen=True, slots=True, eq=False)
class BatchStay:
    """A batch in a phase, in cycles since its first weight or word came in.

    Attributes:
        wafer: Where the phase is.
        number: Which of the wafer it is.
        phase: Its record.
        turn: What its turn costs; None on a wafer without phases that load their weights in turn.
        timing: Of the first sample, since `works`.
        begins: Its weights come in, or its first word.
        works: Its first sample comes in.
        step: From a sample to the next.
        ends: The last sample has left.
    """

    wafer: int
    number: int
    phase: Phase
    turn: PhaseEstimate | None
    timing: Timing
    begins: int
    works: int
    step: int
    ends: int


def takes_turns(wafer: Wafer) -> bool:
    """Whether its phases load their weights one after the other."""
    return len(wafer.phases) > 1 and wafer.mode != "sequential"


def batch_stays(
    plan: Plan, turns: Sequence[PhaseEstimate], intervals: Sequence[int], in_order: Sequence[Kernel]
) -> Iterator[BatchStay]:
    """All phases in order. A wafer begins once the whole batch is there; of what comes from another only the last sample is waited for.

    Args:
        plan: The plan.
        turns: The phases that take turns, of all wafers.
        intervals: Cycles between two samples on each wafer.
        in_order: All kernels of the plan.
    """
    across = words_between(crossings_of(plan.wafers), len(plan.wafers))
    of_turns = iter(turns)
    at = 0
    for number, wafer in enumerate(plan.wafers):
        if number:
            at += passage_cycles(across[number - 1], 1, plan.target)
        if takes_turns(wafer):
            stays = _turns(plan, number, at, [next(of_turns) for _ in wafer.phases], in_order)
        else:
            stays = _at_once(plan, number, at, intervals[number], in_order)
        for stay in stays:
            yield stay
            at = max(at, stay.ends)


def _turns(
    plan: Plan, wafer: int, at: int, turns: Sequence[PhaseEstimate], in_order: Sequence[Kernel]
) -> Iterator[BatchStay]:
    for number, (phase, turn) in enumerate(zip(plan.wafers[wafer].phases, turns, strict=True)):
        timing = settled_phase(phase, plan, in_order)
        works, ends = at + turn.load_cycles, at + turn.batch_cycles
        step = turn.interval_cycles + turn.crossing_cycles
        yield BatchStay(wafer, number, phase, turn, timing, at, works, step, ends)
        at = ends


def _at_once(
    plan: Plan, number: int, at: int, interval: int, in_order: Sequence[Kernel]
) -> Iterator[BatchStay]:
    wafer, later = plan.wafers[number], (plan.samples_per_phase - 1) * interval
    if wafer.mode == "sequential":
        timings = [timing for _, timing in timings_of_turns(wafer, {})]
    else:
        timings = [settled_phase(phase, plan, in_order) for phase in wafer.phases]
    for place, (phase, timing) in enumerate(zip(wafer.phases, timings, strict=True)):
        begins = at + min(timing.start.values(), default=0)
        yield BatchStay(number, place, phase, None, timing, begins, at, interval, at + timing.end + later)
