"""Kernels that take turns, simulated: every turn and every resharding gives the executor's numbers, in about the plan's cycles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from decoder_models import Decoder
from turn_models import decoder_layer

from wsec.compiler.errors import WsecError
from wsec.compiler.plan_io import LoadedPlan
from wsec.driver import Options, compile_model
from wsec.runtime.inputs import make_inputs
from wsec.runtime.programs.turns.simulate import simulate_turns
from wsec.runtime.programs.turns.trace import turn_trace_events

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Plan
    from wsec.loaded_plan import Plan as OpenPlan

ALGORITHMS = ("auto", "two_level", "chain", "tree")


def compiled(folder: Path, algorithm: str, **options: Any) -> OpenPlan:
    """The layer on 8 x 6 cores."""
    path = folder / "layer.onnx"
    onnx.save(decoder_layer(), path)
    settings = {"target": "wse3", "region": (8, 6), "mode": "sequential", "collective": algorithm} | options
    return compile_model(path, Options(**settings), folder / f"{algorithm}.plan")


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> OpenPlan:
    """With the cheapest algorithms."""
    return compiled(tmp_path_factory.mktemp("layer"), "auto")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_layer_in_turns_gives_the_numbers_of_the_executor(tmp_path: Path, algorithm: str) -> None:
    """Bit for bit, on all cores: sums come together where the plan says, and every word that is needed comes."""
    found = compiled(tmp_path, algorithm).simulate_turns()
    assert found.equal
    assert sum(each.elements for each in found.comparisons) > 0
    assert max(len(turn.kernels) for turn in found.turns) == 3  # queries, keys and values


def test_turns_take_about_what_the_plan_says(plan: OpenPlan) -> None:
    """Each turn, and each tensor that comes from another turn, within a sixth of its cycles, and all together within a twentieth."""
    found = plan.simulate_turns()
    for turn in found.turns:
        assert turn.cycles + turn.overheads == pytest.approx(turn.estimated_cycles, rel=1 / 6, abs=12)
        for each in turn.arriving:
            assert each.total == pytest.approx(each.estimated_cycles, rel=1 / 6, abs=12)
    assert found.cycles == pytest.approx(found.estimated_cycles, rel=0.05)
    latency = plan.estimate().latency_cycles
    assert found.estimated_cycles == latency


def test_a_shared_chain_is_the_whole_one(plan: OpenPlan) -> None:
    """The gated product's chain is shared by cores around the root; computed by the root alone it takes longer, and is the same."""
    wafer = plan.record.wafers[0]
    sharing = [kernel for kernel in wafer.kernels() if kernel.chain_cores > 1]
    assert sharing
    phases = tuple(
        replace(phase, kernels=tuple(replace(kernel, chain_cores=1) for kernel in phase.kernels))
        for phase in wafer.phases
    )
    record = replace(plan.record, wafers=(replace(wafer, phases=phases),))
    alone = simulate_turns(_changed(plan, record), make_inputs(record, 0))
    shared = plan.simulate_turns()
    assert alone.equal
    assert shared.equal
    assert shared.cycles < alone.cycles


def test_equal_turns_are_simulated_once(tmp_path: Path) -> None:
    """Two equal layers, one behind the other: the second one's turns are those of the first."""
    first, second = (decoder_layer() for _ in range(2))
    both = onnx.compose.merge_models(
        onnx.compose.add_prefix(first, "a/"), onnx.compose.add_prefix(second, "b/"), io_map=[("a/y", "b/x")]
    )
    path = tmp_path / "both.onnx"
    onnx.save(both, path)
    plan = compile_model(path, Options(target="wse3", region=(8, 6), mode="sequential"), tmp_path / "p")
    found = plan.simulate_turns()
    assert found.equal
    assert found.simulated_turns < len(found.turns) * 0.8
    for turn in found.turns:
        model = next(each for each in found.turns if (each.wafer, each.turn) == turn.equal_to)
        assert (model.cycles, model.overheads, model.cores) == (turn.cycles, turn.overheads, turn.cores)


@pytest.mark.parametrize("form", ["standard", "contrib"])
def test_a_decoder_with_its_cache_gives_the_numbers_of_the_executor(form: str, tmp_path: Path) -> None:
    """One step of two layers: rotations, states that are written in place, features and keys cut over cores; most turns once for both layers."""
    model = Decoder(form=form).save(tmp_path)
    plan = compile_model(model, Options(target="wse3", region=(8, 8), mode="sequential"), tmp_path / "p")
    assert plan.record.states
    generator = np.random.default_rng(0)
    states = {
        state.input: generator.standard_normal(state.shape).astype(np.float32) for state in plan.record.states
    }
    found = plan.simulate_turns(make_inputs(plan.record, 0) | states)
    assert found.equal
    assert {each.name.rpartition(", ")[2] for each in found.comparisons} >= {
        "present.0.key",
        "present.0.value",
    }
    assert found.cycles == pytest.approx(found.estimated_cycles, rel=0.05)
    assert found.simulated_turns < len(found.turns)


