"""The classic networks: same bytes for the same seed, and an output that depends on the whole input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from wsec.compiler.onnxruntime_session import make_session, run_session

SCRIPT = Path(__file__).parents[2] / "examples" / "models" / "classic.py"


def _make(folder: Path, network: str, *options: str, hash_seed: str = "0") -> Path:
    path = folder / "new" / f"{network}-{hash_seed}-{'-'.join(options)}.onnx"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    command = [sys.executable, str(SCRIPT), network, "-o", str(path), *options]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.PIPE)
    return path


def _run(path: Path, seed: int) -> np.ndarray[Any, np.dtype[np.float64]]:
    session = make_session(path)
    entry = session.get_inputs()[0]
    image = np.random.default_rng(seed).standard_normal(entry.shape, dtype=np.float32)
    return run_session(session, {entry.name: image})[0].astype(np.float64).ravel()


@pytest.mark.parametrize("network", ["squeezenet", "shufflenet", "inception_v1"])
def test_the_output_depends_on_the_input(network: str, tmp_path: Path) -> None:
    """A comparison of numbers on these models can fail: two images differ by much more than rounding does."""
    path = _make(tmp_path, network)
    first, second = _run(path, seed=1), _run(path, seed=2)
    extent = np.ptp(first)
    assert np.isfinite(first).all()
    assert 0 < first.max() < 0.5  # a saturated softmax would hide differences
    assert np.abs(first - second).max() > 0.1 * extent


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    """Plans and figures made from these models can be compared between runs; another seed is another model."""
    first = _make(tmp_path, "squeezenet").read_bytes()
    assert first == _make(tmp_path, "squeezenet", hash_seed="7").read_bytes()
    assert first != _make(tmp_path, "squeezenet", "--seed", "1").read_bytes()


def test_weights_are_initializers_and_the_image_is_the_only_input(tmp_path: Path) -> None:
    """The model looks like one that a framework exports: no weight is an input, and none is computed."""
    path = _make(tmp_path, "squeezenet")
    graph = onnx.load(path).graph
    assert [entry.name for entry in graph.input] == ["data_0"]
    assert len(graph.initializer) == 52
    assert "ConstantOfShape" not in {node.op_type for node in graph.node}
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
