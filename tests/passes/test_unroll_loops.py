"""Loops and scans of known length become their steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from wsec.compiler.importer import infer_shapes
from wsec.compiler.importer.constants import lift_constants
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.onnxruntime_session import make_session, run_session
from wsec.compiler.operators import UNSPLIT_KEY
from wsec.passes import default_pipeline, run_pipeline
from wsec.passes.unroll_loops import UnrollLoops

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    Apply = Callable[..., ir.Model]
    Build = Callable[[str], ir.Model]
    Operators = Callable[[ir.Model], list[str]]

BODY = """body = step (int64 i, bool go, float[3] s) => (bool on, float[3] t, float[3] u)
    <float[3] w = {0.5, 2.0, -1.0}> { on = Identity(go) p = Mul(s, w) t = Add(p, x) u = Neg(t) }"""


def _results(model: ir.Model, feeds: dict[str, np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]]:
    return run_session(make_session(ir.serde.serialize_model(model).SerializeToString()), feeds)


def _loops(model: ir.Model) -> list[ir.Node]:
    return [node for node in model.graph.all_nodes() if node.op_type in {"Loop", "Scan"}]


def test_a_loop_becomes_its_steps(apply: Apply, operators: Operators) -> None:
    """Each step has its own operators, whose names say the step; all of them read the one weight."""
    model = apply(
        UnrollLoops(),
        f"""g (float[3] x) => (float[3] last, float[] all) {{ n = Constant<value_int=3>()
        last, all = Loop(n, , x) <{BODY}> }}""",
    )
    assert operators(model).count("Mul") == 3
    assert [node.name for node in model.graph if node.op_type == "Mul"] == [f"Loop/{i}/Mul" for i in range(3)]
    assert len({node.inputs[1] for node in model.graph if node.op_type == "Mul"}) == 1
    assert [value.name for value in model.graph.outputs] == ["last", "all"]


@pytest.mark.parametrize(("trips", "condition"), [(0, 1), (3, 0), (1, 1), (-2, 1)])
def test_few_steps_or_none(apply: Apply, trips: int, condition: int) -> None:
    """Without a step what is carried comes out as it went in, and what is collected has no element."""
    model = apply(
        UnrollLoops(),
        f"""g (float[3] x) => (float[3] last, float[] all) {{ n = Constant<value_int={trips}>()
        c = Constant<value = bool {{{condition}}}>() h = Exp(x)
        last, all = Loop(n, c, h) <{BODY}> }}""",
    )
    assert not _loops(model)


def test_the_condition_is_computed_from_constants(apply: Apply, operators: Operators) -> None:
    """A while loop on a counter that is carried, which its condition alone bounds."""
    model = apply(
        UnrollLoops(),
        """g (float[3] x) => (float[3] last) {
        zero = Constant<value_int=0>() bound = Constant<value_int=11>() yes = Constant<value = bool {1}>()
        last, k = Loop(, yes, x, zero) <body = step (int64 i, bool go, float[3] s, int64 k) =>
          (bool on, float[3] t, int64 k2) <int64 two = {2}, int64 one = {1}>
          { m = Mul(k, two) k2 = Add(m, one) on = Less(k2, bound) t = Sin(s) }> }""",
    )
    assert operators(model) == ["Sin"] * 4  # 1, 3, 7, 15


def test_the_number_of_the_step_is_folded(apply: Apply, operators: Operators) -> None:
    """What a step computes from its number is constant: the branch it takes, and how long an inner loop is."""
    model = apply(
        UnrollLoops(),
        """g (float[3] x) => (float[3] last) { n = Constant<value_int=3>() one = Constant<value_int=1>()
        last = Loop(n, , x) <body = step (int64 i, bool go, float[3] s) => (bool on, float[3] t) {
          on = Identity(go) first = Less(i, one)
          m = Loop(i, , s) <body = inner (int64 j, bool go2, float[3] a) => (bool on2, float[3] b)
            { on2 = Identity(go2) b = Sin(a) }>
          t = If(first) <then_branch = u () => (float[3] v) { v = Abs(m) },
                         else_branch = e () => (float[3] w) { w = Neg(m) }> }> }""",
    )
    assert operators(model) == ["Abs", "Sin", "Neg", "Sin", "Sin", "Neg"]


SCAN = """g (float[2] h, float[4, 3, 2] x, float[2, 4] z) => (float[] last, float[] all, float[] back) {
    last, all, back = Scan<num_scan_inputs=2, scan_input_axes=[AXIS, 1], scan_input_directions=[1, 0],
      scan_output_axes=[-1, 0], scan_output_directions=[0, 1],
      body = step (float[2] s, float[ROW] a, float[2] b) => (float[2] t, float[2] u, float[2] v)
      { m = ReduceMean<keepdims=0>(a) t0 = Mul(s, b) t = Add(t0, m) u = Neg(t) v = Identity(b) }>(h, x, z) }"""


def test_a_scan_walks_axes_forth_and_back(apply: Apply) -> None:
    """Inputs and outputs along any axis, in both directions."""
    model = apply(UnrollLoops(), SCAN.replace("AXIS", "-3").replace("ROW", "3, 2"), tolerance=1e-6)
    assert not _loops(model)


WHOLE = {
    "steps": ("n, ", "on = Identity(go)", "its number of steps (n) is computed at run time"),
    "condition": (
        "five, ",
        "q = ReduceMax<keepdims=0>(s) on = Greater(q, h)",
        "its condition depends on data",
    ),
    "start": ("five, c", "on = Identity(go)", "whether it starts (c) is computed at run time"),
    "endless": (", ", "on = Identity(go)", "it never ends"),
    "shape": (
        "five, ",
        "on = Identity(go) z = NonZero(s) zz = Size(z)",
        "the shape of z depends on data",
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_loops_of_unknown_length_stay_and_say_why(build: Build, case: str) -> None:
    """The reason is what a plan says of the operator."""
    inputs, condition, reason = WHOLE[case]
    model = build(
        f"""g (float[3] x, int64 n, bool c, float h) => (float[3] y) {{ five = Constant<value_int=5>()
        y = Loop({inputs}, x) <body = step (int64 i, bool go, float[3] s) => (bool on, float[3] t)
          {{ {condition} t = Neg(s) }}> }}"""
    )
    assert run_pipeline(model, [UnrollLoops()])
    assert [node.metadata_props[UNSPLIT_KEY] for node in _loops(model)] == [reason]
    assert not UnrollLoops().run(model).modified


def test_the_limit_holds_for_all_loops_together(build: Build) -> None:
    """A second loop that would exceed it stays, with the figures, and does so in the next run too."""
    loop = """ = Loop(n, , x) <body = s (int64 i, bool go, float[3] s) => (bool on, float[3] t)
        { on = Identity(go) t = Neg(s) }>"""
    model = build(
        f"g (float[3] x) => (float[3] y, float[3] z) {{ n = Constant<value_int=5>() y{loop} z{loop} }}"
    )
    assert run_pipeline(model, [UnrollLoops(limit=15)])
    (left,) = _loops(model)
    assert left.metadata_props[UNSPLIT_KEY] == (
        "its steps of 2 operators each are more than the 15 operators that unroll-loops makes"
    )
    assert not UnrollLoops(limit=15).run(model).modified
    assert UnrollLoops(limit=16).run(model).modified
    assert not _loops(model)


def test_a_huge_number_of_steps_is_refused_at_once(build: Build) -> None:
    """Nothing is made of it, and a counting condition is not run to its end."""
    model = build(
        """g (float[3] x) => (float[3] y) { n = Constant<value_int=9000000000000>()
        y = Loop(n, , x) <body = s (int64 i, bool go, float[3] s) => (bool on, float[3] t)
        { on = Less(i, n) t = Neg(s) }> }"""
    )
    run_pipeline(model, [UnrollLoops()])
    assert "more than the 4,096 operators" in _loops(model)[0].metadata_props[UNSPLIT_KEY]


def test_a_model_without_loops_is_left_alone(apply: Apply) -> None:
    """Most models have none."""
    assert len(list(apply(UnrollLoops(), "g (float[2] x) => (float[2] y) { y = Relu(x) }").graph)) == 1


def _scan_model(draw: Callable[[st.SearchStrategy[Any]], Any]) -> onnx.ModelProto:
    """A scan over random axes and directions, around a loop of a random number of steps that captures a weight."""
    steps, size = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rank = draw(st.integers(1, 3))
    axis = draw(st.integers(-rank, rank - 1))
    out_axis = draw(st.integers(-2, 1))
    inner = helper.make_graph(
        [
            helper.make_node(draw(st.sampled_from(["Add", "Mul", "Sub", "Max"])), ["a", "weight"], ["b"]),
            helper.make_node("Identity", ["go"], ["on"]),
        ],
        "inner",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, [size]),
        ],
        [onnx.ValueInfoProto(name="on"), helper.make_tensor_value_info("b", TensorProto.FLOAT, [size])],
    )
    trips = helper.make_tensor("trips", TensorProto.INT64, [], [draw(st.integers(0, 3))])
    body = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["row"], ["total"], keepdims=0),
            helper.make_node("Add", ["state", "total"], ["moved"]),
            helper.make_node("Loop", ["trips", "", "moved"], ["after"], body=inner),
            helper.make_node("Neg", ["after"], ["seen"]),
        ],
        "body",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("state", "row")],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [size]) for name in ("after", "seen")],
        [trips],
    )
    shape = [draw(st.integers(1, 3)) for _ in range(rank)]
    shape[axis] = steps
    scan = helper.make_node(
        "Scan",
        ["h", "x"],
        ["last", "all"],
        body=body,
        num_scan_inputs=1,
        scan_input_axes=[axis],
        scan_input_directions=[draw(st.integers(0, 1))],
        scan_output_axes=[out_axis],
        scan_output_directions=[draw(st.integers(0, 1))],
    )
    weight = helper.make_tensor("weight", TensorProto.FLOAT, [size], [0.5 - i for i in range(size)])
    inputs = [helper.make_tensor_value_info("h", TensorProto.FLOAT, [size])]
    inputs.append(helper.make_tensor_value_info("x", TensorProto.FLOAT, shape))
    outputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in ("last", "all")]
    graph = helper.make_graph([scan], "g", inputs, outputs, [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


@settings(max_examples=12)
@given(data=st.data(), order=st.randoms(use_true_random=False))
def test_random_scans_around_loops_in_any_order_of_passes(data: st.DataObject, order: random.Random) -> None:
    """Axes, directions, numbers of steps and shuffled passes: the numbers are those of onnxruntime."""
    model = ir.serde.deserialize_model(_scan_model(data.draw))
    lift_constants(model)
    name_nodes(model)
    infer_shapes(model)
    rng = np.random.default_rng(0)
    feeds = {
        str(value.name): rng.standard_normal(value.shape.numpy()).astype(np.float32)
        for value in model.graph.inputs
        if value.shape is not None
    }
    expected = _results(model, feeds)
    passes = [*default_pipeline()]
    order.shuffle(passes)
    run_pipeline(model, [*passes, UnrollLoops()])
    assert not _loops(model)
    assert len({id(v.const_value) for v in model.graph.initializers.values()}) == len(
        model.graph.initializers
    )
    for old, new in zip(expected, _results(model, feeds), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5)
