"""Collectives in the simulator: the compiler's circuits bring right sums, in the cycles that the cost model says."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

import collectives

if TYPE_CHECKING:
    from pathlib import Path

MEAN = 0.04  # to which the published model was validated on a machine
WORST, WORST_HALO = 0.1, 0.17  # parts of a ring that are not equal; halves of a halo that overlap a little


@pytest.mark.parametrize("target", ["wse2", "wse3"])
def test_the_formulas_hold_on_the_simulator(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every collective on a few lines; the script itself compares all sums with numpy."""
    report = tmp_path / "rows.json"
    arguments = ["--target", target, "--cores", "2", "5", "8", "24", "--words", "1", "7", "64"]
    monkeypatch.setattr(sys, "argv", ["collectives.py", *arguments, "--json", str(report)])
    collectives.main()
    rows = json.loads(report.read_text(encoding="utf-8"))
    errors = [abs(row["error"]) for row in rows]
    assert len({row["collective"] for row in rows}) >= 10
    assert sum(errors) / len(errors) <= MEAN
    for row in rows:
        assert abs(row["error"]) <= (WORST_HALO if "halo" in row["collective"] else WORST), row
    assert "reduce two_phase" in capsys.readouterr().out
