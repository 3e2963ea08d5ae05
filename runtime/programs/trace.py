"""A simulation as a trace that Chrome (about:tracing) and Perfetto show: a line for each kernel, a cycle a microsecond.

The format is Chrome's Trace Event Format: complete events (X), and metadata events (M) that name processes and threads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.runtime.programs.results import KernelResult, PhaseResult, PlanSimulation


def trace_events(simulation: PlanSimulation) -> dict[str, Any]:
    """The trace as what its JSON says; phases begin where the one before ended."""
    events: list[dict[str, Any]] = []
    start = 0
    for number, phase in enumerate(simulation.phases):
        name = f"wafer {phase.wafer}, phase {phase.phase}"
        events.append({"ph": "M", "name": "process_name", "pid": number, "tid": 0, "args": {"name": name}})
        for thread, kernel in enumerate(phase.kernels):
            arguments = {"name": kernel.name}
            events.append({"ph": "M", "name": "thread_name", "pid": number, "tid": thread, "args": arguments})
            events += [
                {**event, "pid": number, "tid": thread, "ts": event["ts"] + start} for event in _spans(kernel)
            ]
        start += phase.cycles
    return {
        "traceEvents": events,
        "displayTimeUnit": "ns",
        "otherData": {"cycles": _total(simulation.phases)},
    }


def _total(phases: tuple[PhaseResult, ...]) -> int:
    return sum(phase.cycles for phase in phases)


def _spans(kernel: KernelResult) -> Iterator[dict[str, Any]]:
    """What a kernel's cores were at for each sample, from the first core that began to the last that ended."""
    for number, times in enumerate(kernel.samples):
        steps = (
            ("exchange", times.arrived[0], times.exchanged[1]),
            ("compute", times.exchanged[0], times.computed[1]),
            ("send", times.computed[0], times.sent[1]),
        )
        for name, begin, end in steps:
            if end > begin >= 0:
                yield {
                    "ph": "X",
                    "name": name,
                    "cat": kernel.kind,
                    "ts": begin,
                    "dur": end - begin,
                    "args": {"sample": number},
                }
