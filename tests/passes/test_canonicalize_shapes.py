"""One way to write each movement of data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from wsec.passes.canonicalize_shapes import CanonicalizeShapes
from wsec.passes.rewriting import integers_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]

CONSTANTS = """<int64[1] zero = {0}, int64[2] ends = {0, 5}, int64[1] one = {1}, int64[2] auto = {0, -1},
int64[2] back = {-1, 1}, int64[2] parts = {1, 2}>"""


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        ("Flatten(x)", (2, 12)),
        ("Flatten<axis=3>(x)", (6, 4)),
        ("Squeeze(x)", (2, 3, 4)),
        ("Squeeze(x, one)", (2, 3, 4)),
        ("Unsqueeze(x, ends)", (1, 2, 1, 3, 4, 1)),
        ("Reshape(x, auto)", (2, 12)),
        ("Reshape<allowzero=1>(x, back)", (24, 1)),
        ("Transpose<perm=[1, 0, 2, 3]>(x)", (1, 2, 3, 4)),
        ("Transpose<perm=[0, 2, 1, 3]>(x)", (2, 3, 1, 4)),
    ],
)
def test_it_becomes_a_reshape_with_its_full_shape(
    apply: Apply, operators: Operators, node: str, shape: tuple[int, ...]
) -> None:
    """Whatever only regroups elements is one operator with one constant."""
    model = apply(
        CanonicalizeShapes(), f"g (float[2, 1, 3, 4] x) => (float[] y) {CONSTANTS} {{ y = {node} }}"
    )
    assert operators(model) == ["Reshape"]
    assert integers_of(model.graph[0].inputs[1]) == shape


def test_a_chain_of_reshapes_is_one(apply: Apply) -> None:
    """The last of them reads the first value."""
    model = apply(
        CanonicalizeShapes(),
        f"g (float[2, 1, 3, 4] x) => (float[] y) {CONSTANTS} {{ a = Squeeze(x) b = Flatten(a) y = Unsqueeze(b, zero) }}",
    )
    last = model.graph[-1]
    assert last.inputs[0] is model.graph.inputs[0]


def test_a_real_transposition_stays(apply: Apply, operators: Operators) -> None:
    """It moves elements."""
    model = apply(
        CanonicalizeShapes(), "g (float[2, 1, 3] x) => (float[] y) { y = Transpose<perm=[2, 1, 0]>(x) }"
    )
    assert operators(model) == ["Transpose"]


@pytest.mark.parametrize("split", ["Split<axis=1, num_outputs=2>(x)", "Split<axis=-1>(x, parts)"])
def test_a_split_is_slices(apply: Apply, operators: Operators, split: str) -> None:
    """Uneven parts and negative axes included; a part nobody reads is dead code later."""
    model = apply(
        CanonicalizeShapes(),
        f"g (float[2, 3, 3] x) => (float[] y) {CONSTANTS} {{ a, b = {split} y = Concat<axis=0>(a, a) z = Neg(b) }}",
    )
    assert operators(model) == ["Slice", "Slice", "Concat", "Neg"]


def test_a_split_into_outputs_keeps_their_names(apply: Apply, operators: Operators) -> None:
    """Outputs of the model may come straight from a Split."""
    model = apply(
        CanonicalizeShapes(),
        "g (float[2, 4] x) => (float[] y, float[] z) { y, z = Split<axis=1, num_outputs=2>(x) }",
    )
    assert [value.name for value in model.graph.outputs] == ["y", "z"]
    assert operators(model) == ["Slice", "Slice"]


@pytest.mark.parametrize(
    ("pool", "reduction"), [("GlobalAveragePool", "ReduceMean"), ("GlobalMaxPool", "ReduceMax")]
)
@pytest.mark.parametrize("spatial", ["5", "5, 4", "2, 5, 4"])
def test_global_pooling_is_a_reduction(
    apply: Apply, operators: Operators, pool: str, reduction: str, spatial: str
) -> None:
    """Over all spatial axes, however many there are."""
    model = apply(
        CanonicalizeShapes(),
        f"g (float[2, 3, {spatial}] x) => (float[] y) {{ y = {pool}(x) }}",
        tolerance=1e-6,
    )
    assert operators(model) == [reduction]


@pytest.mark.parametrize(
    ("node", "axes"),
    [
        ("ReduceSum(x)", (0, 1, 2)),
        ("ReduceMax<keepdims=0>(x, back)", (1, 2)),
        ("ReduceMean<noop_with_empty_axes=1>(x, one)", (1,)),
    ],
)
def test_reductions_name_their_axes(apply: Apply, node: str, axes: tuple[int, ...]) -> None:
    """Sorted, not negative, and never implied."""
    model = apply(
        CanonicalizeShapes(),
        f"g (float[2, 3, 4] x) => (float[] y) {CONSTANTS} {{ y = {node} }}",
        tolerance=1e-6,
    )
    assert integers_of(model.graph[0].inputs[1]) == axes


def test_a_reduction_over_no_axes_stays(apply: Apply) -> None:
    """With noop_with_empty_axes it reduces nothing."""
    model = apply(
        CanonicalizeShapes(), "g (float[2, 3] x) => (float[] y) { y = ReduceSum<noop_with_empty_axes=1>(x) }"
    )
    (node,) = model.graph
    assert node.op_type == "ReduceSum"
    assert node.attributes["noop_with_empty_axes"].as_int() == 1


def test_empty_tensors_stay(build: Callable[[str], ir.Model]) -> None:
    """In the shape of a Reshape a zero means something else."""
    model = build("g (float[0, 3] x) => (float[] y) { y = Flatten(x) }")
    assert not CanonicalizeShapes().run(model).modified
