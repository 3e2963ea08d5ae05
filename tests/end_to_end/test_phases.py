"""Models in phases that take turns: legal plans, onnxruntime's numbers, and the figures that the turns add up to."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SMALL_MODELS, ModelMaker, host_in_between, residual_network

from wsec.compiler.errors import WsecError
from wsec.compiler.placement import Adjacent, Forbid, Rectangle, Within
from wsec.compiler.plan import HOST
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.target import ExternalMemory, Target, load_target
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wsec.compiler.plan import Link, Phase, PhaseSummary
    from wsec.compiler.plan import Plan as PlanRecord
    from wsec.loaded_plan import Plan
    from wsec.runtime.estimate import Estimate


def compiled(
    model: Path,
    phases: int | None,
    region: tuple[int, int],
    samples: int = 1,
    target: str | Target = "mesh64",
) -> Plan:
    """Compiled quickly."""
    options = Options(target=target, region=region, effort=0.1, phases=phases, samples_per_phase=samples)
    return compile_model(model, options)


def summary_of_phase(phase: Phase) -> PhaseSummary:
    """What it costs besides its work."""
    assert phase.summary is not None
    return phase.summary


def assert_right(plan: Plan) -> None:
    """Legal, forwards, the numbers of onnxruntime, and an interval that is the share of a sample in a round of turns."""
    assert plan.check() == ()
    verification = plan.verify()
    assert verification.passed, verification
    result, samples = plan.estimate(), plan.record.samples_per_phase
    phases = plan.record.wafers[0].phases
    assert len(result.phases) == len(phases)
    for at, (each, phase) in enumerate(zip(result.phases, phases, strict=True)):
        assert each.kernels == len(phase.kernels) > 0
        before = result.phases[at - 1]
        hidden = samples * before.interval_cycles + before.fill_cycles
        hidden *= plan.record.wafers[0].overlapped
        assert each.load_cycles == max(0, summary_of_phase(phase).load_cycles - hidden)
        work = samples * each.interval_cycles + each.fill_cycles
        assert each.batch_cycles == each.load_cycles + work + samples * each.crossing_cycles
    round_cycles = sum(each.batch_cycles for each in result.phases)
    assert result.interval_cycles == math.ceil(round_cycles / samples)
    assert result.latency_cycles == round_cycles
    assert plan.record.placement.interval_bound <= plan.record.placement.interval
    assert result.wafers[0].interval_cycles == result.interval_cycles >= result.host_cycles


@pytest.mark.parametrize("make", SMALL_MODELS, ids=lambda make: str(make.__name__))
def test_every_kind_of_kernel_in_two_phases(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Cut anywhere between its kernels, a model gives the same numbers."""
    plan = compiled(make(tmp_path), 2, (9, 7))
    assert [len(wafer.phases) for wafer in plan.record.wafers] == [2]
    assert_right(plan)


