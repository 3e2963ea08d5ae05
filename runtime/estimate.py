"""The cycles of a plan: interval and latency of the pipeline, what limits it, and how full the cores are.

Follows from the cycles that the plan records for kernels and links, and from the target; nothing is measured.
Kernels of a phase work on different samples at once, so the slowest of them, or of the links, or too few buffers for
the samples under way, or the way in and out of the wafer or to the next one, sets the interval. Phases of a wafer take turns,
each on a batch of samples: what a round of turns takes, divided by these samples, is the interval.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wsec.compiler.cost.host_clock import host_link_cycles, host_words
from wsec.compiler.cost.phases import exposed_loads
from wsec.compiler.cost.pipeline import buffered_interval, lifetime, result_interval
from wsec.compiler.cost.turns import turns_of
from wsec.compiler.layouts import LayoutShare, layout_share, straight_links
from wsec.compiler.plan import HOST
from wsec.runtime.batch_timing import batch_stays, takes_turns
from wsec.runtime.fullest_core import fullest_core
from wsec.runtime.known_errors import KnownError, known_error, known_errors
from wsec.runtime.operations import ideal_cycles, lane_cycles, operations_of
from wsec.runtime.phase_estimate import PhaseEstimate, phase_estimate
from wsec.runtime.sample_timing import first_sample, settled_phase
from wsec.runtime.schedule import kernels_in_order
from wsec.runtime.stream_estimate import StreamEstimate, stream_estimates
from wsec.runtime.wafer_estimate import WaferEstimate, host_bound, wafer_estimates

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pandas import DataFrame

    from wsec.compiler.cost.pipeline import Timing
    from wsec.compiler.plan import Kernel, Link, Phase, Plan, Wafer
    from wsec.compiler.target import Target


@dataclass(frozen=True, slots=True)
class KernelEstimate:
    """Cycles of one sample on the busiest core of a kernel, and the memory of the fullest.

    Attributes:
        name: Of the kernel.
        kind: Of the kernel.
        operators: Nodes of the lowered model that it computes.
        split: How many ways each loop is cut.
        cores: Cores of its rectangle.
        wafer: Where it sits.
        phase: In which phase of that wafer.
        x: First column of its rectangle.
        y: First row of it.
        width: Columns of its rectangle.
        height: Rows of its rectangle.
        compute_cycles: Arithmetic.
        communication_cycles: Words between its cores.
        memory_cycles: SRAM ports.
        transfer_cycles: Words that links bring and take, through the ramp of a core.
        total_cycles: What one sample takes; arithmetic and memory overlap.
        bound_by: Which of the four is the largest part of it.
        memory_bytes: In use on its fullest core.
        operations: Of a sample, on all cores: multiply-adds, and elements computed.
        lane_share: Cycles in which all lanes of its cores would do these, over those of its arithmetic, 0 to 1.
        known_error: How far estimates of such kernels were from the simulator; None where none was compared.
    """

    name: str
    kind: str
    operators: tuple[str, ...]
    split: dict[str, int]
    cores: int
    wafer: int
    phase: int
    x: int
    y: int
    width: int
    height: int
    compute_cycles: int
    communication_cycles: int
    memory_cycles: int
    transfer_cycles: int
    total_cycles: int
    bound_by: str
    memory_bytes: int
    operations: int
    lane_share: float
    known_error: KnownError | None


@dataclass(frozen=True, slots=True)
class LinkEstimate:
    """Of a link.

    Attributes:
        name: Of the link.
        words: Of a sample.
        cycles: From the first word sent to the last word received.
        interval_cycles: The least between two samples.
        straight: Whether nothing is redistributed on the way (docs/layouts.md); None from and to the host.
    """

    name: str
    words: int
    cycles: int
    interval_cycles: int
    straight: bool | None


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """What sets the interval: `kind` is kernel, link, buffers, host, wafers, load, crossings or turns; `reason` says why in a sentence."""

    kind: str
    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class SplitShare:
    """How much of a model is computed by kernels that can be cut; the rest is unsplit, serial on one core each.

    Attributes:
        operators: Nodes of the lowered model that run on the wafer.
        split_operators: Those of them in kernels of another kind than `unsplit`.
        arithmetic: Share of the cycles of arithmetic, counted on every core that computes, of those kernels; 0 to 1.
    """

    operators: int
    split_operators: int
    arithmetic: float


@dataclass(frozen=True, slots=True)
class HostShare:
    """What of a model runs on the host, and what that costs in transfers. What the host computes is not estimated.

    Attributes:
        operators: Nodes of the lowered model that run on the host.
        tensors: That go from kernels to host operators or back, besides inputs and outputs of the model.
        words: Of these tensors, for one sample.
        cycles: In which these words pass the host's link, the directions at once.
    """

    operators: int
    tensors: int
    words: int
    cycles: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a plan is worth on its target.

    Attributes:
        model: Name of the model's file.
        target: Name of the machine.
        columns: Of the region that the compiler was given.
        rows: Of that region.
        interval_cycles: Between two samples.
        interval_bound_cycles: No placement of these kernels is faster by the measure of its search: they would need more cores
            than there are, or the host's link more words a cycle than it carries. Where links bring words in fewer cycles
            than splits counted for them, `interval_cycles` may be lower.
        latency_cycles: From the first input word to the last output word of one sample. With phases, of a whole batch: from the
            first weight of the first phase on; over several wafers one after the other.
        host_cycles: That the words of one sample need on their way in or out of a wafer, whichever takes longest.
        clock_hz: The target's clock, which turns cycles into seconds.
        interval_seconds: At that clock.
        latency_seconds: At that clock.
        samples_per_second: At that clock. By the latency where the plan keeps states: a run waits for the one before, and a
            sample is then a step of all sequences of its batch.
        bottleneck: What sets the interval.
        utilisation: Cycles of arithmetic over cycles of all cores that the compiler was given, 0 to 1, as if each core of
            a kernel had as much to do as its busiest.
        ideal_cycles: In which all lanes of all these cores would do the operations of a sample, and nothing else.
        ideal_share: That over the interval, 0 to 1.
        split: How much of the model is split.
        host: How much of it runs on the host.
        layouts: How many links need no redistribution.
        fullest_core_bytes: In use on the fullest core of all.
        fullest_kernel: The kernel it belongs to, or the turns of a wafer whose kernels all leave their weights there.
        memory_bytes: In use on all cores, as if each were as full as the fullest of its kernel.
        kernels: In the order of the plan.
        links: In the order of the plan.
        wafers: In the order of the plan.
        phases: In the order of the plan, where several take turns; else none.
        samples_per_phase: On how many samples each of them works in its turn.
        streams: Of each wafer on which they do, what it asks of the memory outside.
        known_errors: How far estimates were from what was simulated or measured, of the kinds among the kernels and of whole
            programs.
    """

    model: str
    target: str
    columns: int
    rows: int
    interval_cycles: int
    interval_bound_cycles: int
    latency_cycles: int
    host_cycles: int
    clock_hz: float
    interval_seconds: float
    latency_seconds: float
    samples_per_second: float
    bottleneck: Bottleneck
    utilisation: float
    ideal_cycles: int
    ideal_share: float
    split: SplitShare
    host: HostShare
    layouts: LayoutShare
    fullest_core_bytes: int
    fullest_kernel: str
    memory_bytes: int
    kernels: tuple[KernelEstimate, ...]
    links: tuple[LinkEstimate, ...]
    wafers: tuple[WaferEstimate, ...]
    phases: tuple[PhaseEstimate, ...]
    samples_per_phase: int
    streams: tuple[StreamEstimate, ...]
    known_errors: tuple[tuple[str, KnownError], ...]

    def to_dataframe(self) -> DataFrame:
        """One row for each kernel, in the order of the plan.

        Raises:
            WsecError: WSEC586 pandas is not installed.
        """
        from wsec.runtime.report.tables import estimate_table

        return estimate_table(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: key figures and the floorplan."""
        from wsec.runtime.report.notebook import estimate_html

        return estimate_html(self)


def estimate(plan: Plan) -> Estimate:
    """The cycles of a plan.

    Raises:
        WsecError: WSEC565 kernels wait for each other, so that there is no latency.
    """
    kernels = tuple(
        _kernel_estimate(kernel, number, position, plan.target)
        for number, wafer in enumerate(plan.wafers)
        for position, phase in enumerate(wafer.phases)
        for kernel in phase.kernels
    )
    links = tuple(plan.links())
    straight: dict[str, bool] = {}
    for wafer in plan.wafers:
        straight |= straight_links(wafer.kernels(), wafer.links())
    in_order = kernels_in_order(plan)
    turns = [_turns(number, plan, in_order) for number in range(len(plan.wafers))]
    phases = tuple(phase for of_wafer in turns for phase, _ in of_wafer)
    found = [
        _bottleneck_of_turns(of_wafer, plan.samples_per_phase) or _wafer_bottleneck(wafer, plan, in_order)
        for wafer, of_wafer in zip(plan.wafers, turns, strict=True)
    ]
    wafers = wafer_estimates(plan, [cycles for cycles, _ in found])
    host = max((wafer.outside_cycles for wafer in wafers), default=0)
    ways = "one sample in and its result out" + (", of the wafer with most words" if len(wafers) > 1 else "")
    way_in_and_out = Bottleneck("host", HOST, f"{host:,} cycles to bring {ways}")
    limits = [*found, *_between_wafers(wafers), (host, way_in_and_out)]
    interval, bottleneck = max(limits, key=_cycles_of)
    if phases:
        intervals = [cycles for cycles, _ in found]
        latency = max(stay.ends for stay in batch_stays(plan, phases, intervals, in_order))
    else:
        latency = _end(first_sample(plan, in_order))
    used = sum(kernel.compute_cycles * _computing_cores(kernel) for kernel in kernels)
    cores = plan.region_width * plan.region_height * len(plan.wafers)
    available = interval * cores
    ideal = ideal_cycles(plan.kernels(), plan.target, cores)
    fullest_bytes, fullest_owner = fullest_core(plan)
    return Estimate(
        model=plan.model,
        target=plan.target.name,
        columns=plan.region_width,
        rows=plan.region_height,
        interval_cycles=interval,
        interval_bound_cycles=max(plan.placement.interval_bound, host_bound(plan)),
        latency_cycles=latency,
        host_cycles=host,
        clock_hz=plan.target.clock_hz,
        interval_seconds=plan.target.seconds(interval),
        latency_seconds=plan.target.seconds(latency),
        samples_per_second=_per_second(plan, latency if plan.states else interval),
        bottleneck=bottleneck,
        utilisation=used / available if available else 0.0,
        ideal_cycles=ideal,
        ideal_share=min(1.0, ideal / interval) if interval else 0.0,
        split=_split_share(kernels),
        host=_host_share(plan),
        layouts=layout_share(links, straight),
        fullest_core_bytes=fullest_bytes,
        fullest_kernel=fullest_owner,
        memory_bytes=sum(kernel.memory_bytes * kernel.cores for kernel in kernels),
        kernels=kernels,
        links=tuple(
            LinkEstimate(link.name, link.words, link.cycles, link.interval, straight.get(link.name))
            for link in links
        ),
        wafers=wafers,
        phases=phases,
        samples_per_phase=plan.samples_per_phase,
        streams=stream_estimates(plan, phases),
        known_errors=known_errors(kernels),
    )


def _per_second(plan: Plan, cycles: int) -> float:
    return plan.target.clock_hz / cycles if cycles else math.inf


def _kernel_estimate(kernel: Kernel, wafer: int, phase: int, target: Target) -> KernelEstimate:
    cycles = kernel.cycles
    cores = kernel.rectangle.width * kernel.rectangle.height
    used = lane_cycles(kernel, target) / cores
    parts = {
        "compute": cycles.compute,
        "communication": cycles.communication,
        "memory": cycles.memory,
        "transfer": cycles.transfer,
    }
    return KernelEstimate(
        name=kernel.name,
        kind=kernel.kind,
        operators=kernel.operators,
        split=kernel.split,
        cores=cores,
        wafer=wafer,
        phase=phase,
        x=kernel.rectangle.x,
        y=kernel.rectangle.y,
        width=kernel.rectangle.width,
        height=kernel.rectangle.height,
        compute_cycles=cycles.compute,
        communication_cycles=cycles.communication,
        memory_cycles=cycles.memory,
        transfer_cycles=cycles.transfer,
        total_cycles=cycles.total,
        bound_by=max(parts, key=lambda part: parts[part]),
        memory_bytes=kernel.memory.total,
        operations=operations_of(kernel),
        lane_share=min(1.0, used / cycles.compute) if cycles.compute else 0.0,
        known_error=known_error(kernel.kind),
    )


def _split_share(kernels: Sequence[KernelEstimate]) -> SplitShare:
    split = [kernel for kernel in kernels if kernel.kind != "unsplit"]
    computing = sum(kernel.compute_cycles * _computing_cores(kernel) for kernel in kernels)
    of_split = sum(kernel.compute_cycles * kernel.cores for kernel in split)
    return SplitShare(
        operators=sum(len(kernel.operators) for kernel in kernels),
        split_operators=sum(len(kernel.operators) for kernel in split),
        arithmetic=of_split / computing if computing else 1.0,
    )


def _computing_cores(kernel: KernelEstimate) -> int:
    """Cores that do arithmetic: one, where it is serial."""
    return 1 if kernel.kind == "unsplit" else kernel.cores


def _phase_bottleneck(phase: Phase, timing: Timing) -> tuple[int, Bottleneck]:
    """Cycles between two samples of a phase, and the first kernel, link or buffer that takes them."""
    outgoing: dict[str, list[Link]] = {}
    for link in phase.links:
        outgoing.setdefault(link.source, []).append(link)
    found = [(kernel.cycles.total, _kernel_bottleneck(kernel)) for kernel in phase.kernels]
    found += [(link.interval, _link_bottleneck(link)) for link in phase.links]
    for kernel in phase.kernels:
        reason = "its results wait to be sent before the next sample can be computed"
        cycles = result_interval(kernel, outgoing.get(kernel.name, ()))
        found.append((cycles, Bottleneck("buffers", kernel.name, reason)))
    # where several buffers are full, those before the one that samples stay in longest wait for it
    for link in sorted(phase.links, key=lambda link: -lifetime(link, timing)):
        reason = f"a sample stays {lifetime(link, timing):,} cycles, and {link.slots} are held at most"
        found.append((buffered_interval(link, timing), Bottleneck("buffers", link.name, reason)))
    return max(found, key=_cycles_of)


def _wafer_bottleneck(wafer: Wafer, plan: Plan, in_order: Sequence[Kernel]) -> tuple[int, Bottleneck]:
    """Cycles between two samples on a wafer whose kernels all work at once, or take turns on a sample, and what takes them."""
    if wafer.mode == "sequential":
        return _sequential_bottleneck(wafer)
    for phase in wafer.phases:
        if phase.kernels or phase.links:
            return _phase_bottleneck(phase, settled_phase(phase, plan, in_order))
    return 0, Bottleneck("host", HOST, "nothing is on the wafer")


def _sequential_bottleneck(wafer: Wafer) -> tuple[int, Bottleneck]:
    """All turns of a sample, and what takes most of them: one kind of their cycles."""
    turns = turns_of(wafer.phases)
    kernels = list(wafer.kernels())
    parts = {
        "arithmetic and SRAM ports of kernels": sum(kernel.cycles.alone for kernel in kernels),
        "all-reduces and steps of kernels": sum(kernel.cycles.communication for kernel in kernels),
        "what comes to kernels from others and from outside": sum(turn.arriving for turn in turns),
    }
    waiting = sum(turn.waiting for turn in turns)
    if any(phase.load is not None for phase in wafer.phases):
        parts["waiting for weights that come in from outside"] = waiting
    total = sum(turn.total for turn in turns)
    shares = ", ".join(f"{cycles:,} for {part}" for part, cycles in parts.items())
    return total, Bottleneck("turns", f"{len(turns)} turns", f"one sample at a time: {shares}")


def _turns(at: int, plan: Plan, in_order: Sequence[Kernel]) -> list[tuple[PhaseEstimate, Bottleneck]]:
    """The phases of a wafer on which several take turns, and what sets the interval of each; none of another wafer."""
    wafer = plan.wafers[at]
    if not takes_turns(wafer):
        return []
    found = []
    for number, phase in enumerate(wafer.phases):
        timing = settled_phase(phase, plan, in_order)
        interval, bottleneck = _phase_bottleneck(phase, timing)
        turn = phase_estimate((at, number), plan, interval, timing.end)
        if turn.outside_cycles > interval:
            reason = (
                f"{turn.outside_cycles:,} cycles to bring one sample in and its result out, in {turn.name}"
            )
            bottleneck = Bottleneck("host", HOST, reason)
        found.append((turn, bottleneck))
    waited = exposed_loads(
        [turn.load_cycles for turn, _ in found],
        [turn.fill_cycles + plan.samples_per_phase * turn.interval_cycles for turn, _ in found],
        overlapped=wafer.overlapped,
    )
    return [
        (
            replace(turn, load_cycles=load, batch_cycles=turn.batch_cycles - turn.load_cycles + load),
            bottleneck,
        )
        for (turn, bottleneck), load in zip(found, waited, strict=True)
    ]


def _bottleneck_of_turns(
    turns: Sequence[tuple[PhaseEstimate, Bottleneck]], samples: int
) -> tuple[int, Bottleneck] | None:
    """A sample's share of the cycles of all turns, and what takes most of them; None where nothing takes turns."""
    if not turns:
        return None
    found: list[tuple[int, Bottleneck]] = []
    for turn, bottleneck in turns:
        name, batch = turn.name, f"each batch of {samples} sample{'s' * (samples > 1)}"
        load = f"its weights, {turn.weight_bytes:,} bytes, take {turn.load_cycles:,} cycles to come in for {batch}"
        words = turn.words_in + turn.words_out
        crossing = f"{words:,} words from and for other phases take {turn.crossing_cycles:,} cycles a sample"
        found += [
            (samples * turn.interval_cycles + turn.fill_cycles, bottleneck),
            (turn.load_cycles, Bottleneck("load", name, load)),
            (samples * turn.crossing_cycles, Bottleneck("crossings", name, crossing)),
        ]
    total = sum(turn.batch_cycles for turn, _ in turns)
    return -(-total // samples), max(found, key=_cycles_of)[1]


def _between_wafers(wafers: Sequence[WaferEstimate]) -> list[tuple[int, Bottleneck]]:
    return [
        (
            wafer.cycles_on,
            Bottleneck(
                "wafers",
                f"{number} to {number + 1}",
                f"{wafer.words_on:,} words between them take {wafer.cycles_on:,} cycles",
            ),
        )
        for number, wafer in enumerate(wafers[:-1])
    ]


def _kernel_bottleneck(kernel: Kernel) -> Bottleneck:
    cycles = kernel.cycles
    return Bottleneck(
        "kernel",
        kernel.name,
        f"{cycles.compute:,} cycles of arithmetic, {cycles.memory:,} of memory, "
        f"{cycles.communication:,} of communication, {cycles.transfer:,} of words in and out",
    )


def _link_bottleneck(link: Link) -> Bottleneck:
    lanes = _lanes(link)
    text = f"{link.words:,} words over {lanes} lanes take {link.interval:,} cycles"
    # Lanes may be filled unevenly, and share wires with other links, exchanges and collectives: the plan has the sum.
    more = link.interval > math.ceil(link.words / max(lanes, 1))
    return Bottleneck("link", link.name, f"{text}, all words on the busiest wire counted" if more else text)


def _cycles_of(item: tuple[int, Bottleneck]) -> int:
    return item[0]


def _lanes(link: Link) -> int:
    return sum(route.lanes for route in link.routes)


def _host_share(plan: Plan) -> HostShare:
    read = {name for item in plan.host_operators for name in item.inputs}
    given = {value.name for item in plan.host_operators for value in item.outputs}
    links = [
        link
        for link in plan.links()
        if (link.target == HOST and link.tensor in read) or (link.source == HOST and link.tensor in given)
    ]
    words = host_words(links)
    return HostShare(
        operators=len(plan.host_operators),
        tensors=len({link.tensor for link in links}),
        words=sum(words),
        cycles=host_link_cycles(max(words), plan.target),
    )


def _end(timings: Iterable[tuple[int, Phase, Timing]]) -> int:
    return max((timing.end for _, _, timing in timings), default=0)
