"""If becomes the branch that is taken, or both branches and a selection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsec.compiler.onnxruntime_session import make_session, run_session
from wsec.compiler.operators import UNSPLIT_KEY
from wsec.passes import default_pipeline, run_pipeline
from wsec.passes.fold_constants import FoldConstants
from wsec.passes.inline_conditionals import InlineConditionals
from wsec.passes.inline_functions import InlineFunctions

if TYPE_CHECKING:
    from collections.abc import Callable

    Apply = Callable[..., ir.Model]
    Build = Callable[[str], ir.Model]
    Operators = Callable[[ir.Model], list[str]]

CONDITION = "s = ReduceSum<keepdims=0>(x) zero = Constant<value_float=0.0>() c = Greater(s, zero)"
ELSE = "else_branch = e () => (float[2, 3] n) { n = Neg(x) }"


def _run(model: ir.Model, **feeds: object) -> list[np.ndarray[tuple[int, ...], np.dtype[np.generic]]]:
    arrays = {name: np.asarray(value) for name, value in feeds.items()}
    return run_session(make_session(ir.serde.serialize_model(model).SerializeToString()), arrays)


def test_both_branches_run_and_the_condition_selects(apply: Apply, operators: Operators) -> None:
    """Weights of a branch become weights of the graph; names say where a node came from."""
    model = apply(
        InlineConditionals(),
        f"""g (float[2, 3] x) => (float[2, 3] y) {{ {CONDITION}
        y = If(c) <then_branch = t () => (float[2, 3] r) <float[3] w = {{1.0, 2.0, 3.0}}>
            {{ a = Mul(x, w) r = Exp(a) }}, {ELSE}> }}""",
    )
    assert operators(model) == ["ReduceSum", "Greater", "Mul", "Exp", "Neg", "Where"]
    assert [node.name for node in model.graph][2:] == [
        "If/then/Mul",
        "If/then/Exp",
        "If/else/Neg",
        "If/select",
    ]
    assert "If/w" in model.graph.initializers


@pytest.mark.parametrize(("value", "expected"), [(1, ["Exp", "Neg"]), (0, ["Abs", "Neg"])])
def test_a_constant_condition_leaves_one_branch(
    apply: Apply, operators: Operators, value: int, expected: list[str]
) -> None:
    """Also where it stands in the body of a loop, or in a branch of its own kind."""
    model = apply(
        InlineConditionals(),
        f"""g (float[4] x) => (float[4] y) {{
        c = Constant<value = bool {{{value}}}>()
        z = If(c) <then_branch = t () => (float[4] r) {{
            r = If(c) <then_branch = t2 () => (float[4] r2) {{ r2 = Exp(x) }},
                else_branch = e2 () => (float[4] r3) {{ r3 = Sin(x) }}> }},
          else_branch = e () => (float[4] r4) {{ r4 = Abs(x) }}>
        y = Neg(z) }}""",
    )
    assert operators(model) == expected


def test_branches_that_call_one_value_alike(apply: Apply) -> None:
    """Two conditionals, both with branches that use the same names, and one within the other."""
    branch = "{ a = Exp(x) b = Neg(a) }"
    model = apply(
        InlineConditionals(),
        f"""g (float[2, 3] x) => (float[2, 3] y, float[2, 3] z) {{ {CONDITION}
        y = If(c) <then_branch = t () => (float[2, 3] b) {branch}, {ELSE}>
        d = Not(c)
        z = If(d) <then_branch = t () => (float[2, 3] b) {branch}, else_branch = e () => (float[2, 3] m) {{
            m = If(c) <then_branch = t () => (float[2, 3] b) {branch}, {ELSE}> }}> }}""",
    )
    assert "If" not in [node.op_type for node in model.graph]


def test_outputs_that_are_not_the_own_ones_of_a_branch(build: Build) -> None:
    """A value given twice, a weight and an input as results; onnxruntime itself mixes up the first of these."""
    model = build(
        """g (float[2] x, bool c) => (float[2] p, float[2] q, float[2] r) {
        p, q, r = If(c)
          <then_branch = t () => (o, o, w) <float[2] w = {1.0, 2.0}> { o = Neg(x) },
           else_branch = e () => (i, v, v) <float[2] v = {3.0, 4.0}> { i = Identity(x) }> }"""
    )
    assert run_pipeline(model, [InlineConditionals()])
    x = np.array([5, -6], np.float32)
    for condition, expected in ((True, (-x, -x, [1, 2])), (False, (x, [3, 4], [3, 4]))):
        for found, value in zip(_run(model, x=x, c=condition), expected, strict=True):
            np.testing.assert_array_equal(found, value)


@pytest.mark.parametrize("kind", ["bool", "int16", "uint16", "uint64", "float16", "int8", "double"])
def test_results_of_any_type_are_selected(apply: Apply, kind: str) -> None:
    """Where of onnxruntime lacks some types; values go through another that holds them all."""
    model = apply(
        InlineConditionals(),
        f"""g (float[2, 3] x) => ({kind}[2, 3] y) {{ {CONDITION}
        y = If(c) <then_branch = t () => ({kind}[2, 3] r) {{ r = CastLike(x, k) }},
            else_branch = e () => ({kind}[2, 3] n) {{ f = Floor(x) n = CastLike(f, k) }}> }}""".replace(
            "{ float", "{float"
        ).replace("s = Reduce", f"k = Constant<value = {kind}[1] {{1}}>() s = Reduce"),
    )
    assert "Where" in [node.op_type for node in model.graph]


def test_a_branch_that_is_not_taken_passes_on_no_infinity(build: Build) -> None:
    """The selection does not compute with what it leaves out."""
    model = build(
        """g (float[2] x, bool[1, 1] c) => (float[2] y) {
        y = If(c) <then_branch = t () => (float[2] r) { z = Sub(x, x) r = Div(x, z) },
                   else_branch = e () => (float[2] n) { n = Neg(x) }> }"""
    )
    assert run_pipeline(model, [InlineConditionals()])
    (found,) = _run(model, x=np.ones(2, np.float32), c=[[False]])
    np.testing.assert_array_equal(found, np.array([-1, -1], np.float32))


LOOKUPS = {
    "gather": "r = Gather<axis=0>(x, i)",
    "elements": "r = GatherElements<axis=0>(x, i)",
    "division": "f = Div(i, i) r = Cast<to=1>(f)",
    "remainder": "f = Mod(k, i) r = Cast<to=1>(f)",
    "nested": """r = If(d) <then_branch = t2 () => (float[2] r2) { r2 = Gather<axis=0>(x, i) },
                 else_branch = e2 () => (float[2] r3) { r3 = Neg(x) }>""",
}


@pytest.mark.parametrize("case", LOOKUPS)
@pytest.mark.parametrize("side", ["then", "else"])
def test_what_may_fail_does_not_where_its_branch_is_not_taken(build: Build, case: str, side: str) -> None:
    """Indices outside of the tensor, divisors of zero: onnxruntime stops at the first and crashes at the second."""
    branches = {"then": "r", "else": "n"} if side == "then" else {"then": "n", "else": "r"}
    bodies = {"r": LOOKUPS[case], "n": "n = Abs(x)"}
    model = build(
        f"""g (float[2] x, int64[2] i, bool c, bool d) => (float[2] y) {{
        k = Constant<value_ints=[5, 7]>()
        y = If(c) <then_branch = t () => (float[2] {branches["then"]}) {{ {bodies[branches["then"]]} }},
                   else_branch = e () => (float[2] {branches["else"]}) {{ {bodies[branches["else"]]} }}> }}"""
    )
    before = model.clone()
    assert run_pipeline(model, [InlineConditionals()])
    assert "If" not in [node.op_type for node in model.graph]
    x, taken = np.array([-2, 3], np.float32), side == "then"
    bad = [99, -99] if case in {"gather", "elements", "nested"} else [0, 0]
    (found,) = _run(model, x=x, i=np.array(bad), c=not taken, d=True)
    np.testing.assert_array_equal(found, np.abs(x))
    good = {"x": x, "i": np.array([1, 1]), "c": taken, "d": True}
    np.testing.assert_array_equal(_run(model, **good)[0], _run(before, **good)[0])


WHOLE = {
    "text": (
        't = Constant<value_strings=["a", "b"]>() r = Cast<to=1>(t)',
        "reads text, which may be no number where its branch is not taken",
    ),
    "shapes": ("r = Concat<axis=0>(x, x)", "its branches give y as float[4] and as float[2]"),
    "types": ("r = Cast<to=11>(x)", "its branches give y as double[2] and as float[2]"),
    "custom": ("r = com.microsoft.GatherThing(x, i)", "its branches give y as"),
    "sizes": (
        "h = Slice(x, i, j) k = Constant<value_ints=[2]>() r = Expand(h, k)",
        "has a shape that depends on data",
    ),
    "loop": (
        """u = Constant<value_int=0>() k = Gather(i, u)
        l = Loop(k, , x) <body = b (int64 t, bool go, float[2] s) => (bool on, float[2] n)
          { on = Identity(go) n = Neg(s) }>
        two = Constant<value_ints=[2]>() r = Reshape(l, two)""",
        "may have no end where its branch is not taken",
    ),
}


@pytest.mark.parametrize("case", WHOLE)
def test_what_cannot_be_selected_stays_and_says_why(build: Build, case: str) -> None:
    """Results of different shapes, and operators that might stop the run for nothing."""
    body, reason = WHOLE[case]
    model = build(
        f"""g (float[2] x, int64[1] i, int64[1] j, bool c) => (y) {{
        y = If(c) <then_branch = t () => (r) {{ {body} }}, else_branch = e () => (n) {{ n = Neg(x) }}> }}"""
    )
    names = [node.name for node in model.graph]
    assert run_pipeline(model, [InlineConditionals()])
    assert [node.name for node in model.graph] == names
    assert reason in model.graph[0].metadata_props[UNSPLIT_KEY]
    assert not InlineConditionals().run(model).modified


def test_weights_of_a_body_that_stays_are_weights_of_the_graph(build: Build) -> None:
    """A plan spreads them over cores and counts their bytes; small constants stay where inference sees them."""
    model = build(
        """g (float[2] x, int64 n) => (float[] y) {
        y = Loop(n, , x) <body = b (int64 t, bool go, float[2] s) => (bool on, float[2] r) {
          on = Identity(go) k = Constant<value_ints=[0]>() size = Constant<value_ints=[600]>()
          w = ConstantOfShape<value = float[1] {0.5}>(size) m = ReduceSum<keepdims=1>(w, k) r = Mul(s, m) }> }"""
    )
    body = model.graph[0].attributes["body"].as_graph()
    fill = next(node for node in body if node.op_type == "ConstantOfShape")
    weight = ir.Value(name="weight", const_value=ir.tensor(np.full(600, 0.5, np.float32), name="weight"))
    weight.shape, weight.dtype = ir.Shape((600,)), ir.DataType.FLOAT
    body.register_initializer(weight)
    fill.outputs[0].replace_all_uses_with(weight)
    body.remove(fill, safe=True)
    before = _run(model, x=np.ones(2, np.float32), n=2)
    assert run_pipeline(model, [InlineConditionals()])
    assert list(model.graph.initializers) == ["Loop/weight"]
    assert set(body.initializers) == {"k", "size"}
    np.testing.assert_array_equal(_run(model, x=np.ones(2, np.float32), n=2), before)
    assert not InlineConditionals().run(model).modified


def test_a_model_without_conditionals_is_left_alone(apply: Apply) -> None:
    """Most models have none."""
    model = apply(InlineConditionals(), "g (float[2] x) => (float[2] y) { y = Relu(x) }")
    assert [node.op_type for node in model.graph] == ["Relu"]


def test_conditionals_in_functions(apply: Apply, operators: Operators) -> None:
    """A function with an If, called in a branch of another."""
    model = apply(
        InlineFunctions(),
        f"""g (float[2, 3] x) => (float[2, 3] y) {{ {CONDITION}
        y = If(c) <then_branch = t () => (float[2, 3] r) {{ r = local.f(x, c) }}, {ELSE}> }}
        <domain: "local", opset_import: ["" : 23]> f (a, d) => (b) {{
          b = If(d) <then_branch = t () => (v) {{ v = Exp(a) }}, else_branch = e () => (w) {{ w = Sin(a) }}> }}""",
    )
    assert run_pipeline(model, [FoldConstants(), InlineConditionals()])
    assert operators(model)[2:] == ["Exp", "Sin", "Where", "Neg", "Where"]


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])  # it has no state
@given(seed=st.integers(0, 999), order=st.randoms(use_true_random=False))
def test_nested_conditionals_in_any_order_of_passes(build: Build, seed: int, order: object) -> None:
    """A random tree of conditionals over captured values gives the same numbers, however the passes are shuffled."""
    rng = np.random.default_rng(seed)
    counter = iter(range(1000))

    def tree(depth: int, sources: list[str]) -> tuple[str, str]:
        name = f"v{next(counter)}"
        if depth == 0 or rng.random() < 0.2:
            return f"{name} = {rng.choice(['Neg', 'Exp', 'Sin', 'Identity'])}({rng.choice(sources)})", name
        inner, value = tree(depth - 1, sources)
        then, first = tree(depth - 1, [*sources, value])
        other, second = tree(depth - 1, [*sources, value])
        condition = rng.choice(["c", "d", "yes"])
        return (
            f"""{inner} {name} = If({condition}) <then_branch = t () => (float[2] {first}) {{ {then} }},
            else_branch = e () => (float[2] {second}) {{ {other} }}>""",
            name,
        )

    text, result = tree(3, ["x"])
    model = build(
        f"""g (float[2] x, bool c, bool d) => (float[2] {result}) {{
        yes = Constant<value = bool {{1}}>() {text} }}"""
    )
    before = model.clone()
    passes = [*default_pipeline()]
    order.shuffle(passes)  # type: ignore[attr-defined] # a random.Random
    run_pipeline(model, [*passes, InlineConditionals()])
    assert "If" not in [node.op_type for node in model.graph]
    for c, d in ((True, False), (False, True)):
        feeds = {"x": np.array([0.5, -2], np.float32), "c": c, "d": d}
        np.testing.assert_array_equal(_run(model, **feeds)[0], _run(before, **feeds)[0])
