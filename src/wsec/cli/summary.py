"""What a compilation came to: the facts that `wsec compile` prints, as one record that is also its JSON object."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from wsec.cli.output import (
    bandwidth,
    count,
    hertz,
    kibibytes,
    make_console,
    percent,
    plural,
    printable,
    seconds,
    write_json,
    write_labelled,
)

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from wsec.compiler.layouts import LayoutShare
    from wsec.compiler.plan import Alternative
    from wsec.loaded_plan import Plan
    from wsec.runtime.estimate import Bottleneck, HostShare, SplitShare
    from wsec.runtime.phase_estimate import PhaseEstimate
    from wsec.runtime.stream_estimate import StreamEstimate
    from wsec.runtime.wafer_estimate import WaferEstimate

_SHOWN_NAMES = 4
_SHOWN_NOTES = 8


@dataclass(frozen=True, slots=True)
class FullestCore:
    """Bytes of memory in use on the core that needs most, which kernel it belongs to, and how many there are."""

    kernel: str
    bytes: int
    sram_bytes: int


@dataclass(frozen=True, slots=True)
class Summary:
    """The result of `wsec compile`.

    Attributes:
        plan: The folder of the plan.
        model: Name of the model's file.
        target: Name of the machine.
        columns: Columns of it that the compiler was given.
        rows: Rows of it that the compiler was given.
        kernels: How many there are.
        links: How many there are.
        split: Operators on the wafer, those that are split, and their share of the arithmetic.
        unsplit: Operators whose arithmetic runs on one core.
        host: How much runs on the host, and what goes between it and the wafer for that.
        host_operators: Operators that run on the host.
        layouts: Links between kernels, those of them that need no redistribution, and the words of both.
        cores_used: Cores that belong to a kernel.
        cores: Cores that the compiler was given, on all wafers.
        wafers: Each wafer, and what goes from it to the next.
        phases: Each phase, and what it costs besides its work, where several take turns.
        samples_per_phase: On how many samples a phase works in its turn.
        streams: Of each wafer with such phases, what it asks of the memory outside.
        interval_cycles: Cycles between two samples.
        interval_bound_cycles: Of the host's link, and of placement by the measure of its search.
        ideal_cycles: In which all lanes of all cores would do the operations of a sample.
        ideal_share: That over the interval.
        gap: What placement reached over its bound, minus one.
        placement_interval_cycles: Cycles of the slowest kernel, and of words across edges, as the search counts them: the interval
            counts links and how words come home too. Of several phases, the sum, with what crosses and a sample's share of
            the loads.
        placement_bound_cycles: No placement reaches less by that measure, no division into phases a lower sum.
        interrupted: The search was stopped by Ctrl-C.
        placement_method: Which stage of the search found the placement.
        bottleneck: What limits the interval.
        latency_cycles: From the first word in to the last word out.
        latency_seconds: The same at the clock.
        samples_per_second: At the clock.
        clock_hz: The clock of the target.
        fullest_core: Memory in use where it is most.
        notes: What the compiler assumed or changed.
        alternatives: What other modes would have cost, where the compiler chose one.
        absent_weights: Files of weights that were not there, without which the plan cannot be run.
        stage_seconds: Time that each stage took on this machine.
        prefill: What the prefill that was compiled with a decoder came to.
        tokens_per_second: Of a decoder, all sequences together, at the context of its cache.
    """

    plan: str
    model: str
    target: str
    columns: int
    rows: int
    kernels: int
    links: int
    split: SplitShare
    unsplit: tuple[str, ...]
    host: HostShare
    host_operators: tuple[str, ...]
    layouts: LayoutShare
    cores_used: int
    cores: int
    wafers: tuple[WaferEstimate, ...]
    phases: tuple[PhaseEstimate, ...]
    samples_per_phase: int
    streams: tuple[StreamEstimate, ...]
    interval_cycles: int
    interval_bound_cycles: int
    ideal_cycles: int
    ideal_share: float
    gap: float
    placement_interval_cycles: int
    placement_bound_cycles: int
    interrupted: bool
    placement_method: str
    bottleneck: Bottleneck
    latency_cycles: int
    latency_seconds: float
    samples_per_second: float
    clock_hz: float
    fullest_core: FullestCore
    notes: tuple[str, ...]
    alternatives: tuple[Alternative, ...]
    absent_weights: tuple[str, ...]
    stage_seconds: dict[str, float]
    prefill: PrefillSummary | None = None
    tokens_per_second: float | None = None


@dataclass(frozen=True, slots=True)
class PrefillSummary:
    """The plan of a prefill beside that of its decoder: its folder, its latency, and notes of what both share."""

    plan: str
    latency_cycles: int
    latency_seconds: float
    notes: tuple[str, ...]


def summarize(plan: Plan, folder: Path, stage_seconds: Mapping[str, float]) -> Summary:
    """The facts of a plan in `folder`, which took `stage_seconds` to make."""
    record = plan.record
    estimate = plan.estimate()
    placed = record.placement
    return Summary(
        plan=str(folder),
        model=record.model,
        target=record.target.name,
        columns=record.region_width,
        rows=record.region_height,
        kernels=sum(1 for _ in record.kernels()),
        links=sum(1 for _ in record.links()),
        split=estimate.split,
        unsplit=tuple(
            name for kernel in record.kernels() if kernel.kind == "unsplit" for name in kernel.operators
        ),
        host=estimate.host,
        host_operators=tuple(item.name for item in record.host_operators),
        layouts=estimate.layouts,
        cores_used=sum(wafer.cores_used for wafer in estimate.wafers),
        cores=record.region_width * record.region_height * len(record.wafers),
        wafers=estimate.wafers,
        phases=estimate.phases,
        samples_per_phase=estimate.samples_per_phase,
        streams=estimate.streams,
        interval_cycles=estimate.interval_cycles,
        interval_bound_cycles=estimate.interval_bound_cycles,
        ideal_cycles=estimate.ideal_cycles,
        ideal_share=estimate.ideal_share,
        gap=placed.interval / placed.interval_bound - 1 if placed.interval_bound else 0.0,
        placement_interval_cycles=placed.interval,
        placement_bound_cycles=placed.interval_bound,
        interrupted=placed.interrupted,
        placement_method=placed.method,
        bottleneck=estimate.bottleneck,
        latency_cycles=estimate.latency_cycles,
        latency_seconds=estimate.latency_seconds,
        samples_per_second=estimate.samples_per_second,
        clock_hz=estimate.clock_hz,
        fullest_core=FullestCore(
            estimate.fullest_kernel, estimate.fullest_core_bytes, record.target.core.sram_bytes
        ),
        notes=record.notes,
        alternatives=record.alternatives,
        absent_weights=record.absent_weights,
        stage_seconds=dict(stage_seconds),
        prefill=None if plan.prefill is None else _of_prefill(plan.prefill),
        tokens_per_second=_tokens_per_second(plan),
    )


def _tokens_per_second(plan: Plan) -> float | None:
    decoding = plan.decoding()
    return None if decoding is None else decoding.tokens_per_second


def _of_prefill(plan: Plan) -> PrefillSummary:
    estimate = plan.estimate()
    return PrefillSummary(
        str(plan.folder), estimate.latency_cycles, estimate.latency_seconds, plan.record.notes
    )


def write_summary(summary: Summary, *, as_json: bool) -> None:
    """Print a summary on stdout: as one JSON object, or as lines that fit the terminal."""
    if as_json:
        write_json(asdict(summary))
        return
    console = make_console()
    title = f"{summary.model} on {summary.target}, {summary.columns} x {summary.rows} cores"
    console.print(printable(title), style="bold", soft_wrap=True)
    write_labelled(console, _facts(summary), indent=2)
    of_prefill = () if summary.prefill is None else (f"prefill: {note}" for note in summary.prefill.notes)
    notes = (*summary.notes, *of_prefill)
    if notes:
        console.print()
        write_labelled(
            console,
            (("note", note) for note in _first(notes, _SHOWN_NOTES, "more notes: see --json")),
        )
    console.print()
    following = "estimate" if summary.absent_weights else "run"
    options = "" if summary.absent_weights else " --verify"
    write_labelled(console, (("next", f"wsec {following} {summary.plan}{options}"),), indent=2)


def _facts(summary: Summary) -> list[tuple[str, str]]:
    core = summary.fullest_core
    total = sum(summary.stage_seconds.values())
    stages = ", ".join(f"{name} {seconds(duration)}" for name, duration in summary.stage_seconds.items())
    facts = [
        ("kernels", f"{plural(summary.kernels, 'kernel')}, {plural(summary.links, 'link')}"),
        *layout_facts(summary.layouts),
        ("split", split_share(summary.split)),
        (
            "cores",
            f"{count(summary.cores_used)} of {count(summary.cores)}, {percent(summary.cores_used / summary.cores)}",
        ),
        ("mode", mode_fact(summary.wafers)),
        *wafer_facts(summary.wafers),
        *phase_facts(summary.phases, summary.samples_per_phase),
        *stream_facts(summary.streams),
        (
            "interval",
            f"{count(summary.interval_cycles)} cycles: {summary.bottleneck.kind} {summary.bottleneck.name}",
        ),
        ("bottleneck", summary.bottleneck.reason),
        ("ideal", ideal_fact(summary.ideal_cycles, summary.ideal_share)),
        *_placed(summary),
        ("latency", f"{count(summary.latency_cycles)} cycles, {seconds(summary.latency_seconds)}"),
        ("throughput", _throughput(summary)),
    ]
    if summary.prefill is not None:
        took = f"{count(summary.prefill.latency_cycles)} cycles, {seconds(summary.prefill.latency_seconds)}"
        facts.append(("prefill", f"{took}, in turns on the cores of the decoder"))
    if core.kernel:
        used = f"{kibibytes(core.bytes)} of {kibibytes(core.sram_bytes)}"
        facts.append(("memory", f"{used} on the fullest core, of {core.kernel}"))
    if summary.unsplit:
        names = ", ".join(_first(summary.unsplit, _SHOWN_NAMES, "more"))
        facts.append(("unsplit", f"{plural(len(summary.unsplit), 'operator')} on one core each: {names}"))
    if summary.host_operators:
        names = ", ".join(_first(summary.host_operators, _SHOWN_NAMES, "more"))
        facts.append(("on the host", f"{host_share(summary.host, summary.split)}: {names}"))
    if summary.interrupted:
        facts.append(("interrupted", "the search was stopped; this is the best legal plan it had found"))
    return [*facts, ("took", f"{seconds(total)}: {stages}"), ("plan", summary.plan)]


def _throughput(summary: Summary) -> str:
    """Samples in a second, or tokens of a decoder: a step waits for the token of the step before."""
    if summary.tokens_per_second is None:
        return f"{count(summary.samples_per_second)} samples/s at {hertz(summary.clock_hz)}"
    return f"{count(summary.tokens_per_second)} tokens/s at {hertz(summary.clock_hz)}"


def mode_fact(wafers: tuple[WaferEstimate, ...]) -> str:
    """How kernels share the wafers, in a word, or one for each wafer."""
    modes = [wafer.mode for wafer in wafers]
    return modes[0] if len(set(modes)) == 1 else ", ".join(modes)


def wafer_facts(wafers: tuple[WaferEstimate, ...]) -> list[tuple[str, str]]:
    """Of several wafers, each in a line, with what goes on to the next."""
    if len(wafers) == 1:
        return []
    facts = []
    for number, wafer in enumerate(wafers):
        fact = (
            f"{plural(wafer.kernels, 'kernel')} on {plural(wafer.cores_used, 'core')}, "
            f"interval {count(wafer.interval_cycles)} cycles"
        )
        if number < len(wafers) - 1:
            fact += (
                f"; on to the next {plural(wafer.words_on, 'word')} of {plural(wafer.tensors_on, 'tensor')}, "
                f"{plural(wafer.cycles_on, 'cycle')}"
            )
        facts.append((f"wafer {number}", fact))
    return facts


def phase_facts(phases: tuple[PhaseEstimate, ...], samples: int) -> list[tuple[str, str]]:
    """Of several phases, each in a line, with what it costs besides its work; of those of one wafer also a whole batch."""
    facts = []
    for phase in phases:
        fact = (
            f"{plural(phase.kernels, 'kernel')} on {plural(phase.cores_used, 'core')}, "
            f"interval {count(phase.interval_cycles)} cycles, fill {count(phase.fill_cycles)}, "
            f"load {count(phase.load_cycles)} for {plural(phase.weight_bytes, 'byte')} of weights, "
            f"crossings {count(phase.crossing_cycles)} for {plural(phase.words_in, 'word')} in and {count(phase.words_out)} out"
        )
        facts.append((phase.name, fact))
    if facts and len({phase.wafer for phase in phases}) == 1:
        total = sum(phase.batch_cycles for phase in phases)
        facts.append(("batch", f"{count(total)} cycles for {plural(samples, 'sample')}"))
    return facts


def ideal_fact(cycles: int, share: float) -> str:
    """What all lanes would take, in a line."""
    return f"{plural(cycles, 'cycle')} if all lanes of all cores were busy, {percent(share)} of the interval"


def stream_facts(streams: tuple[StreamEstimate, ...]) -> list[tuple[str, str]]:
    """Of each wafer that streams, in a line, what it asks of the memory outside, and what there is."""
    facts = []
    for stream in streams:
        rate = f"{bandwidth(stream.bits_per_second)} from the {stream.source}"
        if stream.hidden_bits_per_second is None:
            said = "weights come in between turns: cores have no room for those of two phases, or keep states"
        elif stream.waited_cycles:
            said = f"bound by weights: {bandwidth(stream.hidden_bits_per_second)} would hide them all"
        else:
            said = f"weights are hidden, which takes {bandwidth(stream.hidden_bits_per_second)}"
        name = f"stream {stream.wafer}" if len(streams) > 1 else "stream"
        facts.append((name, f"{plural(stream.batch_bytes, 'byte')} for a batch, {rate}; {said}"))
    return facts


def split_share(share: SplitShare) -> str:
    """How much of a model is split, in a line."""
    operators = f"{count(share.split_operators)} of {plural(share.operators, 'operator')}"
    return f"{operators}, {percent(share.arithmetic)} of the arithmetic"


def layout_facts(share: LayoutShare) -> list[tuple[str, str]]:
    """How many links between kernels need no redistribution, in a line, where there are any."""
    if not share.links:
        return []
    links = f"{count(share.straight_links)} of {plural(share.links, 'link')} between kernels straight"
    words = percent(share.straight_words / share.words) if share.words else percent(0.0)
    return [
        (
            "layouts",
            f"{links}, {words} of the words; {count(share.links - share.straight_links)} redistribute",
        )
    ]


def host_share(host: HostShare, split: SplitShare) -> str:
    """How much of a model runs on the host, and what that costs in transfers."""
    total = host.operators + split.operators
    operators = f"{count(host.operators)} of {plural(total, 'operator')}, {percent(host.operators / total)}"
    if not host.tensors:
        return operators
    crossing = f"{plural(host.tensors, 'tensor')} to and fro, {plural(host.words, 'word')}"
    return f"{operators}; {crossing}, {plural(host.cycles, 'cycle')} of its link"


def _placed(summary: Summary) -> list[tuple[str, str]]:
    """What placement reached by its own measure, and how much a better one could gain of that."""
    cycles, bound = summary.placement_interval_cycles, summary.placement_bound_cycles
    if not bound:
        return []
    alone = "kernels and edges alone" + (", loads and crossings" if summary.phases else "")
    gap = (
        f"{percent(summary.gap)} above its bound of {count(bound)}"
        if cycles > bound
        else "which is its bound"
    )
    return [("placement", f"{count(cycles)} cycles for {alone}, {gap}")]


def _first(texts: tuple[str, ...], limit: int, rest: str) -> list[str]:
    """The first `limit` texts, and how many more there are."""
    if len(texts) <= limit:
        return list(texts)
    return [*texts[:limit], f"{len(texts) - limit} {rest}"]
