"""Where onnxruntime is known to deviate from ONNX, a plan is compared with what ONNX says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

import wsec
from wsec.api.passes import function_pass
from wsec.runtime.second_opinion import second_opinion

if TYPE_CHECKING:
    from pathlib import Path

    import onnx_ir as ir

_RESIZE = """<ir_version: 10, opset_import: ["" : 21]> g (float[1, 1, 2, 4] x) => (float[a, b, c, d] y) {
    z = Abs(x)
    s = Constant<value_floats = [1.0, 1.0, 0.6, 0.6]>()
    r = Resize<mode = "linear", coordinate_transformation_mode = "align_corners">(z, , s)
    y = Neg(r) }"""
_ROW = np.arange(1, 9, dtype=np.float32).reshape(1, 1, 2, 4)
_REASON = "onnxruntime aligns corners by the rounded size"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Corners are aligned over 0.6 * 4 = 2.4 columns, of which two are whole."""
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(_RESIZE).SerializeToString())
    return path


def test_the_values_are_those_of_the_standard(model: Path) -> None:
    """Column 1 of 2.4 lies at 1 * (4 - 1) / (2.4 - 1), as in the test data of ONNX; onnxruntime says 4."""
    opinion = second_opinion(model, {"x": _ROW}, ["y"])
    assert opinion is not None
    np.testing.assert_allclose(opinion[0]["y"], [[[[-1, -(1 + 3 / 1.4)]]]], rtol=1e-6)
    assert opinion[1] == (_REASON,)


def test_a_plan_that_follows_the_standard_passes_and_says_so(model: Path) -> None:
    """Else a right plan would be called wrong."""
    verification = wsec.compile(model, target="mesh16", effort=0).verify({"x": _ROW})
    assert verification.passed
    assert verification.deviations == (_REASON,)


@function_pass("forgets-sign")
def forgets_sign(model: ir.Model) -> bool:
    """Changes the numbers."""
    for node in model.graph:
        if node.op_type == "Neg":
            node.op_type = "Abs"
    return True


def test_a_wrong_plan_fails_all_the_same(model: Path) -> None:
    """A known deviation excuses nothing else."""
    plan = wsec.compile(model, target="mesh16", effort=0, passes=[forgets_sign()])
    assert not plan.verify({"x": _ROW}).passed


def test_a_model_without_such_operators_is_not_run_again(tmp_path: Path) -> None:
    """The reference is slow, and a different number then is a mistake."""
    path = tmp_path / "model.onnx"
    text = '<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) { y = Relu(x) }'
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    assert second_opinion(path, {"x": np.ones(2, np.float32)}, ["y"]) is None
