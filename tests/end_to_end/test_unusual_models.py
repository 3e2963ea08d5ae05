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