def test_products_that_share_a_turn_and_combine_nothing(tmp_path: Path) -> None:
    """On a column of cores the products of one vector share a turn, each with its features cut and its sums whole."""
    path = tmp_path / "layer.onnx"
    onnx.save(decoder_layer(), path)
    plan = compile_model(path, Options(target="wse3", region=(1, 24), mode="sequential"), tmp_path / "p")
    together = [phase.kernels for phase in plan.record.wafers[0].phases if len(phase.kernels) > 1]
    assert any(not kernel.collectives for kernels in together for kernel in kernels)
    assert plan.simulate_turns().equal


def test_experts_are_refused_by_name(tmp_path: Path) -> None:
    """A mixture has no core program: no turn is simulated, and the kernel is named."""
    model = Decoder(kind="gpt_oss", form="contrib").save(tmp_path)
    plan = compile_model(model, Options(target="wse3", region=(8, 8), mode="sequential"), tmp_path / "p")
    with pytest.raises(WsecError, match="kernels of kind experts have no core program") as caught:
        plan.simulate_turns()
    assert caught.value.code == "WSEC596"
    assert str(caught.value.where).endswith("MoE of kind experts")


def test_a_trace_shows_turns_one_after_the_other(plan: OpenPlan) -> None:
    """Spans of turns and reshardings do not overlap, and end where the simulation does."""
    found = plan.simulate_turns()
    spans = [event for event in turn_trace_events(found)["traceEvents"] if event["ph"] == "X"]
    ends = [(event["ts"], event["ts"] + event["dur"]) for event in spans]
    assert sorted(ends) == ends or all(
        a[1] <= b[0] for a, b in zip(sorted(ends), sorted(ends)[1:], strict=False)
    )
    assert max(end for _, end in ends) == found.cycles
    assert sum(end - begin for begin, end in ends) == found.cycles


def _changed(plan: OpenPlan, record: Plan) -> LoadedPlan:
    return LoadedPlan(record, plan.folder)


def test_a_resharding_that_loses_words_is_told(plan: OpenPlan) -> None:
    """Exchanges that do not reach every core are an error before the first cycle, which names the link."""
    wafer = plan.record.wafers[0]
    phases = tuple(
        replace(phase, links=tuple(replace(link, exchanges=()) for link in phase.links))
        for phase in wafer.phases
    )
    record = replace(plan.record, wafers=(replace(wafer, phases=phases),))
    with pytest.raises(WsecError) as caught:
        simulate_turns(_changed(plan, record), make_inputs(record, 0))
    assert str(caught.value).splitlines()[:2] == [
        "error[WSEC597]: a link does not bring what its kernel needs",
        f"  where:    {caught.value.where}",
    ]
    assert str(caught.value.where).startswith("link ")
    assert "are missing in all" in str(caught.value)


def test_too_few_colours_are_told(plan: OpenPlan) -> None:
    """A target with a colour or two for kernels cannot carry an all-reduce; the message says for which axis."""
    fabric = replace(plan.record.target.fabric, colours=4, reserved_colours=3, kernel_colours=1)
    record = replace(plan.record, target=replace(plan.record.target, fabric=fabric))
    with pytest.raises(WsecError) as caught:
        simulate_turns(_changed(plan, record), make_inputs(record, 0))
    assert str(caught.value) == (
        "error[WSEC387]: the collectives of a turn need more colours than there are\n"
        f"  where:    {caught.value.where}\n"
        "  expected: at most 1 colours, those that the host does not keep\n"
        f"  found:    {caught.value.found}\n"
        "  try:      compile with `--collective star`, which needs two colours for each all-reduce"
    )


def test_wafers_of_two_modes_are_refused(plan: OpenPlan) -> None:
    """Circuits of a pipeline and turns are not simulated together."""
    record = replace(
        plan.record, wafers=(*plan.record.wafers, replace(plan.record.wafers[0], mode="pipelined"))
    )
    with pytest.raises(WsecError, match="modes sequential and pipelined") as caught:
        simulate_turns(_changed(plan, record), make_inputs(record, 0))
    assert caught.value.code == "WSEC388"


def test_a_simulation_of_turns_that_is_too_large(plan: OpenPlan) -> None:
    """What a turn would take is known from its records."""
    with pytest.raises(WsecError, match="the simulation is too large") as caught:
        simulate_turns(plan._loaded, make_inputs(plan.record, 0), limit_bytes=1000)
    assert caught.value.code == "WSEC350"


def test_a_kernel_without_a_program_is_named(plan: OpenPlan) -> None:
    """Kinds that cannot be simulated are refused, not passed over."""
    wafer = plan.record.wafers[0]
    first = wafer.phases[0]
    other = replace(first, kernels=(replace(first.kernels[0], kind="experts"), *first.kernels[1:]))
    record = replace(plan.record, wafers=(replace(wafer, phases=(other, *wafer.phases[1:])),))
    with pytest.raises(WsecError) as caught:
        simulate_turns(_changed(plan, record), make_inputs(record, 0))
    assert caught.value.code == "WSEC596"
    assert caught.value.where == f"kernel {first.kernels[0].name} of kind experts"
