"""The whole job on models that are correct and unlike what exporters write."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

import wsec

if TYPE_CHECKING:
    from pathlib import Path

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


def _compiled(text: str, folder: Path) -> wsec.Plan:
    path = folder / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
    return wsec.compile(path, target="mesh16", region=(5, 3), effort=0.0)


@pytest.mark.parametrize("name", ["result", "e0", "s0", "x", "bias"])
def test_tensors_may_be_called_as_a_plan_calls_its_roles(name: str, tmp_path: Path) -> None:
    """Names belong to the model; wires of a chain have names of their own."""
    plan = _compiled(
        f"{HEAD} g (float[4, 6] in, float[6] more) => (float[4, 6] {name}) {{ {name} = Max(in, more, in) }}",
        tmp_path,
    )
    x, more = np.linspace(-1, 1, 24, dtype=np.float32).reshape(4, 6), np.zeros(6, np.float32)
    np.testing.assert_array_equal(plan.run({"in": x, "more": more})[name], np.maximum(x, more))


def test_a_model_that_is_a_constant_copies_it(tmp_path: Path) -> None:
    """Where everything folds, the cores hold the constant and send it."""
    plan = _compiled(
        f"""{HEAD} g () => (float[40] y, float[40] z) {{
        n = Constant<value_ints=[40]>() \n a = ConstantOfShape<value = float[1] {{1.5}}>(n)
        y = Add(a, a) \n z = Identity(y) }}""",
        tmp_path,
    )
    assert plan.check() == ()
    assert {kernel.kind for kernel in plan.record.kernels()} == {"reshape"}
    outputs = plan.run({})
    assert (outputs["y"] == 3).all()
    assert (outputs["z"] == 3).all()
    assert plan.verify().passed


def test_corners_are_aligned_by_the_exact_size(tmp_path: Path) -> None:
    """Four columns by 0.6 are 2.4: the second of the two that are kept lies at 3 / 1.4, says the reference of ONNX."""
    plan = _compiled(
        f"""{HEAD} g (float[1, 1, 2, 4] x) => (float[1, 1, 1, 2] y) {{
        s = Constant<value_floats=[1.0, 1.0, 0.6, 0.6]>()
        y = Resize<mode="linear", coordinate_transformation_mode="align_corners">(x, , s) }}""",
        tmp_path,
    )
    x = np.arange(1, 9, dtype=np.float32).reshape(1, 1, 2, 4)
    expected = np.array([[[[1, 1 + 3 / 1.4]]]], dtype=np.float32)
    np.testing.assert_allclose(plan.run({"x": x})["y"].astype(np.float32), expected, rtol=1e-6)
    assert [note for note in plan.record.notes if "aligns corners by the rounded size" in note]
    result = plan.verify()
    assert result.passed
    assert result.deviations == ("onnxruntime aligns corners by the rounded size",)


def test_a_loop_of_known_length_is_a_kernel(tmp_path: Path) -> None:
    """Its body reads the number of the step, whose shape is certain whatever else is declared."""
    plan = _compiled(
        f"""{HEAD} g (float[3] x) => (float[] last, float[] all) {{
        n = Constant<value_int=4>() \n yes = Constant<value = bool {{1}}>()
        last, all = Loop(n, yes, x) <body = step (int64 i, bool go, float[3] s) => (bool on, float[3] t, float[3] u) {{
            on = Identity(go) \n f = Cast<to=1>(i) \n t = Add(s, f) \n u = Identity(t) }}> }}""",
        tmp_path,
    )
    outputs = plan.run({"x": np.zeros(3, np.float32)})
    assert outputs["last"].tolist() == [6, 6, 6]
    assert outputs["all"][:, 0].tolist() == [0, 1, 3, 6]


def test_steps_of_a_loop_are_counted_as_the_model_does(tmp_path: Path) -> None:
    """-4 / -3 is 1.33, which makes two steps; an inference that divides whole numbers would allow for one."""
    plan = _compiled(
        f"""{HEAD} g (float[2] x) => (float[] last, float[] all) {{
        a = Constant<value_int=-4>() \n b = Constant<value_int=-3>() \n yes = Constant<value = bool {{1}}>()
        c = Cast<to=1>(a) \n d = Cast<to=1>(b) \n e = Div(c, d) \n f = Ceil(e) \n n = Cast<to=7>(f)
        last, all = Loop(n, yes, x) <body = step (int64 i, bool go, float[2] s) => (bool on, float[2] t, float[2] u) {{
            on = Identity(go) \n t = Add(s, s) \n u = Identity(s) }}> }}""",
        tmp_path,
    )
    assert plan.run({"x": np.ones(2, np.float32)})["all"].tolist() == [[1, 1], [2, 2]]
