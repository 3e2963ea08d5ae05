"""Mixtures of experts, whole: one kernel, packed weights, onnxruntime's numbers, and cycles of the chosen experts alone."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from mixture_models import Mixture, save_mixture

import wsec
from wsec.compiler.errors import WsecError
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.plan_checker.fabric.collectives import check_collectives
from wsec.runtime.oracle import lenient_runner

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Kernel

FORMS = {
    "floats": Mixture(),
    "halves": Mixture(fusion=2),
    "gates apart": Mixture(fusion=0, third=True, limit=None),
    "gelu": Mixture(activation="gelu", fusion=0, normalized=0),
    "gated silu": Mixture(activation="silu", fusion=0, third=True, bias=False),
    "all experts": Mixture(chosen=6, activation="relu", fusion=0),
    "one expert": Mixture(experts=1, chosen=1, activation="identity", fusion=0),
    "samples": Mixture(shape=(2, 3, 64)),
    "float16": Mixture(dtype=np.float16, bits=4),
    "int2": Mixture(bits=2),
    "int4": Mixture(bits=4),
    "int4 with zero points": Mixture(bits=4, zero_points=True),
    "int8": Mixture(bits=8, block=0),
    "int8 in blocks": Mixture(bits=8),
    "mxfp4": Mixture(bits=4, mxfp4=True, inner=64),
}


def _kernel(plan: wsec.Plan) -> Kernel:
    (found,) = (kernel for kernel in plan.record.kernels() if kernel.kind == "experts")
    return found


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_every_form_is_one_kernel(form: str, tmp_path: Path) -> None:
    """Floats and codes, all layouts of gates: split, legal, and the numbers of onnxruntime or of the definition."""
    path = save_mixture(tmp_path / "model.onnx", FORMS[form])
    plan = wsec.compile(path, target="mesh16", region=(7, 5), effort=0)
    kernel = _kernel(plan)
    assert kernel.chain, "the sum behind is computed where the result lies"
    assert max(kernel.split.values()) > 1
    assert plan.check() == ()
    verification = plan.verify()
    assert verification.passed
    if form == "mxfp4":
        assert verification.deviations == (
            "onnxruntime has no mixture of experts with weights of MXFP4 on the CPU",
        )


@pytest.fixture(autouse=True, scope="module")
def _whole_compiler() -> None:
    """Imported before `loop_parts` is replaced, so that no module binds the replacement."""
    importlib.import_module("wsec.compiler.schedule.modes")


@pytest.mark.parametrize(
    "parts",
    [{7: 4, 48: 3}, {7: 2, 48: 5, 3: 2}, {7: 3, 48: 2, 64: 5}, {48: 7, 64: 3}, {7: 2, 48: 4, 64: 8}],
    ids=[
        "experts and inner features",
        "experts, inner features, rows",
        "experts and both features",
        "features",
        "shares of biases",
    ],
)
@pytest.mark.parametrize("form", ["floats", "int4 with zero points", "mxfp4"])
def test_every_loop_may_be_cut(
    form: str, parts: dict[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At places that divide nothing evenly, blocks of scales included; loops are told apart by their extents."""
    inner = 96 if form == "mxfp4" else 48
    mixture = replace(FORMS[form], experts=7, inner=inner)
    wanted = {inner if extent == 48 else extent: count for extent, count in parts.items()}
    monkeypatch.setattr(
        "wsec.compiler.kernels.splits.loop_parts", lambda extent: np.array([wanted.get(extent, 1)])
    )
    path = save_mixture(tmp_path / "model.onnx", mixture)
    plan = wsec.compile(path, target="mesh16", region=(12, 12), effort=0)
    found = {loop: count for loop, count in _kernel(plan).split.items() if count > 1}
    loops = {7: "e", 48: "i", 64: "h", 3: "m"}
    assert found == {loops[extent]: count for extent, count in parts.items()}
    assert plan.check() == ()
    assert plan.verify().passed


