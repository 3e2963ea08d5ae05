"""A simulation as a trace: what each kernel was at, and how long each link had words on its way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wsec.compiler.plan import HOST
from wsec.runtime.trace_events import Span, trace_document

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.runtime.programs.results import (
        KernelResult,
        LinkResult,
        PhaseResult,
        PlanSimulation,
        SampleTimes,
    )


def trace_events(simulation: PlanSimulation) -> dict[str, Any]:
    """The trace as what its JSON says: a process for each wafer; phases begin where the one before ended."""
    spans: list[Span] = []
    start = 0
    for phase in simulation.phases:
        spans += _phase_spans(phase, start)
        start += phase.cycles
    return trace_document(spans, simulation.cycles, samples=simulation.samples)


def _phase_spans(phase: PhaseResult, start: int) -> Iterator[Span]:
    process = f"wafer {phase.wafer}"
    name = f"phase {phase.phase}"
    yield Span(process, "phases", name, "phase", start, start + phase.cycles, {"interval": phase.interval})
    for kernel in phase.kernels:
        yield from _kernel_spans(kernel, process, start)
    by_name = {kernel.name: kernel.samples for kernel in phase.kernels}
    for link in phase.links:
        yield from _link_spans(link, by_name, process, start)


def _kernel_spans(kernel: KernelResult, process: str, start: int) -> Iterator[Span]:
    """What a kernel's cores were at for each sample, from the first core that began to the last that ended.

    Cores do not keep in step, so that steps overlap: each has a track.
    """
    for number, times in enumerate(kernel.samples):
        steps = (
            ("exchange", times.arrived[0], times.exchanged[1]),
            ("compute", times.exchanged[0], times.computed[1]),
            ("send", times.computed[0], times.sent[1]),
        )
        for name, begin, end in steps:
            if end > begin >= 0:
                track = f"{kernel.name}: {name}"
                arguments: dict[str, int | str] = {"sample": number, "kind": kernel.kind}
                yield Span(process, track, name, "kernel", start + begin, start + end, arguments)


def _link_spans(
    link: LinkResult, samples: dict[str, tuple[SampleTimes, ...]], process: str, start: int
) -> Iterator[Span]:
    """From the first result of its producer to the last word at its consumer; of links from the host nobody knows when."""
    if link.source not in samples:
        return
    for number, made in enumerate(samples[link.source]):
        end = made.sent[1] if link.target == HOST else samples[link.target][number].arrived[1]
        begin = made.computed[0]
        if end > begin >= 0:
            arguments = {"sample": number, "words": link.words, "word_hops": link.word_hops}
            where = f"link {link.name}"
            yield Span(process, where, "words", "link", start + begin, start + end, arguments, link.words)
