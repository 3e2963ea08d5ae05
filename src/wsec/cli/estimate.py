"""`wsec estimate`: the cycles of a plan, kernel by kernel."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from wsec.cli.command import WsecCommand, json_option, plan_argument, trace_option
from wsec.cli.decoding import write_decoding
from wsec.cli.output import (
    Column,
    count,
    hertz,
    make_console,
    percent,
    plural,
    seconds,
    write_json,
    write_labelled,
    write_table,
)
from wsec.cli.summary import (
    host_share,
    ideal_fact,
    layout_facts,
    phase_facts,
    split_share,
    stream_facts,
    wafer_facts,
)

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Rectangle
    from wsec.runtime.estimate import Estimate, KernelEstimate
    from wsec.runtime.known_errors import KnownError

_COLUMNS = (
    Column("kernel", elastic=True),
    Column("kind", from_width=70, elastic=True),
    Column("split", from_width=110),
    Column("rectangle", from_width=120),
    Column("compute", right=True, from_width=80),
    Column("lanes", right=True, from_width=130),
    Column("communic.", right=True, from_width=80),
    Column("memory", right=True, from_width=80),
    Column("in and out", right=True, from_width=90),
    Column("total", right=True),
    Column("bound by", from_width=40),
    Column("error", right=True, from_width=100),
)


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec estimate model.plan --top 10
  wsec estimate model.plan --trace trace.json
  wsec estimate decode.plan --prefill prefill.plan

Cycles are of one sample on the busiest core of a kernel. Arithmetic and memory overlap, communication and the words that
come in and go out do not. Lanes is the share of them that arithmetic keeps busy.""",
)
@plan_argument
@click.option("--top", type=click.IntRange(min=1), help="Show only so many kernels, the slowest first.")
@click.option(
    "--prefill",
    metavar="PLAN2",
    help="The plan of the prefill: what a decoder's first token takes.  [default: the one compiled with it]",
)
@trace_option
@json_option
def estimate(*, plan: str, top: int | None, prefill: str | None, trace: Path | None, as_json: bool) -> None:
    """Estimate the cycles of the plan in the folder PLAN, from its records and the analytic model of its target."""
    from wsec.loaded_plan import load_plan

    if trace is not None:
        from wsec.runtime.trace_events import TRACE_FILE

        TRACE_FILE.check_place(trace)
    loaded = load_plan(plan)
    result = loaded.estimate()
    decoding = loaded.decoding(prefill)
    if trace is not None:
        from wsec.runtime.estimate_trace import estimate_trace
        from wsec.runtime.trace_events import write_trace

        write_trace(trace, estimate_trace(loaded.record, result))
    shown = list(zip(result.kernels, loaded.record.kernels(), strict=True))
    if top is not None:
        shown = sorted(shown, key=lambda pair: -pair[0].total_cycles)[:top]
    if as_json:
        of_decoder = None if decoding is None else asdict(decoding)
        kernels = [asdict(kernel) for kernel, _ in shown]
        write_json({**asdict(result), "kernels": kernels, "decoding": of_decoder})
        return
    console = make_console()
    write_table(console, _COLUMNS, [_row(kernel, record.rectangle) for kernel, record in shown])
    if len(shown) < len(result.kernels):
        console.print(f"{plural(len(result.kernels) - len(shown), 'faster kernel')} not shown")
    console.print()
    facts = _facts(result, decodes=decoding is not None)
    if trace is not None:
        facts.append(("trace", str(trace)))
    write_labelled(console, facts)
    if decoding is not None:
        write_decoding(console, decoding)


def _row(kernel: KernelEstimate, rectangle: Rectangle) -> tuple[str, ...]:
    return (
        kernel.name,
        kernel.kind,
        " ".join(f"{loop}={parts}" for loop, parts in kernel.split.items() if parts > 1) or "-",
        f"{rectangle.width} x {rectangle.height} at {rectangle.x},{rectangle.y}",
        count(kernel.compute_cycles),
        percent(kernel.lane_share),
        count(kernel.communication_cycles),
        count(kernel.memory_cycles),
        count(kernel.transfer_cycles),
        count(kernel.total_cycles),
        kernel.bound_by,
        "-" if kernel.known_error is None else f"{percent(kernel.known_error.mean)}",
    )


def _facts(result: Estimate, *, decodes: bool) -> list[tuple[str, str]]:
    """Of a decoder no samples per second: a sample is a token, which waits for the one before."""
    throughput = f"{count(result.samples_per_second)} samples/s at {hertz(result.clock_hz)}"
    return [
        ("interval", f"{count(result.interval_cycles)} cycles"),
        ("bottleneck", f"{result.bottleneck.kind} {result.bottleneck.name}: {result.bottleneck.reason}"),
        *wafer_facts(result.wafers),
        *phase_facts(result.phases, result.samples_per_phase),
        *stream_facts(result.streams),
        ("latency", f"{count(result.latency_cycles)} cycles, {seconds(result.latency_seconds)}"),
        *([] if decodes else [("throughput", throughput)]),
        ("split", split_share(result.split)),
        *layout_facts(result.layouts),
        *([("on the host", host_share(result.host, result.split))] if result.host.operators else []),
        ("utilisation", f"{percent(result.utilisation)} of the cycles of all cores compute"),
        ("ideal", ideal_fact(result.ideal_cycles, result.ideal_share)),
        ("known error", "; ".join(map(_known_error, result.known_errors))),
    ]


def _known_error(subject: tuple[str, KnownError]) -> str:
    what, error = subject
    return (
        f"{what} {percent(error.mean)}, at most {percent(error.worst)} "
        f"({error.against}, {error.configurations} configurations, {error.date})"
    )
