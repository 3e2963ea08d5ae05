"""What runs a model of a few nodes: onnxruntime, or the reference of ONNX where that lacks something."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx
import pytest

from wsec.compiler.node_runner import make_node_runner
from wsec.compiler.onnxruntime_session import SESSION_ERRORS


def _model(graph: str, opset: int = 21) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}, "my.domain" : 1]> {graph}')


def test_onnxruntime_runs_what_it_can() -> None:
    """The reference is slow and only a stand-in."""
    runner = make_node_runner(_model("g (float[2] x) => (float[2] y) { y = Relu(x) }"))
    assert runner.reference == ""
    np.testing.assert_array_equal(runner.run({"x": np.array([-1, 2], np.float32)})[0], [0, 2])


def test_the_reference_runs_an_element_type_that_onnxruntime_lacks() -> None:
    """Max of 16-bit integers is in the standard and not in the CPU build."""
    runner = make_node_runner(_model("g (int16[2] a, int16[2] b) => (int16[2] y) { y = Max(a, b) }"))
    assert "Could not find an implementation for Max" in runner.reference
    result = runner.run({"a": np.array([1, 5], np.int16), "b": np.array([3, 2], np.int16)})[0]
    np.testing.assert_array_equal(result, [3, 5])
    assert result.dtype == np.int16


def test_the_reference_takes_bfloat16() -> None:
    """No such array goes into onnxruntime, whatever the operator."""
    runner = make_node_runner(_model("g (bfloat16[2] x) => (bfloat16[2] y) { y = Celu(x) }", 28))
    assert runner.reference == "onnxruntime does not exchange bfloat16 with numpy"
    result = runner.run({"x": np.array([1, 2], ml_dtypes.bfloat16)})[0]
    assert result.dtype == ml_dtypes.bfloat16
    assert result.tolist() == [1, 2]


def test_the_reference_computes_what_onnxruntime_computes_differently() -> None:
    """A transform of a constant signal is exact: nothing but the first coefficient."""
    runner = make_node_runner(_model("g (float[1, 64, 1] x) => (float[1, 64, 2] y) { y = DFT(x) }"))
    assert runner.reference == "onnxruntime loses four digits"
    spectrum = runner.run({"x": np.full((1, 64, 1), 0.1, np.float32)})[0]
    assert np.abs(spectrum[0, 1:]).max() < 1e-6


@pytest.mark.parametrize(
    "graph",
    [
        "g (float[2] x) => (float[2] y) { y = my.domain.Frobnicate(x) }",
        "g (float[2, 3] a, float[2, 3] b) => (float[] y) { y = MatMul(a, b) }",
        "g (float[2] a, int64[2] b) => (float[2] y) { y = Add(a, b) }",
    ],
)
def test_what_the_standard_forbids_stays_forbidden(graph: str) -> None:
    """Unknown operators, shapes and types that contradict each other: the reference is not asked."""
    with pytest.raises(SESSION_ERRORS):
        make_node_runner(_model(graph))


def test_data_at_fault_are_at_fault_twice() -> None:
    """Where the reference fails as well, the error is that of onnxruntime."""
    runner = make_node_runner(_model("g (float[2] x, int64[1] i) => (float[1] y) { y = Gather(x, i) }"))
    with pytest.raises(SESSION_ERRORS, match="ONNXRuntimeError"):
        runner.run({"x": np.zeros(2, np.float32), "i": np.array([9])})
