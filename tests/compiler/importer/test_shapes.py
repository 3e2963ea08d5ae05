"""Shapes: inference is believed and declarations are not; the oracle measures what inference cannot know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from wsec.compiler.importer import import_model, infer_shapes, shape_oracle
from wsec.compiler.importer.shapes import infer_open_shapes, static_shape, unshaped_values

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAD = '<ir_version: 10, opset_import: ["" : 21, "ai.onnx.ml" : 3, "com.microsoft" : 1]>'


def _model(text: str) -> ir.Model:
    return ir.serde.deserialize_model(onnx.parser.parse_model(f"{HEAD} {text}"))


def _shape_of(model: ir.Model, name: str) -> tuple[int, ...] | None:
    return next(static_shape(v) for node in model.graph for v in node.outputs if v.name == name)


def test_a_lying_declaration_is_noted_and_disbelieved(model_file: Callable[[str], Path]) -> None:
    """Real models declare `[1, seqlen]` and return something else."""
    path = model_file(f"{HEAD} g (float[2, 3, 4] x) => (float[1, seqlen] y) {{ y = Relu(x) }}")
    imported = import_model(path, {})
    assert imported.notes == (
        "output y is declared as [1, seqlen] but has shape [2, 3, 4]; the latter is used",
    )
    assert _shape_of(imported.model, "y") == (2, 3, 4)


def test_a_true_declaration_is_not_noted(model_file: Callable[[str], Path]) -> None:
    """A symbol contradicts no number."""
    path = model_file(f"{HEAD} g (float[batch, 3] x) => (float[batch, 3] y) {{ y = Relu(x) }}")
    assert import_model(path, {"batch": 4}).notes == ()


def test_open_shapes_are_inferred_in_bodies_too() -> None:
    """A pass that leaves an inner value open has it inferred; a second time there is nothing left to do."""
    model = _model("""g (bool c, float[2, 3] x) => (float[2, 3] y) {
        y = If (c) <then_branch = t () => (float[2, 3] r) { a = Neg(x) \n r = Abs(a) },
                    else_branch = e () => (float[2, 3] s) { s = Neg(x) }> }""")
    assert infer_open_shapes(model)
    assert not infer_open_shapes(model)
    inner = next(value for node in model.graph.all_nodes() for value in node.outputs if value.name == "a")
    inner.shape = None
    assert infer_open_shapes(model)
    assert static_shape(inner) == (2, 3)


def test_declared_inner_shapes_are_forgotten(model_file: Callable[[str], Path]) -> None:
    """A wrong value_info in the middle would poison everything behind it."""
    path = model_file(
        f"{HEAD} g (float[2, 3] x) => (float[3, 2] y) <float[9, 9] a> {{ a = Neg(x) \n y = Transpose(a) }}"
    )
    assert _shape_of(import_model(path, {}).model, "y") == (3, 2)


def test_microsoft_operators_are_inferred() -> None:
    """The inference of onnx itself knows no operator of com.microsoft."""
    model = _model(
        """g (float[1, 8, 16] x, float[16] w) => (float[] y) {
        a = com.microsoft.QuickGelu(x) \n y = SimplifiedLayerNormalization<axis=-1>(a, w) }"""
    )
    infer_shapes(model)
    assert _shape_of(model, "a") == (1, 8, 16)


def test_operators_of_other_domains_are_measured(model_file: Callable[[str], Path]) -> None:
    """The scaler of a tabular model hides the shapes of all that follows; running it alone reveals them."""
    path = model_file(
        f"""{HEAD} g (int64[5, 4] x) => (float[] y) {{
        a = ai.onnx.ml.Scaler<offset=[1.0, 2.0, 3.0, 4.0], scale=[1.0, 1.0, 1.0, 1.0]>(x) \n y = Relu(a) }}"""
    )
    model = import_model(path, {}).model
    assert (_shape_of(model, "a"), _shape_of(model, "y")) == ((5, 4), (5, 4))


def test_inference_says_whether_anything_changed() -> None:
    """Rounds of folding end when a round changes nothing."""
    model = _model("g (float[2] x) => (float[] y) { y = Relu(x) }")
    assert infer_shapes(model)
    assert not infer_shapes(model)


def test_the_oracle_finds_a_shape_that_inference_cannot(tmp_path: Path) -> None:
    """A shape computed from data that happens not to vary is found by running the model."""
    model = _model(
        """g (float[2, 3] x) => (float[] y) <int64[1] zero = {0}> {
        c = Cast<to=7>(x) \n s = ReduceMax<keepdims=0>(c) \n z = Mul(s, zero) \n six = Constant<value=int64[1] {6}>()
        shape = Add(z, six) \n y = Reshape(x, shape) }"""
    )
    infer_shapes(model)
    assert _shape_of(model, "y") is None
    assert shape_oracle(model)
    assert _shape_of(model, "y") == (6,)
    assert not shape_oracle(model)


def test_the_oracle_does_not_take_data_for_a_shape() -> None:
    """NonZero returns as many columns as the input has; no run may decide that."""
    model = _model("g (float[2, 3] x) => (int64[] y) { y = NonZero(x) }")
    infer_shapes(model)
    assert not shape_oracle(model)
    assert [v.name for v in unshaped_values(model)] == ["y"]


def test_the_oracle_leaves_weights_where_they_are() -> None:
    """Large weights are lent to the run and are initializers again afterwards, of the same objects in the same order."""
    model = _model(
        """g (float[2, 3] x) => (float[] y) {
        c = Cast<to=7>(x) \n s = Mul(c, c) \n m = ReduceMin<keepdims=0>(s) \n none = Constant<value=int64[1] {0}>() \n z = Mul(m, none)
        one = Constant<value=int64[1] {20000}>() \n shape = Add(z, one) \n e = Reshape(x, shape) \n y = Relu(e) }"""
    )
    weights = [ir.tensor([0.0] * 20000, name="big")]
    large = ir.Value(
        name="big", shape=ir.Shape([20000]), type=ir.TensorType(ir.DataType.FLOAT), const_value=weights[0]
    )
    reshape = next(node for node in model.graph if node.op_type == "Reshape")
    reshape.replace_input_with(0, large)
    model.graph.register_initializer(large)
    infer_shapes(model)
    assert shape_oracle(model)
    assert _shape_of(model, "y") == (20000,)
    assert list(model.graph.initializers) == ["big"]
    assert model.graph.initializers["big"].const_value is weights[0]
    assert [v.name for v in model.graph.inputs] == ["x"]
    assert large.is_initializer()
    assert not large.is_graph_input()


def test_a_model_that_cannot_run_is_left_alone() -> None:
    """The oracle is a last resort, not a judge: contradictory shapes are reported elsewhere."""
    model = _model("g (float[2, 3] x, float[2, 3] w) => (float[] y) { y = MatMul(x, w) }")
    infer_shapes(model)
    assert not shape_oracle(model)


def test_a_transform_of_real_signals_is_one_sided_by_default(model_file: Callable[[str], Path]) -> None:
    """Inference of onnx takes STFT for two-sided unless told, and would give 16 bins here."""
    path = model_file(
        f"""{HEAD} g (float[1, 128, 1] x) => (float[] y) {{
        step = Constant<value_int=8>() \n size = Constant<value_int=16>() \n y = STFT(x, step, , size) }}"""
    )
    assert _shape_of(import_model(path, {}).model, "y") == (1, 15, 9, 2)


@pytest.mark.parametrize("opset", [11, 13, 18, 21, 22])
@pytest.mark.parametrize("pool", ["MaxPool", "AveragePool"])
def test_windows_behind_the_input_do_not_count(
    model_file: Callable[[str], Path], pool: str, opset: int
) -> None:
    """Rounding up may ask for a window that begins behind the input; onnxruntime makes none, whatever the opset."""
    path = model_file(
        f"""<ir_version: 8, opset_import: ["" : {opset}]> g (float[1, 1, 6] x) => (float[] y) {{
        y = {pool}<kernel_shape=[1], strides=[3], ceil_mode=1>(x) }}"""
    )
    session = onnxruntime.InferenceSession(path)
    (found,) = session.run(None, {"x": np.ones((1, 1, 6), np.float32)})
    assert _shape_of(import_model(path, {}).model, "y") == found.shape
