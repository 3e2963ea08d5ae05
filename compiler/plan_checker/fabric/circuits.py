"""Findings on all circuits of a plan, in the order in which they can be judged."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.areas import check_areas, flatten
from wsec.compiler.plan_checker.fabric.deadlocks import Deadlocks
from wsec.compiler.plan_checker.fabric.following import follow_links, follow_streams
from wsec.compiler.plan_checker.fabric.inner import KernelLine, check_inner, read_line
from wsec.compiler.plan_checker.fabric.purposes import check_purposes
from wsec.compiler.plan_checker.fabric.routers import check_loose_ends, check_overlaps
from wsec.compiler.plan_checker.fabric.traffic import check_loads, check_queues, measure
from wsec.compiler.plan_checker.findings import CIRCUIT, Finding

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan import Phase, Plan
    from wsec.compiler.plan_checker.fabric.areas import Areas
    from wsec.compiler.plan_checker.fabric.streams import Streams


@dataclass(slots=True)
class _Reading:
    """What was read of a phase's circuits: None for one that has a fault.

    Attributes:
        findings: So far.
        streams: Of the circuits of each link.
        lines: Of the circuits of each kernel.
    """

    findings: list[Finding]
    streams: dict[str, list[Streams | None]] = field(default_factory=dict)
    lines: dict[str, list[KernelLine | None]] = field(default_factory=dict)


def check_fabric(plan: Plan) -> list[Finding]:
    """Findings on the circuits of every phase."""
    findings: list[Finding] = []
    for number, wafer in enumerate(plan.wafers):
        for turn, phase in enumerate(wafer.phases):
            if plan.fabric == "lanes":
                if phase.circuits:
                    rule = "a plan that follows words between rectangles alone has no circuits"
                    where, found = f"wafer {number}, phase {turn}", f"{len(phase.circuits)} circuits"
                    findings.append(Finding(CIRCUIT, rule, where, "none", found))
            elif phase.circuits:
                findings += _check_phase(phase, plan)
            elif phase.links:
                rule = "a phase says what its routers hold"
                where = f"wafer {number}, phase {turn}"
                findings.append(Finding(CIRCUIT, rule, where, "circuits for its links", "none"))
    return findings


def _check_phase(phase: Phase, plan: Plan) -> list[Finding]:
    width, height = plan.region_width, plan.region_height
    reading = _Reading(list(check_purposes(phase, plan.target.fabric)))
    unsound = list(check_areas(phase, width, height))
    if unsound:  # nothing further can be said of routers that are nowhere, or hold nothing
        return reading.findings + unsound
    areas = flatten(phase, (height, width))
    deadlocks = Deadlocks(areas)
    for colour in sorted({circuit.colour for circuit in phase.circuits}):
        _read_colour(colour, phase, areas, deadlocks, reading)
    for kernel in phase.kernels:
        lines = reading.lines.get(kernel.name, [])
        sound = [line for line in lines if line is not None]
        if len(sound) == len(lines):
            reading.findings += check_inner(kernel, sound)
    flows, found = follow_links(phase, width, reading.streams)
    reading.findings += found
    reading.findings += check_queues(phase, plan.target.fabric)
    traffic = measure(phase, flows, width, height)
    reading.findings += check_loads(traffic, phase, flows, plan)
    return reading.findings


def _read_colour(colour: int, phase: Phase, areas: Areas, deadlocks: Deadlocks, reading: _Reading) -> None:
    grid = np.full(areas.region, -1, np.int32)
    overlaps = check_overlaps(grid, areas, colour)
    loose = [] if overlaps else check_loose_ends(grid, areas, colour)
    reading.findings += [*overlaps, *(finding for _, finding in loose)]
    open_ended = {number for number, _ in loose}
    for number, circuit in enumerate(phase.circuits):
        if circuit.colour != colour:
            continue
        sound = not overlaps and number not in open_ended
        if circuit.purpose == "link":
            streams, found = follow_streams(number, phase, areas, grid) if sound else (None, [])
            reading.streams.setdefault(circuit.name, []).append(streams)
            proven = streams is not None
        else:
            line, found = _line(number, phase, areas, grid) if sound else (None, [])
            reading.lines.setdefault(circuit.name, []).append(line)
            proven = False
        reading.findings += found
        if sound:
            reading.findings += deadlocks.check(number, grid, trees=proven)


def _line(
    number: int, phase: Phase, areas: Areas, grid: NDArray[np.int32]
) -> tuple[KernelLine | None, list[Finding]]:
    kernel = next((each for each in phase.kernels if each.name == areas.circuits[number].name), None)
    return (None, []) if kernel is None else read_line(number, kernel, areas, grid)
