"""The KV cache of a decoder stays on the wafer: one plan serves every step, and equals onnxruntime in each."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from decoder_models import Decoder, Oracle

import wsec
from wsec.compiler.errors import WsecError
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.plan_io import load_plan
from wsec.runtime.executor import Executor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wsec.compiler.plan import Kernel, KernelInput
    from wsec.compiler.plan import Plan as PlanRecord
    from wsec.compiler.sharding import Sharding

STEPS = 8
DECODERS = [
    Decoder(),
    Decoder(form="standard"),
    Decoder("gpt_oss", sequence=2),
    Decoder("gpt_oss", form="standard", batch=2),
    Decoder(form="standard", batch=2, sequence=3),
]


def _compiled(decoder: Decoder, folder: Path, **options: object) -> wsec.Plan:
    chosen = {"target": "wse3", "region": (48, 48), "effort": 0, **options}
    return wsec.compile(decoder.save(folder), **chosen)  # type: ignore[arg-type]


@pytest.mark.parametrize("decoder", DECODERS, ids=lambda decoder: decoder.name)
def test_every_step_equals_onnxruntime(decoder: Decoder, tmp_path: Path) -> None:
    """The executor keeps the cache from step to step; logits and cache are those of onnxruntime, which is given it."""
    plan = _compiled(decoder, tmp_path)
    assert plan.check() == ()
    assert len(plan.record.states) == 4
    links = {link.tensor for link in plan.record.links()}
    assert not links & {name for state in plan.record.states for name in (state.input, state.output)}
    executor, oracle = Executor(load_plan(plan.folder)), Oracle(tmp_path / f"{decoder.kind}.onnx")
    for step in range(min(STEPS, decoder.context // decoder.sequence)):
        inputs = decoder.inputs(step)
        wanted, found = oracle.run(inputs), executor.run(inputs)
        for name, value in wanted.items():
            np.testing.assert_allclose(
                found[name], value, rtol=1e-4, atol=1e-5, err_msg=f"step {step}: {name}"
            )


@pytest.mark.parametrize("kind", ["llama", "gpt_oss"])
@pytest.mark.parametrize("form", ["contrib", "standard"])
def test_prefill_hands_its_cache_to_decode(kind: str, form: str, tmp_path: Path) -> None:
    """What the prefill plan gives as present is what the decode plan reads as past, whole wafer or region."""
    prompt, decoder = Decoder(kind, form, "prefill", sequence=3), Decoder(kind, form)
    for each in (prompt, decoder):
        (tmp_path / each.entry).mkdir()
    first = _compiled(prompt, tmp_path / "prefill", region=None)
    later = _compiled(decoder, tmp_path / "decode", region=None)
    assert first.check() == later.check() == ()
    start = Executor(load_plan(first.folder)).run(prompt.inputs(0))
    oracle = Oracle(tmp_path / "decode" / f"{kind}.onnx")
    wanted = Oracle(tmp_path / "prefill" / f"{kind}.onnx").run(prompt.inputs(0))
    oracle.cache = {name: wanted[name.replace("past_key_values", "present")] for name in oracle.cache}
    given = {state.input: start[state.output] for state in later.record.states}
    executor = Executor(load_plan(later.folder))
    for step in range(prompt.sequence, prompt.sequence + STEPS):
        inputs = decoder.inputs(step)
        wanted, found = oracle.run(inputs), executor.run({**inputs, **given})
        given = {}
        for name, value in wanted.items():
            np.testing.assert_allclose(
                found[name], value, rtol=1e-4, atol=1e-5, err_msg=f"step {step}: {name}"
            )


@pytest.fixture(scope="module")
def contrib_plan(tmp_path_factory: pytest.TempPathFactory) -> wsec.Plan:
    """A plan of the form that onnxruntime-genai writes."""
    return _compiled(Decoder(), tmp_path_factory.mktemp("decoder"))


def test_a_step_from_any_cache(contrib_plan: wsec.Plan) -> None:
    """States that are given are used, and what the last run left is not: a run verifies from random caches."""
    verification = contrib_plan.verify()
    assert verification.passed, verification


def test_states_are_zeros_again_after_a_reset(contrib_plan: wsec.Plan) -> None:
    """A second sequence begins as the first did, and what a run gave can be changed without changing the state."""
    decoder = Decoder()
    executor = Executor(load_plan(contrib_plan.folder))
    first = executor.run(decoder.inputs(0))
    kept = executor.states["past_key_values.0.key"].copy()
    assert kept.any()
    first["present.0.key"][:] = 7
    np.testing.assert_array_equal(executor.states["past_key_values.0.key"], kept)
    executor.reset()
    assert not executor.states["past_key_values.0.key"].any()
    np.testing.assert_array_equal(executor.run(decoder.inputs(0))["logits"], first["logits"])


def test_without_states_the_cache_comes_and_goes(tmp_path: Path) -> None:
    """With `states="none"` inputs and outputs are plain: links bring and take them, and the numbers are the same."""
    plan = _compiled(Decoder(), tmp_path, states="none")
    assert plan.record.states == ()
    assert not any(entry.state for kernel in plan.record.kernels() for entry in kernel.inputs)
    assert plan.check() == ()
    assert plan.verify().passed


def test_the_ledger_counts_a_state_once(contrib_plan: wsec.Plan) -> None:
    """Bytes of states are those of the blocks of past keys and values; the update takes no room of its own."""
    for kernel in _caching(contrib_plan.record):
        blocks = [entry.sharding.block_elements for entry in kernel.inputs if entry.state]
        assert kernel.memory.states == 4 * sum(blocks)


def test_the_note_says_what_stays(contrib_plan: wsec.Plan) -> None:
    """Users are told that inputs and outputs of their model are no longer sent."""
    said = (
        "4 inputs of the model stay on the wafer between two runs, as past_key_values.0.key does, which present.0.key "
        "updates: no link brings or takes them (--states none makes plain inputs and outputs of them)"
    )
    assert said in contrib_plan.record.notes


def test_auto_goes_by_the_latency_of_a_step(tmp_path: Path) -> None:
    """Steps wait for one another: for throughput too the plan with the shorter step is taken, whatever its interval is."""
    plan = _compiled(Decoder(), tmp_path, mode="auto")
    (taken,) = {wafer.mode for wafer in plan.record.wafers}
    said = next(note for note in plan.record.notes if note.startswith(f"mode {taken} was taken"))
    assert "taken for throughput, which goes by the latency of a step: " in said
    latency = int(said.split("latency ")[-1].split(" cycles")[0].replace(",", ""))
    others = [other.latency for other in plan.record.alternatives if other.latency is not None]
    assert others
    assert latency <= min(others)
    assert plan.estimate().samples_per_second == pytest.approx(
        plan.record.target.clock_hz / plan.estimate().latency_cycles
    )
    demanded = 1.01 * plan.estimate().samples_per_second
    with pytest.raises(wsec.WsecError, match="WSEC378") as caught:
        _compiled(Decoder(), tmp_path, mode="pipelined", min_throughput=demanded)
    assert "cycles of latency" in caught.value.found


def test_a_cache_that_something_else_reads_too(tmp_path: Path) -> None:
    """A cache that cannot stay comes and goes, its numbers are right, and a note says so."""
    path = Decoder(form="standard").save(tmp_path)
    model = onnx.load(path)
    for layer in (0, 1):
        model.graph.node.append(
            onnx.helper.make_node("Neg", [f"past_key_values.{layer}.key"], [f"copy.{layer}"])
        )
        model.graph.output.append(onnx.helper.make_tensor_value_info(f"copy.{layer}", 1, [1, 2, 12, 16]))
    onnx.save(model, path)
    plan = wsec.compile(path, target="wse3", region=(48, 48), effort=0)
    assert plan.record.states == ()
    assert plan.verify().passed
    said = (
        "4 caches of the model, past_key_values.0.key for one, come and go with each run: no attention alone reads its "
        "update (docs/states.md says what becomes a state)"
    )
    assert said in plan.record.notes


@pytest.fixture(scope="module")
def followed_plan(tmp_path_factory: pytest.TempPathFactory) -> wsec.Plan:
    """A plan of which every word is followed from core to core."""
    folder = tmp_path_factory.mktemp("decoder")
    return _compiled(Decoder(form="standard"), folder, fabric="full", region=(32, 32))


def test_words_are_followed_to_the_cores_that_write(followed_plan: wsec.Plan) -> None:
    """With the whole fabric routed the plan is legal; the simulator, which knows no earlier run, refuses it."""
    plan = followed_plan
    assert plan.check() == ()
    with pytest.raises(WsecError) as caught:
        plan.simulate()
    assert str(caught.value) == (
        "error[WSEC596]: the plan has something that cannot be simulated\n"
        "  where:    input past_key_values.0.key\n"
        "  expected: kernels, element types and collectives that docs/simulator.md lists\n"
        "  found:    4 states, which stay on the wafer between two runs\n"
        "  try:      compile with `--states none`, and they come and go with each run"
    )


def _caching(plan: PlanRecord) -> list[Kernel]:
    return [kernel for kernel in plan.kernels() if kernel.memory.states]


def _changed(plan: PlanRecord, change: Callable[[Kernel], Kernel]) -> PlanRecord:
    """The plan with the first kernel that keeps states changed."""
    first = _caching(plan)[0].name

    def of_phase(kernels: tuple[Kernel, ...]) -> tuple[Kernel, ...]:
        return tuple(change(kernel) if kernel.name == first else kernel for kernel in kernels)

    wafers = tuple(
        replace(
            wafer, phases=tuple(replace(phase, kernels=of_phase(phase.kernels)) for phase in wafer.phases)
        )
        for wafer in plan.wafers
    )
    return replace(plan, wafers=wafers)


def _elsewhere(kernel: Kernel) -> Kernel:
    key, value = kernel.outputs[1:]
    whole = tuple(
        replace(dimension, axes=(), block=dimension.extent, step=0) for dimension in key.sharding.dimensions
    )
    moved = replace(key, sharding=replace(key.sharding, dimensions=whole))
    return replace(kernel, outputs=(kernel.outputs[0], moved, value))


def _with_steps_swapped(kernel: Kernel) -> Kernel:
    first, second, *rest = kernel.body
    wires = first.inputs[1], first.inputs[0], first.inputs[2]
    return replace(kernel, body=(replace(first, inputs=wires), second, *rest))


def _with_the_value_as_key(kernel: Kernel) -> Kernel:
    states = kernel.arguments["states"]
    assert isinstance(states, tuple)
    return replace(kernel, arguments={**kernel.arguments, "states": states[::-1]})


def _twice(kernel: Kernel) -> Kernel:
    first, key, value = kernel.outputs
    return replace(kernel, outputs=(first, replace(key, slots=2), value))


def _in_copies(kernel: Kernel) -> Kernel:
    """Keys whole on every core along the positions, before and behind."""
    first, key, value = kernel.outputs
    whole = tuple(
        replace(dimension, axes=(), block=dimension.extent, step=0) if "t" in dimension.axes else dimension
        for dimension in key.sharding.dimensions
    )
    sharding = replace(key.sharding, dimensions=whole)
    inputs = tuple(
        replace(entry, sharding=sharding) if entry.role == "k" else entry for entry in kernel.inputs
    )
    return replace(kernel, inputs=inputs, outputs=(first, replace(key, sharding=sharding), value))


def _without_its_update(kernel: Kernel) -> Kernel:
    return replace(kernel, operators=kernel.operators[1:])


def _with_outputs_swapped(kernel: Kernel) -> Kernel:
    first, key, value = kernel.outputs
    return replace(kernel, outputs=(first, value, key))


def _without_bytes(kernel: Kernel) -> Kernel:
    return replace(kernel, memory=replace(kernel.memory, states=0))


def _as_an_activation(kernel: Kernel) -> Kernel:
    inputs = tuple(replace(entry, state=False) if entry.role == "k" else entry for entry in kernel.inputs)
    return replace(kernel, inputs=inputs)


def _misplaced(kernel: Kernel) -> Kernel:
    """The mark of the places is cut elsewhere than the keys."""
    inputs = tuple(
        replace(entry, sharding=_shifted(entry)) if entry.role == "u0" else entry for entry in kernel.inputs
    )
    return replace(kernel, inputs=inputs)


def _shifted(entry: KernelInput) -> Sharding:
    sharding = entry.sharding
    dimensions = tuple(
        replace(dimension, axes=(), step=0) if dimension.axes else dimension
        for dimension in sharding.dimensions
    )
    return replace(sharding, dimensions=dimensions)


CORRUPTIONS: dict[str, tuple[Callable[[Kernel], Kernel], str, str]] = {
    "written elsewhere": (_elsewhere, "WSEC543", "a state lies after a run as it lay before"),
    "steps swapped": (_with_steps_swapped, "WSEC545", "a step is wired as its node"),
    "states swapped": (_with_the_value_as_key, "WSEC545", "a state is what the last of its updates gives"),
    "held twice": (_twice, "WSEC543", "a state is there once"),
    "in copies": (_in_copies, "WSEC543", "every element of a state lies on one core"),
    "without its update": (_without_its_update, "WSEC545", "the nodes of an attention are one"),
    "outputs swapped": (_with_outputs_swapped, "WSEC545", "a kernel gives the states that it has written"),
    "no bytes": (_without_bytes, "WSEC546", "the ledger says no less than the blocks take"),
    "as an activation": (_as_an_activation, "WSEC547", "one kernel reads a state and writes it"),
    "places misread": (_misplaced, "WSEC544", ""),
}


@pytest.fixture(scope="module")
def cached_plan(tmp_path_factory: pytest.TempPathFactory) -> wsec.Plan:
    """A plan whose attention is cut along the positions."""
    return _compiled(Decoder(form="standard"), tmp_path_factory.mktemp("decoder"))


@pytest.mark.parametrize(("change", "code", "rule"), CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_corrupted_states_are_found(
    cached_plan: wsec.Plan, change: Callable[[Kernel], Kernel], code: str, rule: str
) -> None:
    """The checker names what is wrong with a state, whoever made the plan."""
    assert any("t" in kernel.split and kernel.split["t"] > 1 for kernel in _caching(cached_plan.record))
    found = check_plan(_changed(cached_plan.record, change), cached_plan.folder)
    assert any(item.code == code and rule in item.rule for item in found), found


def test_nothing_carries_or_reads_a_state(cached_plan: wsec.Plan) -> None:
    """A link with a state, or a second kernel that reads it, is found."""
    plan = cached_plan.record
    wafer = plan.wafers[0]
    phase = wafer.phases[0]
    link = replace(phase.links[0], tensor="past_key_values.0.key")
    carried = replace(wafer, phases=(replace(phase, links=(link, *phase.links[1:])),))
    found = check_plan(replace(plan, wafers=(carried,)), cached_plan.folder)
    assert any(
        item.rule == "a state stays where it is" and f"link {link.name}" in item.found for item in found
    )
    kernels = tuple(
        replace(kernel, inputs=(replace(kernel.inputs[0], tensor="present.0.key"), *kernel.inputs[1:]))
        if kernel.kind == "matmul"
        else kernel
        for kernel in phase.kernels
    )
    read = replace(wafer, phases=(replace(phase, kernels=kernels),))
    found = check_plan(replace(plan, wafers=(read,)), cached_plan.folder)
    assert any(item.rule == "a state stays where it is" for item in found)


def test_states_of_the_plan_are_those_of_kernels(cached_plan: wsec.Plan) -> None:
    """A state that is not named, or named with another shape, is found."""
    plan = cached_plan.record
    unnamed = check_plan(replace(plan, states=plan.states[1:]), cached_plan.folder)
    assert any(item.rule == "what kernels keep are states of the plan" for item in unnamed)
    odd = replace(plan.states[0], shape=(1, 2, 13, 16))
    reshaped = check_plan(replace(plan, states=(odd, *plan.states[1:])), cached_plan.folder)
    assert any("with its shape and type" in item.rule for item in reshaped)


def test_features_of_a_long_cache_are_cut(tmp_path: Path) -> None:
    """Where positions and heads are not enough for the cores, features are cut: scores are summed over their parts first."""
    decoder = Decoder(form="standard", context=64)
    plan = _compiled(decoder, tmp_path)
    cut = [kernel for kernel in _caching(plan.record) if kernel.split["d"] > 1]
    assert cut
    for kernel in cut:
        along = [item for item in kernel.collectives if item.axis == "d"]
        assert [(item.kind, item.times) for item in along] == [("all_reduce", 2)]
        assert kernel.collectives[0].axis == "d"
    executor, oracle = Executor(load_plan(plan.folder)), Oracle(tmp_path / "llama.onnx")
    for step in range(3):
        wanted, found = oracle.run(decoder.inputs(step)), executor.run(decoder.inputs(step))
        np.testing.assert_allclose(found["logits"], wanted["logits"], rtol=1e-4, atol=1e-5)


def test_scores_that_are_not_summed_are_found(followed_plan: wsec.Plan) -> None:
    """Where features are cut and the fabric is followed, the checker wants the all-reduces along them."""
    plan = followed_plan
    kernels = [kernel for kernel in _caching(plan.record) if kernel.split["d"] > 1]
    assert kernels

    def without(kernel: Kernel) -> Kernel:
        return replace(kernel, collectives=tuple(item for item in kernel.collectives if item.axis != "d"))

    found = check_plan(_changed(plan.record, without), plan.folder)
    assert any(item.code == "WSEC554" and "all_reduce along d" in item.expected for item in found), found


def test_states_of_phases_that_take_turns_go_out_and_come_in(tmp_path: Path) -> None:
    """Other phases use their cores in between: the crossing counts the bytes of the states both ways, as the checker wants."""
    plan = _compiled(Decoder(), tmp_path, phases=2).record
    memory = plan.target.external_memory or plan.target.host
    for phase in plan.wafers[0].phases:
        entries = [entry for kernel in phase.kernels for entry in kernel.inputs if entry.state]
        size = sum(4 * int(np.prod(entry.sharding.shape)) for entry in entries)
        assert phase.summary is not None
        assert phase.summary.crossing_cycles >= 2 * 8 * size / memory.bits_per_second * plan.target.clock_hz
    assert check_plan(plan) == ()
    short = tuple(
        replace(phase, summary=replace(phase.summary, crossing_cycles=0)) if phase.summary else phase
        for phase in plan.wafers[0].phases
    )
    found = check_plan(replace(plan, wafers=(replace(plan.wafers[0], phases=short),)))
    assert any("pass what crosses" in item.expected for item in found)
