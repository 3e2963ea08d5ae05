"""A model in phases that take turns on one wafer: its kernels divided, each phase planned on the whole grid, and joined.

A phase works on a batch of samples; then the weights of the next are loaded. What crosses waits outside of the wafer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.phases import (
    cycles_per_byte,
    exposed_loads,
    memory_cycles,
    state_bytes,
    weight_bytes,
    words_between_phases,
)
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.plan import PhaseSummary, Wafer
from wsec.compiler.schedule.division import (
    Parts,
    WaferPlans,
    fewest,
    joined_phases,
    plan_parts,
    plan_whole,
    summary_of,
    summary_of_parts,
)
from wsec.compiler.schedule.rounds import cycles_per_sample, rhythms_of, samples_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, Objective, Phase, PlacementSummary
    from wsec.compiler.planning import Decision, Planner
    from wsec.compiler.schedule.rounds import Rhythm
    from wsec.compiler.target import Target

_STEPS: Final = 8  # the first step is an eighth of the fewest phases
_NO_BETTER: Final = 2  # numbers in a row after which no more are tried
_WORTH: Final = 0.01  # by which more phases have to be faster
_SHARE_OF_TRIALS: Final = 0.25  # of the effort
_MOST_KERNELS: Final = 512  # planned in all trials together, but for the first two


def plan_phases(
    planner: Planner,
    lowered: ir.Model,
    phases: int | None,
    samples: int | None,
    objective: Objective,
    *,
    least: int = 1,
) -> WaferPlans:
    """Plan a lowered model in so many phases, or in the best number of those that are tried where none is said.

    Args:
        planner: Its grid is that of each phase.
        lowered: The model.
        phases: How many take turns.
        samples: Of a batch, at least 1; None for as many as loads and fills ask for.
        objective: What is best, and how large a batch may be that nobody asked for.
        least: Phases, where none are said.

    Raises:
        WsecError: WSEC3xx where it does not fit; WSEC361 no such number of phases.
    """
    rounds = _Rounds(planner, lowered, samples, objective)
    if phases is not None:
        return rounds.plan(phases).plans
    return _best_number(rounds, least)


@dataclass(frozen=True, slots=True)
class _Planned:
    """A number of phases: its plans, the size of its batch, and the cycles by which numbers are compared."""

    count: int
    plans: WaferPlans
    cost: int


@dataclass(frozen=True, slots=True)
class _Rounds:
    """What is planned in phases, and for what."""

    planner: Planner
    lowered: ir.Model
    samples: int | None
    objective: Objective

    def plan(self, count: int) -> _Planned:
        """So many phases; raises as `plan_phases`."""
        if count == 1:
            plans = plan_whole(self.planner, self.lowered)
            rhythms = rhythms_of(plans.wafers[0], self.lowered, self.planner.target)
            return _Planned(1, plans, self._cost(rhythms, 1, overlapped=False))
        target = self.planner.target
        out_and_in = 2 * target.fabric.word_bytes * cycles_per_byte(target)
        parts = Parts("phase", count, out_and_in, "sum")
        found = self._joined(*plan_parts(self.planner, self.lowered, parts))
        wafer = found.plans.wafers[0]
        loads = sum(phase.summary.load_cycles for phase in wafer.phases if phase.summary is not None)
        if wafer.overlapped or loads <= _WORTH * found.plans.samples * found.cost:
            return found
        halved = _in_half_the_memory(self.planner, self.lowered, parts)
        return found if halved is None else min(found, self._joined(*halved), key=lambda each: each.cost)

    def _joined(self, decisions: tuple[Decision, ...], bound: int) -> _Planned:
        """The phases with their summaries; with a batch as large as it should be where nobody said."""
        target = self.planner.target
        joined = joined_phases([decision.phase for decision in decisions])
        phases = with_summaries(decisions, joined, (), target)
        wafer = Wafer(phases, mode="streaming", overlapped=fits_beside(joined, target))
        rhythms = rhythms_of(wafer, self.lowered, target)
        samples = self.samples or samples_of(wafer, rhythms, self.objective)
        plans = WaferPlans((wafer,), decisions, _placement(decisions, bound, wafer, target, samples))
        cost = self._cost(rhythms, samples, overlapped=wafer.overlapped)
        return _Planned(len(phases), replace(plans, samples=samples), cost)

    def _cost(self, rhythms: Sequence[Rhythm], samples: int, *, overlapped: bool) -> int:
        if self.objective == "latency":
            return sum(each.fill + each.interval + each.load + each.crossing for each in rhythms)
        return cycles_per_sample(rhythms, samples, overlapped=overlapped)


def _best_number(rounds: _Rounds, least: int) -> WaferPlans:
    """From the fewest phases that fit on, by growing steps, until two numbers in a row are no better or the work is done.

    Where kernels fit at once, with all the buffers that they can use, no more phases are tried: weights would come in for nothing.
    Numbers are compared by a shorter search; the best is planned with all effort.
    """
    limits = rounds.planner.limits
    quick = replace(rounds, planner=replace(rounds.planner, limits=limits.part(_SHARE_OF_TRIALS)))
    first: list[_Planned] = []

    def plan(count: int) -> WaferPlans:
        first.append(quick.plan(count))
        return first[-1].plans

    fewest(plan, None, least)
    alone = first[-1].count == 1 and not _scarce(first[-1].plans)
    tried = first[-1:] if alone else _trials(quick, first[-1])
    best = min(tried, key=lambda each: each.cost)
    if not limits.stopped():
        again = _or_none(rounds, best.count)
        best = best if again is None or again.cost > best.cost else again
    if len(tried) == 1:
        return best.plans
    costs = ", ".join(f"{each.count}: {each.cost:,}" for each in tried)
    what = "cycles of a sample through all" if rounds.objective == "latency" else "cycles a sample"
    return replace(best.plans, notes=(*best.plans.notes, f"numbers of phases by {what}: {costs}"))


def _trials(rounds: _Rounds, first: _Planned) -> list[_Planned]:
    """The numbers that were tried; of two that take about as long only the smaller one."""
    best, tried = first, [first]
    kernels = len(first.plans.nests)
    step = max(1, first.count // _STEPS)
    count, worse = first.count + step, 0
    while worse < _NO_BETTER and count <= kernels:
        spent = (len(tried) + 1) * kernels > _MOST_KERNELS and len(tried) > 1
        if spent or rounds.planner.limits.stopped():
            break
        other = _or_none(rounds, count)
        worse += 1
        if other is not None and other.cost < (1 - _WORTH) * best.cost:
            best, worse = other, 0
        if other is not None and (other is best or other.cost > best.cost):
            tried.append(other)
        step *= 2
        count += step
    return tried


def _or_none(rounds: _Rounds, count: int) -> _Planned | None:
    """So many phases; None where they do not fit."""
    try:
        return rounds.plan(count)
    except WsecError as error:
        if error.exit_status is not ExitStatus.DOES_NOT_FIT:
            raise
        return None


def may_gain(plans: WaferPlans) -> bool:
    """Whether phases may have a shorter interval than what fits at once: kernels wait for buffers, or take turns on each sample.

    They are few enough to try several numbers of phases.
    """
    waiting = _scarce(plans) or not plans.decisions
    return waiting and (_NO_BETTER + 1) * len(plans.nests) <= _MOST_KERNELS


def _scarce(plans: WaferPlans) -> bool:
    return any(decision.scarce for decision in plans.decisions)


def _in_half_the_memory(
    planner: Planner, lowered: ir.Model, parts: Parts
) -> tuple[tuple[Decision, ...], int] | None:
    """The phases in one half of each core's memory, so that the weights of the next find room in the other; None where they do not fit."""
    core = planner.target.core
    half = replace(core, sram_bytes=core.code_reserve_bytes + core.data_bytes // 2)
    tight = replace(planner, target=replace(planner.target, core=half), tables={})
    try:
        return plan_parts(tight, lowered, parts)
    except WsecError as error:
        if error.exit_status is not ExitStatus.DOES_NOT_FIT:
            raise
        return None


def fits_beside(phases: Sequence[Phase], target: Target) -> bool:
    """Whether every core has room for the weights of the next phase while one works; after the last comes the first.

    States go out and come in with the turns, before work begins and after it ends: with them nothing overlaps.
    """
    if any(kernel.memory.states for phase in phases for kernel in phase.kernels):
        return False
    weights = [_painted(phase, target, lambda kernel: kernel.memory.weights) for phase in phases]
    everything = [_painted(phase, target, lambda kernel: kernel.memory.total) for phase in phases]
    return all(
        int((now + weights[(at + 1) % len(phases)]).max(initial=0)) <= target.core.sram_bytes
        for at, now in enumerate(everything)
    )


def _painted(phase: Phase, target: Target, size: Callable[[Kernel], int]) -> NDArray[np.int64]:
    """Bytes on each core, [rows, columns]."""
    cores = np.zeros((target.grid.height, target.grid.width), dtype=np.int64)
    for kernel in phase.kernels:
        place = kernel.rectangle
        cores[place.y : place.y + place.height, place.x : place.x + place.width] += size(kernel)
    return cores


def _placement(
    decisions: tuple[Decision, ...], bound: int, wafer: Wafer, target: Target, samples: int
) -> PlacementSummary:
    """The interval by the measure of the search: the sum over phases, what crosses, and a sample's share of the loads."""
    summaries = [phase.summary for phase in wafer.phases if phase.summary is not None]
    work = [samples * summary.placement.interval for summary in summaries]
    loads = [summary.load_cycles for summary in summaries]
    waited = sum(exposed_loads(loads, work, overlapped=wafer.overlapped))
    interval = sum(summary.placement.interval + summary.crossing_cycles for summary in summaries)
    least_load = memory_cycles(weight_bytes(wafer.kernels()), target)
    return summary_of_parts(
        decisions,
        interval + math.ceil(waited / samples),
        max(bound, math.ceil(least_load / samples))
        if wafer.overlapped
        else bound + math.ceil(least_load / samples),
    )


def with_summaries(
    decisions: Sequence[Decision], phases: Sequence[Phase], elsewhere: Sequence[Phase], target: Target
) -> tuple[Phase, ...]:
    """The phases of a wafer with what each costs besides its work; those of other wafers are `elsewhere`."""
    found = []
    crossing_words = words_between_phases(phases, elsewhere)
    for decision, phase, words in zip(decisions, phases, crossing_words, strict=True):
        size = weight_bytes(phase.kernels)
        crossing = (memory_cycles(target.fabric.word_bytes * each, target) for each in words)
        summary = PhaseSummary(
            placement=summary_of(decision),
            weight_bytes=size,
            load_cycles=memory_cycles(size, target),
            words_in=words[0],
            words_out=words[1],
            crossing_cycles=sum(crossing) + 2 * memory_cycles(state_bytes(phase.kernels), target),
        )
        found.append(replace(phase, summary=summary))
    return tuple(found)
