"""Models that nothing could run are refused at import, with the operator, what it was given and why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from wsec.compiler.errors import WsecError
from wsec.compiler.importer import import_model
from wsec.compiler.importer.bounded_inference import infer_bounded
from wsec.compiler.importer.function_checks import check_functions
from wsec.compiler.importer.sparse_initializers import fill_sparse_initializers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Refusal = Callable[[Callable[[], object]], str]

HEAD = '<ir_version: 10, opset_import: ["" : 21, "local" : 1]>'
CONTRADICTIONS = {
    "g (float[2, 7] x, float[8, 4] w) => (float[2, 4] y) { y = MatMul(x, w) }": "Incompatible dimensions for matrix multiplication",
    "g (float[3, 9] x) => (float[a, b] y) { s = Constant<value_ints = [5, 5]>() y = Reshape(x, s) }": "25",
    "g (float[3, 9] x) => (float[a, b] y) { s = Constant<value_ints = [-1, 5]>() y = Reshape(x, s) }": "Dimension could not be inferred",
    "g (float[1, 6, 8, 8] x, float[8, 2, 3, 3] w) => (float[a, b, c, d] y) { y = Conv<group = 4>(x, w) }": "6",
    "g (float[1, 6, 8, 8] x, float[8, 6, 3, 3] w) => (float[a, b, c, d] y) { y = Conv<group = 0>(x, w) }": "False",
    "g (float[1, 64, 99, 99] x, float[8, 65, 3, 3] w) => (float[a, b, c, d] y) { y = Conv(x, w) }": "64",
    "g (float[2, 3] a, float[3, 4] b) => (float[p, q] y) { y = Concat<axis = 1>(a, b) }": "Inferred=3 Declared=2",
    "g (float[2, 3] a, float[4] b) => (float[p, q] y) { y = Add(a, b) }": "Incompatible dimensions",
    "g (float[2, 3] a, float[3, 5] b, float[7] c) => (float[p, q] y) { y = Gemm(a, b, c) }": "[7]",
    "g (bool[2] c, float[3] a, float[4] b) => (float[p] y) { y = Where(c, a, b) }": "Incompatible dimensions",
    "g (float[2, 9] x) => (float[p, q] y, float[p, q] z) { s = Constant<value_ints = [4, 4]>() y, z = Split<axis = 1>(x, s) }": "sum of 'split'",
    "g (float[2, 9] x) => (float[p, q] y) { s = Constant<value_ints = [1, 1]>() y = Pad(x, s) }": "Expected 2 * 2 values",
    "g (float[2, 9] x) => (float[p, q] y) { s = Constant<value_ints = [5]>() y = Gather(x, s) }": "out of data bounds",
    "g (float[2, 9] x) => (float[a, b, 9] y, float[p, q, 9] z) <int64[1, 1] good = {1}, int64[1, 1] bad = {5}> { y = Gather(x, good) z = Gather(x, bad) }": "out of data bounds",
    'g (float[2, 9] x, float[8, 3] z) => (float[p, q] y) { y = Einsum<equation = "ij,jk->ik">(x, z) }': "",
    "g (float[5, 1, 3] x, float[1, 8, 3] w, float[1, 8, 3] r) => (float[a, b, c, d] y) { y = LSTM<hidden_size = 2>(x, w, r) }": "[1, 8, 3]",
    "g (float[2] x, int64[2] z) => (float[a] y) { y = Add(x, z) }": "inconsistent type",
    "g (float[2] x) => (bfloat16[2] y) { y = Relu(x) }": "Inferred elem type differs from existing elem type: (1) vs (16)",
    "g (float[2] x) => (float[a] y) { y = Relu(x, x) }": "input size 2 not in range",
    "g (float[2] x) => (float[a] y) { y = Cast(x) }": "Required attribute 'to' is missing",
    "g (float[2] x) => (float[a] y) { y = Relu<nonsense = 1>(x) }": "Unrecognized attribute: nonsense",
    "g (float[2] x) => (float[2] y) { y = If(x) <then_branch = t () => (float[2] a) { a = Neg(x) }, else_branch = e () => (float[2] b) { b = Abs(x) }> }": "x float [2]",
    "g (bool c, int64[1] z) => (int64[1] y) { y = If(c) <then_branch = t () => (int64[1] a) { a = If(z) <then_branch = u () => (int64[1] d) { d = Neg(z) }, else_branch = v () => (int64[1] e) { e = Abs(z) }> }, else_branch = e () => (int64[1] b) { b = Abs(z) }> }": "z int64 [1]",
    "g (bool c, float[2] x) => (float[2] y) { y, more = If(c) <then_branch = t () => (float[2] a) { a = Neg(x) }, else_branch = e () => (float[2] b, float[2] d) { b = Abs(x) d = Neg(x) }> }": "1",
    "g (bool c, float[2] x) => (float[2] y) { y = Loop(, c, x) <body = t (int64 i, bool go) => (bool on, float[2] a) { on = Not(go) a = Neg(x) }> }": "2",
    "g (int64[2] x) => (int64[2] y) { z = Constant<value_ints = [1, 0]>() y = Div(x, z) }": "1",
}


def test_an_operator_whose_operands_do_not_fit(model_file: Callable[[str], Path], refusal: Refusal) -> None:
    """The message names the node, what it is given and why that does not do."""
    path = model_file(
        f"{HEAD} g (float[2, 7] x, float[8, 4] w) => (float[2, 4] y) {{ [fc] y = MatMul(x, w) }}"
    )
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC119]: 1 operator is used in a way that ONNX forbids\n"
        "  where:    node 0 'fc' (MatMul): x float [2, 7], w float [8, 4]\n"
        "  expected: operands and attributes that fit MatMul\n"
        "  found:    Incompatible dimensions for matrix multiplication\n"
        "  try:      mend what built the model, or export it again"
    )


@pytest.mark.parametrize("text", CONTRADICTIONS)
def test_what_onnx_forbids_is_refused_at_import(text: str, model_file: Callable[[str], Path]) -> None:
    """Whether inference, a relation that it leaves out, or a run on ones and zeros finds it."""
    with pytest.raises(WsecError) as raised:
        import_model(model_file(f"{HEAD} {text}"), {})
    assert raised.value.code == "WSEC119"
    assert CONTRADICTIONS[text] in raised.value.found


def test_all_misused_operators_are_listed(model_file: Callable[[str], Path]) -> None:
    """One at a time would take one export for each."""
    path = model_file(
        f"{HEAD} g (float[2] x, float[3] z) => (float[a] y, float[b] w) {{ y = Add(x, z) \n w = Mul(z, x) }}"
    )
    with pytest.raises(WsecError) as raised:
        import_model(path, {})
    assert raised.value.what == "2 operators are used in a way that ONNX forbids"
    assert [line.partition(":")[0] for line in raised.value.where.splitlines()] == [
        "node 0 'Add' (Add)",
        "node 1 'Mul' (Mul)",
    ]


def test_behind_an_if_nothing_is_judged(model_file: Callable[[str], Path]) -> None:
    """Exporters guard with an If what does not fit; that branch is never taken."""
    path = model_file(
        f"""{HEAD} g (float[2] x, bool c) => (float[n] y) {{ a = If(c) <
        then_branch = t () => (float[n] b) {{ k = Constant<value_floats = [1.0, 2.0, 3.0]>() \n b = Add(x, k) }},
        else_branch = e () => (float[n] b) {{ b = Neg(x) }}> \n y = Relu(a) }}"""
    )
    assert [node.op_type for node in import_model(path, {}).model.graph] == ["If", "Relu"]


@pytest.mark.parametrize(
    "text",
    [
        "g (float[1] x) => (float[p] y) { s = Constant<value_ints = [1000000000000]>() a = ConstantOfShape(s) y = Add(a, x) }",
        "g (float[1, 1] x) => (float[p, q] y) { s = Constant<value_ints = [4611686018427387904, 8]>() y = Expand(x, s) }",
        "g (float[2, 9] x) => (float[p, q] y) { s = Constant<value_ints = [0, -20, 0, 0]>() y = Pad(x, s) }",
        "g (float[9223372036854775807, 9223372036854775807] x) => (float[p, q] y) { y = Relu(x) }",
        """g (float[1] x) => (float[p] y) { a = Constant<value_int = 0>() b = Constant<value_int = 1000000000000>()
        c = Constant<value_int = 1>() r = Range(a, b, c) f = Cast<to = 1>(r) y = Add(f, x) }""",
    ],
)
def test_an_impossible_size_is_refused(text: str, model_file: Callable[[str], Path]) -> None:
    """A file of a few hundred bytes may not make wsec reserve terabytes; nor does a negative extent reach a kernel."""
    with pytest.raises(WsecError) as raised:
        import_model(model_file(f"{HEAD} {text}"), {})
    assert raised.value.code == "WSEC120"


def test_an_impossible_size_says_where_it_arises(model_file: Callable[[str], Path], refusal: Refusal) -> None:
    """Two levels of values that inference follows, and no memory for them."""
    path = model_file(
        f"{HEAD} g (float[1] x) => (float[p] y) {{ s = Constant<value_ints = [1000000000000]>() y = ConstantOfShape(s) }}"
    )
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC120]: 1 tensor has an impossible size\n"
        "  where:    ConstantOfShape (ConstantOfShape), output y: [1000000000000]\n"
        "  expected: extents of 0 or more, and at most 1,099,511,627,776 bytes\n"
        "  found:    4,000,000,000,000 bytes\n"
        "  try:      check the sizes that the model is given and computes; --dim may have set one of them"
    )


def test_bounded_inference_still_finds_shapes_of_long_vectors() -> None:
    """What is hidden from operators that list values keeps the shape that follows from shapes alone."""
    proto = onnx.parser.parse_model(
        f"{HEAD} g (float[1] x) => (float[n] y) {{ s = Constant<value_ints = [3000000]>() a = ConstantOfShape(s) y = Add(a, x) }}"
    )
    (output,) = infer_bounded(proto).graph.output
    assert [dim.dim_value for dim in output.type.tensor_type.shape.dim] == [3000000]


@pytest.mark.parametrize(("length", "target"), [(100_000, "Mul(b, b)"), (9_000_000_000, "Add(b, b)")])
def test_a_computed_target_lists_no_huge_vector(
    length: int, target: str, model_file: Callable[[str], Path]
) -> None:
    """A Reshape to a length that inference computes: its sum and its join with itself must not be listed."""
    path = model_file(
        f"""{HEAD} g (float[3] x, int64[4] k) => (float[3] y) {{
        b = Constant<value_ints = [{length}]>() \n h = {target} \n r = Reshape(k, h) \n d = Add(r, r)
        j = Concat<axis = 0>(d, d) \n e = Shape(j) \n f = Cast<to = 1>(e) \n y = Add(x, f) }}"""
    )
    with pytest.raises(WsecError) as raised:
        import_model(path, {})
    assert raised.value.code in {"WSEC119", "WSEC120"}


def test_a_loop_that_cannot_end(model_file: Callable[[str], Path]) -> None:
    """Without a number of steps, its condition must depend on something."""
    path = model_file(
        f"""{HEAD} g (float[3] x) => (float[3] y) {{ yes = Constant<value = bool {{1}}>()
        y = Loop(, yes, x) <body = b (int64 i, bool go, float[3] s) => (bool on, float[3] t) {{ on = Identity(go) t = Add(s, s) }}> }}"""
    )
    with pytest.raises(WsecError) as raised:
        import_model(path, {})
    assert raised.value.found == "no number of steps, and a condition that stays true"


def _functions(*calls: tuple[str, tuple[str, ...]]) -> onnx.ModelProto:
    functions = [
        helper.make_function(
            "local", name, ["a"], [f"v{len(called)}"],
            [helper.make_node(other, [f"v{i}" if i else "a"], [f"v{i + 1}"], domain="local") for i, other in enumerate(called)],
            [helper.make_opsetid("local", 1)],
        )
        for name, called in calls
    ]  # fmt: skip
    graph = helper.make_graph([helper.make_node(calls[0][0], ["x"], ["y"], domain="local")], "g", [], [])
    return helper.make_model(graph, functions=functions)


def test_a_function_that_calls_itself(refusal: Refusal) -> None:
    """The circle is shown."""
    assert refusal(lambda: check_functions(_functions(("F", ("G",)), ("G", ("F",))))) == (
        "error[WSEC121]: the model's functions cannot be expanded\n"
        "  where:    function local.F\n"
        "  expected: functions that do not call themselves\n"
        "  found:    local.F -> local.G -> local.F\n"
        "  try:      export the model again, or inline its functions before"
    )


def test_functions_that_expand_without_bound(refusal: Refusal) -> None:
    """Forty functions that each call the next one twice are 2^40 nodes."""
    calls = [(f"F{i}", (f"F{i + 1}", f"F{i + 1}")) for i in range(40)]
    assert f"{2**40:,} nodes" in refusal(lambda: check_functions(_functions(*calls)))


def test_sparse_weights_become_dense(tmp_path: Path) -> None:
    """Both forms of indices, and a note."""
    proto = onnx.parser.parse_model(f"{HEAD} g (float[2, 3] x) => (float[2, 3] y) {{ y = Relu(x) }}")
    values = numpy_helper.from_array(np.array([5, 7], np.float32), "w")
    for indices in (np.array([1, 5]), np.array([[0, 1], [1, 2]])):
        del proto.graph.initializer[:]
        proto.graph.sparse_initializer.append(
            helper.make_sparse_tensor(values, numpy_helper.from_array(indices), [2, 3])
        )
        assert fill_sparse_initializers(proto, tmp_path) == ("sparse weights are stored dense: w",)
        assert numpy_helper.to_array(proto.graph.initializer[0]).tolist() == [[0, 5, 0], [0, 0, 7]]


def test_a_small_weight_in_another_file_is_used(tmp_path: Path) -> None:
    """Exporters may put every weight into the file, however small: operators are then judged without that file at hand."""
    proto = onnx.parser.parse_model(
        f"{HEAD} g (float[2] x) => (float[2] y) <float[2] w = {{1, 2}}> {{ y = Mul(x, w) }}"
    )
    weight = proto.graph.initializer[0]
    weight.ClearField("float_data")
    weight.ClearField("raw_data")
    weight.data_location = TensorProto.EXTERNAL
    weight.external_data.add(key="location", value="w.bin")
    (tmp_path / "w.bin").write_bytes(np.array([1, 2], np.float32).tobytes())
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    imported = import_model(tmp_path / "model.onnx", {})
    assert [value.name for value in imported.model.graph.initializers.values()] == ["w"]


def test_weights_that_are_not_finite_are_kept_and_said(tmp_path: Path) -> None:
    """An ordinary weight, or one whose sum alone overflows, is not mentioned."""
    proto = onnx.parser.parse_model(
        f"{HEAD} g (float[2] x) => (float[2] y) {{ a = Mul(x, w) \n b = Mul(a, v) \n y = Mul(b, u) }}"
    )
    weights = {"w": [np.nan, np.inf], "v": [3e38, 3e38], "u": [1, 2]}
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.array(value, np.float32), name) for name, value in weights.items()
    )
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    imported = import_model(tmp_path / "model.onnx", {})
    assert imported.notes == ("weights that are not finite are kept as they are: w (2 of 2 elements)",)
    kept = imported.model.graph.initializers["w"].const_value
    assert kept is not None
    np.testing.assert_array_equal(kept.numpy(), np.array([np.nan, np.inf], np.float32))
