"""A throughput that the user demands of a plan: whether it is reached, and if not, whether the memory outside is too slow for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from wsec.compiler.plan import Plan
    from wsec.runtime.estimate import Estimate


def check_throughput(plan: Plan, demanded: float) -> None:
    """Refuses a plan that makes fewer samples a second, by its estimate.

    Raises:
        WsecError: WSEC377 weights and what waits outside come in too slowly, WSEC378 something else takes longer.
    """
    from wsec.runtime.estimate import estimate

    result = estimate(plan)
    if result.samples_per_second >= demanded:
        return
    interval = plan.target.clock_hz / demanded
    if not plan.states:
        _check_streams(plan, result, demanded, interval)
    elif len(plan.wafers) == 1:  # a run waits for a whole round; of several wafers for the rounds of all
        _check_streams(plan, result, demanded, interval / plan.samples_per_phase)
    taken = (
        f"{result.latency_cycles:,} cycles of latency"
        if plan.states
        else f"{result.interval_cycles:,} cycles"
    )
    raise WsecError(
        "WSEC378",
        "the plan is slower than demanded",
        where=f"{result.bottleneck.kind} {result.bottleneck.name}",
        expected=f"at least {demanded:,.6g} samples/s: at most {interval:,.0f} cycles a sample",
        found=f"{result.samples_per_second:,.6g} samples/s: {taken}; {result.bottleneck.reason}",
        hint="search longer (--effort), use a larger region or more wafers, another --mode, or demand less with --min-throughput",
    )


def _check_streams(plan: Plan, result: Estimate, demanded: float, interval: float) -> None:
    """Raises where faster memory outside alone would do, for the wafer that needs the fastest."""
    from wsec.runtime.stream_estimate import needed_rate

    streaming = {stream.wafer for stream in result.streams}
    others = [wafer.interval_cycles for at, wafer in enumerate(result.wafers) if at not in streaming]
    others += [result.host_cycles, *(wafer.cycles_on for wafer in result.wafers)]
    rates = [needed_rate(plan, stream, result.phases, interval) for stream in result.streams]
    known = [rate for rate in rates if rate is not None]
    if not rates or len(known) < len(rates) or max(others) > interval:
        return
    rate, stream = max(zip(known, result.streams, strict=True), key=lambda each: each[0])
    samples = plan.samples_per_phase
    batches = "" if plan.states else f"larger batches (--samples-per-phase {2 * samples}), "
    raise WsecError(
        "WSEC377",
        f"the {stream.source} cannot feed the stream",
        where=f"wafer {stream.wafer}, target {plan.target.name}",
        expected=f"at least {rate / 8e9:,.6g} GB/s for {demanded:,.6g} samples/s",
        found=f"{stream.bits_per_second / 8e9:,.6g} GB/s, which gives {result.samples_per_second:,.6g} samples/s: "
        f"{stream.batch_bytes:,} bytes pass for each batch of {samples} sample{'s' * (samples > 1)}",
        hint=f"use {batches}more wafers, or demand less with --min-throughput",
    )