@settings(max_examples=5, deadline=None)
@given(
    phases=st.integers(2, 5), width=st.integers(5, 20), height=st.integers(5, 20), samples=st.integers(1, 50)
)
def test_a_residual_network_in_any_number_of_phases(
    phases: int, width: int, height: int, samples: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Tensors that skip kernels wait over several phases, and are read in several."""
    plan = compiled(residual_network(tmp_path_factory.mktemp("model")), phases, (width, height), samples)
    assert len(plan.record.wafers[0].phases) == phases
    assert plan.record.samples_per_phase == samples
    assert_right(plan)


def test_a_way_over_the_host_between_phases(tmp_path: Path) -> None:
    """What a host operator reads and gives may be in different phases; the order of its kernels stays."""
    plan = compiled(host_in_between(tmp_path), 3, (8, 8))
    assert plan.record.host_operators
    assert_right(plan)


def test_auto_takes_the_number_with_the_shortest_interval(tmp_path: Path) -> None:
    """One phase where one has room for all; otherwise the best of those that were tried, of which the plan says what they take."""
    model = residual_network(tmp_path)
    single = compiled(model, None, (16, 16), samples=9).record
    assert (len(single.wafers[0].phases), single.samples_per_phase, single.wafers[0].phases[0].summary) == (
        1,
        1,
        None,
    )
    plan = compiled(model, None, (3, 2))
    count = len(plan.record.wafers[0].phases)
    assert count > 1
    assert_right(plan)
    said = next(note for note in plan.record.notes if note.startswith("numbers of phases"))
    prefix, *trials = re.split(r" (?=\d+: )", said)
    assert prefix == "numbers of phases by cycles a sample:"
    costs = {
        int(number): int(cycles.strip(",").replace(",", ""))
        for number, cycles in (trial.split(": ") for trial in trials)
    }
    assert min(costs, key=lambda number: costs[number]) == count
    assert costs[count] == plan.estimate().interval_cycles
    with pytest.raises(WsecError, match=r"WSEC32|WSEC362"):
        compiled(model, min(costs) - 1, (3, 2))


def test_a_batch_is_as_large_as_loads_and_fills_ask_for(tmp_path: Path) -> None:
    """Nobody says how many samples a phase works on: with half of what is taken a larger share of a round is waited."""
    model = residual_network(tmp_path)
    options = Options(target="mesh64", region=(9, 7), effort=0.1, phases=3)
    plan = compile_model(model, options)
    assert_right(plan)
    samples = plan.record.samples_per_phase
    assert samples > 1

    def waited(result: Estimate) -> float:
        parts = sum(phase.load_cycles + phase.fill_cycles for phase in result.phases)
        return parts / sum(phase.batch_cycles for phase in result.phases)

    fewer = compile_model(model, replace(options, samples_per_phase=samples // 2))
    assert waited(plan.estimate()) <= 0.1 < waited(fewer.estimate())
    quick = compile_model(model, replace(options, objective="latency"))
    assert quick.record.samples_per_phase == 1


def test_equal_options_give_equal_plans(tmp_path: Path) -> None:
    """The division is deterministic."""
    model = residual_network(tmp_path)
    assert compiled(model, 3, (9, 9)).record == compiled(model, 3, (9, 9)).record


def test_what_a_turn_costs(tmp_path: Path) -> None:
    """Weights come in once a batch, tensors between phases once a sample each way, at the rate of the memory outside."""
    maker = ModelMaker()
    hidden = maker.conv("x", (2, 4), (3, 3))
    model = maker.save(tmp_path / "two.onnx", {"x": (1, 2, 8, 8)}, [maker.conv(hidden, (4, 2), (1, 1))])
    slow = replace(load_target("mesh16"), external_memory=ExternalMemory(1 << 40, 8e9))  # a byte a cycle
    plan = compiled(model, 2, (16, 16), samples=10, target=slow)
    first, second = (summary_of_phase(phase) for phase in plan.record.wafers[0].phases)
    words = sum(
        link.words for link in plan.record.wafers[0].phases[1].links if HOST not in (link.source, link.target)
    )
    assert words > 0
    assert (first.words_in, first.words_out, second.words_in) == (0, words, words)
    assert first.crossing_cycles == second.crossing_cycles == 4 * words
    weights = 4 * sum(math.prod(tensor.dims) for tensor in onnx.load(model).graph.initializer)
    assert first.load_cycles + second.load_cycles == first.weight_bytes + second.weight_bytes == weights
    result = plan.estimate()
    assert plan.record.wafers[0].overlapped  # what comes in while the phase before works is not waited for
    work = [10 * phase.interval_cycles + phase.fill_cycles for phase in result.phases]
    loads = first.weight_bytes, second.weight_bytes
    waits = [max(0, load - work[at - 1]) for at, load in enumerate(loads)]
    assert [phase.load_cycles for phase in result.phases] == waits
    assert sum(waits) < weights
    assert result.interval_cycles == math.ceil(
        sum(
            phase.load_cycles + 10 * (phase.interval_cycles + 4 * words) + phase.fill_cycles
            for phase in result.phases
        )
        / 10
    )
    assert result.bottleneck.kind == "crossings"
    assert result.bottleneck.reason == (
        f"{words:,} words from and for other phases take {4 * words:,} cycles a sample"
    )


def test_larger_batches_pay_loads_less_often(tmp_path: Path) -> None:
    """The same plan but for the samples of a batch: the interval falls, the latency grows."""
    model = residual_network(tmp_path)
    one, many = compiled(model, 2, (16, 16)), compiled(model, 2, (16, 16), samples=100)
    assert one.record.wafers == many.record.wafers
    assert many.estimate().interval_cycles < one.estimate().interval_cycles
    assert many.estimate().latency_cycles > one.estimate().latency_cycles
    assert many.record.placement.interval < one.record.placement.interval


def refusal(model: Path, options: Options) -> str:
    """The whole message."""
    with pytest.raises(WsecError) as raised:
        compile_model(model, options)
    return str(raised.value)


def test_what_is_refused(tmp_path: Path) -> None:
    """Each message whole."""
    maker = ModelMaker()
    model = maker.save(tmp_path / "one.onnx", {"x": (1, 2, 8, 8)}, [maker.conv("x", (2, 4), (3, 3))])
    options = Options(target="mesh16", effort=0)
    for phases in (0, -3, 2):
        assert refusal(model, replace(options, phases=phases)) == (
            f"error[WSEC361]: the kernels cannot be spread over {phases} phases\n"
            "  expected: at least 1 phase, and no more than kernels, of which there are 1\n"
            f"  found:    {phases}\n"
            "  try:      ask for fewer phases, or for the least that the model fits on: --phases auto"
        )
    for number, shown in ((3, "3"), (None, "auto")):
        assert refusal(model, replace(options, wafers=number, mode="pipelined,streaming")) == (
            "error[WSEC364]: there are not as many modes as wafers\n"
            "  where:    mode pipelined,streaming\n"
            "  expected: 2 wafers, one for each mode\n"
            f"  found:    wafers {shown}\n"
            "  try:      leave out --wafers, or name one mode for all"
        )
    assert refusal(model, replace(options, samples_per_phase=0)) == (
        "error[WSEC365]: a phase works on no samples\n"
        "  expected: at least 1 sample a phase\n"
        "  found:    0\n"
        "  try:      ask for another number: --samples-per-phase"
    )


def test_a_kernel_that_no_number_of_phases_makes_fit_is_refused(tmp_path: Path) -> None:
    """Its weights are larger than the memory of the whole grid: the search for a number ends there."""
    maker = ModelMaker()
    hidden = maker.conv("x", (64, 64), (9, 9))
    model = maker.save(tmp_path / "large.onnx", {"x": (1, 64, 16, 16)}, [maker.conv(hidden, (64, 2), (1, 1))])
    with pytest.raises(WsecError) as raised:
        compiled(model, None, (2, 2), target="mesh16")
    assert raised.value.code in {"WSEC301", "WSEC320"}


def test_constraints_hold_in_the_phase_of_their_operators(tmp_path: Path) -> None:
    """A forbidden area is free in all phases, a region holds its operator; neighbours in two phases are refused."""
    model = residual_network(tmp_path)
    names = [kernel.operators[0] for kernel in compiled(model, 2, (16, 16)).record.kernels()]
    area, region = Rectangle(0, 0, 4, 2), Rectangle(0, 8, 16, 8)
    options = Options(target="mesh64", region=(16, 16), effort=0.1, phases=2)
    plan = compile_model(model, replace(options, constraints=(Forbid(area), Within(names[-1], region))))
    assert_right(plan)
    with pytest.raises(WsecError) as raised:
        compile_model(model, replace(options, constraints=(Adjacent(names[0], names[-1]),)))
    assert (raised.value.code, raised.value.expected, raised.value.found, raised.value.hint) == (
        "WSEC335",
        "operators of one phase",
        "operators on phases 0, 1",
        "leave the constraint out, or ask for another number of phases",
    )


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> PlanRecord:
    """A legal plan in three phases of two samples, whose words and weights take cycles on a slow memory outside."""
    slow = replace(load_target("mesh64"), external_memory=ExternalMemory(2**40, 1e10))
    return compiled(residual_network(tmp_path_factory.mktemp("model")), 3, (16, 16), 2, slow).record


def with_phase(record: PlanRecord, number: int, phase: Phase) -> PlanRecord:
    """The plan with another phase in that place."""
    (wafer,) = record.wafers
    phases = (*wafer.phases[:number], phase, *wafer.phases[number + 1 :])
    return replace(record, wafers=(replace(wafer, phases=phases),))


def with_summary(record: PlanRecord, number: int, **changes: object) -> PlanRecord:
    """The plan with other figures of a summary."""
    phase = record.wafers[0].phases[number]
    return with_phase(record, number, replace(phase, summary=replace(summary_of_phase(phase), **changes)))  # type: ignore[arg-type] # names are the test's


def findings(record: PlanRecord) -> list[str]:
    """What the checker says of phases, wafers and routes."""
    codes = {"WSEC549", "WSEC551", "WSEC553"}
    return [str(item) for item in check_plan(record) if item.code in codes]


def crossing(record: PlanRecord, number: int) -> Link:
    """A link that comes to a phase from another."""
    phase = record.wafers[0].phases[number]
    inside = {HOST, *(kernel.name for kernel in phase.kernels)}
    return next(link for link in phase.links if link.source not in inside)


def test_phases_in_another_order_are_found(record: PlanRecord) -> None:
    """A link that goes back, with both its phases."""
    first, second, third = record.wafers[0].phases
    swapped = replace(record, wafers=(replace(record.wafers[0], phases=(second, first, third)),))
    assert (
        f"WSEC551 link {crossing(record, 1).name}: no link goes back to an earlier wafer or phase; "
        "expected a source on wafer 0, phase 0 or before, found wafer 0, phase 1"
    ) in findings(swapped)


def test_a_tensor_that_never_left_its_phase_is_found(record: PlanRecord) -> None:
    """Its kernel is gone when the next phase reads it."""
    tensor, phase = crossing(record, 1).tensor, record.wafers[0].phases[0]
    kept = tuple(link for link in phase.links if (link.tensor, link.target) != (tensor, HOST))
    assert (
        f"WSEC551 tensor {tensor}: a tensor that another wafer or phase reads leaves its own once; "
        "expected 1 link to the host, found 0 links"
    ) in findings(with_phase(record, 0, replace(phase, links=kept)))


def test_a_way_in_that_begins_at_a_kernel_of_another_phase_is_found(record: PlanRecord) -> None:
    """That kernel is not there any more; words come in at the first column, over routes."""
    link, phase = crossing(record, 1), record.wafers[0].phases[1]
    others = tuple(each for each in phase.links if each != link)
    bare = with_phase(record, 1, replace(phase, links=(*others, replace(link, routes=()))))
    assert findings(bare) == [
        f"WSEC549 link {link.name}: a link has a route; expected at least one route, found none"
    ]
    (route, *rest) = link.routes
    moved = replace(link, routes=(replace(route, source=replace(route.source, x=3)), *rest))
    (found, *_) = findings(with_phase(record, 1, replace(phase, links=(*others, moved))))
    assert found.startswith(
        f"WSEC549 link {link.name}, route 0: a lane begins and ends in the rectangles that it joins; "
        "expected inside 1x16 cores at x=0, y=0"
    )


def test_false_figures_of_a_turn_are_found(record: PlanRecord) -> None:
    """Weights, words and cycles, each named with what it should be; and a summary that is missing."""
    summary = summary_of_phase(record.wafers[0].phases[1])
    named = "a phase names the weights of its kernels and the words that cross, each tensor once"
    assert findings(with_summary(record, 1, weight_bytes=1)) == [
        f"WSEC553 phase 1: {named}; expected {summary.weight_bytes} bytes of weights, found 1 bytes of weights"
    ]
    assert findings(with_summary(record, 1, words_in=0)) == [
        f"WSEC553 phase 1: {named}; expected {summary.words_in} words of earlier phases, found 0 words of earlier phases"
    ]
    assert findings(with_summary(record, 1, words_out=0)) == [
        f"WSEC553 phase 1: {named}; expected {summary.words_out} words for later phases, found 0 words for later phases"
    ]
    timed = "a phase takes the time of its weights and of what crosses, at the rate of the memory outside"
    summaries = [summary_of_phase(each) for each in record.wafers[0].phases]
    heavy = max(range(3), key=lambda at: summaries[at].load_cycles)
    busy = max(range(3), key=lambda at: summaries[at].crossing_cycles)
    (found,) = findings(with_summary(record, heavy, load_cycles=0))
    assert found.startswith(f"WSEC553 phase {heavy}: {timed}; expected at least ")
    assert found.endswith(" cycles to load weights, found 0 cycles")
    (found,) = findings(with_summary(record, busy, crossing_cycles=0))
    assert found.endswith(" cycles to pass what crosses, found 0 cycles")
    phase = record.wafers[0].phases[1]
    slowest = max(kernel.cycles.alone for kernel in phase.kernels)
    least = max(slowest, summary.placement.interval_bound)
    assert findings(with_summary(record, 1, placement=replace(summary.placement, interval=1))) == [
        (
            "WSEC553 phase 1, placement: the interval is not below its bound, nor below a kernel's arithmetic and SRAM ports; "
            f"expected at least {least} cycles, found 1 cycles"
        )
    ]
    assert findings(with_phase(record, 1, replace(phase, summary=None))) == [
        "WSEC553 phase 1: each of several phases says what it costs besides its work; expected a summary, found none"
    ]


def test_an_interval_without_room_for_all_turns_is_found(record: PlanRecord) -> None:
    """Work and crossings of a sample, and its share of the loads."""
    summaries = [summary_of_phase(phase) for phase in record.wafers[0].phases]
    least = sum(summary.placement.interval + summary.crossing_cycles for summary in summaries)
    loads = [summary.load_cycles for summary in summaries]
    hidden = [2 * summary.placement.interval for summary in summaries]
    assert record.wafers[0].overlapped
    waits = sum(max(0, load - hidden[at - 1]) for at, load in enumerate(loads))
    least += math.ceil(waits / 2)
    assert record.placement.interval == least
    short = replace(record, placement=replace(record.placement, interval=least - 1))
    assert findings(short) == [
        (
            "WSEC553 placement: the interval is not below what all phases take of a sample; "
            f"expected at least {least} cycles, found {least - 1} cycles"
        )
    ]
    apart = replace(record, wafers=(replace(record.wafers[0], overlapped=False),))
    assert len(findings(apart)) == 1  # what is not hidden counts


def test_weights_that_have_no_room_while_another_phase_works_are_found(record: PlanRecord) -> None:
    """Double buffering needs room for the weights of two phases that follow each other."""
    largest = max(kernel.memory.total for kernel in record.kernels())
    core = replace(record.target.core, sram_bytes=largest // 2)
    found = findings(replace(record, target=replace(record.target, core=core)))
    assert any("the weights of the next phase have room while one works" in each for each in found)
