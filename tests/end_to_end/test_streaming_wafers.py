"""Several wafers of which some stream, each in a mode of its own: legal plans, onnxruntime's numbers, and figures that add up."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import residual_network

from wsec.cli.application import application
from wsec.compiler.cost.crossings import passage_cycles
from wsec.compiler.errors import WsecError
from wsec.compiler.plan import HOST
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.target import ExternalMemory, WaferLink, load_target
from wsec.driver import Options, compile_model
from wsec.runtime.estimate_trace import estimate_trace
from wsec.runtime.report.timeline import timeline_of

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Plan as PlanRecord
    from wsec.compiler.target import Target
    from wsec.loaded_plan import Plan

MODES = ("pipelined", "sequential", "streaming")


def chained(memory: float = 1e12) -> Target:
    """A grid of 64 x 64 cores with links between wafers, and a memory outside at so many bits a second."""
    target = load_target("mesh64")
    link = WaferLink(seconds_per_hop=1e-6, bits_per_second=1e12)
    return replace(target, wafer_link=link, external_memory=ExternalMemory(1 << 40, memory))


def compiled(model: Path, region: tuple[int, int] = (16, 16), **options: Any) -> Plan:
    """Compiled quickly."""
    return compile_model(model, Options(**{"target": chained(), "region": region, "effort": 0.0, **options}))


def assert_right(plan: Plan) -> None:
    """Legal, the numbers of onnxruntime; rounds of wafers are intervals, and a batch goes through them one after the other."""
    assert plan.check() == ()
    verification = plan.verify()
    assert verification.passed, verification
    result, record = plan.estimate(), plan.record
    samples = record.samples_per_phase
    rounds: dict[int, int] = {}
    for phase in result.phases:
        rounds[phase.wafer] = rounds.get(phase.wafer, 0) + phase.batch_cycles
    streaming = [number for number, wafer in enumerate(record.wafers) if wafer.mode == "streaming"]
    assert sorted(rounds) == streaming
    for number, cycles in rounds.items():
        assert result.wafers[number].interval_cycles == math.ceil(cycles / samples)
    slowest = max(wafer.interval_cycles for wafer in result.wafers)
    assert result.interval_cycles >= slowest
    assert result.latency_cycles > sum(rounds.values())
    for wafer in record.wafers:
        assert wafer.placement is not None
        assert wafer.placement.interval_bound <= wafer.placement.interval <= record.placement.interval
    assert record.placement.interval_bound <= record.placement.interval
    timeline = timeline_of(record, result)
    assert max(stage.end for stage in timeline.stages) == result.latency_cycles
    assert sorted({stage.wafer for stage in timeline.stages}) == list(range(len(record.wafers)))
    json.dumps(estimate_trace(record, result))


@settings(max_examples=4, deadline=None)
@given(
    modes=st.lists(st.sampled_from(MODES), min_size=2, max_size=3).filter(lambda each: "streaming" in each),
    phases=st.integers(2, 3),
    samples=st.integers(1, 9),
)
def test_every_mixture(
    modes: list[str], phases: int, samples: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each wafer does what was asked of it, whatever its neighbours do."""
    model = residual_network(tmp_path_factory.mktemp("model"))
    mode = ",".join(modes)
    parts = sum(phases if each == "streaming" else 1 for each in modes)
    if parts > 6:  # more than the model has kernels
        return
    plan = compiled(model, mode=mode, phases=phases, samples_per_phase=samples)
    assert [wafer.mode for wafer in plan.record.wafers] == modes
    assert [len(wafer.phases) for wafer in plan.record.wafers if wafer.mode == "streaming"] == [
        phases
    ] * modes.count("streaming")
    assert_right(plan)


def test_wafers_that_do_not_stream_may_differ_too(tmp_path: Path) -> None:
    """A pipeline before turns, and behind them."""
    for modes in ("pipelined,sequential", "sequential,pipelined"):
        plan = compiled(residual_network(tmp_path), mode=modes)
        assert ",".join(wafer.mode for wafer in plan.record.wafers) == modes
        assert plan.check() == ()
        assert plan.verify().passed


def test_what_crosses_wafers_waits_outside(tmp_path: Path) -> None:
    """A wafer that streams reads what comes from another as it reads what an earlier phase left: each tensor once a sample."""
    plan = compiled(residual_network(tmp_path), mode="streaming", phases=2, wafers=2, target=chained(8e9))
    for wafer in plan.record.wafers:
        for phase in wafer.phases:
            own = {kernel.name for kernel in phase.kernels}
            into = {link.tensor: link.words for link in phase.links if link.source not in {HOST, *own}}
            assert phase.summary is not None
            assert phase.summary.words_in == sum(into.values())
            words = phase.summary.words_in + phase.summary.words_out
            assert phase.summary.crossing_cycles == 4 * words  # a byte a cycle
    first, second = plan.record.wafers
    assert sum(phase.summary.words_out for phase in first.phases if phase.summary) > 0
    assert sum(phase.summary.words_in for phase in second.phases if phase.summary) > 0


def test_the_latency_is_that_of_one_wafer_after_the_other(tmp_path: Path) -> None:
    """All rounds, and the last sample over the link between."""
    plan = compiled(residual_network(tmp_path), mode="streaming", phases=2, wafers=2, samples_per_phase=4)
    result = plan.estimate()
    passage = passage_cycles(result.wafers[0].words_on, 1, plan.record.target)
    assert passage > 0
    assert result.latency_cycles == sum(phase.batch_cycles for phase in result.phases) + passage


