"""Follows the words of a phase along its circuits: streams of each, what links move, and the words through every port.

Who wants the words alone, as a picture does, needs nothing of what else is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.areas import check_areas, flatten
from wsec.compiler.plan_checker.fabric.links import Flow, follow_link
from wsec.compiler.plan_checker.fabric.routers import check_overlaps
from wsec.compiler.plan_checker.fabric.streams import Streams, trace_link
from wsec.compiler.plan_checker.fabric.traffic import measure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Phase, Plan
    from wsec.compiler.plan_checker.fabric.areas import Areas
    from wsec.compiler.plan_checker.fabric.traffic import Traffic
    from wsec.compiler.plan_checker.findings import Finding


def measure_traffic(phase: Phase, plan: Plan) -> Traffic | None:
    """The words of a sample through every port of a phase with circuits; None where a circuit has a fault."""
    width, height = plan.region_width, plan.region_height
    if any(check_areas(phase, width, height)):
        return None
    areas = flatten(phase, (height, width))
    streams: dict[str, list[Streams | None]] = {}
    for colour in sorted({circuit.colour for circuit in phase.circuits if circuit.purpose == "link"}):
        grid = np.full(areas.region, -1, np.int32)
        if check_overlaps(grid, areas, colour):
            return None
        for number, circuit in enumerate(phase.circuits):
            if circuit.colour == colour and circuit.purpose == "link":
                followed, _ = follow_streams(number, phase, areas, grid)
                streams.setdefault(circuit.name, []).append(followed)
    flows, _ = follow_links(phase, width, streams)
    return measure(phase, flows, width, height) if len(flows) == len(phase.links) else None


def follow_streams(
    number: int, phase: Phase, areas: Areas, grid: NDArray[np.int32]
) -> tuple[Streams | None, list[Finding]]:
    """The streams of a link's circuit on the grid of its colour, and what is wrong with them; no streams where something is."""
    link = next((each for each in phase.links if each.name == areas.circuits[number].name), None)
    if link is None:
        return None, []
    places = {kernel.name: kernel.rectangle for kernel in phase.kernels}
    streams, found = trace_link(link, number, (places.get(link.source), places.get(link.target)), areas, grid)
    return (None if found else streams), found


def follow_links(
    phase: Phase, width: int, streams: Mapping[str, Sequence[Streams | None]]
) -> tuple[list[Flow], list[Finding]]:
    """What links without faults move, from the streams of their circuits, and what is wrong with the others."""
    kernels = {kernel.name: kernel for kernel in phase.kernels}
    flows: list[Flow] = []
    findings: list[Finding] = []
    for link in phase.links:
        of_link = streams.get(link.name, [])
        sound = [each for each in of_link if each is not None]
        if not sound or len(sound) < len(of_link):
            continue
        ends = (kernels.get(link.source), kernels.get(link.target))
        flow, found = follow_link(link, ends, sound, width)
        findings += found
        if flow is not None:
            flows.append(flow)
    return flows, findings
