"""The numbers between passes: what is run, what counts as a difference, and where it is said to begin."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto, helper, numpy_helper

from wsec.driver import Options, bisect_model
from wsec.passes import PlacedPass, function_pass
from wsec.passes.rewriting import Rewriter

if TYPE_CHECKING:
    from pathlib import Path


@function_pass("merge-factors")
def merge_factors(model: ir.Model, *, wrong: bool = False) -> bool:
    """Multiplies two constant factors in a row; where `wrong`, the Relu behind them becomes Abs."""
    rewriter = Rewriter(model)
    first, second, last = rewriter.nodes("Mul", "Relu")
    constants = [node.inputs[1].const_value for node in (first, second) if node.inputs[1] is not None]
    product = np.multiply(*(constant.numpy() for constant in constants if constant is not None))
    first.replace_input_with(1, rewriter.constant("product", product))
    rewriter.bypass(second, first.outputs[0])
    if wrong:
        last.op_type = "Abs"
    return True


@pytest.fixture
def factors(tmp_path: Path) -> Path:
    """Y = relu((x w) v), with weights large enough to be fed rather than written into the model."""
    shape = (200, 200)
    draw = np.random.default_rng(0).standard_normal
    nodes = [
        helper.make_node("Mul", ["x", "w"], ["a"], name="first"),
        helper.make_node("Mul", ["a", "v"], ["b"], name="second"),
        helper.make_node("Relu", ["b"], ["c"], name="relu"),
        helper.make_node("Exp", ["c"], ["y"], name="exp"),
    ]
    graph = helper.make_graph(
        nodes,
        "factors",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(draw(shape).astype(np.float32), name) for name in "wv"],
    )
    path = tmp_path / "factors.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10), path)
    return path


def _options(*, wrong: bool) -> Options:
    return Options(passes=[PlacedPass(merge_factors(wrong=wrong), after="inline-functions")])


def test_a_pass_may_change_the_values_inside(factors: Path) -> None:
    """Only outputs decide whether the numbers are kept."""
    steps = bisect_model(factors, _options(wrong=False))
    assert all(step.passed for step in steps)
    assert steps[2].name == "merge-factors"
    assert steps[2].modified


@pytest.mark.parametrize("portion", [1, 1 << 27])
def test_a_name_that_moved_up_is_no_difference(
    factors: Path, portion: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the pass `a` is what `b` was, which is right; the first wrong value is that of the Abs behind it."""
    monkeypatch.setattr("wsec.pass_verification._COMPARED_BYTES", portion)
    last = bisect_model(factors, _options(wrong=True))[-1]
    assert (last.name, last.passed) == ("merge-factors{wrong=true}", False)
    assert last.difference is not None
    assert (last.difference.value, last.difference.operator) == ("c", "node 'relu' (Abs)")


def test_inputs_that_index_tables_stay_inside_them(tmp_path: Path) -> None:
    """Random indices that no table has would make a model fail that is right; and all rows should be seen."""
    text = """<ir_version: 10, opset_import: ["" : 21]>
        g (int32[64] x) => (float[64, 2] y) <float[5, 2] table = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9}> {
            i = Cast <to = 7> (x) y = Gather(table, i)
        }"""
    path = tmp_path / "table.onnx"
    onnx.save(onnx.parser.parse_model(text), path)

    @function_pass("last-row-is-wrong")
    def change(model: ir.Model) -> bool:
        table = model.graph.initializers["table"]
        array = np.arange(10, dtype=np.float32).reshape(5, 2)
        array[4] = 100
        table.const_value = ir.tensor(array, name="table")
        return True

    steps = bisect_model(path, Options(passes=[change()]))
    assert [step.passed for step in steps if step.name in {"import", "last-row-is-wrong"}] == [True, False]
