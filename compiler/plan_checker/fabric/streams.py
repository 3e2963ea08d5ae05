"""Streams of links: from exactly the cores that hold the tensor, over the lanes of the routes, to all cores of the consumer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.fabric.areas import circuit_name
from wsec.compiler.plan_checker.fabric.lanes import lanes_of
from wsec.compiler.plan_checker.fabric.tracing import (
    MERGED,
    MET_AGAIN,
    OFF_ROUTE,
    OUTSIDE,
    SPLIT,
    Found,
    Routers,
    gather,
    run_lanes,
    spread,
)
from wsec.compiler.plan_checker.findings import STREAM, Finding, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan import Link, Rectangle
    from wsec.compiler.plan_checker.fabric.areas import Areas
    from wsec.compiler.plan_checker.fabric.lanes import Lanes

    Bits = NDArray[np.uint8]
    Integers = NDArray[np.int64]
    Numbers = NDArray[np.int32]

_EAST, _WEST = 1, 3
_RULES = {
    OUTSIDE: ("trees stay in the kernels that a link joins", "routers of the kernel"),
    MET_AGAIN: ("a router is passed by one stream, once", "a router that no stream has passed"),
    SPLIT: ("all that a router of a gather tree takes goes on towards the lane", "one way out"),
    MERGED: (
        "a stream keeps its words together, once they are gathered",
        "one position, from where they come",
    ),
    OFF_ROUTE: ("a stream runs along its lane", "routers that pass its words on along the route"),
}


@dataclass(frozen=True, slots=True, eq=False)
class Streams:
    """The streams of one circuit of a link, which have no fault.

    Attributes:
        lanes: Of the link's routes, that the circuit serves, but for idle ones.
        gathered: Trees over the producer, and the cores that send; empty from the host.
        run: Cores of the lanes between the trees.
        spread: Trees over the consumer, and the cores that receive; empty towards the host.
        given: For the cells of these three, the ports that they give words to, a bit each.
    """

    lanes: Lanes
    gathered: Found
    run: Found
    spread: Found
    given: tuple[Bits, Bits, Bits]


def trace_link(
    link: Link, circuit: int, ends: tuple[Rectangle | None, Rectangle | None], areas: Areas, grid: Numbers
) -> tuple[Streams, list[Finding]]:
    """The streams of a circuit of a link, and what is wrong with them.

    Args:
        link: Whose circuit it is; its routes are sound.
        circuit: Number of the circuit in `areas`; it has no loose ends.
        ends: Rectangles of producer and consumer; None for what is outside.
        areas: Of the phase.
        grid: Painted with the areas of the circuit's colour.
    """
    colour = areas.circuits[circuit].colour
    lanes = lanes_of(link, colour)
    if ends[0] is not None:  # a lane whose tree holds nothing is idle: it has no router
        first = grid[lanes.corners[:, 0, 1], lanes.corners[:, 0, 0]]
        lanes = lanes.only((first >= 0) & (areas.circuit[np.maximum(first, 0)] == circuit))
    mark = np.full(grid.shape, -1, np.int32)
    settings = areas.settings
    routers = Routers(grid, areas.setting, areas.circuit, settings.source, settings.outputs, mark)
    begin, end = lanes.corners[:, 0], lanes.corners[:, 3]
    faults = np.zeros((len(lanes.numbers), 3), np.int64)
    ports = np.full((len(lanes.numbers), 2), -1, np.int64)
    gathered, spread_out = _room(lanes, ends[0]), _room(lanes, ends[1])
    if ends[0] is None:
        ports[:, 0] = _WEST
    else:
        leaving = lanes.first_ports()
        leaving[leaving < 0] = _EAST
        roots = np.column_stack([begin, leaving])
        gather(routers, circuit, roots, lanes.numbers, _bounds(ends[0]), gathered, faults)
    if ends[1] is None:
        ports[:, 1] = _EAST
    run = _room(lanes, None, _length(lanes))
    run_lanes(routers, circuit, lanes.corners, ports, lanes.numbers, run, faults)
    if ends[1] is not None:
        coming = lanes.last_ports()
        coming[coming < 0] = _WEST
        roots = np.column_stack([end, coming])
        spread(routers, circuit, roots, lanes.numbers, _bounds(ends[1]), spread_out, faults)
    parts = (_cut(gathered), _cut(run), _cut(spread_out))
    given = (settings.outputs[areas.setting[grid.reshape(-1)[part.cells]], 0] for part in parts)
    streams = Streams(lanes, *parts, (next(given), next(given), next(given)))
    findings = list(_faults(streams, faults, areas, circuit, grid))
    return streams, findings or list(_left_over(areas, circuit, routers))


def _bounds(place: Rectangle) -> Integers:
    return np.array([place.x, place.y, place.x + place.width, place.y + place.height], np.int64)


def _room(lanes: Lanes, place: Rectangle | None, more: int = 0) -> Found:
    size = more if place is None else place.width * place.height
    cells, parents, ends = (np.empty(size, np.int64) for _ in range(3))
    cell_ends, end_ends = (np.zeros(len(lanes.numbers) + 1, np.int64) for _ in range(2))
    return Found(cells, parents, cell_ends, ends, end_ends)


def _cut(found: Found) -> Found:
    """Without the room that was not needed."""
    cells, ends = int(found.cell_ends[-1]), int(found.end_ends[-1])
    return Found(
        found.cells[:cells], found.parents[:cells], found.cell_ends, found.ends[:ends], found.end_ends
    )


def _length(lanes: Lanes) -> int:
    """Cores of all lanes together, at most."""
    return int(np.abs(np.diff(lanes.corners, axis=1)).sum()) + len(lanes.numbers)


def _faults(
    streams: Streams, faults: Integers, areas: Areas, circuit: int, grid: Numbers
) -> Iterator[Finding]:
    for fault, (rule, expected) in _RULES.items():
        wrong = np.flatnonzero(faults[:, 0] == fault)
        if not len(wrong):
            continue
        x, y = faults[wrong[0], 1:].tolist()
        height, width = grid.shape
        area = int(grid[y, x]) if 0 <= x < width and 0 <= y < height else -1
        there = "none" if area < 0 else " ".join(areas.settings.positions[areas.setting[area]])
        more = f"; {count(len(wrong) - 1, 'more lane')}" if len(wrong) > 1 else ""
        where = f"{circuit_name(areas.circuits[circuit])}, lane {streams.lanes.numbers[wrong[0]]}"
        yield Finding(STREAM, rule, where, expected, f"{there} at x={x}, y={y}{more}")


def _left_over(areas: Areas, circuit: int, routers: Routers) -> Iterator[Finding]:
    own = slice(int(areas.first[circuit]), int(areas.first[circuit + 1]))
    bounds = areas.bounds[own]
    cores = int((bounds[:, 2] * bounds[:, 3]).sum())
    left = cores - int((routers.mark >= 0).sum())
    if not left:
        return
    for x, y, width, height in bounds.tolist():
        missed = routers.mark[y : y + height, x : x + width] < 0
        if missed.any():
            down, right = np.unravel_index(int(missed.argmax()), missed.shape)
            rule = "each router of a link's circuit is on the way of a lane"
            found = f"{count(left, 'router')} that no lane leads to, the first at x={x + right}, y={y + down}"
            yield Finding(
                STREAM, rule, circuit_name(areas.circuits[circuit]), "none that no lane leads to", found
            )
            return
