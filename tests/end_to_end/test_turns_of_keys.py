"""Attention that walks its keys in turns: where the keys of all rows have no room, and what the plan checker holds of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from attention_models import Sizes, bert

from wsec.compiler.errors import WsecError
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.schedule.sequential import turns
from wsec.compiler.schedule.sequential.options import TurnTable, turn_options
from wsec.compiler.target import load_target
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.plan import Kernel
    from wsec.loaded_plan import Plan


def without_turns_of_rows(nest: LoopNest, *others: object) -> TurnTable:
    """As where the keys of all rows have no room: no way of an attention that walks its rows fits."""
    if nest.kind == "attention":
        raise WsecError("WSEC301", "no room")
    return turn_options(nest, *others)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """24 rows and 600 keys on few cores with little memory."""
    folder = tmp_path_factory.mktemp("keys")
    sizes = Sizes(heads=1, groups=1, rows=24, keys=600, size=64, width=64)
    target = load_target("wse3")
    core = replace(target.core, sram_bytes=target.core.code_reserve_bytes + 36_000)
    options = Options(target=replace(target, core=core), region=(6, 6), mode="sequential")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "turn_options", without_turns_of_rows)
        return compile_model(bert(folder / "model.onnx", sizes), options, folder / "model.plan")


def attention_of(plan: Plan) -> Kernel:
    """Its one attention."""
    (kernel,) = [kernel for kernel in plan.record.kernels() if kernel.kind == "attention"]
    return kernel


def test_keys_are_walked_in_turns_where_they_have_no_room(plan: Plan) -> None:
    """Whole, keys and values would need more than a core has; the numbers are those of onnxruntime."""
    kernel = attention_of(plan)
    assert kernel.turns["t"] > 1
    whole = sum(entry.sharding.block_elements * 4 for entry in kernel.inputs if entry.role in {"k", "v"})
    assert whole > kernel.memory.buffers / 2
    assert plan.check() == ()
    assert plan.verify().passed


def test_scores_of_all_keys_are_in_the_ledger(plan: Plan) -> None:
    """A turn of keys makes no result: scores and sums of all rows stay, however many turns there are."""
    kernel = attention_of(plan)
    wafer = plan.record.wafers[0]
    less = replace(kernel, memory=replace(kernel.memory, buffers=kernel.memory.buffers // 4, activations=0))
    phases = tuple(
        replace(phase, kernels=tuple(less if each is kernel else each for each in phase.kernels))
        for phase in wafer.phases
    )
    found = check_plan(
        replace(plan.record, wafers=(replace(wafer, phases=phases),)), plan.folder / "model.onnx"
    )
    assert {finding.code for finding in found} == {"WSEC546"}
