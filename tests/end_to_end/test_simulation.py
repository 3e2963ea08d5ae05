"""Compiled plans, simulated word by word: the numbers of every kernel are the executor's, bit for bit."""

from __future__ import annotations

import dataclasses
import itertools
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from trace_reader import Read, read_trace

from simulated_kernels import CONFIGURATIONS
from simulated_models import SIMULATED_MODELS, perceptron
from wsec.compiler.errors import WsecError
from wsec.compiler.plan import Phase, Plan, Wafer
from wsec.compiler.plan_io import LoadedPlan
from wsec.driver import Options, compile_model
from wsec.runtime.programs.phase import as_words
from wsec.runtime.programs.simulate import simulate_plan
from wsec.runtime.programs.trace import trace_events

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from simulated_kernels import Configuration
    from simulated_models import SimulatedModel
    from wsec.compiler.plan import Link

_CHOSEN = (
    "matmul ragged",
    "matmul long sum",
    "matmul by a chain",
    "matmul by a tree",
    "matmul by two phases",
    "matmul by groups",
    "matmul by a ring",
    "matmul batch broadcast",
    "conv 3 x 3, ragged",
    "conv 7 x 7, stride 2",
    "conv depthwise",
    "max pool",
    "global average pool",
    "log of a sum of powers",
    "softmax of one row",
    "layer norm, ragged",
    "attention of one query, ragged keys",
    "sum of two, broadcast",
    "embedding",
    "embedding, int64 indices",
    "sum of int64",
    "choice by bools",
    "comparison to bools",
    "transpose",
    "concat",
)
"""One of each kind and algorithm; `benchmarks/simulation.py` runs them all."""


@pytest.fixture(scope="module")
def two_layers(tmp_path_factory: pytest.TempPathFactory) -> LoadedPlan:
    """The plan of a perceptron of two layers; tests only read it."""
    folder = tmp_path_factory.mktemp("perceptron")
    onnx.save(perceptron()[0], folder / "model.onnx")
    options = Options(target="mesh64", region=(12, 12), effort=0.0, fabric="full")
    plan = compile_model(folder / "model.onnx", options, folder / "plan")
    return LoadedPlan(plan.record, plan.folder)


@pytest.mark.parametrize(
    "configuration", [each for each in CONFIGURATIONS if each.name in _CHOSEN], ids=lambda each: each.name
)
def test_kernels_give_the_numbers_of_the_executor(configuration: Configuration, tmp_path: Path) -> None:
    """Every word of a kernel's links and collectives goes through the routers, and what comes out is right to the bit."""
    onnx.save(configuration.model(), tmp_path / "model.onnx")
    options = Options(
        target="wse2",
        region=configuration.region,
        effort=0.0,
        collective=configuration.collective,
        fabric="full",
    )
    plan = compile_model(tmp_path / "model.onnx", options)
    result = plan.simulate(configuration.samples())
    assert [each.name for each in result.comparisons if not each.equal] == []
    assert result.cycles > 0
    if configuration.types or configuration.name == "comparison to bools":
        return  # the simulator has a word for every element, the plan as many as the bytes take
    for kernel, made in zip(plan.record.kernels(), result.phases[0].kernels, strict=True):
        assert kernel.cycles.transfer == made.ramp_words


@pytest.mark.parametrize("model", SIMULATED_MODELS, ids=lambda each: each.name)
def test_models_give_the_numbers_of_the_executor(model: SimulatedModel, tmp_path: Path) -> None:
    """A perceptron, a convolutional network, an encoder block and a decode step: all links, all routes, all kernels."""
    made, inputs = model.make()
    onnx.save(made, tmp_path / "model.onnx")
    plan = compile_model(
        tmp_path / "model.onnx", Options(target="wse2", region=model.region, effort=0.0, fabric="full")
    )
    result = plan.simulate(inputs)
    assert [each.name for each in result.comparisons if not each.equal] == []
    tensors = {item.tensor for kernel in plan.record.kernels() for item in kernel.outputs}
    assert len(result.comparisons) == len(tensors) + len(plan.record.outputs)
    expected: dict[str, Any] = dict(plan.run(inputs))
    for name, tensor in result.outputs.items():
        np.testing.assert_allclose(tensor, expected[name], rtol=1e-3, atol=1e-4)


