"""Runs the command line inside the test process, on a small network and its plan."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Protocol

import numpy as np
import onnx
import pytest
from click.testing import CliRunner, Result
from onnx import TensorProto, helper, numpy_helper

from wsec.cli.application import application

if TYPE_CHECKING:
    from pathlib import Path


class Wsec(Protocol):
    """Calls `wsec` with arguments, in a terminal of `columns`, and gives what it printed and its exit status."""

    def __call__(self, *arguments: object, columns: int = 80) -> Result:
        """Run the program to its end."""


@pytest.fixture
def wsec() -> Wsec:
    """The command line."""

    def call(*arguments: object, columns: int = 80) -> Result:
        runner = CliRunner(
            env={"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": None, "FORCE_COLOR": None}
        )
        return runner.invoke(application, [str(argument) for argument in arguments], prog_name="wsec")

    return call


@pytest.fixture(scope="session")
def small_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network of five operators (convolution, Relu, pooling, Flatten, Gemm) with seeded weights."""
    path = tmp_path_factory.mktemp("model") / "small.onnx"
    onnx.save(make_small_network(), path)
    return path


@pytest.fixture(scope="session")
def small_plan(small_model: Path) -> Path:
    """The plan of the small network on a grid of 16 x 16 cores; tests only read it."""
    folder = small_model.parent / "small.plan"
    arguments = ["compile", str(small_model), "-o", str(folder), "--target", "mesh16", "--effort", "0", "-q"]
    result = CliRunner().invoke(application, arguments, prog_name="wsec")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def small_turns_plan(small_model: Path) -> Path:
    """The same network, whose kernels take turns."""
    folder = small_model.parent / "turns.plan"
    arguments = [
        "compile",
        str(small_model),
        "-o",
        str(folder),
        "--target",
        "mesh16",
        "--mode",
        "sequential",
        "-q",
    ]
    result = CliRunner().invoke(application, arguments, prog_name="wsec")
    assert result.exit_code == 0, result.output
    return folder


@pytest.fixture(scope="session")
def small_full_plan(small_model: Path) -> Path:
    """The same with circuits, which can be simulated."""
    folder = small_model.parent / "small-full.plan"
    arguments = ["compile", str(small_model), "-o", str(folder), "--target", "mesh16", "--effort", "0", "-q"]
    result = CliRunner().invoke(application, [*arguments, "--fabric", "full"], prog_name="wsec")
    assert result.exit_code == 0, result.output
    return folder


@functools.cache
def make_small_network() -> onnx.ModelProto:
    """Image of 3 x 16 x 16 in, ten numbers out."""
    draw = np.random.default_rng(0).standard_normal
    weights = {
        "filters": draw((16, 3, 3, 3)) / 5,
        "shift": draw(16),
        "matrix": draw((16 * 64, 10)) / 32,
        "bias": draw(10),
    }
    nodes = [
        helper.make_node("Conv", ["image", "filters", "shift"], ["features"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["features"], ["active"], name="relu"),
        helper.make_node("MaxPool", ["active"], ["pooled"], name="pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "matrix", "bias"], ["scores"], name="gemm"),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
