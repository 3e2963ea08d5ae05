"""Several wafers, each in a mode of its own, of which some stream: a pipeline over batches of samples.

The kernels are divided over the phases of all wafers; one that does not stream is a single part. Every part is planned as a model of
its own, by placement or in turns, and all are joined. What goes between a wafer that streams and any other waits outside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wsec.compiler.cost.crossings import crossings_of, wafer_link_cycles, words_between
from wsec.compiler.cost.phases import cycles_per_byte, exposed_loads
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.plan import Wafer
from wsec.compiler.schedule.division import (
    Parts,
    WaferPlans,
    bound_of,
    divide,
    fewest,
    joined_phases,
    summary_of,
    summary_of_parts,
)
from wsec.compiler.schedule.phases import fits_beside, with_summaries
from wsec.compiler.schedule.rounds import rhythms_of, samples_of
from wsec.compiler.schedule.sequential.planning import plan_in_turns, turn_source
from wsec.compiler.schedule.wafers import no_wafer_link, plan_wafers

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.plan import Objective, Phase, PlacementSummary, WaferMode
    from wsec.compiler.planning import Decision, Planner
    from wsec.compiler.schedule.division import DividedPart
    from wsec.compiler.target import Target


@dataclass(frozen=True, slots=True)
class Mixture:
    """What was asked for.

    Attributes:
        modes: Of each wafer.
        phases: Of each wafer that streams; None for the fewest that fit.
        samples: Of a batch; None for as many as loads and fills ask for.
        objective: How large a batch may be that nobody asked for.
    """

    modes: tuple[WaferMode, ...]
    phases: int | None
    samples: int | None
    objective: Objective


@dataclass(frozen=True, slots=True, eq=False)
class _PlannedWafer:
    """A wafer as it was planned alone: its phases, what placement found, and what was decided on each of its parts."""

    phases: tuple[Phase, ...]
    summary: PlacementSummary
    decisions: tuple[Decision, ...]
    mode: WaferMode
    turns: tuple[LoopNest, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A mixture to plan; `target` is what the plan is for, whose cores may have more memory than the planner is given."""

    planner: Planner
    lowered: ir.Model
    mixture: Mixture
    target: Target


def plan_mixture(planner: Planner, lowered: ir.Model, mixture: Mixture) -> WaferPlans:
    """Plan a lowered model for wafers of these modes.

    Raises:
        WsecError: WSEC3xx where it does not fit; WSEC361 no such number of phases, WSEC363 no link between wafers.
    """
    if len(mixture.modes) > 1 and planner.target.wafer_link is None:
        raise no_wafer_link(planner.target)
    job = _Job(planner, lowered, mixture, planner.target)
    count = mixture.phases if "streaming" in mixture.modes else 1
    try:
        return fewest(lambda phases: _plan_exactly(job, phases), count)
    except WsecError as error:
        if error.code == "WSEC361" and count is not None:
            streaming = mixture.modes.count("streaming")
            error.add_note(
                f"{len(mixture.modes)} wafers, of which {streaming} stream in {count} phases each; a wafer that does not counts as one"
            )
        raise


def _plan_exactly(job: _Job, phases: int) -> WaferPlans:
    """So many phases on each wafer that streams."""
    modes = job.mixture.modes
    if phases == 1 and "sequential" not in modes:
        return plan_wafers(job.planner, job.lowered, len(modes))
    found = _planned(job, phases)
    if all(wafer.overlapped for wafer in found.wafers) or set(modes) != {"streaming"}:
        return found
    other = _in_half_the_memory(job, phases)
    return found if other is None else min(found, other, key=lambda plans: plans.placement.interval)