def test_a_pipeline_of_samples(two_layers: LoadedPlan) -> None:
    """Samples that overlap give the same numbers, and come faster than one after the other."""
    _, inputs = perceptron()
    one, several = (simulate_plan(two_layers, inputs, samples=samples) for samples in (1, 4))
    assert one.equal
    assert several.equal
    assert one.phases[0].interval == 0
    assert 0 < several.phases[0].interval < one.cycles
    assert several.cycles < 4 * one.cycles
    assert [len(kernel.samples) for kernel in several.phases[0].kernels] == [4, 4]


def test_samples_of_a_pipeline_do_not_mix(two_layers: LoadedPlan) -> None:
    """Each sample has inputs of its own: words of one that came for another would be seen, at the host and in the cores."""
    _, inputs = perceptron()
    given = [{name: value * (number + 1) for name, value in inputs.items()} for number in range(4)]
    result = simulate_plan(two_layers, given)
    assert result.samples == 4
    assert result.equal
    assert {f"output {each.name}, sample 3" for each in two_layers.plan.outputs} < {
        each.name for each in result.comparisons
    }
    last = simulate_plan(two_layers, given[3])
    for name, tensor in last.outputs.items():
        np.testing.assert_array_equal(result.outputs[name], tensor)


def test_threads_change_nothing(two_layers: LoadedPlan) -> None:
    """Cycles and stalls are the same for any number of threads."""
    _, inputs = perceptron()
    one, two = (simulate_plan(two_layers, inputs, threads=threads) for threads in (1, 2))
    assert one.phases == two.phases


def test_cores_that_are_held_back_begin_together(two_layers: LoadedPlan) -> None:
    """Held until all have their words, no core has a result before; the numbers stay, and the work takes no less than so held."""
    _, inputs = perceptron()
    free = simulate_plan(two_layers, inputs)
    names = [kernel.name for kernel in two_layers.plan.kernels()]
    holds = {name: (number + 1) * free.cycles for number, name in enumerate(names)}
    held = simulate_plan(two_layers, inputs, holds=holds)
    assert held.equal
    for before, after in zip(free.phases[0].kernels, held.phases[0].kernels, strict=True):
        hold, times = holds[after.name], after.samples[0]
        assert times.arrived[1] <= hold < times.computed[0]
        last = before.samples[0]
        assert times.computed[1] - hold >= last.computed[1] - last.arrived[1]


def test_times_of_kernels_are_in_order(two_layers: LoadedPlan) -> None:
    """Words arrive, blocks are whole, results are made, and are sent; a consumer has its words after its producer made them."""
    result = simulate_plan(two_layers, perceptron()[1])
    first, second = result.phases[0].kernels
    for kernel in (first, second):
        times = kernel.samples[0]
        assert 0 < times.arrived[1] <= times.exchanged[1] < times.computed[1] < times.sent[1] <= result.cycles
    assert second.samples[0].arrived[1] > first.samples[0].computed[0]
    assert sum(each.words for each in result.phases[0].links) >= 4 * 48 + 4 * 64 + 4 * 10


def test_whole_numbers_that_no_float_holds_are_refused(tmp_path: Path) -> None:
    """They would become others on the way: the tensor and the number are named, be they given or computed."""
    (sums,) = (each for each in CONFIGURATIONS if each.name == "sum of int64")
    onnx.save(sums.model(), tmp_path / "model.onnx")
    options = Options(target="wse2", region=sums.region, effort=0.0, fabric="full")
    plan = compile_model(tmp_path / "model.onnx", options)
    inputs = sums.samples()
    inputs["i"][1, 2], inputs["j"][2] = -(2**63), 0
    with pytest.raises(WsecError) as caught:
        plan.simulate(inputs)
    assert (caught.value.code, caught.value.where) == ("WSEC596", "step s0 of a chain")
    inputs["i"][1, 2], inputs["j"][2] = 2**24, 0
    assert plan.simulate(inputs).outputs["y"][1, 2] == 2**24
    with pytest.raises(WsecError) as caught:
        as_words(np.array([3, -(2**63)]), "i")
    assert (caught.value.code, caught.value.where) == ("WSEC596", "tensor i")
    assert caught.value.found == "-9,223,372,036,854,775,808, beyond 16,777,216; 1 of such numbers"


