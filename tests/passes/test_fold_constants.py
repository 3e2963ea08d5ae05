"""What does not depend on the input is computed; weights are not read for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest

from wsec.passes.fold_constants import FoldConstants

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Apply = Callable[..., ir.Model]
    Operators = Callable[[ir.Model], list[str]]


def test_shape_computations_disappear(apply: Apply, operators: Operators) -> None:
    """The way exporters write `x.view(batch, -1)`: four operators for one constant."""
    model = apply(
        FoldConstants(),
        """g (float[2, 3, 4] x) => (float[] y) <int64[1] zero = {0}, int64[1] rest = {-1}, int64 axis = {0}> {
        s = Shape(x)
        b = Gather(s, axis)
        u = Unsqueeze(b, zero)
        c = Concat<axis=0>(u, rest)
        y = Reshape(x, c)
        }""",
    )
    assert operators(model) == ["Reshape"]
    assert model.graph.outputs[0].shape == ir.Shape([2, 12])


def test_arithmetic_on_shapes_needs_several_rounds(apply: Apply, operators: Operators) -> None:
    """A shape that depends on the shape of a reshaped value becomes known one round later."""
    model = apply(
        FoldConstants(),
        """g (float[2, 6] x) => (float[] y) <int64[1] two = {2}> {
        s = Shape(x)
        h = Div(s, two)
        c = Concat<axis=0>(h, two, two)
        r = Reshape(x, c)
        t = Shape(r)
        d = Div(t, t)
        u = Mul(t, d)
        e = Reshape(r, u)
        y = Relu(e)
        }""",
    )
    assert operators(model) == ["Reshape", "Identity", "Relu"]


def test_an_if_with_a_known_condition_is_decided(apply: Apply, operators: Operators) -> None:
    """Exporters guard by shape; with static shapes one branch is dead."""
    model = apply(
        FoldConstants(),
        """g (float[2, 3] x) => (float[] y) <int64 rank = {2}, int64 zero = {0}> {
        s = Shape(x)
        n = Size(s)
        c = Equal(n, rank)
        y = If (c) <then_branch = t () => (float[] r) { r = Relu(x) }, else_branch = e () => (float[] r2) { r2 = Neg(x) }>
        }""",
    )
    assert operators(model) == ["Relu"]


@pytest.mark.parametrize(
    "text",
    [
        "g (float[2] x) => (float[2] y) { a = Relu(x) y = Neg(a) }",
        "g () => (float[2] y) { y = RandomNormal<shape=[2], seed=1.0>() }",
    ],
)
def test_what_depends_on_the_input_or_on_chance_stays(text: str, build: Callable[[str], ir.Model]) -> None:
    """Random numbers are drawn when the model runs."""
    model = build(text)
    count = model.graph.num_nodes()
    assert not FoldConstants().run(model).modified
    assert model.graph.num_nodes() == count


def test_large_fills_cost_nothing_until_they_are_read(apply: Apply, operators: Operators) -> None:
    """A table of a million zeros is a constant, and is not in memory."""
    model = apply(
        FoldConstants(),
        """g (int64[2] i) => (float[] y) <int64[2] size = {2048, 512}, int64 zero = {0}> {
        t = ConstantOfShape<value = float[1] {1.5}>(size)
        j = Mul(i, zero)
        y = Gather(t, j)
        }""",
    )
    assert operators(model) == ["Mul", "Gather"]
    operand = model.graph[-1].inputs[0]
    assert operand is not None
    table = operand.const_value
    assert isinstance(table, ir.LazyTensor)
    assert table.nbytes == 2048 * 512 * 4


def _with_external_weight(build: Callable[[str], ir.Model], folder: Path, body: str) -> ir.Model:
    """A product with a weight `w` [256, 512] in a file, moved by `body` into `v`."""
    weight = np.arange(256 * 512, dtype=np.float32).reshape(256, 512)
    (folder / "w.bin").write_bytes(weight.tobytes())
    model = build(
        f"g (float[1, 512] x, float[256, 512] w) => (float[] y) <float[1] two = {{2.0}}> {{ {body} y = MatMul(x, v) }}"
    )
    value = model.graph.inputs.pop()
    value.const_value = ir.ExternalTensor(
        "w.bin", 0, weight.nbytes, ir.DataType.FLOAT, shape=ir.Shape([256, 512]), name="w", base_dir=folder
    )
    model.graph.register_initializer(value)
    return model


def test_a_moved_weight_is_a_weight_and_stays_unread(
    build: Callable[[str], ir.Model], tmp_path: Path
) -> None:
    """The transposed weight of a linear layer is folded without reading the file, and right when it is read."""
    model = _with_external_weight(build, tmp_path, "a = Cast<to=1>(w) v = Transpose<perm=[1, 0]>(a)")
    source = model.graph.initializers["w"].const_value
    assert isinstance(source, ir.ExternalTensor)
    assert FoldConstants().run(model).modified
    assert source.raw is None
    moved = model.graph[-1].inputs[1]
    assert moved is not None
    assert moved.const_value is not None
    expected = np.arange(256 * 512, dtype=np.float32).reshape(256, 512).T
    np.testing.assert_array_equal(moved.const_value.numpy(), expected)


def test_arithmetic_on_weights_is_left_to_run(build: Callable[[str], ir.Model], tmp_path: Path) -> None:
    """Scaling a large weight would have to read it."""
    model = _with_external_weight(build, tmp_path, "s = Mul(w, two) v = Transpose(s)")
    FoldConstants().run(model)
    assert [node.op_type for node in model.graph] == ["Mul", "Transpose", "MatMul"]


def test_the_limits_are_options(build: Callable[[str], ir.Model]) -> None:
    """What counts as small is the user's to say."""
    text = "g () => (float[] y) <float[8] a = {1, 2, 3, 4, 5, 6, 7, 8}> { b = Neg(a) y = Abs(b) }"
    small, large = build(text), build(text)
    FoldConstants(input_bytes=31).run(small)
    FoldConstants(input_bytes=32).run(large)
    assert small.graph.num_nodes() > large.graph.num_nodes()


