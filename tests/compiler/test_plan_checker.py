"""The plan checker as a whole: silent on legal plans, with findings for every corruption."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx
import onnx_ir
import pytest
from corruptions import CORRUPTIONS, Corruption
from legal_plans import check_without_circuits, network_model, network_plan, network_proto
from plan_changes import entry, kernel, route

from wsec.compiler.plan import Phase, Wafer

if TYPE_CHECKING:
    from pathlib import Path


def test_a_legal_plan_has_no_findings() -> None:
    """The checker does not cry wolf, with or without the model."""
    onnx.checker.check_model(network_proto(), full_check=True)
    assert check_without_circuits(network_plan(), network_model()) == ()
    assert check_without_circuits(network_plan()) == ()


def test_the_model_is_read_from_a_plan_folder_or_a_file(tmp_path: Path) -> None:
    """The command line and the runtime have folders rather than models."""
    onnx.save(network_proto(), tmp_path / "model.onnx")
    plan = entry("conv", "bias", tensor="scale")(network_plan())
    expected = check_without_circuits(plan, network_model())
    assert [finding.code for finding in expected] == ["WSEC545"]
    assert check_without_circuits(plan, tmp_path) == expected
    assert check_without_circuits(plan, tmp_path / "model.onnx") == expected


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=[corruption.name for corruption in CORRUPTIONS])
def test_corruptions_are_caught(corruption: Corruption) -> None:
    """Each of the ways to spoil a plan, which are applied to compiled plans too, is found in this one."""
    try:
        plan = corruption.apply(network_plan())
    except LookupError:
        assert corruption.name == "weights of another layer"  # this plan has no two of one shape
        return
    assert check_without_circuits(plan, network_model())


def test_findings_without_the_model() -> None:
    """What needs no model is found without one: placement, memory, links and routes."""
    plan = route("y to sum.e1", colour=0)(entry("sum", "e2", tensor="other")(network_plan()))
    assert [finding.code for finding in check_without_circuits(plan)] == ["WSEC549"]
    assert [finding.code for finding in check_without_circuits(plan, network_model())] == [
        "WSEC543",
        "WSEC549",
    ]


def test_an_unsound_kernel_is_not_judged_further() -> None:
    """A mesh that means nothing gives one finding, not one for each tensor on it."""
    plan = kernel("conv", split={"k": 2, "c": 2, "d0": 3})(network_plan())
    assert [finding.code for finding in check_without_circuits(plan, network_model())] == ["WSEC543"]


def test_kernels_of_two_phases_may_share_cores() -> None:
    """Phases follow each other on the same cores, where kernels of one phase may not."""
    plan = network_plan()
    conv, product, total = plan.wafers[0].phases[0].kernels
    links = plan.wafers[0].phases[0].links
    moved = replace(product, rectangle=replace(conv.rectangle, height=3))

    def codes(*phases: Phase) -> set[str]:
        return {
            finding.code
            for finding in check_without_circuits(replace(plan, wafers=(Wafer(phases),)), network_model())
        }

    assert "WSEC542" in codes(Phase((conv, moved, total), links))
    assert "WSEC542" not in codes(Phase((conv,), links[:1]), Phase((moved, total), links[1:]))


def test_a_plan_of_no_kernels() -> None:
    """A model whose outputs are its inputs needs no wafer."""
    proto = network_proto()
    del proto.graph.node[:], proto.graph.initializer[:], proto.graph.value_info[:]
    proto.graph.output[0].CopyFrom(proto.graph.input[0])
    plan = network_plan()
    plan = replace(plan, wafers=(Wafer((Phase((), ()),)),), outputs=plan.inputs)
    assert check_without_circuits(plan, onnx_ir.from_proto(proto)) == ()