def test_a_trace_has_a_line_for_each_step(two_layers: LoadedPlan) -> None:
    """Spans of successive samples overlap, and yet on no line; links carry what they should, between the right times."""
    result = simulate_plan(two_layers, perceptron()[1], samples=5)
    read = read_trace(json.loads(json.dumps(trace_events(result))))
    assert list(read.processes.values()) == ["wafer 0"]
    assert [(begin, end) for begin, end, *_ in read.named("phases")] == [(0, result.cycles)]
    for of_line in read.spans.values():
        assert all(one[1] <= other[0] for one, other in itertools.pairwise(sorted(of_line)))
    for kernel in result.phases[0].kernels:
        computing = _on_lines(read, f"{kernel.name}: compute")
        assert {span[3]["sample"]: span[:2] for span in computing} == {
            number: (times.exchanged[0], times.computed[1]) for number, times in enumerate(kernel.samples)
        }
    first, second = result.phases[0].kernels
    (inner,) = [link for link in result.phases[0].links if link.source == first.name]
    assert [(begin, end) for begin, end, *_ in _on_lines(read, f"link {inner.name}")] == [
        (made.computed[0], there.arrived[1])
        for made, there in zip(first.samples, second.samples, strict=True)
    ]
    assert max(value["words"] for _, value in read.counters[0, "words of links on their way"]) >= inner.words


def _on_lines(read: Read, track: str) -> list[tuple[int, int, str, dict[str, Any]]]:
    """The spans of a track, which may have several lines."""
    lines = {name for name in read.tracks.values() if name == track or name.startswith(f"{track} (")}
    return sorted((span for name in lines for span in read.named(name)), key=lambda span: span[:2])


def _changed(loaded: LoadedPlan, change: Callable[[Phase], Phase]) -> LoadedPlan:
    plan: Plan = loaded.plan
    wafer = plan.wafers[0]
    phases = (change(wafer.phases[0]), *wafer.phases[1:])
    return LoadedPlan(dataclasses.replace(plan, wafers=(Wafer(phases, wafer.placement),)), loaded.folder)


def _simulation_error(loaded: LoadedPlan, **options: Any) -> str:
    with pytest.raises(WsecError) as caught:
        simulate_plan(loaded, perceptron()[1], **options)
    return str(caught.value)


def _inner_link(phase: Phase) -> Link:
    return next(link for link in phase.links if link.source != "host" and link.target != "host")


def test_a_link_without_circuits_is_refused(two_layers: LoadedPlan) -> None:
    """A plan whose circuits were lost says which link has none."""
    link = _inner_link(two_layers.plan.wafers[0].phases[0])
    broken = _changed(
        two_layers,
        lambda phase: dataclasses.replace(
            phase, circuits=tuple(each for each in phase.circuits if each.name != link.name)
        ),
    )
    found = _simulation_error(broken)
    assert found.startswith("error[WSEC591]: the routes do not fit together\n")
    assert f"where:    link {link.name}" in found


def test_a_link_without_its_exchanges_loses_words(two_layers: LoadedPlan) -> None:
    """Words that nobody passes on are missed before the first cycle."""
    broken = _changed(
        two_layers,
        lambda phase: dataclasses.replace(
            phase, links=tuple(dataclasses.replace(each, direct=False, exchanges=()) for each in phase.links)
        ),
    )
    assert _simulation_error(broken).startswith(
        "error[WSEC597]: a link does not bring what its kernel needs\n"
    )


def test_a_simulation_that_is_cut_off_names_kernels(two_layers: LoadedPlan) -> None:
    """What still waits is told in the words of the plan: cores of the region, with their kernels."""
    found = _simulation_error(two_layers, max_cycles=20)
    assert found.startswith(
        "error[WSEC595]: the simulation was cut off before it was over\n  where:    cycle 20\n"
    )
    assert f"kernel {two_layers.plan.wafers[0].phases[0].kernels[0].name}" in found


def test_a_simulation_that_is_too_large_is_refused(two_layers: LoadedPlan) -> None:
    """The memory that it would take is said, and a smaller region."""
    found = _simulation_error(two_layers, limit_bytes=1000)
    assert found.startswith("error[WSEC350]: the simulation is too large\n")


def test_types_that_take_no_word_are_refused(two_layers: LoadedPlan) -> None:
    """A plan of halves is not simulated as if it were one of floats."""
    broken = _changed(
        two_layers,
        lambda phase: dataclasses.replace(
            phase,
            kernels=tuple(
                dataclasses.replace(
                    kernel,
                    outputs=tuple(dataclasses.replace(each, dtype="float16") for each in kernel.outputs),
                )
                for kernel in phase.kernels
            ),
        ),
    )
    assert "found:    element type float16" in _simulation_error(broken)
