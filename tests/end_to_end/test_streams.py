"""Streams and the memory outside that feeds them: the rate that they need, demands that cannot be met, and room for what waits."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from small_models import residual_network

from wsec.cli.application import application
from wsec.cli.summary import stream_facts
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.target import ExternalMemory, Target, load_target
from wsec.driver import Options, compile_model
from wsec.runtime.estimate import Estimate, estimate
from wsec.runtime.stream_estimate import StreamEstimate, needed_rate

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.loaded_plan import Plan

SLOW = 1e9
ROOM = 1 << 40


def with_memory(bits_per_second: float, size: int = ROOM) -> Target:
    """A grid of 64 x 64 cores with such a memory outside."""
    return replace(load_target("mesh64"), external_memory=ExternalMemory(size, bits_per_second))


def compiled(model: Path, target: Target, **options: Any) -> Plan:
    """In three phases of four samples."""
    fixed = {"region": (16, 16), "effort": 0.0, "phases": 3, "samples_per_phase": 4}
    return compile_model(model, Options(**{"target": target, **fixed, **options}))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network with a way around."""
    return residual_network(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def slow(model: Path) -> Plan:
    """Its plan on a machine that waits for weights most of the time."""
    return compiled(model, with_memory(SLOW))


def test_the_needed_rate_is_enough_and_less_is_not(slow: Plan) -> None:
    """A plan whose loads and crossings take the time of that rate has the interval; a hundredth less rate, and it has not."""
    result, record = slow.estimate(), slow.record
    (stream,) = result.streams
    work = sum(phase.fill_cycles + 4 * phase.interval_cycles for phase in result.phases)
    for share in (0.02, 0.3, 0.9):
        interval = work / 4 + share * (result.interval_cycles - work / 4)
        rate = needed_rate(record, stream, result.phases, interval)
        assert rate is not None
        assert rate > SLOW
        assert at_rate(slow, rate).interval_cycles <= interval + 4  # each phase rounds up
        assert at_rate(slow, 0.99 * rate).interval_cycles > interval - 1
    assert needed_rate(record, stream, result.phases, work / 4 - 1) is None
    assert needed_rate(record, stream, result.phases, result.interval_cycles + 1) == SLOW


def at_rate(plan: Plan, rate: float) -> Estimate:
    """Of the same plan with another memory."""
    (wafer,) = plan.record.wafers
    faster = rate / SLOW
    phases = [
        replace(
            phase,
            summary=replace(
                phase.summary,
                load_cycles=math.ceil(phase.summary.load_cycles / faster),
                crossing_cycles=math.ceil(phase.summary.crossing_cycles / faster),
            ),
        )
        for phase in wafer.phases
        if phase.summary is not None
    ]
    record = replace(plan.record, wafers=(replace(wafer, phases=tuple(phases)),))
    return estimate(record)


def test_what_hides_all_loads(slow: Plan) -> None:
    """At that rate nothing is waited for; below it something is."""
    (stream,) = slow.estimate().streams
    assert stream.source == "external memory"
    assert stream.waited_cycles > 0
    assert stream.hidden_bits_per_second is not None
    assert stream.hidden_bits_per_second > stream.bits_per_second == SLOW
    assert at_rate(slow, stream.hidden_bits_per_second).streams[0].waited_cycles == 0
    assert at_rate(slow, 0.95 * stream.hidden_bits_per_second).streams[0].waited_cycles > 0


def test_bytes_of_a_batch(slow: Plan) -> None:
    """Weights once, and what crosses once each way for each sample."""
    (stream,) = slow.estimate().streams
    summaries = [phase.summary for phase in slow.record.wafers[0].phases if phase.summary]
    words = sum(summary.words_in + summary.words_out for summary in summaries)
    assert stream.batch_bytes == sum(summary.weight_bytes for summary in summaries) + 4 * 4 * words


def refusal(model: Path, target: Target, **options: Any) -> WsecError:
    """What the compiler says."""
    with pytest.raises(WsecError) as raised:
        compiled(model, target, **options)
    return raised.value


def test_a_stream_that_cannot_be_fed(model: Path, slow: Plan) -> None:
    """The rate that is needed, the one that there is, and what passes; with the rate that it names the demand is met."""
    result = slow.estimate()
    demanded = 1.5 * result.samples_per_second
    error = refusal(model, with_memory(SLOW), min_throughput=demanded)
    needed = needed_rate(slow.record, result.streams[0], result.phases, result.clock_hz / demanded)
    assert needed is not None
    assert str(error) == (
        "error[WSEC377]: the external memory cannot feed the stream\n"
        "  where:    wafer 0, target mesh64\n"
        f"  expected: at least {needed / 8e9:,.6g} GB/s for {demanded:,.6g} samples/s\n"
        f"  found:    0.125 GB/s, which gives {result.samples_per_second:,.6g} samples/s: "
        f"{result.streams[0].batch_bytes:,} bytes pass for each batch of 4 samples\n"
        "  try:      use larger batches (--samples-per-phase 8), more wafers, or demand less with --min-throughput"
    )
    assert error.exit_status is ExitStatus.DOES_NOT_FIT
    enough = compiled(model, with_memory(1.05 * needed), min_throughput=demanded)
    assert enough.estimate().samples_per_second >= demanded


def test_work_that_is_too_slow_is_no_matter_of_memory(model: Path, slow: Plan) -> None:
    """However fast the memory, the kernels take longer: said with what holds them up."""
    result = slow.estimate()
    error = refusal(model, with_memory(1e15), min_throughput=1e9)
    assert error.code == "WSEC378"
    assert error.expected == f"at least 1e+09 samples/s: at most {result.clock_hz / 1e9:,.0f} cycles a sample"
    alone = refusal(model, with_memory(1e15), min_throughput=1e9, phases=1, samples_per_phase=1)
    assert str(alone).startswith("error[WSEC378]: the plan is slower than demanded\n  where:    ")
    assert "demand less with --min-throughput" in alone.hint


def test_a_demand_that_is_met_changes_nothing(model: Path, slow: Plan) -> None:
    """The plan is the same."""
    demanded = 0.999 * slow.estimate().samples_per_second
    assert compiled(model, with_memory(SLOW), min_throughput=demanded).record == slow.record


def test_a_memory_that_is_too_small(model: Path, slow: Plan) -> None:
    """Weights, and what waits for a batch; fewer samples are of use where they wait."""
    summaries = [phase.summary for phase in slow.record.wafers[0].phases if phase.summary]
    weights = sum(summary.weight_bytes for summary in summaries)
    waiting = 4 * 4 * sum(summary.words_out for summary in summaries)
    assert weights > 0
    assert waiting > 0
    error = refusal(model, with_memory(SLOW, weights + waiting - 1))
    assert str(error) == (
        "error[WSEC379]: the external memory is too small for what is streamed\n"
        "  where:    target mesh64, external_memory\n"
        f"  expected: at most {weights + waiting - 1:,} bytes\n"
        f"  found:    {weights + waiting:,} bytes: {weights:,} of weights, 0 of states, {waiting:,} that wait between phases in a batch of 4 samples\n"
        "  try:      let fewer samples wait: a smaller --samples-per-phase"
    )
    assert "fewer bits" in refusal(model, with_memory(SLOW, weights - 1)).hint
    assert compiled(model, with_memory(SLOW, weights + waiting)).check() == ()


def test_without_a_memory_the_host_feeds_the_stream(model: Path) -> None:
    """And that is said, not assumed in silence."""
    plan = compiled(model, load_target("mesh64"))
    assert plan.estimate().streams[0].source == "host"
    assert any(note.startswith("the target has no external memory: weights") for note in plan.record.notes)
    assert not any("no external memory" in note for note in compiled(model, with_memory(SLOW)).record.notes)


def test_the_lines_of_streams() -> None:
    """Bound by weights, hidden, or between turns."""
    stream = StreamEstimate(0, "external memory", 4096, 8e9, 4e10, 100)
    assert stream_facts((stream,)) == [
        (
            "stream",
            "4,096 bytes for a batch, 1 GB/s from the external memory; bound by weights: 5 GB/s would hide them all",
        )
    ]
    hidden = replace(stream, wafer=1, waited_cycles=0, hidden_bits_per_second=8e6)
    between = replace(stream, wafer=2, source="host", hidden_bits_per_second=None)
    assert stream_facts((hidden, between)) == [
        (
            "stream 1",
            "4,096 bytes for a batch, 1 GB/s from the external memory; weights are hidden, which takes 1 MB/s",
        ),
        (
            "stream 2",
            (
                "4,096 bytes for a batch, 1 GB/s from the host; weights come in between turns: "
                "cores have no room for those of two phases, or keep states"
            ),
        ),
    ]
    assert stream_facts(()) == []


@pytest.mark.parametrize("rate", ["0", "-1", "nan", "inf", "fast"])
def test_what_is_no_throughput(rate: str) -> None:
    """Said before anything is read."""
    result = CliRunner().invoke(application, ["compile", "m.onnx", "--min-throughput", rate])
    assert result.exit_code == ExitStatus.USAGE
