"""Turns whose weights come in for every sample: legal plans, onnxruntime's numbers, and cycles in which nothing is hidden twice."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from small_models import residual_network

from wsec.compiler.cost.turns import turns_of
from wsec.compiler.errors import WsecError
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.target import ExternalMemory, Target, load_target
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Plan as PlanRecord
    from wsec.compiler.plan import TurnLoad
    from wsec.loaded_plan import Plan


def machine(data_bytes: int) -> Target:
    """6 cores with so much room for data, and a memory outside of 8 bytes a cycle."""
    mesh = load_target("mesh64")
    core = replace(mesh.core, sram_bytes=mesh.core.code_reserve_bytes + data_bytes)
    return replace(mesh, core=core, external_memory=ExternalMemory(1 << 30, 64e9))


def options(data_bytes: int, mode: str = "sequential-streaming") -> Options:
    """For the residual network, whose weights have no room in 24,000 bytes of each core beside what it works with."""
    return Options(target=machine(data_bytes), region=(3, 2), mode=mode, effort=0.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A residual network."""
    return residual_network(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def plan(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Its plan."""
    return compile_model(model, options(24_000), tmp_path_factory.mktemp("plan") / "net.plan")


def with_load(record: PlanRecord, turn: int, load: TurnLoad) -> PlanRecord:
    """The plan with another load of one turn."""
    wafer = record.wafers[0]
    phases = list(wafer.phases)
    phases[turn] = replace(phases[turn], load=load)
    return replace(record, wafers=(replace(wafer, phases=tuple(phases)),))


def test_the_numbers_are_those_of_onnxruntime(model: Path, plan: Plan) -> None:
    """Where sequential mode finds no room, weights come in; nothing else changes."""
    with pytest.raises(WsecError, match="WSEC366"):
        compile_model(model, options(24_000, "sequential"))
    assert plan.check() == ()
    assert plan.verify().passed
    loads = [phase.load for phase in plan.record.wafers[0].phases]
    assert any(load is not None and load.ahead for load in loads)
    assert any(load is not None and not load.ahead for load in loads)
    assert plan.record.notes[0].startswith("weights of 5 of 10 turns come in for every sample")


def test_a_sample_takes_its_turns_and_what_it_waits_for(plan: Plan) -> None:
    """Loads that are ahead are hidden by the arithmetic of the turn before alone; others not at all."""
    wafer, result = plan.record.wafers[0], plan.estimate()
    waited = 0
    for turn, phase in enumerate(wafer.phases):
        before = wafer.phases[turn - 1]
        hidden = sum(max(kernel.cycles.compute, kernel.cycles.memory) for kernel in before.kernels)
        if phase.load is not None:
            waited += max(0, phase.load.cycles - hidden * phase.load.ahead)
    cycles = turns_of(wafer.phases)
    assert sum(turn.waiting for turn in cycles) == waited > 0
    assert result.interval_cycles == result.latency_cycles == sum(turn.total for turn in cycles)
    assert f"{waited:,} for waiting for weights that come in from outside" in result.bottleneck.reason
    assert result.fullest_core_bytes <= plan.record.target.core.sram_bytes


def test_a_load_that_is_too_short_is_found(plan: Plan) -> None:
    """Weights cannot come in faster than the memory outside delivers them."""
    record = plan.record
    turn = next(at for at, phase in enumerate(record.wafers[0].phases) if phase.load is not None)
    load = record.wafers[0].phases[turn].load
    assert load is not None
    found = check_plan(with_load(record, turn, replace(load, cycles=load.cycles - 1)))
    text = "weights of a turn come in at the rate of the memory outside, and of a core's ramp"
    text += f"; expected at least {load.cycles} cycles, found {load.cycles - 1} cycles"
    assert [str(finding) for finding in found] == [f"WSEC553 wafer 0, turn {turn}, load: {text}"]


def test_weights_without_room_are_found(plan: Plan) -> None:
    """Where the weights of a turn are said to come in beside those of the turn before, both have to fit."""
    record = plan.record
    phases = record.wafers[0].phases
    late = [at for at, phase in enumerate(phases) if phase.load is not None and not phase.load.ahead]
    for turn in late:
        load = phases[turn].load
        assert load is not None
        record = with_load(record, turn, replace(load, ahead=True))
    rule = "the weights of all turns and the blocks of one fit each core"

    def tight(record: PlanRecord, sram_bytes: int) -> bool:
        core = replace(record.target.core, sram_bytes=sram_bytes)
        found = check_plan(replace(record, target=replace(record.target, core=core)))
        return any(finding.rule == rule for finding in found)

    sizes = range(record.target.core.sram_bytes, record.target.core.code_reserve_bytes, -512)
    enough = min(size for size in sizes if not tight(plan.record, size))
    assert tight(record, enough)


def test_weights_have_room_in_the_memory_outside(model: Path, plan: Plan) -> None:
    """As those of phases have: planning refuses too small a memory, and the checker finds it by itself."""
    small = replace(plan.record.target, external_memory=ExternalMemory(1000, 64e9))
    with pytest.raises(WsecError, match="WSEC379"):
        compile_model(model, replace(options(24_000), target=small))
    found = check_plan(replace(plan.record, target=small))
    rule = "weights that come in, and what waits between phases, have room in the memory outside"
    assert [finding.rule for finding in found] == [rule]


def test_an_interval_without_waiting_is_found(plan: Plan) -> None:
    """The interval has room for turns and for weights that are waited for."""
    record = plan.record
    leaving = turns_of(record.wafers[0].phases)[-1].leaving  # results may leave later
    short = replace(record.placement, interval=record.placement.interval - leaving - 1)
    rules = [finding.rule for finding in check_plan(replace(record, placement=short))]
    assert rules == ["the interval has room for all turns"]


def test_auto_takes_them_for_latency(model: Path) -> None:
    """One sample through phases takes longer than through turns, which keep what they make on the cores."""
    found = compile_model(model, replace(options(24_000, "auto"), objective="latency")).record
    assert found.wafers[0].mode == "sequential"
    assert any(phase.load is not None for phase in found.wafers[0].phases)
    assert {item.mode for item in found.alternatives} == {"pipelined", "sequential", "streaming"}


def test_auto_weighs_phases_where_kernels_outnumber_cores(model: Path) -> None:
    """Kernels that all fit only in turns work on one sample; phases of a few kernels each are weighed against them for throughput."""
    found = compile_model(model, options(40_960, "auto")).record
    refused = next(item for item in found.alternatives if item.mode == "pipelined")
    assert (refused.interval, refused.reason[:7]) == (None, "WSEC321")
    weighed = {item.mode for item in found.alternatives if item.interval is not None}
    assert weighed | {found.wafers[0].mode} == {"sequential", "streaming"}


def test_a_turn_that_fits_no_core(model: Path) -> None:
    """The message says how much the fullest core would need at least."""
    with pytest.raises(WsecError) as caught:
        compile_model(model, options(18_000))
    assert str(caught.value) == (
        "error[WSEC392]: a turn does not fit a core, though weights come in for each\n"
        "  where:    3 x 2 cores of target mesh64\n"
        "  expected: at most 18,000 bytes on a core, without code\n"
        "  found:    18,768 bytes on the fullest core: states, what a turn works with, and its weights\n"
        "  try:      use a larger region, or `--mode streaming`, whose phases hold parts of the model"
    )


def test_several_wafers_are_refused(model: Path) -> None:
    """On several wafers weights stay, or the model streams in phases."""
    with pytest.raises(WsecError) as caught:
        compile_model(model, replace(options(24_000), wafers=2))
    assert str(caught.value) == (
        "error[WSEC369]: the mode does not have what was asked for\n"
        "  where:    mode sequential-streaming\n"
        "  expected: options of this mode, docs/modes.md\n"
        "  found:    2 wafers\n"
        "  try:      use one wafer, or `--mode sequential`, whose weights stay"
    )
