"""Compiled: the streams of one circuit of a link, followed router by router from where its lanes begin and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Numbers = NDArray[np.int32]
    Ports = NDArray[np.int8]
    Bits = NDArray[np.uint8]

_RAMP = 4
_RIGHT = np.array([0, 1, 0, -1], np.int64)
_DOWN = np.array([-1, 0, 1, 0], np.int64)

NO_FAULT, OUTSIDE, MET_AGAIN, SPLIT, MERGED, OFF_ROUTE = range(6)
"""What may be wrong with a stream."""


class Routers(NamedTuple):
    """The routers of a colour, none of which has a loose end, and who passes them.

    Attributes:
        grid: Area of each core, -1 where there is none: [height, width].
        setting: Of each area.
        circuit: Of each area.
        source: Port that words come from, by setting and position; -1 where there is no such position.
        outputs: Ports that they go to, a bit each.
        mark: Lane that passes each core, -1 where none does: [height, width].
    """

    grid: Numbers
    setting: Numbers
    circuit: Numbers
    source: Ports
    outputs: Bits
    mark: Numbers


class Found(NamedTuple):
    """Cores by lane, as row * width + column, filled by the functions below.

    Attributes:
        cells: All cores that words pass; in a gather tree, each after the one that it gives them to.
        parents: In gather trees, the place of the latter in `cells`, -1 for a root.
        cell_ends: Number of cells after each lane: [lanes + 1].
        ends: Cores that send, in the order of the stream, or cores that receive.
        end_ends: Number of them after each lane: [lanes + 1].
    """

    cells: Integers
    parents: Integers
    cell_ends: Integers
    ends: Integers
    end_ends: Integers


@compiled
def gather(
    routers: Routers,
    circuit: int,
    roots: Integers,
    numbers: Integers,
    bounds: Integers,
    found: Found,
    faults: Integers,
) -> None:
    """Follow the trees of all lanes from their roots back to the cores that send.

    Args:
        routers: Of the colour; marked.
        circuit: The number of the circuit.
        roots: Column and row where each lane begins, and the port that it leaves by: [lanes, 3].
        numbers: Of the lanes.
        bounds: First column and row of the producer, and those behind its last: [4].
        found: Filled.
        faults: What is wrong with a lane, and the column and row where it shows; filled: [lanes, 3].
    """
    width = routers.grid.shape[1]
    place = np.empty(len(found.cells) + 1, np.int64)  # in `cells`, of the cores between the root and this one
    position = np.empty(len(found.cells) + 1, np.int64)  # of their switches
    sent = passed = 0
    for lane in range(len(roots)):
        x, y, port = roots[lane]
        depth = 0
        while port >= 0:
            wrong = _branch_fault(routers, circuit, bounds, x, y, port)
            if wrong != NO_FAULT:
                faults[lane, 0], faults[lane, 1], faults[lane, 2] = wrong, x, y
                break
            routers.mark[y, x] = numbers[lane]
            found.cells[passed] = y * width + x
            found.parents[passed] = place[depth - 1] if depth else -1
            place[depth], position[depth] = passed, 0
            passed += 1
            depth += 1
            port = -1
            while depth and port < 0:  # to the next core from which words come here
                at = found.cells[place[depth - 1]]
                x, y = at % width, at // width
                turn = position[depth - 1]
                taken = routers.source[routers.setting[routers.grid[y, x]], turn] if turn < 4 else -1
                position[depth - 1] += 1
                if taken < 0:
                    depth -= 1
                elif taken == _RAMP:
                    found.ends[sent] = at
                    sent += 1
                else:
                    x, y, port = x + _RIGHT[taken], y + _DOWN[taken], (taken + 2) % 4
        found.end_ends[lane + 1], found.cell_ends[lane + 1] = sent, passed


@compiled
def _place_fault(routers: Routers, circuit: int, bounds: Integers, x: int, y: int) -> int:
    """What is wrong with where a core of a tree lies, whatever its setting."""
    if not (bounds[0] <= x < bounds[2] and bounds[1] <= y < bounds[3]):
        return OUTSIDE
    area = routers.grid[y, x]
    if area < 0 or routers.circuit[area] != circuit:
        return OFF_ROUTE
    if routers.mark[y, x] >= 0:
        return MET_AGAIN
    return NO_FAULT


@compiled
def _branch_fault(routers: Routers, circuit: int, bounds: Integers, x: int, y: int, port: int) -> int:
    """What is wrong with a core of a gather tree, whose words must all leave by `port`."""
    wrong = _place_fault(routers, circuit, bounds, x, y)
    if wrong != NO_FAULT:
        return wrong
    setting, seen = routers.setting[routers.grid[y, x]], 0
    for position in range(4):
        taken = routers.source[setting, position]
        if taken < 0:
            break
        if routers.outputs[setting, position] != 1 << port:
            return SPLIT
        if seen >> taken & 1:
            return MERGED
        seen |= 1 << taken
    return NO_FAULT


@compiled
def run_lanes(
    routers: Routers,
    circuit: int,
    corners: Integers,
    ports: Integers,
    numbers: Integers,
    found: Found,
    faults: Integers,
) -> None:
    """Follow lanes along their routes, without the cores of gather and spread trees.

    Args:
        routers: As in `gather`.
        circuit: Likewise.
        corners: Column and row where each lane begins, may turn twice, and ends: [lanes, 4, 2].
        ports: By which words come to the first core, -1 where a gather tree has been there, and by which they leave the
            last one, -1 where a spread tree follows: [lanes, 2].
        numbers: Of the lanes.
        found: Filled but for its ends.
        faults: As in `gather`; lanes that have one are left out.
    """
    passed = 0
    for lane in range(len(corners)):
        x, y = corners[lane, 0]
        back = ports[lane, 0]
        for leg in range(1, 4):
            to_x, to_y = corners[lane, leg]
            while faults[lane, 0] == NO_FAULT and (x != to_x or y != to_y):
                port = 1 if to_x > x else 3 if to_x < x else 2 if to_y > y else 0
                if back >= 0:
                    passed = _pass(
                        routers, circuit, x, y, back, port, numbers[lane], found.cells, passed, faults[lane]
                    )
                x, y, back = x + _RIGHT[port], y + _DOWN[port], (port + 2) % 4
        if faults[lane, 0] == NO_FAULT and ports[lane, 1] >= 0 and back >= 0:
            port = ports[lane, 1]
            passed = _pass(
                routers, circuit, x, y, back, port, numbers[lane], found.cells, passed, faults[lane]
            )
        found.cell_ends[lane + 1] = passed


@compiled
def _pass(
    routers: Routers,
    circuit: int,
    x: int,
    y: int,
    back: int,
    port: int,
    number: int,
    cells: Integers,
    passed: int,
    fault: Integers,
) -> int:
    """A core of a lane, which takes words from `back` alone and gives them to `port` alone."""
    area = routers.grid[y, x]
    wrong = NO_FAULT
    if area < 0 or routers.circuit[area] != circuit:
        wrong = OFF_ROUTE
    elif routers.source[routers.setting[area], 1] >= 0:
        wrong = MERGED
    elif (
        routers.source[routers.setting[area], 0] != back
        or routers.outputs[routers.setting[area], 0] != 1 << port
    ):
        wrong = OFF_ROUTE
    elif routers.mark[y, x] >= 0:
        wrong = MET_AGAIN
    if wrong != NO_FAULT:
        fault[0], fault[1], fault[2] = wrong, x, y
        return passed
    routers.mark[y, x] = number
    cells[passed] = y * routers.grid.shape[1] + x
    return passed + 1


@compiled
def spread(
    routers: Routers,
    circuit: int,
    roots: Integers,
    numbers: Integers,
    bounds: Integers,
    found: Found,
    faults: Integers,
) -> None:
    """Follow the trees of all lanes from their roots to the cores that receive.

    Args:
        routers: As in `gather`.
        circuit: Likewise.
        roots: Column and row where each lane ends, and the port by which words come there: [lanes, 3].
        numbers: Of the lanes.
        bounds: First column and row of the consumer, and those behind its last.
        found: Filled but for its parents.
        faults: As in `run_lanes`.
    """
    width = routers.grid.shape[1]
    waiting = np.empty((len(found.cells) + 4, 3), np.int64)
    passed = received = 0
    for lane in range(len(roots)):
        depth = 0
        if faults[lane, 0] == NO_FAULT:
            waiting[0] = roots[lane]
            depth = 1
        while depth:
            depth -= 1
            x, y, back = waiting[depth]
            wrong = _leaf_fault(routers, circuit, bounds, x, y, back)
            if wrong != NO_FAULT:
                faults[lane, 0], faults[lane, 1], faults[lane, 2] = wrong, x, y
                break
            routers.mark[y, x] = numbers[lane]
            found.cells[passed] = y * width + x
            passed += 1
            given = routers.outputs[routers.setting[routers.grid[y, x]], 0]
            if given >> _RAMP & 1:
                found.ends[received] = y * width + x
                received += 1
            for port in range(4):
                if given >> port & 1:
                    waiting[depth, 0], waiting[depth, 1] = x + _RIGHT[port], y + _DOWN[port]
                    waiting[depth, 2] = (port + 2) % 4
                    depth += 1
        found.end_ends[lane + 1], found.cell_ends[lane + 1] = received, passed


@compiled
def _leaf_fault(routers: Routers, circuit: int, bounds: Integers, x: int, y: int, back: int) -> int:
    """What is wrong with a core of a spread tree, which takes words from `back` alone."""
    wrong = _place_fault(routers, circuit, bounds, x, y)
    if wrong != NO_FAULT:
        return wrong
    setting = routers.setting[routers.grid[y, x]]
    if routers.source[setting, 0] != back or routers.source[setting, 1] >= 0:
        return MERGED
    return NO_FAULT
