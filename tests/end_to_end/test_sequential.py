"""Models whose kernels take turns: plans are legal, give onnxruntime's numbers, and are refused where they cannot be made."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from decoder_models import Decoder
from small_models import residual_network

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import HOST, REPLICAS
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.target import load_target
from wsec.driver import Options, compile_model
from wsec.loaded_plan import Plan, load_plan

if TYPE_CHECKING:
    from pathlib import Path

SEQUENTIAL = Options(target="wse3", region=(8, 8), mode="sequential")


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny decoder, one step."""
    return Decoder(form="standard").save(tmp_path_factory.mktemp("decoder"))


@pytest.fixture(scope="module")
def plan(decoder: Path, tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """Its plan on one wafer."""
    return compile_model(decoder, SEQUENTIAL, tmp_path_factory.mktemp("plan") / "decoder.plan")


def test_a_decoder_in_turns_gives_the_numbers_of_onnxruntime(plan: Plan) -> None:
    """Results that all-reduces bring everywhere, replicas and reshardings change no number."""
    assert plan.verify().passed
    assert plan.check() == ()
    assert [wafer.mode for wafer in plan.record.wafers] == ["sequential"]


def test_the_fullest_core_holds_the_weights_of_all_turns(plan: Plan) -> None:
    """What is said to be in use is no less than any core holds of all kernels, and no more than the target has."""
    kernels = list(plan.record.kernels())
    held = [
        sum(
            kernel.memory.weights + kernel.memory.states
            for kernel in kernels
            if x < kernel.rectangle.x + kernel.rectangle.width
            and y < kernel.rectangle.y + kernel.rectangle.height
        )
        for x in range(8)
        for y in range(8)
    ]
    assert all(kernel.rectangle.x == kernel.rectangle.y == 0 for kernel in kernels)
    fullest = plan.estimate().fullest_core_bytes
    assert max(held) + max(kernel.memory.code for kernel in kernels) < fullest
    assert fullest <= plan.record.target.core.sram_bytes
    assert plan.estimate().fullest_kernel == f"{len(plan.record.wafers[0].phases)} turns"


def test_products_of_one_vector_share_a_turn(plan: Plan) -> None:
    """Query, key and value; gate and up: on the same cores, with all-reduces that bring the results everywhere."""
    shared = [phase for phase in plan.record.wafers[0].phases if len(phase.kernels) > 1]
    sizes = sorted(len(phase.kernels) for phase in shared)
    assert sizes == [2, 2, 3, 3]
    for phase in shared:
        reads = {entry.tensor for kernel in phase.kernels for entry in kernel.inputs if entry.role == "a"}
        assert len(reads) == 1


def test_the_latency_is_the_sum_of_all_turns(plan: Plan) -> None:
    """One sample at a time: interval and latency are what arrives and what kernels take, the last result included."""
    estimate = plan.estimate()
    phases = plan.record.wafers[0].phases
    work = sum(kernel.cycles.work for kernel in plan.record.kernels())
    assert estimate.interval_cycles == estimate.latency_cycles > work
    assert estimate.bottleneck.kind == "turns"
    assert plan.record.placement.interval_bound <= estimate.interval_cycles
    assert len(phases) < len(list(plan.record.kernels()))


def test_a_shorter_resharding_than_words_need_is_found(plan: Plan) -> None:
    """The checker computes what cores lack of each tensor by itself."""
    record = plan.record
    wafer = record.wafers[0]
    phases = tuple(
        replace(
            phase,
            links=tuple(
                link if HOST in (link.source, link.target) else replace(link, cycles=0)
                for link in phase.links
            ),
        )
        for phase in wafer.phases
    )
    found = check_plan(replace(record, wafers=(replace(wafer, phases=phases),)), plan.folder / "model.onnx")
    assert found
    assert {item.code for item in found} == {"WSEC553"}
    assert all(item.rule == "what a core lacks of a tensor comes through its ramp" for item in found)


def test_reshardings_without_exchanges_are_found(plan: Plan) -> None:
    """What a core lacks has to be brought by some exchange of the link."""
    wafer = plan.record.wafers[0]
    phases = tuple(
        replace(phase, links=tuple(replace(link, exchanges=()) for link in phase.links))
        for phase in wafer.phases
    )
    found = check_plan(
        replace(plan.record, wafers=(replace(wafer, phases=phases),)), plan.folder / "model.onnx"
    )
    assert found
    assert {item.rule for item in found} == {"what a core lacks of a tensor is brought by exchanges"}


def test_chains_are_shared_along_one_line(plan: Plan) -> None:
    """More cores than a line has, or than the block has parts, are found."""
    wafer = plan.record.wafers[0]
    phases = tuple(
        replace(phase, kernels=tuple(replace(kernel, chain_cores=64) for kernel in phase.kernels))
        for phase in wafer.phases
    )
    found = check_plan(
        replace(plan.record, wafers=(replace(wafer, phases=phases),)), plan.folder / "model.onnx"
    )
    assert len(found) == len(list(wafer.kernels()))
    assert {item.rule for item in found} == {
        "a chain is shared by cores of a line along which its operand was combined"
    }


def test_memory_of_all_turns_together_is_checked(plan: Plan) -> None:
    """Every kernel fits alone; their weights together do not, once the target has less memory."""
    record = plan.record
    largest = max(kernel.memory.total for kernel in record.kernels())
    core = replace(record.target.core, sram_bytes=largest + 64)
    found = check_plan(replace(record, target=replace(record.target, core=core)), plan.folder / "model.onnx")
    assert "the weights of all turns and the blocks of one fit each core" in {item.rule for item in found}


def test_replicas_are_axes_that_nothing_follows(plan: Plan) -> None:
    """Kernels that leave a side unused compute the same along it; no sharding names the axis."""
    repeated = [
        kernel for kernel in plan.record.kernels() if any(axis.name in REPLICAS for axis in kernel.mesh.axes)
    ]
    assert repeated
    for kernel in repeated:
        shardings = [item.sharding for item in kernel.inputs] + [item.sharding for item in kernel.outputs]
        assert not any(name in REPLICAS for each in shardings for d in each.dimensions for name in d.axes)


def test_turns_over_three_wafers(decoder: Path, tmp_path: Path) -> None:
    """Consecutive turns on each wafer; tensors cross, latency grows by the messages, the interval falls, and a note says how few would do."""
    plan = compile_model(decoder, replace(SEQUENTIAL, wafers=3), tmp_path / "three.plan")
    assert [wafer.mode for wafer in plan.record.wafers] == ["sequential"] * 3
    assert plan.verify().passed
    (said,) = [note for note in plan.record.notes if note.startswith("3 wafers: ")]
    assert said.endswith("at least 1")  # the decoder fits one
    estimate = plan.estimate()
    assert max(wafer.interval_cycles for wafer in estimate.wafers) < estimate.latency_cycles
    assert load_plan(plan.folder).record == plan.record


def test_the_fewest_wafers_are_found_and_proven(decoder: Path, tmp_path: Path) -> None:
    """Bytes alone promise four wafers of two cores a side; no cut of the kernels fits fewer than five, and five are found."""
    target = load_target("wse3")
    small = replace(target, core=replace(target.core, sram_bytes=28 * 1024, code_reserve_bytes=8 * 1024))
    plan = compile_model(
        decoder, Options(target=small, region=(2, 2), mode="sequential", wafers=None), tmp_path / "few.plan"
    )
    assert len(plan.record.wafers) == 5
    (said,) = [note for note in plan.record.notes if note.startswith("5 wafers: ")]
    assert "need at least 4 of 20,480 bytes a core" in said
    assert said.endswith(
        "80,312 bytes on the fullest core, at least 5: no plan whose kernels take turns has fewer"
    )
    assert plan.check() == ()


def test_a_network_of_convolutions_takes_turns(tmp_path: Path) -> None:
    """Halos, pooling and the rest: not only vectors."""
    model = residual_network(tmp_path)
    plan = compile_model(
        model, Options(target="mesh16", region=(8, 8), mode="sequential"), tmp_path / "net.plan"
    )
    assert plan.verify().passed


def test_auto_says_what_others_would_have_cost(tmp_path: Path) -> None:
    """Latency prefers turns; the pipelined plan stands among the alternatives, with numbers."""
    model = residual_network(tmp_path)
    options = Options(target="mesh16", region=(8, 8), mode="auto", objective="latency", effort=0.0)
    plan = compile_model(model, options, tmp_path / "net.plan")
    modes = {item.mode for item in plan.record.alternatives} | {wafer.mode for wafer in plan.record.wafers}
    assert modes == {"pipelined", "sequential", "streaming", "sequential-streaming"}
    weighed = [item for item in plan.record.alternatives if item.latency is not None]
    assert weighed
    assert any(note.startswith("mode ") and "was taken for latency" in note for note in plan.record.notes)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (replace(SEQUENTIAL, fabric="full"), "WSEC369"),
        (replace(SEQUENTIAL, wafers=0), "WSEC370"),
        (replace(SEQUENTIAL, wafers=4000), "WSEC367"),
        (replace(SEQUENTIAL, mode="parallel"), "WSEC368"),
        (replace(SEQUENTIAL, phases=2), "WSEC369"),
        (replace(SEQUENTIAL, target="mesh16", wafers=2), "WSEC363"),
        (replace(SEQUENTIAL, region=(2, 2)), "WSEC366"),
    ],
)
def test_what_cannot_be_planned_is_refused(decoder: Path, options: Options, code: str) -> None:
    """By a code of its own, before anything is written."""
    with pytest.raises(WsecError) as caught:
        compile_model(decoder, options)
    assert caught.value.code == code


def test_the_message_of_memory_has_the_numbers(decoder: Path) -> None:
    """What is needed and what there is, and what to do."""
    with pytest.raises(WsecError) as caught:
        compile_model(decoder, replace(SEQUENTIAL, region=(2, 2)))
    text = str(caught.value)
    assert "the weights of all kernels do not fit the cores on which they take turns" in text
    assert "at most 40,960 bytes on a core" in text
    assert "bytes on the fullest core" in text
    assert "use --wafers 3, on which they fit" in text
