"""Models of which a part runs on the host: compiled, executed, compared, estimated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import wsec
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from pathlib import Path

HEAD = '<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3]>'

MODELS = {
    "data-dependent output": """g (float[4, 8] x, float[8, 8] w) => (int64[] y, float[] z) {
        a = MatMul(x, w) \n y = NonZero(a) \n t = Transpose(y) \n z = GatherND(a, t) }""",
    "back to the wafer": """g (float[1, 6, 4] b, float[8, 6] w, float[1, 2, 8] f) => (int64[] kept, float[] out) {
        s = MatMul(f, w) \n kept = NonMaxSuppression(b, s) \n k = Shape(kept) \n c = Cast<to=1>(k)
        n = ReduceSum<keepdims=0>(c) \n m = ReduceMax<keepdims=0>(s) \n o = Add(m, n) \n out = Mul(s, o) }""",
    "sequences": """g (seq(float[2, 3]) s, float[3, 4] w) => (seq(float[]) out, float[] y) {
        i = Constant<value_int=1>() \n e = SequenceAt(s, i) \n k = Constant<value_ints=[2, 3]>()
        r = Reshape(e, k) \n y = MatMul(r, w) \n out = SequenceInsert(s, y) }""",
    "text": """g (string[3] w, float[3, 4] x) => (string[] u, float[] y) {
        k = ai.onnx.ml.LabelEncoder<keys_strings=["1", "2"], values_floats=[1.0, 2.0], default_float=0.5>(w)
        c = Constant<value_ints=[3, 1]>() \n r = Reshape(k, c) \n y = Mul(x, r)
        l = Constant<value_strings=["a", "b", "c"]>() \n u = StringConcat(w, l) }""",
    "optional": """g (optional(float[2]) o, float[2] x) => (bool there, float[] y) {
        there = OptionalHasElement(o) \n y = Exp(x) }""",
    "nothing for the wafer": "g (float[5] x) => (int64[] y) { y = NonZero(x) }",
}


def _compiled(text: str, folder: Path, *, host: bool = True) -> wsec.Plan:
    path = folder / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(f"{HEAD} {text}").SerializeToString())
    return compile_model(path, Options(target="mesh16", region=(8, 8), effort=0.0, host=host))


@pytest.mark.parametrize("name", MODELS)
def test_it_computes_what_onnxruntime_computes(name: str, tmp_path: Path) -> None:
    """Whatever cores cannot hold is computed beside them, and the plan is legal."""
    plan = _compiled(MODELS[name], tmp_path)
    assert plan.record.host_operators
    assert plan.check() == ()
    verification = plan.verify()
    assert verification.passed, verification.outputs


def test_the_data_decide_how_much_comes_out(tmp_path: Path) -> None:
    """One plan, outputs of several sizes, none included."""
    plan = _compiled(MODELS["data-dependent output"], tmp_path)
    assert plan.record.outputs[1].shape == (None,)
    eye = np.eye(8, dtype=np.float32)
    for count in (0, 3):
        x = np.zeros((4, 8), np.float32)
        x[0, :count] = 2
        np.testing.assert_array_equal(plan.run({"x": x, "w": eye})["z"], np.full(count, 2, np.float32))


def test_only_what_crosses_is_counted(tmp_path: Path) -> None:
    """The scores go out once for two readers, one number comes back; what stays on one side costs nothing."""
    plan = _compiled(MODELS["back to the wafer"], tmp_path)
    host = plan.estimate().host
    assert (host.operators, host.tensors, host.words) == (3, 2, 12 + 2)
    links = {(link.tensor, link.source == "host", link.target == "host") for link in plan.record.links()}
    assert {("s", False, True), ("c", True, False)} <= links
    assert not {"b", "kept", "k"} & {tensor for tensor, *_ in links}


def test_a_way_over_the_host_takes_its_time(tmp_path: Path) -> None:
    """What waits for the host begins when the transfers are through, and what goes past it is held that long."""
    plan = _compiled(
        """g (float[4, 4] x) => (float[] y) {
        a = Softmax(x) \n n = NonZero(a) \n s = Shape(n) \n c = Cast<to=1>(s) \n r = Exp(c)
        m = ReduceMax<keepdims=0>(r) \n y = Mul(a, m) }""",
        tmp_path,
    )
    kernels = {kernel.operators[0]: kernel for kernel in plan.record.kernels()}
    (past,) = (link for link in plan.record.links() if link.tensor == "a" and link.target != "host")
    waits = sum(kernel.cycles.total for kernel in kernels.values())
    assert plan.estimate().latency_cycles > waits
    assert past.slots > 2
    assert plan.verify().passed


def test_without_a_host_the_model_is_refused(tmp_path: Path) -> None:
    """--no-host is for those who mean all of the model to be on the wafer."""
    with pytest.raises(wsec.WsecError, match=r"WSEC118.*\n.*NonZero"):
        _compiled(MODELS["nothing for the wafer"], tmp_path, host=False)
    assert _compiled("g (float[4] x) => (float[] y) { y = Exp(x) }", tmp_path, host=False).check() == ()


def test_a_plan_without_kernels_says_so(tmp_path: Path) -> None:
    """It is a plan like any other, of no cores and no cycles."""
    plan = _compiled(MODELS["nothing for the wafer"], tmp_path)
    assert list(plan.record.kernels()) == []
    assert plan.estimate().interval_cycles == 0
    assert "every operator runs on the host: nothing of the model is left for the wafer" in plan.record.notes


def test_maps_come_out_of_classifiers(tmp_path: Path) -> None:
    """A sequence of maps is what exporters of classical models end with; onnx_ir has no word for its type."""
    maps = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
    zipped = helper.make_node(
        "ZipMap", ["q"], ["z"], "zip", domain="ai.onnx.ml", classlabels_int64s=[4, 5, 6]
    )
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["x"], ["q"]), zipped],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3])],
        [helper.make_value_info("z", helper.make_sequence_type_proto(maps))],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    plan = compile_model(path, Options(target="mesh16", region=(8, 8), effort=0.0))
    assert [kernel.kind for kernel in plan.record.kernels()] == ["softmax"]
    outputs: dict[str, Any] = plan.run({"x": np.zeros((2, 3), np.float32)})
    assert [list(entry) for entry in outputs["z"]] == [[4, 5, 6], [4, 5, 6]]
    assert plan.verify().passed


def test_shapes_that_cannot_fit_are_still_refused(tmp_path: Path) -> None:
    """An operator of the host beside it excuses no mistake."""
    with pytest.raises(wsec.WsecError, match=r"WSEC11[0-9]"):
        _compiled(
            "g (float[2, 3] x, float[2, 3] w) => (float[] y, int64[] z) { y = MatMul(x, w) \n z = NonZero(x) }",
            tmp_path,
        )