def test_no_provenance_is_left_behind(apply: Apply) -> None:
    """The folder's notes on what went into a constant grow with the square of a chain."""
    model = apply(
        FoldConstants(),
        """g (float[2] x) => (float[2] y) <float[2] a = {1, 2}> { b = Neg(a) c = Abs(b) d = Neg(c) y = Add(x, d) }""",
    )
    assert all(not value.metadata_props for value in model.graph.initializers.values())


def test_sequences_are_left_to_be_refused(build: Callable[[str], ir.Model]) -> None:
    """The folder fails on a sequence cut in ones; the model is refused later, with a coded error."""
    model = build(
        "g (float[4] x) => (float[] y) { s = SplitToSequence(x) \n y = ConcatFromSequence<axis=0>(s) }"
    )
    FoldConstants().run(model)
    assert [node.op_type for node in model.graph] == ["SplitToSequence", "ConcatFromSequence"]


@pytest.mark.parametrize(("rows", "stays"), [(64, False), (512, True)])
def test_large_tables_of_rotations_stay_what_all_layers_share(
    build: Callable[[str], ir.Model], operators: Operators, rows: int, *, stays: bool
) -> None:
    """Rows of 16 kB are a constant of each rotation; rows of 128 kB a tensor that all read, as of positions known at run time."""
    model = build(
        f"""g (float[1, 2, {rows}, 128] x, float[{rows}, 64] table, int64[1, {rows}] positions) => (float[1, 2, {rows}, 128] y) {{
        cos = Gather <axis=0> (table, positions)
        y = RotaryEmbedding (x, cos, cos)
        }}"""
    )
    graph = model.graph
    for array in (np.ones((rows, 64), np.float32), np.arange(rows)[None]):
        value = graph.inputs.pop(1)
        value.const_value = ir.tensor(array, name=value.name)
        graph.register_initializer(value)
    FoldConstants().run(model)
    assert operators(model) == ["Gather"] * stays + ["RotaryEmbedding"]
