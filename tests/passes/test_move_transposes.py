"""Transpositions cancel, merge and move through other operators where that moves fewer elements, and only there."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsec.compiler.importer.shapes import static_shape
from wsec.passes.move_transposes import MoveTransposes

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]

TO_NHWC, TO_NCHW = "perm=[0, 2, 3, 1]", "perm=[0, 3, 1, 2]"
CONSTANTS = """<float[4] channel = {1.0, -2.0, 0.5, 3.0}, float half = {0.5}, float[3, 1, 1, 1, 1] five = {1.0, 2.0, 3.0},
int64[2] spatial = {1, 2}, int64[1] last = {3}, int64[1] one = {1}, int64[1] two = {2}, int64[1] big = {99},
int64[8] pads = {0, 1, 2, 0, 0, 0, 1, 0}, int64[4] few = {1, 0, 2, 1}, int64[2] inner = {1, 3}, float zero = {0.0},
float six = {6.0}, float[4, 4] matrix = {1.0, 2.0, 3.0, 4.0, 0.5, 1.5, -1.0, 2.0, 1.0, 0.0, 0.0, 1.0, 2.0, 2.0, -3.0, 1.0},
float[1, 1, 5, 1] column = {1.0, 2.0, 3.0, 4.0, 5.0}>"""

ISLANDS = {
    "cancel": "b = Transpose<perm=[0, 3, 1, 2]>(a) y = Abs(b)",
    "relu": "b = Relu(a) y = Transpose<perm=[0, 3, 1, 2]>(b)",
    "bias": "b = Add(a, channel) c = Relu(b) y = Transpose<perm=[0, 3, 1, 2]>(c)",
    "column": "b = Mul(column, a) y = Transpose<perm=[0, 3, 1, 2]>(b)",
    "clip": "b = Clip(a, zero, six) y = Transpose<perm=[0, 3, 1, 2]>(b)",
    "residual": "b = Relu(a) c = Neg(a) d = Add(b, c) y = Transpose<perm=[0, 3, 1, 2]>(d)",
    "two_readers": "b = Relu(a) t = Transpose<perm=[0, 3, 1, 2]>(b) u = Transpose<perm=[0, 3, 1, 2]>(b) y = Sub(t, u)",
    "softmax": "b = Softmax<axis=-1>(a) y = Transpose<perm=[0, 3, 1, 2]>(b)",
    "concat": "b = Neg(a) c = Concat<axis=3>(a, b, a) y = Transpose<perm=[0, 3, 1, 2]>(c)",
    "pad": "b = Pad(a, pads) y = Transpose<perm=[0, 3, 1, 2]>(b)",
    "pad_of_axes": "b = Pad(a, few, , inner) y = Transpose<perm=[0, 3, 1, 2]>(b)",
    "slice": "b = Slice(a, one, big, last, two) y = Transpose<perm=[0, 3, 1, 2]>(b)",
    "mean": "b = ReduceMean(a, spatial) c = Mul(a, b) y = Transpose<perm=[0, 3, 1, 2]>(c)",
    "mean_without_axes": "y = ReduceMean<keepdims=0>(a, spatial)",
    "where": "b = Greater(a, half) c = Where(b, a, half) y = Transpose<perm=[0, 3, 1, 2]>(c)",
    "cast": "b = Cast<to=11>(a) c = Cast<to=1>(b) y = Transpose<perm=[0, 3, 1, 2]>(c)",
}

STAYS = {
    "inflexible": "b = Cos(x) c = CumSum(a, one_scalar) y = Relu(c)",
    "no_gain": "b = Relu(a) y = Neg(b)",
    "matrix": "y = MatMul(a, matrix)",
    "dropped_axes_in_another_order": "y = ReduceMean<keepdims=0>(a, one)",
}


def _text(body: str) -> str:
    return (
        f"g (float[2, 4, 3, 5] x) => (float[] y) {CONSTANTS[:-1]}, int64 one_scalar = {{1}}> "
        f"{{ a = Transpose<{TO_NHWC}>(x) {body} }}"
    )


def _moved(model: ir.Model) -> int:
    """Elements that transpositions move."""
    shapes = [static_shape(node.outputs[0]) for node in model.graph if node.op_type == "Transpose"]
    return sum(math.prod(shape) for shape in shapes if shape is not None)


@pytest.mark.parametrize("case", ISLANDS)
def test_an_island_in_another_layout_disappears(apply: Apply, operators: Operators, case: str) -> None:
    """What a converter from channels-last leaves behind, with each operator that computes in any layout."""
    model = apply(MoveTransposes(), _text(ISLANDS[case]), tolerance=1e-6)
    assert "Transpose" not in operators(model)


@pytest.mark.parametrize("case", STAYS)
def test_a_transposition_stays_where_moving_it_gains_nothing(
    apply: Apply, operators: Operators, case: str
) -> None:
    """In front of an operator that has one layout only, or of the end."""
    model = apply(MoveTransposes(), _text(STAYS[case]))
    assert operators(model).count("Transpose") == 1
    assert operators(model)[0] == "Transpose" or case == "inflexible"


def test_adjacent_transpositions_combine(apply: Apply, operators: Operators) -> None:
    """Two that do not cancel are one."""
    model = apply(MoveTransposes(), _text("b = Transpose<perm=[1, 0, 2, 3]>(a) y = Abs(b)"))
    assert operators(model) == ["Transpose", "Abs"]


def test_fewer_elements_are_transposed_behind_a_reduction(apply: Apply) -> None:
    """Five times fewer: the one sum that is left moves behind it, or before what made it large."""
    model = apply(MoveTransposes(), _text("b = ReduceSum(a, two) y = MatMul(b, matrix)"), tolerance=1e-6)
    assert 0 < _moved(model) <= 2 * 4 * 3 * 5 // 3


def test_a_value_that_leaves_in_both_layouts_is_transposed_once(apply: Apply, operators: Operators) -> None:
    """An output of the model keeps its name and layout; the way between the transpositions is free of them."""
    body = "b = Relu(a) c = Transpose<perm=[0, 3, 1, 2]>(b) z = Neg(c) y = Abs(b)"
    text = _text(body).replace("(float[] y)", "(float[] y, float[] z)")
    assert operators(apply(MoveTransposes(), text)).count("Transpose") == 1


def test_an_output_inside_a_region_keeps_its_name(apply: Apply) -> None:
    """The value itself is read on in the other layout."""
    body = "y = Relu(a) c = Neg(y) d = Transpose<perm=[0, 3, 1, 2]>(c) e = Cos(y) z = Transpose<perm=[0, 3, 1, 2]>(e)"
    text = _text(body + " w = Add(z, d)").replace("(float[] y)", "(float[] y, float[] w)")
    model = apply(MoveTransposes(), text, tolerance=1e-6)
    assert [value.name for value in model.graph.outputs] == ["y", "w"]


def test_kernels_that_were_formed_are_not_torn_apart(build: Callable[[str], ir.Model]) -> None:
    """A group of operators is placed as one and has one shape."""
    model = build(_text(ISLANDS["bias"]))
    for node in model.graph:
        node.metadata_props["wsec.kernel"] = "group"
    assert not MoveTransposes().run(model).modified


@st.composite
def graphs(draw: st.DrawFn) -> str:
    """A few operators on [2, 3, 4] values and their transpositions, each reading earlier values of equal shape."""
    values: list[tuple[str, tuple[int, ...]]] = [("x", (2, 3, 4))]
    lines = []
    for number in range(draw(st.integers(2, 9))):
        name, shape = draw(st.sampled_from(values))
        kind = draw(
            st.sampled_from(["transpose", "transpose", "unary", "binary", "reduce", "softmax", "concat"])
        )
        result = f"v{number}"
        if kind == "transpose":
            order = draw(st.permutations(range(3)))
            lines.append(f"{result} = Transpose<perm=[{order[0]}, {order[1]}, {order[2]}]>({name})")
            shape = (shape[order[0]], shape[order[1]], shape[order[2]])
        elif kind == "unary":
            lines.append(f"{result} = Tanh({name})")
        elif kind == "binary":
            other = draw(st.sampled_from([value for value, of in values if of == shape]))
            lines.append(f"{result} = Sub({name}, {other})")
        elif kind == "concat":
            axis = draw(st.integers(0, 2))
            lines.append(f"{result} = Concat<axis={axis}>({name}, {name})")
            shape = (*shape[:axis], 2 * shape[axis], *shape[axis + 1 :])
        else:
            axis = draw(st.integers(0, 2))
            if kind == "reduce":
                lines.append(f"m{number} = ReduceMax(v{number}x, axis{axis})")
                lines[-1:] = [
                    f"m{number} = ReduceMax({name}, axis{axis})",
                    f"{result} = Sub({name}, m{number})",
                ]
            else:
                lines.append(f"{result} = Softmax<axis={axis}>({name})")
        values.append((result, shape))
    outputs = draw(
        st.lists(st.sampled_from([name for name, _ in values[1:]]), min_size=1, max_size=3, unique=True)
    )
    signature = ", ".join(f"float[] {name}" for name in outputs)
    axes = "int64[1] axis0 = {0}, int64[1] axis1 = {1}, int64[1] axis2 = {2}"
    return f"g (float[2, 3, 4] x) => ({signature}) <{axes}> {{ {' '.join(lines)} }}"


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=graphs())
def test_numbers_stay_and_fewer_elements_move(
    apply: Apply, build: Callable[[str], ir.Model], text: str
) -> None:
    """For any graph: same outputs under the same names, a second run has nothing to do, and no change costs more."""
    before = build(text)
    after = apply(MoveTransposes(), text, tolerance=1e-6)
    assert _moved(after) <= _moved(before)


@pytest.mark.parametrize("case", ["residual", "mean", "concat", "pad"])
def test_any_order_of_the_passes_keeps_the_numbers(
    survives_any_order: Callable[..., None], case: str
) -> None:
    """Other passes may come first and leave another form."""
    survives_any_order(_text(ISLANDS[case]))
