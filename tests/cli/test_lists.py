"""`wsec targets`, `wsec passes` and `wsec kernels`."""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wsec.compiler.operators import ELEMENTWISE
from wsec.passes.pipeline import PIPELINE

if TYPE_CHECKING:
    from tests.cli.conftest import Wsec

ROOT = Path(__file__).parents[2]


def test_targets_as_text(wsec: Wsec) -> None:
    """The table says how large each machine is, as hardware.md and the target files have it."""
    lines = [line.split("  ") for line in wsec("targets").stdout.splitlines()]
    rows = {cells[0].strip(): [cell.strip() for cell in cells[1:] if cell.strip()] for cells in lines}
    assert rows["wse2"] == ["750 x 994", "745,500", "48.0 KiB", "0.85 GHz"]
    assert list(rows) == ["target", "mesh16", "mesh64", "wse1", "wse2", "wse3"]


def test_targets_on_a_narrow_terminal(wsec: Wsec) -> None:
    """Name, cores and clock are left."""
    lines = wsec("targets", columns=40).stdout.splitlines()
    assert lines[0].split() == ["target", "cores", "clock"]
    assert max(map(len, lines)) <= 40


def test_targets_as_json(wsec: Wsec) -> None:
    """Scripts get plain numbers with their units in the keys."""
    targets = {entry["name"]: entry for entry in json.loads(wsec("targets", "--json").stdout)["targets"]}
    description = targets["wse2"].pop("description")
    assert description
    assert targets["wse2"] == {
        "name": "wse2",
        "origin": f"wsec {version('wsec')}",
        "columns": 750,
        "rows": 994,
        "cores": 745_500,
        "sram_bytes": 49_152,
        "clock_hz": 0.85e9,
    }


def test_passes_stand_in_the_order_in_which_they_run(wsec: Wsec) -> None:
    """The list is the pipeline itself: each row has its name, what it does and why it is there."""
    entries = json.loads(wsec("passes", "--json").stdout)["pipeline"]
    assert [(entry["name"], entry["reason"]) for entry in entries] == list(PIPELINE)
    assert all(entry["summary"] and entry["origin"] == f"wsec {version('wsec')}" for entry in entries)


@pytest.mark.parametrize("columns", [40, 80])
def test_passes_as_text(wsec: Wsec, columns: int) -> None:
    """Numbered, within the terminal, reasons included."""
    output = wsec("passes", columns=columns).stdout
    assert re.findall(r"^ ?(\d+)  ([\w-]+)$", output, re.MULTILINE) == [
        (str(position), name) for position, (name, _) in enumerate(PIPELINE, 1)
    ]
    assert output.count("here because") == len(PIPELINE)
    assert max(map(len, output.splitlines())) <= columns


def test_kernels_are_those_of_the_contract(wsec: Wsec) -> None:
    """The kinds are exactly those that docs/kernels.md defines, which is what the runtime executes."""
    kinds = {
        entry["kind"]: entry["operators"] for entry in json.loads(wsec("kernels", "--json").stdout)["kernels"]
    }
    page = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
    assert set(kinds) == set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE))
    assert kinds["pooling"] == ["AveragePool", "MaxPool"]
    assert kinds["elementwise"] == sorted(ELEMENTWISE)
    assert kinds["unsplit"] is None


def test_kernels_as_text(wsec: Wsec) -> None:
    """Every kind has a line, and the last one says what happens to everything else."""
    output = wsec("kernels").stdout
    assert "pooling                 AveragePool, MaxPool\n" in output
    assert output.splitlines()[-2].startswith("unsplit                 any other operator")