def test_auto_streams_where_nothing_else_fits(tmp_path: Path) -> None:
    """On so many wafers as were asked for; without a number, on one."""
    model, target = residual_network(tmp_path), chained()
    target = replace(target, core=replace(target.core, sram_bytes=16000, code_reserve_bytes=4096))
    plan = compiled(model, (3, 3), mode="auto", wafers=2, target=target)
    assert {wafer.mode for wafer in plan.record.wafers} == {"streaming"}
    assert len(plan.record.wafers) == 2
    assert {other.mode for other in plan.record.alternatives} >= {"pipelined", "sequential"}
    assert_right(plan)
    alone = compiled(model, (3, 3), mode="streaming", wafers=None, target=target)
    assert len(alone.record.wafers) == 1
    fewer, more = (len(each.record.wafers[0].phases) for each in (plan, alone))
    assert fewer < more


def test_auto_compares_streams_with_turns(tmp_path: Path) -> None:
    """Where kernels do not fit at once, but their weights stay: for throughput the faster of both, for latency turns."""
    model = residual_network(tmp_path)
    plan = compiled(model, (2, 2), mode="auto", wafers=2)
    intervals = {other.mode: other.interval for other in plan.record.alternatives}
    (taken,) = {wafer.mode for wafer in plan.record.wafers}
    assert intervals["pipelined"] is None
    others = [interval for interval in intervals.values() if interval is not None]
    assert len(others) == 1
    assert {taken, *intervals} >= {"pipelined", "sequential", "streaming"}
    said = next(note for note in plan.record.notes if note.startswith(f"mode {taken} was taken"))
    assert int(said.split("interval ")[1].split(", latency")[0].replace(",", "")) <= min(others)
    quick = compiled(model, (2, 2), mode="auto", wafers=2, objective="latency")
    assert {wafer.mode for wafer in quick.record.wafers} == {"sequential"}


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> PlanRecord:
    """A legal plan of two wafers with two phases each."""
    model = residual_network(tmp_path_factory.mktemp("model"))
    return compiled(model, mode="streaming", phases=2, wafers=2, target=chained(8e9)).record


def findings(record: PlanRecord) -> list[str]:
    """What the checker says of wafers and phases."""
    return [str(item) for item in check_plan(record) if item.code in {"WSEC551", "WSEC553"}]


def test_a_wafer_that_says_too_little_is_found(record: PlanRecord) -> None:
    """Its interval has room for what its phases take of a sample."""
    wafer = record.wafers[1]
    assert wafer.placement is not None
    short = replace(wafer, placement=replace(wafer.placement, interval=wafer.placement.interval - 1))
    (found,) = findings(replace(record, wafers=(record.wafers[0], short)))
    assert found == (
        "WSEC553 wafer 1, placement: the interval is not below what all phases take of a sample; "
        f"expected at least {wafer.placement.interval} cycles, found {wafer.placement.interval - 1} cycles"
    )


def test_a_batch_that_has_no_room_outside_is_found(record: PlanRecord) -> None:
    """What waits between phases grows with the batch."""
    rule = "weights that come in, and what waits between phases, have room in the memory outside"
    assert any(rule in said for said in findings(replace(record, samples_per_phase=1 << 40)))


def test_words_from_another_wafer_that_are_left_out_are_found(record: PlanRecord) -> None:
    """They wait outside, and take their time on the way in."""
    wafer = record.wafers[1]
    at = next(number for number, phase in enumerate(wafer.phases) if phase.summary and phase.summary.words_in)
    summary = wafer.phases[at].summary
    assert summary is not None
    silent = replace(wafer.phases[at], summary=replace(summary, words_in=0))
    phases = (*wafer.phases[:at], silent, *wafer.phases[at + 1 :])
    assert (
        f"WSEC553 wafer 1, phase {at}: a phase names the weights of its kernels and the words that cross, each tensor once; "
        f"expected {summary.words_in} words of earlier phases, found 0 words of earlier phases"
    ) in findings(replace(record, wafers=(record.wafers[0], replace(wafer, phases=phases))))


def test_several_wafers_need_a_link(tmp_path: Path) -> None:
    """As without phases."""
    options = Options(target="mesh64", effort=0.0, mode="streaming", phases=2, wafers=2)
    target = replace(load_target("mesh64"), wafer_link=None)
    with pytest.raises(WsecError, match="WSEC363"):
        compile_model(residual_network(tmp_path), replace(options, target=target))


def test_the_command_line_names_wafer_and_phase(tmp_path: Path) -> None:
    """The lines of phases say on which wafer they are."""
    model = residual_network(tmp_path)
    arguments = ["compile", model, "-o", tmp_path / "p", "--target", "wse2", "--region", "16x16"]
    arguments += ["--effort", "0", "--mode", "pipelined,streaming", "--phases", "2"]
    result = CliRunner(env={"COLUMNS": "200"}).invoke(application, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output
    labels = [line[2:].split("  ")[0] for line in result.stdout.splitlines()]
    assert [label for label in labels if "phase" in label] == ["wafer 1, phase 0", "wafer 1, phase 1"]
    assert "pipelined, streaming" in result.stdout
