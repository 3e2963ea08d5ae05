"""Ctrl-C: what is kept, what is left behind, and how fast it is obeyed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from wsec.cli.interrupt import InterruptHandler
from wsec.driver import StageEvent
from wsec.loaded_plan import load_plan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_MESSAGE = "interrupted: keeping the best plan so far; Ctrl-C again leaves at once\n"
_PATIENCE_SECONDS = 300  # a test that waits for ever says nothing
_HANGING = """
import sys, time
import wsec.compiler.placement
from wsec.cli import main

def hang(*arguments):
    print("placing", file=sys.stderr, flush=True)
    while True:
        time.sleep(0.01)

wsec.compiler.placement.place = hang
main()
"""


@pytest.fixture(autouse=True)
def _heard() -> Iterator[None]:
    """Tests that run in the background may have been told to ignore Ctrl-C, and what they start would be so too."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_the_first_interrupt_in_placement_only_asks_to_stop(capfd: pytest.CaptureFixture[str]) -> None:
    """The search ends by itself and keeps its best; the second interrupt does not wait for it."""
    with InterruptHandler() as interrupts:
        interrupts.watch(StageEvent("placement"))
        assert not interrupts.stop()
        signal.raise_signal(signal.SIGINT)
        assert interrupts.stop()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err == f"\n{_MESSAGE}"


@pytest.mark.parametrize("event", [StageEvent("import"), StageEvent("placement", seconds=1.0)])
def test_an_interrupt_elsewhere_leaves_at_once(event: StageEvent) -> None:
    """Before and after placement there is nothing to wait for."""
    with InterruptHandler() as interrupts:
        interrupts.watch(event)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_the_handler_before_comes_back() -> None:
    """Whoever calls the command line from Python keeps their own Ctrl-C."""
    before = signal.getsignal(signal.SIGINT)
    with InterruptHandler():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_a_background_job_stays_deaf() -> None:
    """A shell that starts a job with SIGINT ignored means it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with InterruptHandler():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def _started(program: list[str], folder: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """A compilation in `folder` that does not outlive the block."""
    with subprocess.Popen(
        [sys.executable, *program, "compile", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _wait_for(process: subprocess.Popen[str], beginning: str) -> None:
    """Read stderr until a line begins so."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(beginning):
            return
    raise AssertionError(f"the program ended without {beginning!r}")


def test_one_interrupt_keeps_a_legal_plan(tmp_path: Path) -> None:
    """A search that would take days ends on Ctrl-C with a plan that runs, and says that it was cut short."""
    onnx.save(_deep_network(), tmp_path / "deep.onnx")
    arguments = ("deep.onnx", "--target", "mesh64", "--effort", "1e6", "-v", "--json")
    with _started(["-m", "wsec"], tmp_path, *arguments) as process:
        _wait_for(process, "placement: ")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=_PATIENCE_SECONDS)
    summary = json.loads(stdout)
    assert process.returncode == 0, stderr
    assert _MESSAGE in stderr
    assert summary["interrupted"] is True
    assert load_plan(tmp_path / summary["plan"]).check() == ()


def test_two_interrupts_leave_at_once_with_nothing_written(tmp_path: Path, small_model: Path) -> None:
    """A search that does not listen is left by the second Ctrl-C; the folder is as it was."""
    with _started(["-c", _HANGING], tmp_path, str(small_model), "--target", "mesh16") as process:
        _wait_for(process, "placing")
        process.send_signal(signal.SIGINT)
        _wait_for(process, "interrupted: keeping")
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=_PATIENCE_SECONDS)
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted: nothing was written\n")
    assert list(tmp_path.iterdir()) == []


def test_a_request_to_terminate_leaves_an_older_plan(tmp_path: Path, small_model: Path) -> None:
    """As at Ctrl-C what is half done goes, and what was there before stays."""
    older = tmp_path / "small.plan" / "plan.json"
    older.parent.mkdir()
    older.write_text("older")
    with _started(["-c", _HANGING], tmp_path, str(small_model), "--target", "mesh16") as process:
        _wait_for(process, "placing")
        process.terminate()
        stdout, stderr = process.communicate(timeout=_PATIENCE_SECONDS)
    assert (process.returncode, stdout, stderr) == (130, "", "interrupted: nothing was written\n")
    assert [path.name for path in tmp_path.iterdir()] == ["small.plan"]
    assert older.read_text() == "older"


def test_an_interrupt_while_loading_is_quiet() -> None:
    """Whoever changes their mind at once sees no traceback of imports."""
    program = """
import sys
from wsec.__main__ import main

class Interrupting:
    def find_spec(self, name, *arguments):
        if name == "wsec.cli":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
main()
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def _deep_network() -> onnx.ModelProto:
    """Twenty matrix products of different widths, one behind the other, each with a Relu."""
    draw = np.random.default_rng(0).standard_normal
    widths = [32 + 8 * (layer * 7 % 5) for layer in range(21)]
    nodes, weights = [], []
    for layer, (rows, columns) in enumerate(itertools.pairwise(widths)):
        matrix = (draw((rows, columns)) / rows**0.5).astype(np.float32)
        weights.append(numpy_helper.from_array(matrix, f"w{layer}"))
        nodes.append(
            helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"y{layer}"], name=f"matmul{layer}")
        )
        nodes.append(helper.make_node("Relu", [f"y{layer}"], [f"x{layer + 1}"], name=f"relu{layer}"))
    graph = helper.make_graph(
        nodes,
        "deep",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, [16, widths[0]])],
        [helper.make_tensor_value_info("x20", TensorProto.FLOAT, [16, widths[-1]])],
        weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
