"""Routers side by side: no core with two settings of a colour, and no setting that leads to nobody."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.areas import circuit_name
from wsec.compiler.plan_checker.fabric.grids import loose_ends, paint
from wsec.compiler.plan_checker.fabric.settings import PORTS
from wsec.compiler.plan_checker.findings import CIRCUIT, Finding, count

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.plan_checker.fabric.areas import Areas

    Numbers = NDArray[np.int32]

_MOST_NOTED = 4096


def check_overlaps(grid: Numbers, areas: Areas, colour: int) -> list[Finding]:
    """Paint the areas of a colour on an empty grid of -1; a finding for each pair of circuits that share a core."""
    meetings = np.zeros((_MOST_NOTED, 5), np.int64)
    found = paint(grid, areas.of_colour(colour), areas.bounds, meetings)
    pairs: dict[tuple[int, int], list[int]] = {}
    for area, other, x, y, cores in meetings[:found].tolist():
        pair = (int(areas.circuit[other]), int(areas.circuit[area]))
        pairs.setdefault(pair, [0, x, y])[0] += cores
    return [
        Finding(
            CIRCUIT,
            "a core has one setting of a colour",
            circuit_name(areas.circuits[first])
            if first == second
            else f"{circuit_name(areas.circuits[first])}, and {circuit_name(areas.circuits[second])}",
            "no core in two areas",
            f"{count(cores, 'core')} in two, the first at x={x}, y={y}",
        )
        for (first, second), (cores, x, y) in pairs.items()
    ]


def check_loose_ends(grid: Numbers, areas: Areas, colour: int) -> list[tuple[int, Finding]]:
    """A circuit's number and a finding for each circuit and kind of loose end; the grid is painted."""
    noted = np.zeros((_MOST_NOTED, 5), np.int64)
    settings = areas.settings
    total = loose_ends(
        grid,
        areas.of_colour(colour),
        areas.bounds,
        settings.takes[areas.setting],
        settings.gives[areas.setting],
        areas.circuit,
        noted,
    )
    kinds: dict[tuple[int, int], list[list[int]]] = {}
    for entry in noted[:total].tolist():
        kinds.setdefault((int(areas.circuit[entry[0]]), entry[4]), []).append(entry)
    return [(circuit, _loose_end(areas, grid, circuit, entries)) for (circuit, _), entries in kinds.items()]


def _loose_end(areas: Areas, grid: Numbers, circuit: int, entries: list[list[int]]) -> Finding:
    _, x, y, port, fed = entries[0]
    own, back = PORTS[port], PORTS[(port + 2) % 4]
    beside = (x + (port == 1) - (port == 3), y + (port == 2) - (port == 0))
    where = circuit_name(areas.circuits[circuit])
    rule = (
        "a router takes words only from where some come"
        if fed
        else "a router gives words only to who takes them"
    )
    verb = f"gives words to {back}" if fed else f"takes words from {back}"
    expected = f"a router of the circuit at x={beside[0]}, y={beside[1]} that {verb}, as the one at x={x}, y={y} {'takes them from' if fed else 'gives them to'} {own}"
    found = _there(areas, grid, circuit, beside)
    more = f"; {len(entries) - 1} more such" if len(entries) > 1 else ""
    return Finding(CIRCUIT, rule, where, expected, found + more)


def _there(areas: Areas, grid: Numbers, circuit: int, place: tuple[int, int]) -> str:
    height, width = grid.shape
    x, y = place
    if not (0 <= x < width and 0 <= y < height):
        return "the edge of the region"
    other = int(grid[y, x])
    if other < 0:
        return "no setting"
    positions = " ".join(areas.settings.positions[areas.setting[other]])
    whose = int(areas.circuit[other])
    return positions if whose == circuit else f"{positions}, {circuit_name(areas.circuits[whose])}"
