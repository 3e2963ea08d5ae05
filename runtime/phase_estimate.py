"""The phases of a plan one by one, where several take turns: how fast each is, and what it costs besides its work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsec.compiler.plan import PhaseSummary, PlacementSummary
from wsec.runtime.wafer_estimate import cores_of, host_cycles

if TYPE_CHECKING:
    from wsec.compiler.plan import Plan

_FREE: Final = PhaseSummary(
    PlacementSummary(0, 0, 0.0, "", interrupted=False), 0, 0, 0, 0, 0
)  # of a phase that says nothing


@dataclass(frozen=True, slots=True)
class PhaseEstimate:
    """One phase of several that take turns on a wafer: its weights come in, then it works on a batch of samples.

    Attributes:
        kernels: How many are in it.
        cores_used: Cores that belong to a kernel.
        interval_cycles: Between two samples while it works; no less than their words from and to the host take.
        interval_bound_cycles: No placement of its kernels has a lower interval, by the measure of the search.
        fill_cycles: What a sample takes beyond an interval, once the pipeline has its rhythm: kernels fill and drain.
        outside_cycles: In which the words of a sample come in from the host, or go out where that takes longer.
        weight_bytes: Weights of its kernels, each tensor once.
        load_cycles: For which it waits for these, once for all samples of a batch: all the time in which they come in, or what
            the phase before does not hide.
        words_in: Words of a sample that it reads of earlier phases.
        words_out: Words of a sample that later phases read.
        crossing_cycles: In which these pass, for one sample.
        batch_cycles: Of a whole batch: load, fill, and for each sample an interval and what crosses.
        name: `phase 1`, or `wafer 2, phase 1` where the plan has several wafers.
        wafer: On which it takes turns.
    """

    kernels: int
    cores_used: int
    interval_cycles: int
    interval_bound_cycles: int
    fill_cycles: int
    outside_cycles: int
    weight_bytes: int
    load_cycles: int
    words_in: int
    words_out: int
    crossing_cycles: int
    batch_cycles: int
    name: str = ""
    wafer: int = 0


def phase_estimate(place: tuple[int, int], plan: Plan, interval: int, latency: int) -> PhaseEstimate:
    """A phase, given the cycles between two samples that its kernels need, and those of one sample through them.

    Args:
        place: Its wafer, and its number there.
        plan: The plan.
        interval: Between two samples.
        latency: Of one.
    """
    wafer, number = place
    phase = plan.wafers[wafer].phases[number]
    summary = phase.summary or _FREE
    outside = host_cycles(phase.links, plan)
    interval = max(interval, outside)
    fill = max(latency - interval, 0)
    samples = plan.samples_per_phase
    return PhaseEstimate(
        kernels=len(phase.kernels),
        cores_used=cores_of(phase),
        interval_cycles=interval,
        interval_bound_cycles=summary.placement.interval_bound,
        fill_cycles=fill,
        outside_cycles=outside,
        weight_bytes=summary.weight_bytes,
        load_cycles=summary.load_cycles,
        words_in=summary.words_in,
        words_out=summary.words_out,
        crossing_cycles=summary.crossing_cycles,
        batch_cycles=summary.load_cycles + fill + samples * (interval + summary.crossing_cycles),
        name=f"wafer {wafer}, phase {number}" if len(plan.wafers) > 1 else f"phase {number}",
        wafer=wafer,
    )
