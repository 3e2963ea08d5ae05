"""Sessions: deterministic options, one kind of error, and models by path or by bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest

from wsec.compiler.onnxruntime_session import SESSION_ERRORS, StoppedError, make_session, run_session

if TYPE_CHECKING:
    from pathlib import Path

TEXT = '<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y, float[2] z) { y = Neg(x) z = Abs(x) }'
BYTES = onnx.parser.parse_model(TEXT).SerializeToString()


def test_a_model_runs_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    """Both forms give the same, in the order asked for."""
    path = tmp_path / "m.onnx"
    path.write_bytes(BYTES)
    x = np.array([1, -2], np.float32)
    for session in (make_session(BYTES), make_session(path), make_session(path, optimise=True)):
        z, y = run_session(session, {"x": x}, ["z", "y"])
        np.testing.assert_array_equal(y, [-1, 2])
        np.testing.assert_array_equal(z, [1, 2])
        assert len(run_session(session, {"x": x})) == 2


def test_what_cannot_be_loaded_or_run_raises_a_known_error(tmp_path: Path) -> None:
    """Callers catch SESSION_ERRORS and nothing wider."""
    with pytest.raises(SESSION_ERRORS):
        make_session(b"no model")
    with pytest.raises(SESSION_ERRORS):
        make_session(tmp_path / "missing.onnx")
    with pytest.raises(SESSION_ERRORS):
        run_session(make_session(BYTES), {"x": np.zeros(3, np.float32)})


def test_sessions_are_single_threaded_and_unoptimised() -> None:
    """Repeatable bit for bit, and the second core stays free."""
    options = make_session(BYTES).get_session_options()
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert not options.enable_cpu_mem_arena
    assert options.graph_optimization_level.name == "ORT_DISABLE_ALL"
    assert options.get_session_config_entry("session.disable_prepacking") == "1"


def test_a_type_that_numpy_does_not_get_is_an_error_like_others() -> None:
    """The binding raises a bare RuntimeError for bfloat16 outputs."""
    model = onnx.parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (bfloat16[2] y) { y = Cast<to=16>(x) }'
    )
    session = make_session(model.SerializeToString())
    with pytest.raises(SESSION_ERRORS, match="bfloat16"):
        run_session(session, {"x": np.zeros(2, np.float32)})


def test_a_loop_without_end_is_stopped() -> None:
    """Its condition is computed, so that nothing but running it tells."""
    model = onnx.parser.parse_model(
        """<ir_version: 10, opset_import: ["" : 21]> g (bool c, float x) => (float y) {
        y = Loop(, c, x) <body = b (int64 i, bool go, float s) => (bool on, float t) {
            off = IsNaN(s) \n on = Not(off) \n t = Identity(s) }> }"""
    )
    session = make_session(model.SerializeToString())
    inputs = {"c": np.array([True]).reshape(()), "x": np.array(1, np.float32)}
    with pytest.raises(StoppedError, match=r"^stopped after 0.1 seconds: a loop that may never end$"):
        run_session(session, inputs, limit_seconds=0.1)
    assert run_session(session, {**inputs, "c": np.array([False]).reshape(())}, limit_seconds=100)[0] == 1
