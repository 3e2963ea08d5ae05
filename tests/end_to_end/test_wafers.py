"""Models over several wafers: legal plans, onnxruntime's numbers, and the figures that the wafers add up to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from attention_models import Sizes, bert
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import SMALL_MODELS, ModelMaker, host_in_between, residual_network

from wsec.compiler.errors import WsecError
from wsec.compiler.placement import Adjacent, Forbid, Rectangle, Within
from wsec.compiler.plan import HOST
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.target import Target, WaferLink, load_target
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wsec.compiler.plan import Link, PlacementSummary
    from wsec.compiler.plan import Plan as PlanRecord
    from wsec.loaded_plan import Plan


def linked(bits_per_second: float = 1.2e12) -> Target:
    """The mesh of 64 x 64 cores with a link of 1,000 cycles a message to the next of its kind."""
    return replace(load_target("mesh64"), wafer_link=WaferLink(1e-6, bits_per_second))


def compiled(model: Path, wafers: int | None, region: tuple[int, int], target: Target | None = None) -> Plan:
    """Compiled quickly."""
    return compile_model(model, Options(target=target or linked(), region=region, effort=0.1, wafers=wafers))


def assert_right(plan: Plan) -> None:
    """Legal, forwards, the numbers of onnxruntime, and no figure contradicts another."""
    assert plan.check() == ()
    verification = plan.verify()
    assert verification.passed, verification
    result = plan.estimate()
    assert len(result.wafers) == len(plan.record.wafers)
    assert all(wafer.kernels for wafer in result.wafers)
    assert result.interval_cycles >= max(
        max(wafer.interval_cycles, wafer.outside_cycles, wafer.cycles_on) for wafer in result.wafers
    )
    assert plan.record.placement.interval_bound <= plan.record.placement.interval


@pytest.mark.parametrize("make", SMALL_MODELS, ids=lambda make: str(make.__name__))
def test_every_kind_of_kernel_on_two_wafers(make: Callable[[Path], Path], tmp_path: Path) -> None:
    """Cut anywhere between its kernels, a model gives the same numbers."""
    plan = compiled(make(tmp_path), 2, (9, 7))
    assert len(plan.record.wafers) == 2
    assert_right(plan)


@settings(max_examples=5, deadline=None)
@given(wafers=st.integers(2, 5), width=st.integers(5, 20), height=st.integers(5, 20))
def test_a_residual_network_over_any_number_of_wafers(
    wafers: int, width: int, height: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Tensors that skip kernels cross several links, and are read on several wafers."""
    plan = compiled(residual_network(tmp_path_factory.mktemp("model")), wafers, (width, height))
    assert len(plan.record.wafers) == wafers
    assert_right(plan)


def test_a_way_over_the_host_between_wafers(tmp_path: Path) -> None:
    """What a host operator reads and gives may be on different wafers; the order of its kernels stays."""
    plan = compiled(host_in_between(tmp_path), 3, (8, 8))
    assert plan.record.host_operators
    assert_right(plan)
    wafer_of = {
        name: number
        for number, wafer in enumerate(plan.record.wafers)
        for kernel in wafer.kernels()
        for name in kernel.operators
    }
    assert list(wafer_of.values()) == sorted(wafer_of.values())


def test_auto_takes_the_fewest_that_the_model_fits_on(tmp_path: Path) -> None:
    """One wafer where one is enough; otherwise as many as there must be, and one fewer is refused."""
    model = residual_network(tmp_path)
    assert len(compiled(model, None, (16, 16)).record.wafers) == 1
    plan = compiled(model, None, (3, 2))
    count = len(plan.record.wafers)
    assert count > 1
    assert_right(plan)
    with pytest.raises(WsecError, match=r"WSEC32|WSEC362"):
        compiled(model, count - 1, (3, 2))


def test_equal_options_give_equal_plans(tmp_path: Path) -> None:
    """The division is deterministic."""
    model = residual_network(tmp_path)
    assert compiled(model, 3, (9, 9)).record == compiled(model, 3, (9, 9)).record


def test_a_slow_link_between_wafers_sets_interval_and_latency(tmp_path: Path) -> None:
    """The words of the crossing tensors at the rate of the link; a message's time is in the latency alone."""
    model = residual_network(tmp_path)
    fast, slow = compiled(model, 2, (16, 16)), compiled(model, 2, (16, 16), linked(1e7))
    result = slow.estimate()
    words = result.wafers[0].words_on
    assert (result.bottleneck.kind, result.bottleneck.name) == ("wafers", "0 to 1")
    assert result.interval_cycles == words * 32 * 100
    assert slow.record.placement.interval == result.interval_cycles
    assert result.latency_cycles >= 1000 + words * 32 * 100
    assert fast.estimate().latency_cycles >= 1000


