"""Caches that TensorScatter and ScatterElements write are states, as those that Where writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import wsec
from wsec.compiler.onnxruntime_session import make_session
from wsec.compiler.plan_io import load_plan
from wsec.runtime.executor import Executor

if TYPE_CHECKING:
    from pathlib import Path

HEADS, CONTEXT, SIZE = 2, 12, 8


def _scatter(cache: str, kind: str, rows: int) -> list[onnx.NodeProto]:
    """Nodes that write `new_{cache}` into `past_{cache}` from position `start` on."""
    past, new, present = f"past_{cache}", f"new_{cache}", f"present_{cache}"
    if kind != "elements":
        return [helper.make_node("TensorScatter", [past, new, "start"], [present], axis=-2, mode=kind)]
    return [
        helper.make_node("Add", ["start", "steps"], [f"positions_{cache}"]),
        helper.make_node("Reshape", [f"positions_{cache}", "column"], [f"column_{cache}"]),
        helper.make_node("Expand", [f"column_{cache}", "extents"], [f"indices_{cache}"]),
        helper.make_node("ScatterElements", [past, f"indices_{cache}", new], [present], axis=2),
    ]


def _model(path: Path, kind: str, rows: int) -> Path:
    """An attention of `rows` queries over caches, all positions of which count."""
    shapes = {"q": rows, "new_k": rows, "new_v": rows, "past_k": CONTEXT, "past_v": CONTEXT}
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, HEADS, extent, SIZE])
        for name, extent in shapes.items()
    ]
    inputs.append(helper.make_tensor_value_info("start", TensorProto.INT64, [1]))
    nodes = [
        *_scatter("k", kind, rows),
        *_scatter("v", kind, rows),
        helper.make_node("Transpose", ["present_k"], ["keys"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "keys"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["shares"], axis=-1),
        helper.make_node("MatMul", ["shares", "present_v"], ["y"]),
    ]
    constants = {
        "steps": np.arange(rows, dtype=np.int64),
        "column": np.array([1, 1, rows, 1], np.int64),
        "extents": np.array([1, HEADS, rows, SIZE], np.int64),
    }
    tensors = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, HEADS, extent, SIZE])
        for name, extent in (("y", rows), ("present_k", CONTEXT), ("present_v", CONTEXT))
    ]
    graph = helper.make_graph(nodes, "cache", inputs, outputs, tensors if kind == "elements" else [])
    opset = 23 if kind == "elements" else 24
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    onnx.save(model, path)
    return path


@pytest.mark.parametrize("rows", [1, 3])
@pytest.mark.parametrize("kind", ["linear", "circular", "elements"])
def test_what_scatter_writes_is_a_state(kind: str, rows: int, tmp_path: Path) -> None:
    """Both caches stay on the wafer, and equal onnxruntime's over steps, in a ring also past the end."""
    path = _model(tmp_path / "model.onnx", kind, rows)
    plan = wsec.compile(path, target="mesh64", region=(24, 24), effort=0)
    assert [state.input for state in plan.record.states] == ["past_k", "past_v"]
    assert plan.check() == ()
    executor, session = Executor(load_plan(plan.folder)), make_session(path.read_bytes())
    cache: dict[str, Any] = {
        name: np.zeros((1, HEADS, CONTEXT, SIZE), np.float32) for name in ("past_k", "past_v")
    }
    draw = np.random.default_rng(0)
    for step in range(5 if kind == "circular" else CONTEXT // rows):
        inputs: dict[str, Any] = {
            name: draw.standard_normal((1, HEADS, rows, SIZE)).astype(np.float32)
            for name in ("q", "new_k", "new_v")
        }
        inputs["start"] = np.array([step * rows % CONTEXT], np.int64)
        wanted = dict(
            zip(("y", "present_k", "present_v"), session.run(None, {**inputs, **cache}), strict=True)
        )
        found = executor.run(inputs)
        for name, value in wanted.items():
            np.testing.assert_allclose(
                found[name], value, rtol=1e-4, atol=1e-5, err_msg=f"step {step}: {name}"
            )
        cache = {name: wanted[name.replace("past", "present")] for name in cache}
