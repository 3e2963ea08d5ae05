"""Control flow through the whole job: placed, checked, and with the numbers of onnxruntime."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

import wsec

if TYPE_CHECKING:
    from pathlib import Path

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


def _plan(text: str, folder: Path) -> wsec.Plan:
    path = folder / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(f"{HEAD} {text}").SerializeToString())
    return wsec.compile(path, target="mesh16", region=(9, 7), effort=0.0)


MODELS = {
    "conditional": """g (float[2, 6] x, float[4] h) => (float[2, 8] y) <float[6, 8] w = {WEIGHTS}> {
        zero = Constant<value_float=0.0>() s = ReduceSum<keepdims=0>(x) c = Greater(s, zero)
        y = If(c) <then_branch = t () => (float[2, 8] p) { q = MatMul(x, w) p = Relu(q) },
                   else_branch = e () => (float[2, 8] n) { a = Neg(x) b = MatMul(a, w) n = Softmax(b) }> }""",
    "recurrence": """g (float[2, 6] x, float[4] h) => (float[] y, float[] all) <float[6, 6] w = {SQUARE}> {
        five = Constant<value_int=5>()
        y, all = Loop(five, , x) <body = step (int64 i, bool go, float[2, 6] s) =>
            (bool on, float[2, 6] t, float[2, 6] u)
            { on = Identity(go) a = MatMul(s, w) b = Add(a, x) t = Tanh(b) u = Neg(t) }> }""",
    "scan": """g (float[2, 6] x, float[4] h) => (float[] last, float[] all) <float[6, 4] w = {SHORT}> {
        last, all = Scan<num_scan_inputs=1, scan_input_directions=[1], scan_output_axes=[1],
            body = step (float[4] s, float[6] r) => (float[4] t, float[4] u)
            { a = MatMul(r, w) b = Add(a, s) t = Sigmoid(b) u = Identity(t) }>(h, x) }""",
}
WEIGHTS = {"WEIGHTS": 48, "SQUARE": 36, "SHORT": 24}


def _filled(text: str) -> str:
    for word, size in WEIGHTS.items():
        values = ", ".join(f"{((7 * index) % 11 - 5) / 8}" for index in range(size))
        text = text.replace(f"{{{word}}}", f"{{{values}}}")
    return text


@pytest.mark.parametrize("name", MODELS)
def test_control_flow_is_split_and_equal(name: str, tmp_path: Path) -> None:
    """No operator is left on one core, and the plan gives what onnxruntime gives on the original."""
    plan = _plan(_filled(MODELS[name]), tmp_path)
    assert plan.check() == ()
    assert plan.verify().passed
    share = plan.estimate().split
    assert share.operators == share.split_operators


def test_either_branch_is_taken_by_the_data(tmp_path: Path) -> None:
    """One plan, two inputs, two branches."""
    plan = _plan(_filled(MODELS["conditional"]), tmp_path)
    x, h = np.ones((2, 6), np.float32), np.zeros(4, np.float32)
    high, low = (plan.run({"x": sign * x, "h": h})["y"] for sign in (1, -1))
    assert high.max() != pytest.approx(1)
    np.testing.assert_allclose(low.sum(axis=1), [1, 1], rtol=1e-5)


def test_a_loop_that_stays_whole_says_why(tmp_path: Path) -> None:
    """Its condition depends on data: the note of the plan names the reason."""
    plan = _plan(
        """g (float[3] x) => (float[3] y) { n = Constant<value_int=5>() one = Constant<value_float=1.0>()
        l = Loop(n, , x) <body = step (int64 i, bool go, float[3] s) => (bool on, float[3] t)
          { t = Add(s, x) m = ReduceMax<keepdims=0>(t) on = Less(m, one) }>
        three = Constant<value_ints=[3]>() y = Reshape(l, three) }""",
        tmp_path,
    )
    assert plan.verify().passed
    assert [note for note in plan.record.notes if "its condition depends on data" in note]
