"""Proves the circuits of a plan by docs/fabric.md: what routers hold brings every word where it is needed.

It shares no code with what made the circuits and none with what runs them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.areas import check_areas, flatten
from wsec.compiler.plan_checker.fabric.links import follow_link
from wsec.compiler.plan_checker.fabric.purposes import check_purposes
from wsec.compiler.plan_checker.fabric.routers import check_loose_ends, check_overlaps
from wsec.compiler.plan_checker.fabric.streams import trace_link
from wsec.compiler.plan_checker.findings import DELIVERY

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan import Phase, Plan
    from wsec.compiler.plan_checker.fabric.areas import Areas
    from wsec.compiler.plan_checker.fabric.streams import Streams
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
    streams: dict[str, list[Streams | None]] = {}
    for colour in sorted({circuit.colour for circuit in phase.circuits}):
        grid = np.full((height, width), -1, np.int32)
        overlaps = check_overlaps(grid, areas, colour)
        findings += overlaps
        loose = [] if overlaps else check_loose_ends(grid, areas, colour)
        findings += [finding for _, finding in loose]
        unsound_ones = {number for number, _ in loose}
        for number, circuit in enumerate(phase.circuits):
            if circuit.colour != colour or circuit.purpose != "link":
                continue
            traced = None
            if not overlaps and number not in unsound_ones:
                traced, found = _trace(number, phase, areas, grid)
                findings += found
            streams.setdefault(circuit.name, []).append(traced)
    kernels = {kernel.name: kernel for kernel in phase.kernels}
    for link in phase.links:
        own = [each for each in streams.get(link.name, []) if each is not None]
        if own and len(own) == len(streams[link.name]):
            ends = (kernels.get(link.source), kernels.get(link.target))
            _, found = follow_link(link, ends, own, width)
            if any(each.direct or each.exchanges for each in phase.links):
                findings += found
            else:  # made before deliveries were decided
                findings += [finding for finding in found if finding.code != DELIVERY]
    return findings


def _trace(
    number: int, phase: Phase, areas: Areas, grid: NDArray[np.int32]
) -> tuple[Streams | None, list[Finding]]:
    circuit = phase.circuits[number]
    places = {kernel.name: kernel.rectangle for kernel in phase.kernels}
    for link in phase.links:
        if link.name == circuit.name:
            ends = (places.get(link.source), places.get(link.target))
            streams, found = trace_link(link, number, ends, areas, grid)
            return (None if found else streams), found
    return None, []
