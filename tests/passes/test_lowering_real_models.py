"""Real models through importer and default pipeline: numbers kept, shapes known, nothing left to do, same bytes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from real_models import list_real_models, make_feeds
from wsec.compiler.importer import check_supported, import_model
from wsec.compiler.onnxruntime_session import make_session, run_session
from wsec.compiler.operators import DATA_MOVEMENT, KERNEL_KEY, KIND_KEY
from wsec.passes import default_pipeline, run_pipeline
from wsec.passes.rewriting import integers_of
from wsec.passes.verifier import verify_model

if TYPE_CHECKING:
    from collections.abc import Callable

    FindModel = Callable[[str], Any]

LIGHT = Path(str(onnx.__file__)).parent / "backend" / "test" / "data" / "light"
GONE = {
    "Gemm",
    "Flatten",
    "Squeeze",
    "Unsqueeze",
    "Split",
    "GlobalAveragePool",
    "BatchNormalization",
    "Constant",
}

# Folding normalisations of tiny variance moves results this far, relative to the largest (docs/passes.md).
TOLERANCE = 1e-3

LOWER = """
import sys, hashlib, onnx_ir as ir
from pathlib import Path
from wsec.compiler.importer import import_model
from wsec.passes import default_pipeline, run_pipeline
model = import_model(Path(sys.argv[1]), {}).model
run_pipeline(model, default_pipeline())
print(hashlib.sha256(ir.serde.serialize_model(model).SerializeToString(deterministic=True)).hexdigest())
"""


def _check_lowered(model: ir.Model) -> None:
    """What docs/passes.md promises of every lowered model."""
    assert verify_model(model, shapes=True) == ()
    check_supported(model)
    assert not {node.op_type for node in model.graph} & GONE
    names = [node.name for node in model.graph]
    assert all(names)
    assert len(set(names)) == len(names)
    for node in model.graph:
        if node.op_type == "Reshape":
            shape = node.outputs[0].shape
            assert shape is not None
            assert integers_of(node.inputs[1]) == shape.numpy()
        if node.op_type in DATA_MOVEMENT and KIND_KEY not in node.metadata_props:
            assert KERNEL_KEY not in node.metadata_props
    assert not any(pass_.run(model).modified for pass_ in default_pipeline())


@pytest.mark.models
@pytest.mark.parametrize("name", list_real_models())
def test_a_lowered_model_computes_the_same(name: str, real_model: FindModel) -> None:
    """Against onnxruntime on the original file, optimisations off."""
    path, entry = real_model(name)
    dims = {key: int(size) for key, _, size in (flag.rpartition("=") for flag in entry.dims)}
    imported = import_model(path, dims)
    for value in imported.model.graph.inputs:
        declared = next(i.shape for i in entry.inputs if i.name == value.name)
        assert value.shape is not None
        assert value.shape.numpy() == tuple(declared)
    run_pipeline(imported.model, default_pipeline())
    _check_lowered(imported.model)
    feeds = make_feeds(entry)
    expected = run_session(make_session(path), feeds)
    lowered = ir.serde.serialize_model(imported.model).SerializeToString()
    found = run_session(make_session(lowered), feeds)
    for old, new in zip(expected, found, strict=True):
        assert (old.dtype, old.shape) == (new.dtype, new.shape)
        extent = float(np.abs(old.astype(np.float64)).max(initial=0.0))
        np.testing.assert_allclose(
            new.astype(np.float64), old.astype(np.float64), rtol=0, atol=TOLERANCE * extent
        )


@pytest.mark.parametrize(
    "name", ["bvlc_alexnet", "densenet121", "inception_v2", "resnet50", "shufflenet", "vgg19"]
)
def test_the_classic_networks_are_lowered(name: str) -> None:
    """Models of opset 9 whose weights are fills: 548 MB of them are never in memory."""
    imported = import_model(LIGHT / f"light_{name}.onnx", {})
    run_pipeline(imported.model, default_pipeline())
    _check_lowered(imported.model)
    large = [
        value.const_value
        for value in imported.model.graph.initializers.values()
        if value.const_value is not None and value.const_value.nbytes > 1 << 20
    ]
    assert all(isinstance(tensor, ir.LazyTensor) for tensor in large)


def test_the_same_bytes_under_another_hash_seed() -> None:
    """Nothing that reaches the lowered model iterates over a set."""
    digests = []
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", LOWER, str(LIGHT / "light_shufflenet.onnx")]
        digests.append(subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE).stdout)
    assert digests[0] == digests[1]