def test_an_attention_that_keeps_the_interval_up_is_taken_apart_on_wafers_too(tmp_path: Path) -> None:
    """Before it is divided, so that its operators may be on several; the bound is that of the operators."""
    sizes = Sizes(heads=2, groups=2, rows=24, keys=24, size=16, width=16)
    model = onnx.load(bert(tmp_path / "attention.onnx", sizes))
    (output,) = model.graph.output
    weights = np.random.default_rng(0).standard_normal((32, 32)).astype(np.float32)
    model.graph.initializer.append(onnx.numpy_helper.from_array(weights, "projection"))
    model.graph.node.append(onnx.helper.make_node("MatMul", [output.name, "projection"], ["projected"]))
    output.name = "projected"
    path = tmp_path / "model.onnx"
    onnx.save(model, path)
    plan = compiled(path, 2, (30, 30))
    assert {kernel.kind for kernel in plan.record.kernels()} >= {"matmul", "softmax"}
    assert_right(plan)


def test_constraints_are_refused_at_once_however_many_wafers_there_may_be(tmp_path: Path) -> None:
    """Auto does not try one number of wafers after the other for a rectangle that lies off the grid."""
    model = residual_network(tmp_path)
    name = next(iter(compiled(model, 1, (16, 16)).record.kernels())).operators[0]
    options = Options(target=linked(), region=(16, 16), effort=0, wafers=None)
    stages: list[str] = []
    with pytest.raises(WsecError) as raised:
        compile_model(
            model,
            replace(options, constraints=(Within(name, Rectangle(20, 20, 4, 4)),)),
            observer=lambda event: stages.append(event.stage),
        )
    assert raised.value.code == "WSEC335"
    assert "wafers" not in stages


def refusal(model: Path, wafers: int, target: str | Target) -> str:
    """The whole message."""
    with pytest.raises(WsecError) as raised:
        compile_model(model, Options(target=target, wafers=wafers, effort=0))
    return str(raised.value)


def test_what_is_refused(tmp_path: Path) -> None:
    """Each message whole."""
    maker = ModelMaker()
    model = maker.save(tmp_path / "one.onnx", {"x": (1, 2, 8, 8)}, [maker.conv("x", (2, 4), (3, 3))])
    assert refusal(model, 2, "mesh16") == (
        "error[WSEC363]: the target has no link between wafers\n"
        "  where:    target mesh16\n"
        "  expected: a table [wafer_link] with seconds_per_hop and bits_per_second\n"
        "  found:    none\n"
        "  try:      use one wafer, or a target with such a link; docs/targets.md describes the table"
    )
    assert refusal(model, 2, linked()) == (
        "error[WSEC361]: the kernels cannot be spread over 2 wafers\n"
        "  expected: at least 1 wafer, and no more than kernels, of which there are 1\n"
        "  found:    2\n"
        "  try:      ask for fewer wafers, or for the least that the model fits on: --wafers auto"
    )
    for wafers in (0, -3):
        assert refusal(model, wafers, linked()) == (
            "error[WSEC370]: a model needs a wafer\n"
            "  expected: at least 1 wafer\n"
            f"  found:    {wafers}\n"
            "  try:      ask for another number, or `--wafers auto`"
        )


def test_constraints_hold_on_the_wafer_of_their_operators(tmp_path: Path) -> None:
    """A forbidden area is free on all wafers, a region holds its operator; neighbours on two wafers are refused."""
    model = residual_network(tmp_path)
    names = [kernel.operators[0] for kernel in compiled(model, 2, (16, 16)).record.kernels()]
    area, region = Rectangle(0, 0, 4, 2), Rectangle(0, 8, 16, 8)
    options = Options(target=linked(), region=(16, 16), effort=0.1, wafers=2)
    plan = compile_model(model, replace(options, constraints=(Forbid(area), Within(names[-1], region))))
    assert_right(plan)
    with pytest.raises(WsecError) as raised:
        compile_model(model, replace(options, constraints=(Adjacent(names[0], names[-1]),)))
    assert raised.value.code == "WSEC335"
    assert raised.value.expected == "operators of one wafer"
    assert raised.value.found == "operators on wafers 0, 1"


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> PlanRecord:
    """A legal plan on three wafers."""
    return compiled(residual_network(tmp_path_factory.mktemp("model")), 3, (16, 16)).record


