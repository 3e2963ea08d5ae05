"""The generated graphs are sound models of the size asked for, and the front end's time and memory are measured on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from frontend import measure
from generated_graphs import CHANNELS, SIDE, make_graph, write_graph
from wsec.compiler.onnxruntime_session import make_session, run_session

if TYPE_CHECKING:
    from pathlib import Path


def test_a_generated_graph_is_a_model_that_depends_on_its_input() -> None:
    """What is measured is what a user could bring: ONNX's own checker and onnxruntime take it."""
    model = make_graph(400)
    onnx.checker.check_model(model, full_check=True)
    session = make_session(model.SerializeToString())
    shape = (1, CHANNELS, SIDE, SIDE)
    first, second = (
        run_session(
            session, {"image": np.random.default_rng(seed).standard_normal(shape).astype(np.float32)}
        )[0]
        for seed in (0, 1)
    )
    assert np.isfinite(first).all()
    assert np.abs(first - second).max() > 0.1


def test_sizes_and_seeds() -> None:
    """Never more nodes than asked for, nearly as many, and equal bytes for equal seeds."""
    block = len(make_graph(1).graph.node)
    for nodes in (block, 3 * block + 1, 1000):
        count = len(make_graph(nodes).graph.node)
        assert nodes - block < count <= nodes
    assert make_graph(300).SerializeToString() == make_graph(300).SerializeToString()
    assert make_graph(300, seed=1).SerializeToString() != make_graph(300).SerializeToString()


def test_every_step_is_measured(tmp_path: Path) -> None:
    """The sum is that of import, of each pass and of the checks, and weights in a file of their own are found."""
    from wsec.passes import default_pipeline

    path = tmp_path / "generated.onnx"
    growth = measure(path, write_graph(path, 300, external=True))
    assert (tmp_path / "generated.data").is_file()
    assert list(growth.seconds)[:2] == ["import", "check before the passes"]
    assert [step.split()[-1] for step in list(growth.seconds)[2:-1]] == [
        each.name for each in default_pipeline()
    ]
    assert growth.lowered_nodes < growth.nodes
