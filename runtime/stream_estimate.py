"""What wafers that stream ask of the memory outside: the rate at which their weights would be hidden, or would keep a promise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsec.compiler.cost.phases import exposed_loads, state_bytes
from wsec.runtime.batch_timing import takes_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Plan, Wafer
    from wsec.runtime.phase_estimate import PhaseEstimate

_HALVINGS: Final = 60  # of an interval of rates: as exact as floats are


@dataclass(frozen=True, slots=True)
class StreamEstimate:
    """A wafer that streams.

    Attributes:
        wafer: Which.
        source: `external memory`, or `host` where the target has none.
        batch_bytes: What comes in and goes out for a batch: weights, what crosses, states.
        bits_per_second: What the target says that the source delivers.
        hidden_bits_per_second: From which on no phase waits for its weights; None where they come in between the turns, as
            cores have no room for two phases.
        waited_cycles: For which the phases of a round wait for their weights.
    """

    wafer: int
    source: str
    batch_bytes: int
    bits_per_second: float
    hidden_bits_per_second: float | None
    waited_cycles: int


def stream_estimates(plan: Plan, phases: Sequence[PhaseEstimate]) -> tuple[StreamEstimate, ...]:
    """Every wafer that streams, given the phases of all."""
    memory = plan.target.external_memory
    found = []
    for number, wafer in enumerate(plan.wafers):
        if takes_turns(wafer):
            own = [phase for phase in phases if phase.wafer == number]
            found.append(
                StreamEstimate(
                    wafer=number,
                    source="host" if memory is None else "external memory",
                    batch_bytes=_batch_bytes(wafer, plan),
                    bits_per_second=(memory or plan.target.host).bits_per_second,
                    hidden_bits_per_second=_hidden_rate(own, plan) if wafer.overlapped else None,
                    waited_cycles=sum(phase.load_cycles for phase in own),
                )
            )
    return tuple(found)


def needed_rate(
    plan: Plan, stream: StreamEstimate, phases: Sequence[PhaseEstimate], interval: float
) -> float | None:
    """Bits a second of the memory outside with which a wafer has an interval of so many cycles; None where its work alone takes longer."""
    wafer = plan.wafers[stream.wafer]
    own = [phase for phase in phases if phase.wafer == stream.wafer]
    samples = plan.samples_per_phase
    work = [phase.fill_cycles + samples * phase.interval_cycles for phase in own]
    loads = [phase.summary.load_cycles for phase in wafer.phases if phase.summary is not None]
    crossing = samples * sum(phase.crossing_cycles for phase in own)
    allowed = samples * interval

    def round_cycles(faster: float) -> float:
        sooner = [math.ceil(load / faster) for load in loads]
        return sum(work) + crossing / faster + sum(exposed_loads(sooner, work, overlapped=wafer.overlapped))

    low, high = 1.0, 2.0
    if round_cycles(low) <= allowed:
        return stream.bits_per_second
    if sum(work) + len(loads) >= allowed:
        return None
    while round_cycles(high) > allowed:
        low, high = high, 2 * high
        if math.isinf(high):
            return None
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if round_cycles(middle) <= allowed else (middle, high)
    return high * stream.bits_per_second


def _hidden_rate(phases: Sequence[PhaseEstimate], plan: Plan) -> float:
    """At which the weights of each phase come in while the one before works."""
    samples = plan.samples_per_phase
    work = [phase.fill_cycles + samples * phase.interval_cycles for phase in phases]
    return max(
        (
            8 * phase.weight_bytes * plan.target.clock_hz / max(work[at - 1], 1)
            for at, phase in enumerate(phases)
        ),
        default=0.0,
    )


def _batch_bytes(wafer: Wafer, plan: Plan) -> int:
    summaries = [phase.summary for phase in wafer.phases if phase.summary is not None]
    words = sum(summary.words_in + summary.words_out for summary in summaries)
    of_sample = plan.target.fabric.word_bytes * words + 2 * state_bytes(wafer.kernels())
    return sum(summary.weight_bytes for summary in summaries) + plan.samples_per_phase * of_sample