def crossing(record: PlanRecord, wafer: int) -> Link:
    """A link that comes to a wafer from another."""
    inside = {kernel.name for kernel in record.wafers[wafer].kernels()}
    return next(link for link in record.wafers[wafer].links() if link.source not in {HOST, *inside})


def with_links(record: PlanRecord, wafer: int, links: tuple[Link, ...]) -> PlanRecord:
    """The plan with other links on a wafer."""
    (phase,) = record.wafers[wafer].phases
    changed = replace(record.wafers[wafer], phases=(replace(phase, links=links),))
    return replace(record, wafers=(*record.wafers[:wafer], changed, *record.wafers[wafer + 1 :]))


def findings(record: PlanRecord) -> list[str]:
    """What the checker says of wafers."""
    return [str(item) for item in check_plan(record) if item.code == "WSEC551"]


def test_wafers_in_another_order_are_found(record: PlanRecord) -> None:
    """A link that goes back, with both its wafers."""
    link = crossing(record, 1)
    swapped = replace(record, wafers=(record.wafers[1], record.wafers[0], record.wafers[2]))
    assert (
        f"WSEC551 link {link.name}: no link goes back to an earlier wafer or phase; "
        "expected a source on wafer 0, phase 0 or before, found wafer 1, phase 0"
    ) in findings(swapped)


def test_a_link_on_another_wafer_is_found(record: PlanRecord) -> None:
    """Its lanes would begin on cores of other kernels."""
    link = crossing(record, 1)
    moved = with_links(record, 2, (*record.wafers[2].links(), link))
    assert (
        f"WSEC551 link {link.name}: a link stands with the kernel that it goes to, or that it leaves for the host; "
        "expected wafer 1, phase 0, found wafer 2, phase 0"
    ) in findings(moved)


def test_a_tensor_that_never_left_its_wafer_is_found(record: PlanRecord) -> None:
    """Without a way to the edge there is nothing to send on."""
    tensor = crossing(record, 1).tensor
    kept = tuple(link for link in record.wafers[0].links() if (link.tensor, link.target) != (tensor, HOST))
    assert findings(with_links(record, 0, kept)) == [
        f"WSEC551 tensor {tensor}: a tensor that another wafer or phase reads leaves its own once; expected 1 link to the host, found 0 links"
    ]


def test_too_many_words_between_wafers_are_found(record: PlanRecord) -> None:
    """The rate is the target's, the interval the plan's."""
    slow = replace(record, target=replace(record.target, wafer_link=WaferLink(1e-6, 3.2e4)))
    words = sum(
        {
            link.tensor: link.words
            for link in record.wafers[1].links()
            if link.source != HOST
            and link.source not in {kernel.name for kernel in record.wafers[1].kernels()}
        }.values()
    )
    first = findings(slow)[0]
    assert first.startswith("WSEC551 wafers 0 and 1: the interval leaves time for the words between wafers; ")
    assert int(first.split("at least ")[1].split()[0]) >= words * 1_000_000
    assert findings(replace(record, target=replace(record.target, wafer_link=None))) == [
        "WSEC551 target: the target of several wafers has a link between them; expected a wafer_link, found none"
    ]


def test_contradictions_in_the_summary_of_a_wafer_are_found(record: PlanRecord) -> None:
    """Too fast for its kernels, slower than the plan, or missing."""
    first, *rest = record.wafers
    assert first.placement is not None
    slowest = max(kernel.cycles.alone for kernel in first.kernels())

    def changed(placement: PlacementSummary | None) -> list[str]:
        return findings(replace(record, wafers=(replace(first, placement=placement), *rest)))

    least = max(slowest, first.placement.interval_bound)
    assert changed(replace(first.placement, interval=1)) == [
        (
            "WSEC551 wafer 0, placement: the interval is not below its bound, nor below a kernel's arithmetic and SRAM ports; "
            f"expected at least {least} cycles, found 1 cycles"
        )
    ]
    assert changed(replace(first.placement, interval=10**9)) == [
        (
            "WSEC551 wafer 0, placement: no wafer is slower than the plan; "
            f"expected at most {record.placement.interval} cycles, found 1000000000 cycles"
        )
    ]
    assert changed(None) == [
        (
            "WSEC551 wafer 0, placement: each of several wafers says what placement found on it; "
            "expected a summary, found none"
        )
    ]
