"""Phases that take turns on a wafer: what each loads, reads and writes besides its work, and what that comes to."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan import HOST
from wsec.compiler.plan_checker.findings import PHASES, Finding
from wsec.compiler.plan_checker.model_facts import packed_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import KernelInput, Phase, Plan, Wafer
    from wsec.compiler.target import Target


def check_phases(plan: Plan) -> list[Finding]:
    """Findings on what the phases of a wafer say of their turns; none where nothing takes turns."""
    findings = [*_check_modes(plan), *_check_outside(plan)]
    for at, wafer in enumerate(plan.wafers):
        if findings:
            break
        if len(wafer.phases) > 1 and wafer.mode != "sequential":
            of_wafer = f"wafer {at}, " if len(plan.wafers) > 1 else ""
            for number, phase in enumerate(wafer.phases):
                findings += _check_phase(phase, f"{of_wafer}phase {number}", plan)
            findings += _check_sum(wafer, of_wafer, plan)
            if wafer.overlapped:
                findings += _check_room(wafer, of_wafer, plan)
    return findings


def _check_outside(plan: Plan) -> Iterator[Finding]:
    """The memory outside has room for the weights that come in, and for what a batch has waiting between phases."""
    memory = plan.target.external_memory
    if memory is None:
        return
    phases = [
        (phase, wafer.mode == "streaming")
        for wafer in plan.wafers
        for phase in wafer.phases
        if wafer.mode == "streaming" or phase.load is not None
    ]
    weights = {
        entry.tensor: packed_bytes(math.prod(entry.sharding.shape), entry.dtype)
        for phase, _ in phases
        for kernel in phase.kernels
        for entry in kernel.inputs
        if entry.constant
    }
    words = sum(phase.summary.words_out for phase, in_batches in phases if in_batches and phase.summary)
    least = sum(weights.values()) + plan.samples_per_phase * plan.target.fabric.word_bytes * words
    if least > memory.bytes:
        rule = "weights that come in, and what waits between phases, have room in the memory outside"
        yield Finding(PHASES, rule, "external_memory", f"at most {memory.bytes} bytes", f"{least} bytes")


def _check_modes(plan: Plan) -> Iterator[Finding]:
    """A pipeline is there at once, only streams overlap, and a phase works on some samples."""
    if plan.samples_per_phase < 1:
        rule = "a phase works on a sample at least"
        yield Finding(PHASES, rule, "samples_per_phase", "at least 1", str(plan.samples_per_phase))
    for number, wafer in enumerate(plan.wafers):
        if wafer.mode == "pipelined" and len(wafer.phases) > 1:
            rule = "all kernels of a pipelined wafer are there at once"
            yield Finding(PHASES, rule, f"wafer {number}", "1 phase", f"{len(wafer.phases)} phases")
        if wafer.overlapped and wafer.mode != "streaming":
            rule = "weights come in for the next phase where a wafer streams"
            yield Finding(PHASES, rule, f"wafer {number}", "not overlapped", f"a {wafer.mode} wafer that is")


def _check_phase(phase: Phase, where: str, plan: Plan) -> Iterator[Finding]:
    summary = phase.summary
    if summary is None:
        rule = "each of several phases says what it costs besides its work"
        yield Finding(PHASES, rule, where, "a summary", "none")
        return
    words_in, words_out = _crossing_words(phase, plan)
    weights = _weight_bytes(phase)
    for said, there, what in (
        (summary.weight_bytes, weights, "bytes of weights"),
        (summary.words_in, words_in, "words of earlier phases"),
        (summary.words_out, words_out, "words for later phases"),
    ):
        if said != there:
            rule = "a phase names the weights of its kernels and the words that cross, each tensor once"
            yield Finding(PHASES, rule, where, f"{there} {what}", f"{said} {what}")
    passing = [_cycles(words * plan.target.fabric.word_bytes, plan.target) for words in (words_in, words_out)]
    passing += 2 * [_cycles(_state_bytes(phase), plan.target)]  # other phases use their cores in between
    for cycles, least, what in (
        (summary.load_cycles, _cycles(weights, plan.target), "load weights"),
        (summary.crossing_cycles, sum(passing), "pass what crosses"),
    ):
        if cycles < least:
            rule = (
                "a phase takes the time of its weights and of what crosses, at the rate of the memory outside"
            )
            yield Finding(PHASES, rule, where, f"at least {least} cycles to {what}", f"{cycles} cycles")
    slowest = max((kernel.cycles.alone for kernel in phase.kernels), default=0)
    least = max(summary.placement.interval_bound, slowest)
    if summary.placement.interval < least:
        rule = "the interval is not below its bound, nor below a kernel's arithmetic and SRAM ports"
        found = f"{summary.placement.interval} cycles"
        yield Finding(PHASES, rule, f"{where}, placement", f"at least {least} cycles", found)


def _check_room(wafer: Wafer, of_wafer: str, plan: Plan) -> Iterator[Finding]:
    """Weights that come in while a phase works lie beside all that it has on a core."""
    shape = plan.region_height, plan.region_width
    here, coming = (np.zeros((len(wafer.phases), *shape), dtype=np.int64) for _ in range(2))
    for number, phase in enumerate(wafer.phases):
        for kernel in phase.kernels:
            place = kernel.rectangle
            cores = np.s_[number, place.y : place.y + place.height, place.x : place.x + place.width]
            here[cores] += kernel.memory.total
            coming[cores] += kernel.memory.weights
    fullest = (here + np.roll(coming, -1, axis=0)).max(axis=(1, 2), initial=0)
    for number in np.flatnonzero(fullest > plan.target.core.sram_bytes).tolist():
        rule = "the weights of the next phase have room while one works"
        expected = f"at most {plan.target.core.sram_bytes} bytes on a core"
        yield Finding(PHASES, rule, f"{of_wafer}phase {number}", expected, f"{int(fullest[number])} bytes")


def _check_sum(wafer: Wafer, of_wafer: str, plan: Plan) -> Iterator[Finding]:
    """The interval of the plan has room for all phases: work and crossings of a sample, and its share of the loads.

    Of loads that overlap, what the phase before does not hide: crossings pass the same memory. What is said of the wafer itself
    is no less.
    """
    summaries = [phase.summary for phase in wafer.phases if phase.summary is not None]
    least = sum(summary.placement.interval + summary.crossing_cycles for summary in summaries)
    loads = [summary.load_cycles for summary in summaries]
    if wafer.overlapped:
        hidden = [plan.samples_per_phase * summary.placement.interval for summary in summaries]
        loads = [max(0, load - hidden[at - 1]) for at, load in enumerate(loads)]
    least += math.ceil(Fraction(sum(loads), plan.samples_per_phase))
    interval = (wafer.placement or plan.placement).interval
    if interval < least:
        rule = "the interval is not below what all phases take of a sample"
        yield Finding(PHASES, rule, f"{of_wafer}placement", f"at least {least} cycles", f"{interval} cycles")


def _crossing_words(phase: Phase, plan: Plan) -> tuple[int, int]:
    """Words of a sample that the phase reads of others, and that others read of it."""
    own = {kernel.name for kernel in phase.kernels}
    into: dict[str, int] = {}
    out: dict[str, int] = {}
    for link in plan.links():
        if HOST in (link.source, link.target) or (link.source in own) == (link.target in own):
            continue
        side = out if link.source in own else into
        side[link.tensor] = link.words
    return sum(into.values()), sum(out.values())


def _weight_bytes(phase: Phase) -> int:
    found: dict[str, int] = {}
    for kernel in phase.kernels:
        for entry in kernel.inputs:
            if entry.constant:
                found[entry.tensor] = _bytes_of(entry)
    return sum(found.values())


def _state_bytes(phase: Phase) -> int:
    return sum(_bytes_of(entry) for kernel in phase.kernels for entry in kernel.inputs if entry.state)


def _bytes_of(entry: KernelInput) -> int:
    """Of a whole tensor of weights; two of four bits share a byte."""
    elements = math.prod(dimension.extent for dimension in entry.sharding.dimensions)
    return packed_bytes(elements, entry.dtype)


def _cycles(size: int, target: Target) -> int:
    """In which so many bytes pass between the wafer and the memory outside of it, or the host where there is none."""
    memory = target.external_memory or target.host
    seconds = 8 * size / memory.bits_per_second
    return math.floor(seconds * target.clock_hz)
