"""Commands that pages show beside the two that are followed from beginning to end run too, on small models of the names they use."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from click.testing import CliRunner
from onnx import TensorProto, helper, numpy_helper

import llama
import wsec
from decoder_parts import Export
from model_writer import write_model
from wsec.cli.application import application

if TYPE_CHECKING:
    import pytest

ROOT = Path(__file__).parents[2]
PAGES = (
    "README.md",
    "docs/check.md",
    "docs/diff.md",
    "docs/export.md",
    "docs/fit.md",
    "docs/generation.md",
    "docs/modes.md",
    "docs/phases.md",
    "docs/report.md",
    "docs/wafers.md",
)
_BLOCK = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LAYERS = 3


def _commands() -> list[list[str]]:
    """Each once, in the order of the pages; a line that says what is possible is none."""
    lines = [
        line.removeprefix("$ ")
        for page in PAGES
        for text in _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
        for line in text.splitlines()
    ]
    split = [shlex.split(line, comments=True)[1:] for line in lines if line.startswith(("wsec ", "$ wsec "))]
    return [list(words) for words in dict.fromkeys(map(tuple, split))]


def _write_model(path: Path, batch: str | int) -> None:
    """A few layers, so that there is something to divide."""
    draw = np.random.default_rng(0).standard_normal
    weights = [numpy_helper.from_array(draw((6, 6)).astype(np.float32), f"w{n}") for n in range(_LAYERS)]
    nodes = [
        helper.make_node(
            "MatMul", [f"h{n}" if n else "x", f"w{n}"], [f"h{n + 1}" if n + 1 < _LAYERS else "y"]
        )
        for n in range(_LAYERS)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, 6]) for name in "xy"]
    graph = helper.make_graph(nodes, "layers", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, ir_version=10, opset_imports=[helper.make_opsetid("", 21)]), path)


def _prepare(folder: Path) -> None:
    """What the commands are given: inputs, a decoder of one layer with its prefill, and plans by the names of the pages."""
    config = replace(llama.CONFIGS["tiny"], layers=1)
    entries: dict[str, dict[str, Any]] = {"decoder": {}, "prefill": {"entry": "prefill", "sequence": 4}}
    for name, changes in entries.items():
        export = replace(Export(form="contrib"), context=16, **changes)
        path = folder / f"{name}.onnx"
        write_model(llama.make_llama(config, export), path, opset=export.opset)
        wsec.compile(path, output=folder / f"{name}.plan", target="wse3", region=(40, 40), effort=0.0)
    (folder / "models").mkdir()
    for name in ("model", "models/a", "models/b"):
        _write_model(folder / f"{name}.onnx", 1)
    for name in ("before", "after"):
        wsec.compile(folder / "model.onnx", output=folder / f"{name}.plan", target="mesh16", effort=0.0)
    np.savez(folder / "x.npz", x=np.ones((1, 6), np.float32))


def test_every_shown_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who types what the pages show gets what they promise: each ends with status 0."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WSEC_CACHE_DIR", str(tmp_path / "cache"))
    _prepare(tmp_path)
    commands = _commands()
    assert len(commands) > 25
    failed = []
    for shown in commands:
        arguments = ["0.1" if each == "4" and "--effort" in shown else each for each in shown]  # less search
        _write_model(tmp_path / "model.onnx", "batch" if "--dim" in arguments else 1)
        result = CliRunner().invoke(application, arguments, prog_name="wsec")
        if result.exit_code:
            failed.append(f"wsec {shlex.join(arguments)}\n{result.output}")
    assert not failed, "\n".join(failed)
