"""By which exchanges a tensor comes from one layout to another: the way whose cycles `reshardings` counts, written down.

The ways of one pair of layouts, each with its cycles; the first of the cheapest is taken. A broadcast is an exchange in which one core
of a line sends. Lines begin at the first core of the region, as all kernels that take turns do.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.resharding_layouts import (
    LaidTensor,
    bounds,
    common_view,
    grids,
    rectangles,
    runs_along,
    shares,
    without_cuts_along,
)
from wsec.compiler.cost.resharding_loops import covered, segments
from wsec.compiler.cost.resharding_tiles import boxes_along, tiles
from wsec.compiler.cost.reshardings import (
    SIDES,
    Lines,
    extended_sources,
    halo,
    halos,
    in_segments,
    in_tiles,
    inside_lines,
    largest_runs,
    span,
)
from wsec.compiler.plan import Exchange

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.target import Target

    Counts = NDArray[np.int64]
    Way = tuple[float, tuple[Exchange, ...]]


def resharding_way(source: LaidTensor, target: LaidTensor, words: int, machine: Target) -> Way:
    """The cycles of `reshardings.resharding_cycles`, and the exchanges that take them, one after the other; none where all is in place."""
    here, there = rectangles([source]), rectangles([target])
    lines = Lines(shares([source]), shares([target]), words, machine)
    found = list(_along_two_lines(here, there, lines))
    shape = common_view(source.sharding.shape, target.sharding.shape)
    if shape is not None:
        held = [bounds(source, shape, inner=True)]
        longer, cycles = extended_sources(here, there, held, np.zeros(1, np.int64), lines)
        before = tuple(
            _whole(here, there, side)
            for side in reversed(SIDES)
            if (longer != here)[0, [1 - side, 3 - side]].any()
        )
        within = _ways_within((source, target), (longer, there), lines, shape)
        further = [(float(cycles[0]) + each, (*before, *exchanges)) for each, exchanges in within]
        found = [*further, *found] if before else further
    return min(found, key=lambda way: way[0])


def _whole(here: Counts, there: Counts, side: int) -> Exchange:
    """Along whole lines, as long as both rectangles reach."""
    at = 1 - side
    ends = (int(place[0, at] + place[0, at + 2]) for place in (here, there))
    return Exchange("rows" if side else "columns", max(ends))


def _along_two_lines(here: Counts, there: Counts, lines: Lines) -> Iterator[Way]:
    """To the lines across that need it, then along these; rows or columns first."""
    for first in SIDES:
        second = 1 - first
        cycles = lines.line(lines.words * lines.held[:, first], span(here, there, first), here[:, 3 - first])
        cycles = cycles + lines.line(
            lines.words * lines.needed[:, second], span(here, there, second), here[:, 3 - second]
        )
        yield math.ceil(float(cycles[0])), (_whole(here, there, first), _whole(here, there, 1 - first))


def _ways_within(
    layouts: tuple[LaidTensor, LaidTensor],
    places: tuple[Counts, Counts],
    lines: Lines,
    shape: tuple[int, ...],
) -> list[Way]:
    """Where the source has all lines that the target has; the first that needs nothing is the only one."""
    source, target = layouts
    here, there = places
    held, needed = [bounds(source, shape, inner=True)], [bounds(target, shape, inner=False)]
    sizes = rectangles([target])[:, [3, 2]]
    shifts = (there - here)[:, [1, 0]]
    test = np.column_stack([np.zeros((1, 2), np.int64), shifts])
    inside = [bool(inside_lines(here, there, side)[0]) for side in SIDES]
    if all(inside) and covered(grids(held), grids(needed), test, sizes)[0]:
        return [(0.0, ())]
    if all(inside) and (here == there).all() and halos([source], [target], np.zeros((2, 1), np.int64))[0]:
        return [(float(halo(source, target, lines)), tuple(_halo_exchanges(source)))]
    found = list(_along_two_lines(here, there, lines))
    for side in SIDES:
        together = [without_cuts_along(source, shape, along_rows=bool(side))]
        if not inside[1 - side] or not covered(grids(together), grids(needed), test, sizes)[0]:
            continue
        found.append((float(lines.one(here, there, side)[0]), (_whole(here, there, side),)))
        runs = (
            runs_along(held, shape, along_rows=bool(side), in_order=True),
            runs_along(needed, shape, along_rows=bool(side), in_order=False),
        )
        near = segments(*runs, np.column_stack([test[:, :2], shifts[:, side]]))
        cycles = in_segments(near, largest_runs(held, shape, side), lines, math.prod(shape), side)
        found.append((float(cycles[0]), tuple(_tilings(side, *near[0].tolist()))))
        of_source = boxes_along(held, shape, rectangles([source])[:, [3, 2]][:, side], side)
        of_target = boxes_along(needed, shape, sizes[:, side], side)
        tile = int(tiles(of_source, of_target, np.column_stack([test[:, :2], shifts[:, side]]))[0, 0])
        of_tiles = in_tiles(
            (held, needed),
            (rectangles([source])[:, [3, 2]], sizes),
            (np.zeros((2, 1), np.int64), shifts[:, side]),
            lines,
            (shape, side),
        )
        found.append((float(of_tiles[0]), (Exchange("rows" if side else "columns", tile),)))
    return [way for way in found if math.isfinite(way[0])]


def _tilings(side: int, length: int, count: int) -> Iterator[Exchange]:
    """One tiling of segments, or two that lie half a segment apart; none where nothing is needed."""
    along = "rows" if side else "columns"
    if length > 0:
        yield Exchange(along, length)  # type: ignore[arg-type]
    if length > 0 and count > 1:
        yield Exchange(along, length, length // 2)  # type: ignore[arg-type]


def _halo_exchanges(laid: LaidTensor) -> Iterator[Exchange]:
    """Neighbours along each side that has several cores: two tilings of pairs."""
    for side, size in ((1, laid.rectangle.width), (0, laid.rectangle.height)):
        if size > 1:
            yield from _tilings(side, 2, 2)
