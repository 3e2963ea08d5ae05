"""`wsec simulate`: a plan run cycle by cycle, word by word, beside what the estimate says."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsec.cli.command import WsecCommand, json_option, plan_argument, trace_option
from wsec.cli.output import (
    Column,
    count,
    make_console,
    percent,
    plural,
    seconds,
    write_json,
    write_labelled,
    write_table,
)
from wsec.cli.progress import show_status
from wsec.compiler.errors import ExitStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.runtime.estimate import Estimate
    from wsec.runtime.programs.results import Comparison, KernelResult, PhaseResult, PlanSimulation

_COLUMNS = (
    Column("kernel", elastic=True),
    Column("kind", from_width=80, elastic=True),
    Column("cores", right=True, from_width=100),
    Column("arrived", right=True, from_width=60),
    Column("ramp", right=True, from_width=100),
    Column("exchange", right=True, from_width=90),
    Column("compute", right=True, from_width=90),
    Column("cycles", right=True),
    Column("estimate", right=True),
    Column("error", right=True, from_width=60),
)


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec simulate model.plan
  wsec simulate model.plan --trace trace.json

Cycles of a kernel are what a sample takes there: words through the ramps of its busiest core, exchanges, arithmetic and
collectives. Exit status 1 where a number differs from the executor's.""",
)
@plan_argument
@click.option(
    "--inputs",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="An .npz file, for every sample; random inputs without it, of each sample its own.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of random inputs."
)
@click.option(
    "--samples",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="How many go through the pipeline.",
)
@trace_option
@click.option("--max-cycles", type=click.IntRange(min=1), help="Give up after so many cycles of a phase.")
@click.option("--threads", type=click.IntRange(1, 64), default=1, show_default=True, help="Of the simulator.")
@json_option
@click.pass_context
def simulate(
    ctx: click.Context,
    *,
    plan: str,
    inputs: Path | None,
    seed: int,
    samples: int,
    trace: Path | None,
    max_cycles: int | None,
    threads: int,
    as_json: bool,
) -> None:
    """Simulate the plan in the folder PLAN: every word through the routers, every core's program.

    The plan must have been compiled with --fabric full, or with --mode sequential: then every turn is simulated by itself.
    """
    from wsec.cli.simulated_turns import turns_as_json, write_turns
    from wsec.cli.tensor_files import read_tensors, with_sequences
    from wsec.loaded_plan import load_plan
    from wsec.runtime.programs.trace import trace_events
    from wsec.runtime.programs.turns.simulate import check_one_sample
    from wsec.runtime.programs.turns.trace import turn_trace_events
    from wsec.runtime.trace_events import TRACE_FILE, write_trace

    if trace is not None:
        TRACE_FILE.check_place(trace)
    loaded = load_plan(plan)
    given = None if inputs is None else with_sequences(read_tensors(inputs), loaded.record.inputs)
    if loaded.sequential:
        check_one_sample(samples)
        with show_status("simulating the turns"):
            turns = loaded.simulate_turns(given, seed=seed, max_cycles=max_cycles, threads=threads)
        if trace is not None:
            write_trace(trace, turn_trace_events(turns))
        clock = loaded.record.target.clock_hz
        if as_json:
            write_json(turns_as_json(plan, turns, clock))
        else:
            write_turns(turns, clock, trace, _verdict(turns.comparisons))
        _finish(ctx, turns.equal)
        return
    with show_status("simulating the plan"):
        result = loaded.simulate(given, samples=samples, seed=seed, max_cycles=max_cycles, threads=threads)
    estimate = loaded.estimate()
    if trace is not None:
        write_trace(trace, trace_events(result))
    if as_json:
        write_json(_as_json(plan, result, estimate))
    else:
        _write(result, estimate, trace)
    _finish(ctx, result.equal)


def _finish(ctx: click.Context, equal: bool) -> None:  # noqa: FBT001 - the only argument
    if not equal:
        ctx.exit(ExitStatus.FAILED_CHECK)


def _as_json(plan: str, result: PlanSimulation, estimate: Estimate) -> dict[str, Any]:
    return {
        "plan": plan,
        "samples": result.samples,
        "cycles": result.cycles,
        "seconds": result.cycles / estimate.clock_hz,
        "estimated_latency_cycles": estimate.latency_cycles,
        "estimated_interval_cycles": estimate.interval_cycles,
        "equal": result.equal,
        "phases": [asdict(phase) for phase in result.phases],
        "comparisons": [{**asdict(each), "equal": each.equal} for each in result.comparisons],
    }


def _write(result: PlanSimulation, estimate: Estimate, trace: Path | None) -> None:
    console = make_console()
    for phase in result.phases:
        if len(result.phases) > 1:
            console.print(f"wafer {phase.wafer}, phase {phase.phase}")
        write_table(console, _COLUMNS, [_row(kernel) for kernel in phase.kernels])
        console.print()
        write_labelled(console, _facts(phase))
        console.print()
    facts = [
        (
            "samples" if result.samples > 1 else "latency",
            f"{count(result.cycles)} cycles, {seconds(result.cycles / estimate.clock_hz)}",
        ),
        (
            "estimate",
            f"latency {count(estimate.latency_cycles)}, interval {count(estimate.interval_cycles)} cycles",
        ),
    ]
    if trace is not None:
        facts.append(("trace", str(trace)))
    write_labelled(console, [*facts, ("numbers", _verdict(result.comparisons))])


def _row(kernel: KernelResult) -> tuple[str, ...]:
    estimate = kernel.estimated_cycles
    error = percent((estimate - kernel.cycles) / kernel.cycles) if kernel.cycles else "-"
    return (
        kernel.name,
        kernel.kind,
        count(kernel.cores),
        count(kernel.samples[0].arrived[1]),
        count(kernel.ramp_words),
        count(kernel.exchange_cycles),
        count(kernel.compute_cycles),
        count(kernel.cycles),
        count(estimate),
        error,
    )


def _facts(phase: PhaseResult) -> list[tuple[str, str]]:
    x, y, port, words = phase.busiest_port
    place = f"{port} of core {x},{y}" if port != "ramp" else f"into core {x},{y}"
    stalls = [f"{cause} {count(cycles)}" for cause, cycles in phase.stalls.items() if cycles]
    return [
        ("cycles", count(phase.cycles)),
        *([("interval", f"{count(phase.interval)} cycles between samples")] if phase.interval else []),
        (
            "links",
            (
                f"{count(phase.word_hops)} words over links and ramps; used ports carry a word in "
                f"{percent(phase.port_use)} of the cycles; busiest: {count(words)} words, {place}"
            ),
        ),
        ("stalls", "; ".join(stalls) or "none"),
    ]


def _verdict(comparisons: Sequence[Comparison]) -> str:
    elements = sum(each.elements for each in comparisons)
    wrong = [each for each in comparisons if not each.equal]
    if not wrong:
        return f"equal, bit for bit, to the executor's in the same order: {plural(elements, 'number')}"
    first = wrong[0]
    return (
        f"DIFFERENT in {plural(len(wrong), 'tensor')}; first {first.name}: {count(first.different)} of "
        f"{count(first.elements)}, from number {first.first} on, by up to {first.error:.3g}"
    )
