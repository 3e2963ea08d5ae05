"""The benchmark of small meshes: its cases, and what it says of plans that are not legal or were not made."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import small_meshes
from small_meshes import ASKED, HELD_OUT, MESH, SCHEDULER, Case, Row, main, target_of
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_cores_of_cases_keep_as_many_products_a_step_as_lanes() -> None:
    """A matrix unit that did more than its lanes would not be the machine that the case names."""
    for case in (*ASKED, *HELD_OUT):
        core = target_of(case).core
        unit = core.matrix_unit
        assert unit is not None
        assert unit.rows * unit.columns * unit.depth == core.lanes["float32"]
        assert case.region[0] <= load_target(str(MESH)).grid.width
    assert {case.region for case in ASKED} == {*SCHEDULER}


def test_what_went_wrong_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A model that is refused and a plan that is not legal make the benchmark fail; rows are in the file, one for each case."""
    good = Row(Case("net", (4, 4)), mode="streaming", phases=3, samples=8, cycles=900, legal=True)
    rows = {
        (4, 4): good,
        (8, 8): replace(good, case=Case("net", (8, 8)), cycles=300, verified=True),
        (16, 16): Row(Case("net", (16, 16)), failure="WSEC301: too large"),
    }

    def run(case: Case, _effort: float, _objective: str, *, verify: bool) -> Row:
        assert verify
        return rows[case.region]

    monkeypatch.setattr(small_meshes, "run", run)
    file = tmp_path / "rows.json"
    assert main(["--verify", "--json", str(file)]) == 1
    assert [row["cycles"] for row in json.loads(file.read_text(encoding="utf-8"))] == [900, 300, 0]
    assert main(["--verify", "--regions", "4x4", "8x8"]) == 0
    rows[4, 4] = replace(good, legal=False)
    assert main(["--verify", "--regions", "4x4"]) == 1
    rows[4, 4] = replace(good, verified=False)
    assert main(["--verify", "--regions", "4x4"]) == 1
