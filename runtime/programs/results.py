"""What a simulation of a plan showed: cycles by kernel and phase, use of the links, stalls by cause, numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.programs.kernel_program import MARKS
from wsec.runtime.simulator.routes import Port

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.runtime.element_types import Array
    from wsec.runtime.programs.kernel_program import KernelPrograms
    from wsec.runtime.programs.phase import PhasePrograms
    from wsec.runtime.simulator.simulation import SimulationResult


@dataclass(frozen=True, slots=True)
class Comparison:
    """Numbers of the simulation beside those of the executor in ordered arithmetic, bit for bit.

    Attributes:
        name: What is compared.
        elements: How many.
        different: How many of them differ.
        first: The row-major number of the first that does; -1.
        error: The greatest absolute difference.
    """

    name: str
    elements: int
    different: int
    first: int
    error: float

    @property
    def equal(self) -> bool:
        """Whether all are the same."""
        return self.different == 0


@dataclass(frozen=True, slots=True)
class SampleTimes:
    """When the cores of a kernel came to the end of each step of a sample: (first core, last core), in cycles."""

    arrived: tuple[int, int]
    exchanged: tuple[int, int]
    computed: tuple[int, int]
    sent: tuple[int, int]


@dataclass(frozen=True, slots=True)
class KernelResult:
    """A kernel in a simulation.

    Attributes:
        name: Of the kernel.
        kind: Of the kernel.
        cores: That it has.
        samples: When it worked on each.
        exchange_cycles: From when a core has its words of the first sample to when it has its blocks, of the slowest core.
        compute_cycles: From there to its result, collectives included, of the slowest core.
        ramp_words: Words that the busiest core takes from lanes and sends into them for a sample, and those of exchanges across,
            a cycle each: what happens beside the work on other samples.
        cycles: What a sample takes, to be compared with the estimate: `ramp_words`, and from when the last core has its words of
            the first sample to the last core's result.
        estimated_cycles: What the plan says for a sample.
        input_stalls: Cycles in which a core waited for words, mean over cores.
        output_stalls: Cycles in which a core waited to send, mean over cores.
    """

    name: str
    kind: str
    cores: int
    samples: tuple[SampleTimes, ...]
    exchange_cycles: int
    compute_cycles: int
    ramp_words: int
    cycles: int
    estimated_cycles: int
    input_stalls: float
    output_stalls: float


@dataclass(frozen=True, slots=True)
class LinkResult:
    """A link in a simulation.

    Attributes:
        name: Of the link.
        source: The kernel that its words come from, or `host`.
        target: The kernel that they go to, or `host`.
        words: That leave its producer, for a sample.
        word_hops: Of a sample, over ramps and links.
        cycles: From the first core of the producer with a result to the last core of the consumer with its words, of the
            first sample; -1 where an end is the host.
        estimated_cycles: What the plan says.
    """

    name: str
    source: str
    target: str
    words: int
    word_hops: int
    cycles: int
    estimated_cycles: int


@dataclass(frozen=True, slots=True)
class PhaseResult:
    """A phase in a simulation.

    Attributes:
        wafer: Number.
        phase: Number on the wafer.
        cycles: Until all was done.
        interval: Cycles from one sample to the next at the end of the slowest kernel, the last two; 0 of one sample.
        kernels: In the order of the plan.
        links: In the order of the plan.
        busiest_port: (column, row of the region, port, words) of the port through which most words went; ramps included.
        port_use: Share of the cycles in which ports that were used at all carried a word, mean.
        stalls: Cycles that words and cores waited, by cause, sums over all routers or cores.
        word_hops: Words moved over links and ramps.
    """

    wafer: int
    phase: int
    cycles: int
    interval: int
    kernels: tuple[KernelResult, ...]
    links: tuple[LinkResult, ...]
    busiest_port: tuple[int, int, str, int]
    port_use: float
    stalls: dict[str, int]
    word_hops: int


@dataclass(frozen=True, slots=True, eq=False)
class PlanSimulation:
    """What a simulation of a plan showed.

    Attributes:
        outputs: Of the model, by name, of the last sample.
        phases: In the order in which they ran.
        comparisons: Every output of a kernel as it lies in the cores, and the outputs of the model.
        samples: That went through.
    """

    outputs: dict[str, Array]
    phases: tuple[PhaseResult, ...]
    comparisons: tuple[Comparison, ...]
    samples: int

    @property
    def cycles(self) -> int:
        """Of all phases, one after the other."""
        return sum(phase.cycles for phase in self.phases)

    @property
    def equal(self) -> bool:
        """Whether all numbers are those of the executor."""
        return all(each.equal for each in self.comparisons)


def compare(name: str, found: Array, expected: Array) -> Comparison:
    """Numbers bit for bit; what is no number equals what is none."""
    left, right = np.ascontiguousarray(found).reshape(-1), np.ascontiguousarray(expected).reshape(-1)
    if left.size != right.size:
        raise ValueError(f"{name}: {left.size} numbers, expected {right.size}")
    if right.dtype.kind == "f":
        same = (left.view(f"u{left.itemsize}") == right.view(f"u{right.itemsize}")) | (
            np.isnan(left) & np.isnan(right)
        )
    else:
        same = left == right
    wrong = np.flatnonzero(~same)
    with np.errstate(invalid="ignore"):
        error = np.abs(left[wrong].astype(np.float64) - right[wrong].astype(np.float64))
    worst = float(np.nan_to_num(error, nan=np.inf).max(initial=0.0))
    return Comparison(name, left.size, wrong.size, int(wrong[0]) if wrong.size else -1, worst)


def phase_result(programs: PhasePrograms, result: SimulationResult, wafer: int, number: int) -> PhaseResult:
    """The result of a phase's simulation in the plan's words."""
    kernels = tuple(_kernel(each, result, programs.samples) for each in programs.kernels)
    by_name = {each.name: each for each in kernels}
    ends = [kernel.samples[-1].computed[1] for kernel in kernels]
    before = [kernel.samples[-2].computed[1] for kernel in kernels if len(kernel.samples) > 1]
    interval = max((end - start for end, start in zip(ends, before, strict=False)), default=0)
    words = result.link_words
    y, x, port = np.unravel_index(int(words.argmax()), words.shape)
    used = words[words > 0]
    return PhaseResult(
        wafer=wafer,
        phase=number,
        cycles=result.cycles,
        interval=interval,
        kernels=kernels,
        links=tuple(_links(programs, by_name)),
        busiest_port=(int(x) - 1, int(y), Port(int(port)).name.lower(), int(words.max(initial=0))),
        port_use=float(used.mean() / max(1, result.cycles)) if used.size else 0.0,
        stalls={
            "link taken by another colour": int(result.link_stalls.sum()),
            "next router full": int(result.room_stalls.sum()),
            "way into the core full": int(result.ramp_stalls.sum()),
            "switch at another position": int(result.switch_stalls.sum()),
            "core waits for words": int(result.input_stalls.sum()),
            "core waits to send": int(result.output_stalls.sum()),
        },
        word_hops=result.word_hops,
    )


def _kernel(programs: KernelPrograms, result: SimulationResult, samples: int) -> KernelResult:
    kernel = programs.kernel
    place = kernel.rectangle
    section = (slice(place.y, place.y + place.height), slice(place.x + 1, place.x + 1 + place.width))
    marks = result.marks[(slice(None), *section)].reshape(-1, place.height * place.width)
    ramp_words = int((programs.received + programs.sent).max())
    times = [_times(marks[4 * sample : 4 * sample + len(MARKS)]) for sample in range(samples)]
    return KernelResult(
        name=kernel.name,
        kind=kernel.kind,
        cores=place.width * place.height,
        samples=tuple(times),
        exchange_cycles=int((marks[1] - marks[0]).max()),
        compute_cycles=int((marks[2] - marks[1]).max()),
        ramp_words=ramp_words,
        cycles=ramp_words + times[0].computed[1] - times[0].arrived[1],
        estimated_cycles=kernel.cycles.total,
        input_stalls=float(result.input_stalls[section].mean()),
        output_stalls=float(result.output_stalls[section].mean()),
    )


def _times(marks: NDArray[np.int32]) -> SampleTimes:
    spans = []
    for row in marks:
        reached = row[row >= 0]
        spans.append(
            (int(reached.min(initial=2**30)), int(reached.max(initial=0))) if reached.size else (-1, -1)
        )
    return SampleTimes(*spans)


def _links(programs: PhasePrograms, kernels: dict[str, KernelResult]) -> list[LinkResult]:
    found = []
    for words in programs.links:
        link = words.link
        hops = sum(
            int((positions * flow.settings.outputs.sum(axis=2)).sum())
            for flow, positions in zip(words.flows, words.positions, strict=True)
        )
        sent = sum(
            int(positions[flow.settings.source == Port.RAMP].sum())
            for flow, positions in zip(words.flows, words.positions, strict=True)
        )
        cycles = -1
        if link.source in kernels and link.target in kernels:
            start = kernels[link.source].samples[0].computed[0]
            cycles = kernels[link.target].samples[0].arrived[1] - start
        found.append(LinkResult(link.name, link.source, link.target, sent, hops, cycles, link.cycles))
    return found