def _in_half_the_memory(job: _Job, phases: int) -> WaferPlans | None:
    """The phases in one half of each core's memory, so that the weights of the next find room in the other; None where they do not fit."""
    core = job.target.core
    half = replace(core, sram_bytes=core.code_reserve_bytes + core.data_bytes // 2)
    tight = replace(job.planner, target=replace(job.target, core=half), tables={})
    try:
        return _planned(replace(job, planner=tight), phases)
    except WsecError as error:
        if error.exit_status is not ExitStatus.DOES_NOT_FIT:
            raise
        return None


def _planned(job: _Job, phases: int) -> WaferPlans:
    """The parts divided, planned wafer by wafer, and joined."""
    planner, modes = job.planner, job.mixture.modes
    counts = [phases if mode == "streaming" else 1 for mode in modes]
    out_and_in = 2 * planner.target.fabric.word_bytes * cycles_per_byte(planner.target)
    # wafers work at once: each has as much to do as the slowest where no part of any takes longer than another
    parts = Parts("phase", sum(counts), out_and_in, "longest")
    divided = iter(divide(planner, job.lowered, parts))
    wafers = [
        _planned_wafer([next(divided) for _ in range(count)], mode, job.lowered)
        for mode, count in zip(modes, counts, strict=True)
    ]
    decisions = tuple(decision for wafer in wafers for decision in wafer.decisions)
    bound = 0
    if decisions:
        bound = bound_of(decisions, planner, replace(parts, objective="sum", count=len(decisions)))
    return _joined(wafers, bound, job)


def _planned_wafer(parts: Sequence[DividedPart], mode: WaferMode, lowered: ir.Model) -> _PlannedWafer:
    if mode == "sequential":
        (part,) = parts
        plans = plan_in_turns(part.planner, part.within(turn_source(part.planner, lowered)), 1)
        return _PlannedWafer(plans.wafers[0].phases, plans.placement, (), mode, plans.turns)
    decisions = tuple(part.plan() for part in parts)
    phases = tuple(decision.phase for decision in decisions)
    return _PlannedWafer(phases, summary_of(decisions[0]), decisions, mode if len(parts) > 1 else "pipelined")


def _joined(planned: Sequence[_PlannedWafer], bound: int, job: _Job) -> WaferPlans:
    """The wafers as one plan, given what no sum of the intervals of all parts is below."""
    joined = iter(joined_phases([phase for wafer in planned for phase in wafer.phases]))
    of_wafers = [tuple(next(joined) for _ in wafer.phases) for wafer in planned]
    wafers = []
    for number, (wafer, phases) in enumerate(zip(planned, of_wafers, strict=True)):
        if wafer.mode == "streaming":
            others = [phase for at, those in enumerate(of_wafers) if at != number for phase in those]
            phases = with_summaries(wafer.decisions, phases, others, job.target)  # noqa: PLW2901 - the same phases
        overlapped = wafer.mode == "streaming" and fits_beside(phases, job.target)
        wafers.append(Wafer(phases, wafer.summary, wafer.mode, overlapped))
    samples = job.mixture.samples or _samples_for(wafers, job)
    wafers = [
        replace(wafer, placement=_round(wafer, of_parts.decisions, samples))
        if wafer.mode == "streaming"
        else wafer
        for wafer, of_parts in zip(wafers, planned, strict=True)
    ]
    decisions = tuple(decision for wafer in planned for decision in wafer.decisions)
    across = words_between(crossings_of(wafers), len(wafers))
    slowest = max(wafer.placement.interval for wafer in wafers if wafer.placement is not None)
    interval = max(slowest, math.ceil(wafer_link_cycles(max(across, default=0), job.target)))
    summary = summary_of_parts(decisions, interval, -(-bound // len(wafers)))
    turns = tuple(nest for wafer in planned for nest in wafer.turns)
    streams = any(wafer.mode == "streaming" for wafer in wafers)
    return WaferPlans(tuple(wafers), decisions, summary, turns, samples=samples if streams else 1)


def _samples_for(wafers: Sequence[Wafer], job: _Job) -> int:
    """As many samples as the wafer asks for whose loads and fills need most; one where any wafer keeps states."""
    if any(kernel.memory.states for wafer in wafers for kernel in wafer.kernels()):
        return 1
    return max(
        (
            samples_of(wafer, rhythms_of(wafer, job.lowered, job.target), job.mixture.objective)
            for wafer in wafers
            if wafer.mode == "streaming"
        ),
        default=1,
    )


def _round(wafer: Wafer, decisions: Sequence[Decision], samples: int) -> PlacementSummary:
    """A sample's share of a round of the phases of a wafer, by the measure of the search."""
    summaries = [phase.summary for phase in wafer.phases if phase.summary is not None]
    work = [samples * summary.placement.interval for summary in summaries]
    loads = [summary.load_cycles for summary in summaries]
    waited = sum(exposed_loads(loads, work, overlapped=wafer.overlapped))
    interval = sum(summary.placement.interval + summary.crossing_cycles for summary in summaries)
    bound = sum(summary.placement.interval_bound for summary in summaries)
    return summary_of_parts(decisions, interval + math.ceil(waited / samples), bound)
