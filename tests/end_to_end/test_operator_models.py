"""The whole job on every operator that the kind `batched` cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from operator_models import OPERATORS, OperatorModel, scalar
from small_models import ModelMaker

import wsec
from wsec.compiler.kernels.batch_rules import RULES
from wsec.compiler.kernels.batch_rules_images import IMAGE_RULES
from wsec.compiler.kernels.batch_rules_ml import ML_RULES

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("model", OPERATORS, ids=lambda model: str(model.name))
def test_batched_operators_are_cut_and_equal_onnxruntime(model: OperatorModel, tmp_path: Path) -> None:
    """On a region that divides nothing evenly no operator is left on one core, and the plan is legal and right."""
    plan = wsec.compile(model.save(tmp_path / "one.onnx"), target="mesh16", region=(7, 5), effort=0.1)
    kernels = list(plan.record.kernels())
    assert [kernel.kind for kernel in kernels if kernel.kind == "unsplit"] == []
    assert any(kernel.mesh.axes for kernel in kernels)
    assert plan.check() == ()
    assert plan.verify().passed


def test_every_rule_has_a_model() -> None:
    """No rule goes untested; those that only others' kinds leave over are tested with those."""
    tested = {model.operator for model in OPERATORS}
    assert set(RULES | IMAGE_RULES | ML_RULES) - tested == {
        "AveragePool",
        "BatchNormalization",
        "BitCast",
        "CumProd",
        "MaxRoiPool",
        "ai.onnx.ml.TreeEnsemble",
        "TensorScatter",
    }


def test_a_part_that_fits_no_core_leaves_the_operator_unsplit(tmp_path: Path) -> None:
    """One row is longer than a core's memory: the data is spread, and the plan says why."""
    model = OperatorModel("CumSum", [(2, 20_000), scalar(1)])
    plan = wsec.compile(model.save(tmp_path / "one.onnx"), target="mesh16", effort=0)
    assert [kernel.kind for kernel in plan.record.kernels()] == ["unsplit"]
    note = "operator 'node' is unsplit, its arithmetic runs on one core: CumSum: its parts fit no core"
    assert plan.record.notes[:-1] == (note,)
    assert plan.check() == ()
    assert plan.verify().passed


def test_unsplit_operators_of_one_reason_share_a_note(tmp_path: Path) -> None:
    """What a network repeats in each layer is said once, with the names."""
    maker = ModelMaker()
    axis = maker.constant(np.array(1))
    for index in range(3):
        maker.apply("CumSum", "x", axis, reverse=index % 2, exclusive=index // 2)
    path = maker.save(tmp_path / "m.onnx", {"x": (2, 20_000)}, ["t0", "t1", "t2"])
    reason = "CumSum: its parts fit no core: 'CumSum_t0', 'CumSum_t1', 'CumSum_t2'"
    note = f"3 operators are unsplit, the arithmetic of each runs on one core: {reason}"
    assert note in wsec.compile(path, target="wse2", region=(60, 60), effort=0).record.notes
