"""Wafers with dead cores through the whole job, and what the checker finds in a wrong map."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_models import residual_network

import wsec
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from wsec.compiler.plan import DefectMap


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> wsec.Plan:
    """A small network on a mesh of 16 x 16 cores with one dead row and a tenth of the others dead."""
    folder = tmp_path_factory.mktemp("defects")
    model = residual_network(folder)
    dead = np.argwhere(np.random.default_rng(3).random((16, 16)) < 0.1)
    cores = ", ".join(f"[{column}, {row}]" for row, column in dead)
    (folder / "dead.toml").write_text(f"rows = [4]\ncores = [{cores}]\n")
    return wsec.compile(model, target="mesh16", effort=0, defects=folder / "dead.toml")


def test_a_plan_around_dead_cores_verifies(plan: wsec.Plan) -> None:
    """The grid is smaller, hops are longer, the map is in the plan, and the numbers are right."""
    defects = plan.record.defects
    assert defects is not None
    assert 4 not in defects.rows
    assert (plan.record.region_width, plan.record.region_height) == (defects.columns, len(defects.rows))
    assert plan.record.target.fabric.hop_cycles > load_target("mesh16").fabric.hop_cycles
    assert any("dead cores: the grid is" in note for note in plan.record.notes)
    assert plan.verify().passed
    assert plan.check() == ()


def _misused(defects: DefectMap) -> dict[str, DefectMap]:
    first = defects.skipped[0]
    alive = next(column for column in range(defects.width) if column not in first)
    dead = next(column for column, row in defects.dead if row == defects.rows[0])
    exchanged = tuple(sorted({*first, alive} - {dead}))
    return {
        "no dead core is used": replace(defects, skipped=(exchanged, *defects.skipped[1:])),
        "rows are used once, in order": replace(defects, rows=(defects.rows[1], *defects.rows[1:])),
        "all rows have equally many cores": replace(defects, skipped=((*first, alive), *defects.skipped[1:])),
        "the region lies on living cores": replace(
            defects, rows=defects.rows[:-1], skipped=defects.skipped[:-1]
        ),
        "cores lie on the wafer": replace(defects, rows=(*defects.rows[:-1], defects.height)),
    }


def test_the_checker_finds_a_wrong_map(plan: wsec.Plan) -> None:
    """Each way in which the cores behind the grid can be wrong has its rule."""
    assert plan.record.defects is not None
    for rule, defects in _misused(plan.record.defects).items():
        findings = check_plan(replace(plan.record, defects=defects))
        assert rule in [finding.rule for finding in findings], rule
        assert all(finding.code == "WSEC542" for finding in findings)