def test_biases_lie_in_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cores of a sum hold parts of a bias, not each the bias of its block; where blocks are unequal they do, and numbers stay."""
    found = {}
    path = save_mixture(tmp_path / "model.onnx", replace(FORMS["floats"], inner=48))
    for hidden in (4, 5):
        cuts = {48: 6, 64: hidden}
        monkeypatch.setattr(
            "wsec.compiler.kernels.splits.loop_parts",
            lambda extent, cuts=cuts: np.array([cuts.get(extent, 1)]),
        )
        plan = wsec.compile(path, target="mesh16", region=(8, 8), effort=0)
        kernel = _kernel(plan)
        found[hidden] = {item.role: item.sharding.block_elements for item in kernel.inputs}
        assert plan.verify().passed
    experts = 6
    assert found[4]["w2_bias"] == experts * 3  # of 16 hidden features of a block, six cores have three each
    assert found[5]["w2_bias"] == experts * 13
    assert (
        found[4]["w1_bias"] == found[5]["w1_bias"] == experts * 2 * 2
    )  # pairs; of 8 inner features four or five cores have two each


@pytest.mark.parametrize("form", ["floats", "halves", "mxfp4"])
def test_what_onnxruntime_refuses_runs_node_by_node(form: str, tmp_path: Path) -> None:
    """A model that it takes, one that it cannot load and one that it cannot run: each gives the plan's numbers."""
    path = save_mixture(tmp_path / "model.onnx", FORMS[form])
    x = np.random.default_rng(3).standard_normal((3, 64)).astype(np.float32)
    (expected,) = lenient_runner(path, ["y"])({"x": x})
    found = wsec.compile(path, target="mesh16", region=(4, 4), effort=0).run({"x": x})["y"]
    np.testing.assert_allclose(
        found.astype(np.float64), expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max()
    )


def test_only_chosen_experts_count(tmp_path: Path) -> None:
    """Eight times the experts take eight times the memory and no more arithmetic, but for ranking their logits."""
    few = Mixture(shape=(1, 64), experts=4, chosen=1, bits=4)
    found = []
    for name, mixture in (("few", few), ("many", replace(few, experts=32))):
        plan = wsec.compile(save_mixture(tmp_path / f"{name}.onnx", mixture), target="wse3", region=(4, 4))
        found.append(_kernel(plan))
    small, large = found
    assert large.memory.weights == 8 * small.memory.weights
    assert small.cycles.compute < large.cycles.compute < 1.2 * small.cycles.compute


def test_mxfp4_takes_four_and_a_quarter_bits(tmp_path: Path) -> None:
    """Codes of half a byte and a byte for each 32 of them; biases beside."""
    mixture = Mixture(shape=(1, 64), bits=4, mxfp4=True, experts=4, inner=64, bias=False)
    plan = wsec.compile(save_mixture(tmp_path / "model.onnx", mixture), target="wse3", region=(1, 2))
    weights = 4 * 3 * 64 * 64
    assert _kernel(plan).memory.weights * 8 == weights * 4.25


def test_more_experts_chosen_than_exist(tmp_path: Path) -> None:
    """The message says how many there are."""
    path = save_mixture(tmp_path / "model.onnx", Mixture(chosen=7))
    with pytest.raises(WsecError) as caught:
        wsec.compile(path, target="mesh16")
    assert str(caught.value) == (
        "error[WSEC140]: a mixture of experts chooses more experts than it has\n"
        "  where:    node 2 'MoE' (MoE)\n"
        "  expected: k from 1 to 6, the number of experts\n"
        "  found:    k 7\n"
        "  try:      lower the attribute k, or give the model all of its experts"
    )


def test_operands_that_do_not_fit(tmp_path: Path) -> None:
    """The message gives every shape that takes part."""
    path = save_mixture(tmp_path / "model.onnx", Mixture(bits=4, attributes={"expert_weight_bits": 8}))
    with pytest.raises(WsecError) as caught:
        wsec.compile(path, target="mesh16")
    assert str(caught.value) == (
        "error[WSEC141]: the operands of a mixture of experts do not fit together\n"
        "  where:    node 2 'QMoE' (QMoE)\n"
        "  expected: logits of 6 experts, matrices that hold [6, 96, 64] and [6, 64, 48]\n"
        "  found:    input [3, 64], router [3, 6], matrices [6, 96, 32] and [6, 64, 24]\n"
        "  try:      export the model again; the weights may be packed in other bits than the operator says"
    )


