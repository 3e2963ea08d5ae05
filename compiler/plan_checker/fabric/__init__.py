"""Proves the circuits of a plan by docs/fabric.md: what routers hold brings every word where it is needed.

It shares no code with what made the circuits and none with what runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.areas import check_areas, flatten
from wsec.compiler.plan_checker.fabric.purposes import check_purposes
from wsec.compiler.plan_checker.fabric.routers import check_loose_ends, check_overlaps

if TYPE_CHECKING:
    from wsec.compiler.plan import Phase, Plan
    from wsec.compiler.plan_checker.findings import Finding

__all__ = ["check_fabric"]


def check_fabric(plan: Plan) -> list[Finding]:
    """Findings on the circuits of every phase."""
    findings: list[Finding] = []
    for wafer in plan.wafers:
        for phase in wafer.phases:
            if phase.circuits:
                findings += _check_phase(phase, plan)
    return findings


def _check_phase(phase: Phase, plan: Plan) -> list[Finding]:
    width, height = plan.region_width, plan.region_height
    findings = list(check_purposes(phase, plan.target.fabric))
    unsound = list(check_areas(phase, width, height))
    if unsound:  # nothing further can be said of routers that are nowhere, or hold nothing
        return findings + unsound
    areas = flatten(phase)
    for colour in sorted({circuit.colour for circuit in phase.circuits}):
        grid = np.full((height, width), -1, np.int32)
        overlaps = check_overlaps(grid, areas, colour)
        findings += overlaps
        if not overlaps:
            loose = check_loose_ends(grid, areas, colour)
            findings += [finding for _, finding in loose]
    return findings
