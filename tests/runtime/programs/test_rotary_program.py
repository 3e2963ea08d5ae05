"""The rotation of pairs of features: what onnxruntime gives, and the same bits in the order of the core program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from wsec.driver import Options, compile_model
from wsec.runtime.executor import Executor
from wsec.runtime.inputs import make_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.loaded_plan import Plan


def _plan(folder: Path, *, interleaved: int, size: int) -> Plan:
    """A rotation of [1, 4, 3, 8] alone, in turns on 4 x 3 cores."""
    node = helper.make_node(
        "RotaryEmbedding", ["x", "c", "s"], ["y"], interleaved=interleaved, rotary_embedding_dim=size
    )
    pairs = (size or 8) // 2
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (
            ("x", [1, 4, 3, 8]),
            ("c", [1, 3, pairs]),
            ("s", [1, 3, pairs]),
            ("y", [1, 4, 3, 8]),
        )
    ]
    graph = helper.make_graph([node], "rotation", values[:3], values[3:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)]), folder / "m.onnx")
    return compile_model(
        folder / "m.onnx", Options(target="wse3", region=(4, 3), mode="sequential"), folder / "p"
    )


@pytest.mark.parametrize(("interleaved", "size"), [(0, 0), (1, 0), (0, 4)])
def test_rotations_are_simulated(tmp_path: Path, interleaved: int, size: int) -> None:
    """Halves and neighbours, all features or some of them: the simulator's bits are the ordered executor's, near onnxruntime's."""
    plan = _plan(tmp_path, interleaved=interleaved, size=size)
    assert [kernel.kind for kernel in plan.record.kernels()] == ["batched"]
    assert plan.simulate_turns().equal
    inputs = make_inputs(plan.record, 3)
    ordered = Executor(plan._loaded, "ordered").run(inputs)["y"]
    usual = plan.run(inputs)["y"].astype(np.float32)
    np.testing.assert_allclose(ordered.astype(np.float32), usual, rtol=1e-5, atol=1e-6)
