"""An estimate as a trace: when phases, kernels and links are at work on the first samples.

The first sample goes through an empty pipeline; each that follows does the same an interval later, which is what the estimate
says of it. Of phases that take turns one round is drawn: weights come in, then the samples of the batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wsec.runtime.batch_timing import batch_stays
from wsec.runtime.sample_timing import first_sample
from wsec.runtime.schedule import kernels_in_order
from wsec.runtime.trace_events import Span, trace_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.cost.pipeline import Timing
    from wsec.compiler.plan import Kernel, Link, Phase, Plan
    from wsec.runtime.estimate import Estimate

SAMPLES: Final = 4
"""How many are drawn: enough to see the pipeline fill and its rhythm."""


def estimate_trace(plan: Plan, estimate: Estimate) -> dict[str, Any]:
    """The trace of a plan's estimate, as what its JSON says: a process for each wafer."""
    in_order = kernels_in_order(plan)
    if estimate.phases:
        samples = min(SAMPLES, plan.samples_per_phase)
        spans = list(_turns(plan, estimate, in_order, samples))
        cycles = estimate.latency_cycles
    else:
        samples = SAMPLES
        interval = estimate.interval_cycles
        spans = []
        for wafer, phase, timing in first_sample(plan, in_order):
            process, end = f"wafer {wafer}", timing.end + (samples - 1) * interval
            begin = min([*timing.start.values(), timing.end])
            if end > begin:
                spans.append(Span(process, "phases", "phase 0", "phase", begin, end, {"interval": interval}))
            spans += _phase_spans(process, phase, timing, [number * interval for number in range(samples)])
        cycles = estimate.latency_cycles + (samples - 1) * interval
    return trace_document(spans, cycles, samples=samples, interval_cycles=estimate.interval_cycles)


def _turns(plan: Plan, estimate: Estimate, in_order: Sequence[Kernel], samples: int) -> Iterator[Span]:
    """A batch through all wafers, of which some have phases that take turns, each with the first samples of it."""
    intervals = [wafer.interval_cycles for wafer in estimate.wafers]
    for stay in batch_stays(plan, estimate.phases, intervals, in_order):
        process, name = f"wafer {stay.wafer}", f"phase {stay.number}"
        if stay.ends > stay.begins:
            arguments = {"interval": stay.step, "samples": plan.samples_per_phase}
            if stay.turn is not None:
                arguments["interval"] = stay.turn.interval_cycles
            yield Span(process, "phases", name, "phase", stay.begins, stay.ends, arguments)
        if stay.turn is not None and stay.turn.load_cycles:
            weights = {"bytes": stay.turn.weight_bytes}
            yield Span(process, "weights", f"weights of {name}", "load", stay.begins, stay.works, weights)
        starts = [stay.works + each * stay.step for each in range(samples)]
        yield from _phase_spans(process, stay.phase, stay.timing, starts)


def _phase_spans(process: str, phase: Phase, timing: Timing, starts: Sequence[int]) -> Iterator[Span]:
    for kernel in phase.kernels:
        cycles = kernel.cycles
        for number, at in enumerate(starts):
            arguments: dict[str, int | str] = {
                "sample": number,
                "kind": kernel.kind,
                "compute": cycles.compute,
                "communication": cycles.communication,
                "memory": cycles.memory,
                "transfer": cycles.transfer,
            }
            begin, end = at + timing.start[kernel.name], at + timing.finish[kernel.name]
            if end > begin:
                yield Span(process, kernel.name, kernel.kind, "kernel", begin, end, arguments)
    for link in phase.links:
        yield from _link_spans(process, link, timing, starts)


def _link_spans(process: str, link: Link, timing: Timing, starts: Sequence[int]) -> Iterator[Span]:
    """From the producer's result on; the host, and other wafers, are taken to send when the tensor is due."""
    if link.source in timing.finish:
        begin = timing.finish[link.source]
    elif link.target in timing.start:
        begin = max(0, timing.start[link.target] - link.cycles)
    else:
        return
    for number, at in enumerate(starts):
        if link.cycles > 0:
            arguments = {"sample": number, "words": link.words}
            start, end = at + begin, at + begin + link.cycles
            yield Span(process, f"link {link.name}", "words", "link", start, end, arguments, link.words)
