"""A small model, and a check of it on a small machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from wsec.checking.cache import Cache
from wsec.checking.check import CheckRequest, check_models
from wsec.cli.application import application
from wsec.driver import Options

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Wsec

    from wsec.checking.records import CheckResult

OPTIONS = Options(target="mesh16", effort=0.0)


class Check(Protocol):
    """Checks models with a cache in the folder of the test; keywords are those of CheckRequest."""

    def __call__(self, *models: Path, cache: Cache | None = None, **request: object) -> CheckResult:
        """The result."""


def write_model(path: Path, width: int = 8, seed: int = 0, external: str = "") -> Path:
    """A Gemm with Relu from 16 numbers to `width`; its weights in a file beside it where that is named."""
    draw = np.random.default_rng(seed).standard_normal
    weights = [
        numpy_helper.from_array(draw((16, width)).astype(np.float32), "w"),
        numpy_helper.from_array(draw(width).astype(np.float32), "b"),
    ]
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["t"], name="gemm"),
        helper.make_node("Relu", ["t"], ["y"], name="relu"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, width])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    if external:
        onnx.save(model, path, save_as_external_data=True, location=external, size_threshold=0)
    else:
        onnx.save(model, path)
    return path


@pytest.fixture
def wsec() -> Wsec:
    """The command line."""

    def call(*arguments: object, columns: int = 80) -> Result:
        runner = CliRunner(env={"COLUMNS": str(columns), "FORCE_COLOR": None})
        return runner.invoke(application, [str(argument) for argument in arguments], prog_name="wsec")

    return call


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The model."""
    return write_model(tmp_path / "small.onnx")


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Calls `check_models`."""

    def call(*models: Path, cache: Cache | None = None, **request: object) -> CheckResult:
        kept = Cache(tmp_path / "cache") if cache is None else cache
        return check_models(models, CheckRequest(**{"options": OPTIONS, "cache": kept, **request}))  # type: ignore[arg-type]

    return call
