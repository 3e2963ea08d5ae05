"""How long phases take that take turns, and on how many samples each should work before the next begins.

What `runtime/phase_estimate.py` says of a plan, known before there is one: by it numbers of phases are compared.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from wsec.compiler.cost.back_pressure import settled_timing
from wsec.compiler.cost.host_clock import HostClock, host_link_cycles, host_words
from wsec.compiler.cost.phases import exposed_loads
from wsec.compiler.cost.pipeline import buffered_interval, fixed_interval
from wsec.compiler.partition import host_operators_of
from wsec.compiler.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    import onnx_ir as ir

    from wsec.compiler.plan import HostOperator, Objective, Phase, Wafer
    from wsec.compiler.target import Target

MOST_SAMPLES: Final = 1024  # of a batch that nobody asked for
_WAITED: Final = 0.1  # share of a round for which such a batch may wait for weights and for pipelines to fill


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Of a phase: cycles between two samples, those of a sample beyond that, of its weights, and of what crosses."""

    interval: int
    fill: int
    load: int
    crossing: int


def rhythms_of(wafer: Wafer, lowered: ir.Model, target: Target) -> list[Rhythm]:
    """The rhythm that each phase of a wafer settles into; kernels of a phase stand in topological order."""
    on_host = host_operators_of(lowered)
    wanted = {value.name for value in lowered.graph.outputs if value.name}
    wanted |= {name for operator in on_host for name in operator.inputs}
    return [_rhythm_of(phase, on_host, wanted, target) for phase in wafer.phases]


def _rhythm_of(
    phase: Phase, on_host: Sequence[HostOperator], wanted: Container[str], target: Target
) -> Rhythm:
    """Of one phase; `wanted` are tensors that go to the host, and not to other phases only."""
    timing = settled_timing(phase.kernels, phase.links, partial(HostClock, on_host, phase.links, target))
    kept = [link for link in phase.links if link.target != HOST or link.tensor in wanted]
    interval = max(
        host_link_cycles(max(host_words(kept)), target),
        fixed_interval(phase.kernels, phase.links),
        *(buffered_interval(link, timing) for link in phase.links),
    )
    summary = phase.summary
    load, crossing = (0, 0) if summary is None else (summary.load_cycles, summary.crossing_cycles)
    return Rhythm(interval, max(0, timing.end - interval), load, crossing)


def round_cycles(rhythms: Sequence[Rhythm], samples: int, *, overlapped: bool) -> int:
    """Cycles of a batch in all phases; of one phase, which has the wafer for itself, those of so many intervals."""
    if len(rhythms) == 1:
        return samples * rhythms[0].interval
    waited = _waited(rhythms, samples, overlapped=overlapped)
    return waited + samples * sum(each.interval + each.crossing for each in rhythms)


def samples_for(rhythms: Sequence[Rhythm], objective: Objective, *, overlapped: bool) -> int:
    """Samples of a batch: one for latency; for throughput the least power of two with which little of a round is waited."""
    if len(rhythms) == 1 or objective == "latency":
        return 1
    samples = 1
    while samples < MOST_SAMPLES:
        waited = _waited(rhythms, samples, overlapped=overlapped)
        if waited <= _WAITED * round_cycles(rhythms, samples, overlapped=overlapped):
            break
        samples *= 2
    return samples


def samples_of(wafer: Wafer, rhythms: Sequence[Rhythm], objective: Objective) -> int:
    """As `samples_for`; one where kernels keep states: a step of a decoder begins when the one before has ended."""
    if any(kernel.memory.states for kernel in wafer.kernels()):
        return 1
    return samples_for(rhythms, objective, overlapped=wafer.overlapped)


def cycles_per_sample(rhythms: Sequence[Rhythm], samples: int, *, overlapped: bool) -> int:
    """The interval of a round: a sample's share of it."""
    return math.ceil(round_cycles(rhythms, samples, overlapped=overlapped) / samples)


def _waited(rhythms: Sequence[Rhythm], samples: int, *, overlapped: bool) -> int:
    """For weights, as far as nothing hides them, and for pipelines to fill."""
    loads = [each.load for each in rhythms]
    work = [each.fill + samples * each.interval for each in rhythms]
    return sum(exposed_loads(loads, work, overlapped=overlapped)) + sum(each.fill for each in rhythms)
