"""Traffic, the loops over lanes and their cores: compiled. Meanings are those of `wsec.compiler.routing.traffic`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Loads = NDArray[np.int64]
    Counts = NDArray[np.int32]
    Band = tuple[int, int, int, int]
    # Words that leave cores towards E and W, [height, width]; towards S and N, [width, height].
    Ports = tuple[Loads, Loads, Loads, Loads]
    # Source x, y, columns, rows; target x, y, columns, rows; channel or -1; flags: mirrored, vertical first, channel mirrored.
    Shape = tuple[int, int, int, int, int, int, int, int, int, int, int, int]

_CORNERS = 4


@compiled
def lane_peaks(ports: Ports, shape: Shape) -> Loads:
    """Words through the busiest port between cores of each lane of a route, [lanes]."""
    lanes = max(shape[2], shape[3])
    peaks = np.zeros(lanes, np.int64)
    corners = np.empty((_CORNERS, 2), np.int64)
    for lane in range(lanes):
        _place_corners(shape, lane, corners)
        for leg in range(_CORNERS - 1):
            run = _run(ports, corners[leg], corners[leg + 1])
            for words in run:
                peaks[lane] = max(peaks[lane], words)
    return peaks


@compiled
def add_lanes(ports: Ports, shape: Shape, words: Loads) -> None:
    """Put `words`, [lanes], on every port between cores of each lane of a route."""
    corners = np.empty((_CORNERS, 2), np.int64)
    for lane in range(len(words)):
        _place_corners(shape, lane, corners)
        for leg in range(_CORNERS - 1):
            run = _run(ports, corners[leg], corners[leg + 1])
            run += words[lane]


@compiled
def _place_corners(shape: Shape, lane: int, corners: Loads) -> None:
    """Column and row where a lane begins, may turn twice, and ends; a turn that is none lies where the next one does."""
    x, y, columns, rows, last_x, last_y, last_columns, last_rows, via, mirrored, vertical, via_mirrored = (
        shape
    )
    lanes = max(columns, rows)
    end = lanes - 1 - lane if mirrored else lane
    x, y = x + lane * (columns > 1), y + lane * (rows > 1)
    last_x, last_y = last_x + end * (last_columns > 1), last_y + end * (last_rows > 1)
    between = via + (lanes - 1 - lane if via_mirrored else lane)
    if vertical:
        turn = between if via >= 0 else last_y
        corners[1] = x, turn
        corners[2] = last_x, turn
    else:
        turn = between if via >= 0 else last_x
        corners[1] = turn, y
        corners[2] = turn, last_y
    corners[0] = x, y
    corners[3] = last_x, last_y


@compiled
def _run(ports: Ports, start: Loads, end: Loads) -> Loads:
    """The loads of the ports by which a straight run leaves its cores; the last core is not left."""
    x, y, last_x, last_y = start[0], start[1], end[0], end[1]
    if last_x > x:
        return ports[0][y, x:last_x]
    if last_x < x:
        return ports[1][y, last_x + 1 : x + 1]
    if last_y > y:
        return ports[2][x, y:last_y]
    return ports[3][x, last_y + 1 : y + 1]


@compiled
def route_peak(counts: Counts, shape: Shape, own: tuple[bool, bool]) -> int:
    """Most routes through a core of the route; `own`: whether its own claim counts where it begins, and where it ends."""
    bands = np.empty((3, 4), np.int64)
    _place_bands(shape, bands)
    _count_ends(counts, shape, own, -1)
    peak = np.int32(0)
    for x, y, columns, rows in bands:
        for row in range(y, y + rows):
            for routes in counts[row, x : x + columns]:
                peak = max(peak, routes)
    _count_ends(counts, shape, own, 1)
    return int(peak)


@compiled
def count_route(counts: Counts, shape: Shape, own: tuple[bool, bool], routes: int) -> None:
    """Add `routes` on every core of the route but where it begins or ends on its own ground."""
    bands = np.empty((3, 4), np.int64)
    _place_bands(shape, bands)
    for x, y, columns, rows in bands:
        for row in range(y, y + rows):
            counts[row, x : x + columns] += routes
    _count_ends(counts, shape, own, -routes)


@compiled
def _count_ends(counts: Counts, shape: Shape, own: tuple[bool, bool], routes: int) -> None:
    for end in range(2):
        if own[end]:
            x, y, columns, rows = shape[4 * end], shape[4 * end + 1], shape[4 * end + 2], shape[4 * end + 3]
            counts[y : y + rows, x : x + columns] += routes


@compiled
def _place_bands(shape: Shape, bands: Loads) -> None:
    """The cores of a route as rectangles that share none; as `wsec.compiler.routing.geometry.footprint`, some of them empty."""
    x, y, columns, rows, last_x, last_y, last_columns, last_rows, via, _, vertical, _ = shape
    if vertical:
        x, y, columns, rows = y, x, rows, columns
        last_x, last_y, last_columns, last_rows = last_y, last_x, last_rows, last_columns
    lanes = max(columns, rows)
    if via < 0:
        _enclose(bands[0], (x, y, columns, rows), (last_x, y, last_columns, rows))
        top = last_y if last_y < y else y + rows
        bands[1] = last_x, top, last_columns, (y if last_y < y else last_y + last_rows) - top
        bands[2] = 0
    else:
        top = min(y, last_y) + lanes
        _enclose(bands[0], (x, y, columns, rows), (via, y, lanes, lanes))
        bands[1] = via, top, lanes, max(y, last_y) - top
        _enclose(bands[2], (via, last_y, lanes, lanes), (last_x, last_y, last_columns, last_rows))
    if vertical:
        for band in bands:
            band[0], band[1] = band[1], band[0]
            band[2], band[3] = band[3], band[2]


@compiled
def _enclose(found: Loads, first: Band, second: Band) -> None:
    """The least rectangle that holds both."""
    found[0], found[1] = min(first[0], second[0]), min(first[1], second[1])
    found[2] = max(first[0] + first[2], second[0] + second[2]) - found[0]
    found[3] = max(first[1] + first[3], second[1] + second[3]) - found[1]
