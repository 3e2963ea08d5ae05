"""What the bodies of nodes that stay whole cost."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from wsec.compiler.importer import infer_shapes
from wsec.compiler.importer.constants import lift_constants
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.kernels.body_work import body_work, known_steps
from wsec.compiler.kernels.operator_view import OperatorView
from wsec.compiler.kernels.unsplit import make_unsplit

HEAD = '<ir_version: 10, opset_import: ["" : 21]> g (float[4, 8] x, float[8, 5] w, bool c, int64 n, float[6, 8] r)'
NUMBERS = "five = Constant<value_int=5>()"
LOOP = """Loop(TRIPS, , x) <body = step (int64 i, bool go, float[4, 8] s) => (bool on, float[4, 8] t, float[4, 5] u)
    { on = Identity(go) u = MatMul(x, w) t = Identity(s) }>"""


def _node(text: str) -> ir.Node:
    model = ir.serde.deserialize_model(onnx.parser.parse_model(f"{HEAD} {text}"))
    lift_constants(model)
    name_nodes(model)
    infer_shapes(model)
    return next(node for node in model.graph if node.op_type in {"If", "Loop", "Scan"})


@pytest.mark.parametrize(("trips", "steps"), [("five", 5), ("n", 1), ("", 1)])
def test_a_step_counts_as_often_as_the_loop_takes_it(trips: str, steps: int) -> None:
    """A product of 4 x 8 by 8 x 5 has 160 multiply-adds, in each step; an open number of steps counts as one."""
    node = _node(f"=> (float[] y, float[] z) {{ {NUMBERS} y, z = {LOOP.replace('TRIPS', trips)} }}")
    assert known_steps(node) == steps
    assert steps * 160 <= body_work(node).operations < steps * 160 + steps * 100
    outputs = {"y": [4, 8], "z": [steps, 4, 5]}
    for value in node.outputs:
        value.shape, value.dtype = ir.Shape(outputs[str(value.name)]), ir.DataType.FLOAT
    work = make_unsplit(OperatorView(node), "for the test").work
    assert work.operations >= steps * 160
    assert work.weight_reads == steps


def test_a_scan_is_as_long_as_its_input() -> None:
    """Six rows, a sum of 8 in each, which begins with a zero."""
    node = _node(
        """=> (float[] y) { y = Scan<num_scan_inputs=1, body = step (float[8] a) => (float b)
        { b = ReduceSum<keepdims=0>(a) }>(r) }"""
    )
    assert known_steps(node) == 6
    assert body_work(node).operations == 6 * (8 + 1)


def test_the_costlier_branch_counts() -> None:
    """Nested nodes too: what a loop inside a branch does, it does in each of its steps."""
    text = f"""=> (float[] y) {{ {NUMBERS}
        y = If(c) <then_branch = t () => (float[4, 8] p) {{ p = Neg(x) }},
                   else_branch = e () => (q) {{ q, z = {LOOP.replace("TRIPS", "five")} }}> }}"""
    assert body_work(_node(text)).operations >= 5 * 160


def test_other_operators_have_no_bodies() -> None:
    """Nothing is added to what they cost."""
    node = ir.node("MatMul", [ir.Value(name="a"), ir.Value(name="b")])
    assert body_work(node).operations == 0
    assert known_steps(node) == 1
