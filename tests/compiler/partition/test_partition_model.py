"""Which operators are given to the host, and why."""

from __future__ import annotations

import onnx
import onnx_ir as ir
import pytest

from wsec.compiler.errors import WsecError
from wsec.compiler.importer import infer_shapes
from wsec.compiler.operators import KERNEL_KEY
from wsec.compiler.partition import check_no_host, host_operator_notes, host_operators_of, partition_model

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


def _partitioned(text: str) -> ir.Model:
    model = ir.from_proto(onnx.parser.parse_model(f"{HEAD} {text}"))
    infer_shapes(model)
    partition_model(model)
    return model


def _on_host(text: str) -> list[str]:
    return [item.name for item in host_operators_of(_partitioned(text))]


@pytest.mark.parametrize(
    ("text", "on_host"),
    [
        ("g (float[4, 4] x) => (float[] y) { [a] b = MatMul(x, x) \n [c] y = Softmax(b) }", []),
        ("g (float[4, 4] x) => (int64[] y) { [a] b = MatMul(x, x) \n [c] y = NonZero(b) }", ["c"]),
        ("g (string[2] w) => (string[] v) { [a] v = Identity(w) }", ["a"]),
        ("g (float[2] x) => (seq(float[]) s) { [a] r = Exp(x) \n [b] s = SequenceConstruct(r) }", ["b"]),
        # what is static again is arithmetic for the wafer
        (
            "g (float[4] x) => (float[] y) { [a] n = NonZero(x) \n [b] s = Shape(n) \n [c] f = Cast<to=1>(s) \n [d] y = Exp(f) }",
            ["a", "b", "c"],
        ),
        # a body that makes sequences runs on the host with its node
        (
            """g (bool c, float[4] x) => (float[] y) { [a] y = If (c)
            <then_branch = t () => (float[4] r) { s = SequenceConstruct(x) \n i = Constant<value_int=0>() \n r = SequenceAt(s, i) },
            else_branch = e () => (float[4] q) { q = Identity(x) }> }""",
            ["a"],
        ),
    ],
)
def test_the_host_runs_what_cores_cannot(text: str, on_host: list[str]) -> None:
    """Strings, sequences and shapes that the data decide; all other arithmetic stays on the wafer."""
    assert _on_host(text) == on_host


def test_shape_arithmetic_between_host_operators_stays_there() -> None:
    """Whole numbers computed from what the host has, for what the host computes next, do not travel."""
    text = """g (float[4] x, float[2, 3] z) => (float[] y) {
    [find] n = NonZero(x) \n [shape] s = Shape(n) \n [double] d = Add(s, s) \n [fill] f = ConstantOfShape(d)
    [sum] r = ReduceSum(f) \n [scale] y = Mul(r, z) }"""
    assert _on_host(text) == ["find", "shape", "double", "fill", "sum"]


def test_a_group_with_a_host_operator_is_dissolved() -> None:
    """Half a fused group is none: its other operators become kernels of their own, and whole groups stay."""
    model = ir.from_proto(
        onnx.parser.parse_model(
            f"""{HEAD} g (float[4] x) => (seq(float[]) s) {{
            [a] b = Relu(x) \n [c] d = Exp(b) \n [e] f = Tanh(d) \n [g] h = Neg(f) \n [i] s = SequenceConstruct(h) }}"""
        )
    )
    infer_shapes(model)
    for node in model.graph:
        node.metadata_props[KERNEL_KEY] = "first" if node.name in {"a", "c"} else "second"
    assert partition_model(model)
    groups = [node.metadata_props.get(KERNEL_KEY) for node in model.graph]
    assert groups == ["first", "first", None, None, None]
    assert [item.name for item in host_operators_of(model)] == ["i"]


def test_a_second_partition_forgets_the_first() -> None:
    """The annotation says how the model is now, not how it was."""
    model = _partitioned("g (float[4, 4] x) => (int64[] y) { [a] b = Relu(x) \n [c] y = NonZero(b) }")
    find = model.graph[1]
    find.outputs[0].shape = ir.Shape((2, 16))
    assert not partition_model(model)
    assert host_operators_of(model) == ()


def test_host_operators_say_what_they_are() -> None:
    """The record has all that the checker and the executor need, and the notes all that a reader does."""
    model = _partitioned("g (float[4, 4] x) => (int64[] y) { [a] b = Relu(x) \n [c] y = NonZero(b) }")
    (record,) = host_operators_of(model)
    assert (record.name, record.operator, record.inputs) == ("c", "NonZero", ("b",))
    (value,) = record.outputs
    assert (value.name, value.dtype, value.shape, value.extents) == ("y", "int64", (2, None), None)
    assert list(host_operator_notes(model)) == [
        "1 of 2 operators on the host: c (NonZero), as the shape of y is known only when the model runs"
    ]


def test_a_model_for_the_host_alone_is_told_so() -> None:
    """Whoever compiles it for a wafer expects to hear that the wafer has nothing to do."""
    first, *_ = host_operator_notes(_partitioned("g (float[4] x) => (int64[] y) { y = NonZero(x) }"))
    assert first == "every operator runs on the host: nothing of the model is left for the wafer"


def test_without_a_host_all_of_its_operators_are_listed() -> None:
    """One look is enough to see what has to go."""
    model = _partitioned(
        "g (float[4] x, string[1] w) => (int64[] y, string[] v) { [a] y = NonZero(x) \n [b] v = Identity(w) }"
    )
    with pytest.raises(WsecError) as caught:
        check_no_host(model)
    assert str(caught.value) == (
        "error[WSEC118]: 2 operators of the model would run on the host\n"
        "  where:    a (NonZero): the shape of y is known only when the model runs\n"
        "            b (Identity): w is of element type string\n"
        "  expected: operators that cores can run, as --no-host asks for\n"
        "  found:    2 of 2 operators for the host\n"
        "  try:      leave --no-host out, or cut the model before the first of these operators"
    )