def test_an_unknown_quantisation(tmp_path: Path) -> None:
    """The message says which are known."""
    path = save_mixture(tmp_path / "model.onnx", Mixture(bits=4, attributes={"quant_type": "fp8"}))
    with pytest.raises(WsecError) as caught:
        wsec.compile(path, target="mesh16")
    assert str(caught.value) == (
        "error[WSEC142]: weights are quantised in a way that is not known\n"
        "  where:    node 2 'QMoE' (QMoE)\n"
        "  expected: quant_type int or fp4\n"
        "  found:    quant_type fp8\n"
        "  try:      quantise to 4 or 8 bits in blocks, or to MXFP4"
    )


def test_an_unknown_routing(tmp_path: Path) -> None:
    """Only a softmax of the logits is defined."""
    path = save_mixture(tmp_path / "model.onnx", Mixture(attributes={"use_sparse_mixer": 1}))
    with pytest.raises(WsecError) as caught:
        wsec.compile(path, target="mesh16")
    assert str(caught.value) == (
        "error[WSEC143]: a mixture of experts has a form that is not known\n"
        "  where:    node 2 'MoE' (MoE)\n"
        "  expected: routing by a softmax of the logits\n"
        "  found:    use_sparse_mixer 1\n"
        "  try:      export the model with another activation or routing"
    )


@pytest.fixture(scope="module")
def cut_plan(tmp_path_factory: pytest.TempPathFactory) -> wsec.Plan:
    """A mixture whose inner and hidden features are cut."""
    path = save_mixture(tmp_path_factory.mktemp("cut") / "model.onnx", Mixture(shape=(1, 64), bits=4))
    return wsec.compile(path, target="mesh16", region=(12, 12), effort=0)


def _rules(plan: wsec.Plan, **changes: Any) -> list[str]:
    """Rules that the plan breaks once its mixture is changed."""
    (wafer,) = plan.record.wafers
    (phase,) = wafer.phases
    changed = tuple(
        replace(kernel, **changes) if kernel.kind == "experts" else kernel for kernel in phase.kernels
    )
    record = replace(plan.record, wafers=(replace(wafer, phases=(replace(phase, kernels=changed),)),))
    return list(dict.fromkeys(item.rule for item in check_plan(record, plan.folder / "model.onnx")))


def test_the_checker_counts_what_the_worst_core_computes(cut_plan: wsec.Plan) -> None:
    """Products of all chosen experts on one core: fewer cycles, less room or one sum less are refused."""
    kernel = _kernel(cut_plan)
    assert kernel.split["h"] > 1
    assert kernel.split["i"] > 1
    blocks = {item.role: item.sharding.block_shape for item in kernel.inputs}
    products = 2 * blocks["w1"][1] * 2
    least = products * blocks["x"][1] + 2 * blocks["w2"][1] * blocks["w2"][2]
    lanes = cut_plan.record.target.core.lanes["float32"]
    cycles, memory = kernel.cycles, kernel.memory
    assert _rules(cut_plan, cycles=replace(cycles, compute=int(least / lanes) - 1)) == [
        "a lane does one multiply-add a cycle"
    ]
    buffers = replace(memory, buffers=products * 4 - 1)
    assert _rules(cut_plan, memory=buffers) == ["the ledger says no less than the blocks take"]
    fabric = cut_plan.record.target.fabric
    assert list(check_collectives(kernel, fabric)) == []
    kept = replace(kernel, collectives=tuple(item for item in kernel.collectives if item.kind == "reduce"))
    (finding,) = check_collectives(kept, fabric)
    assert finding.expected == f"all_reduce along h of {products} words or more, 1 times or more"
