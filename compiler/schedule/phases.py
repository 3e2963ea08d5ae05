"""A model in phases that take turns on one wafer: its kernels divided, each phase planned on the whole grid, and joined.

A phase works on a batch of samples; then the weights of the next are loaded. What crosses waits outside of the wafer.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir
    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, Phase
    from wsec.compiler.planning import Decision, Planner
    from wsec.compiler.target import Target


def plan_phases(planner: Planner, lowered: ir.Model, phases: int | None, samples: int) -> WaferPlans:
    """Plan a lowered model in so many phases, or in the fewest that fit where none are said.

    Args:
        planner: Its grid is that of each phase.
        lowered: The model.
        phases: How many take turns.
        samples: Of a batch, at least 1.

    Raises:
        WsecError: WSEC3xx where it does not fit; WSEC361 no such number of phases.
    """
    return fewest(lambda count: _plan_exactly(planner, lowered, count, samples), phases)


def _plan_exactly(planner: Planner, lowered: ir.Model, phases: int, samples: int) -> WaferPlans:
    if phases == 1:
        return plan_whole(planner, lowered)
    out_and_in = 2 * planner.target.fabric.word_bytes * cycles_per_byte(planner.target)
    parts = Parts("phase", phases, out_and_in, "sum")
    decisions, bound = plan_parts(planner, lowered, parts)
    found = _joined(decisions, bound, planner.target, samples)
    if found.wafers[0].overlapped:
        return found
    other = _in_half_the_memory(planner, lowered, parts, samples)
    if other is None or other.placement.interval >= found.placement.interval:
        return found
    return other


def _in_half_the_memory(planner: Planner, lowered: ir.Model, parts: Parts, samples: int) -> WaferPlans | None:
    """The phases in one half of each core's memory, so that the weights of the next find room in the other; None where they do not fit."""
    core = planner.target.core
    half = replace(core, sram_bytes=core.code_reserve_bytes + core.data_bytes // 2)
    tight = replace(planner, target=replace(planner.target, core=half), tables={})
    try:
        decisions, bound = plan_parts(tight, lowered, parts)
    except WsecError as error:
        if error.exit_status is not ExitStatus.DOES_NOT_FIT:
            raise
        return None
    return _joined(decisions, bound, planner.target, samples)


def _fits_beside(phases: Sequence[Phase], target: Target) -> bool:
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


def _joined(decisions: tuple[Decision, ...], bound: int, target: Target, samples: int) -> WaferPlans:
    joined = joined_phases(decisions)
    summaries = _summaries(decisions, joined, target)
    overlapped = _fits_beside(joined, target)
    work = [samples * summary.placement.interval for summary in summaries]
    exposed = exposed_loads([summary.load_cycles for summary in summaries], work, overlapped=overlapped)
    loads = sum(exposed)
    interval = sum(summary.placement.interval + summary.crossing_cycles for summary in summaries)
    least_load = memory_cycles(weight_bytes(kernel for phase in joined for kernel in phase.kernels), target)
    phases = tuple(replace(phase, summary=summary) for phase, summary in zip(joined, summaries, strict=True))
    summary = summary_of_parts(
        decisions,
        interval + math.ceil(loads / samples),
        max(bound, math.ceil(least_load / samples))
        if overlapped
        else bound + math.ceil(least_load / samples),
    )
    return WaferPlans((Wafer(phases, mode="streaming", overlapped=overlapped),), decisions, summary)


def _summaries(decisions: Sequence[Decision], phases: Sequence[Phase], target: Target) -> list[PhaseSummary]:
    found = []
    for decision, phase, words in zip(decisions, phases, words_between_phases(phases), strict=True):
        size = weight_bytes(phase.kernels)
        crossing = (memory_cycles(target.fabric.word_bytes * each, target) for each in words)
        found.append(
            PhaseSummary(
                placement=summary_of(decision),
                weight_bytes=size,
                load_cycles=memory_cycles(size, target),
                words_in=words[0],
                words_out=words[1],
                crossing_cycles=sum(crossing) + 2 * memory_cycles(state_bytes(phase.kernels), target),
            )
        )
    return found
