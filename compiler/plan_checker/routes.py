"""Routes: where their lanes begin and end, and that no two lanes of a colour meet on a core of a phase.

A lane is a few straight legs, expanded here from the docstring of `Route`. All runs of a colour are
painted on the grid at once by differences at their corners, so a legal plan costs two sums over the grid a colour; the
routes that meet are named only where the grid shows that some do.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan import HOST, Rectangle
from wsec.compiler.plan_checker.findings import ROUTE, Finding, count
from wsec.compiler.plan_checker.placement import inside, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan import Link, Phase, Plan, Route, Wafer

    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Runs:
    """Straight runs of cores of one route: bounds, both ends included, one entry a run."""

    name: str
    left: Integers
    right: Integers
    top: Integers
    bottom: Integers


def check_routes(plan: Plan) -> list[Finding]:
    """Findings on the routes of every phase."""
    findings: list[Finding] = []
    everywhere = {kernel.name for kernel in plan.kernels()}
    for wafer in plan.wafers:
        if wafer.mode == "sequential":
            findings += _check_unrouted(wafer)
            continue
        for phase in wafer.phases:
            elsewhere = everywhere.difference(kernel.name for kernel in phase.kernels)
            findings += _check_phase(phase, plan, elsewhere)
    return findings


def _check_unrouted(wafer: Wafer) -> Iterator[Finding]:
    for link in wafer.links():
        if link.routes:
            rule = "what goes from turn to turn has no lanes of its own"
            yield Finding(ROUTE, rule, f"link {link.name}", "no route", count(len(link.routes), "route"))


def _check_phase(phase: Phase, plan: Plan, elsewhere: set[str]) -> Iterator[Finding]:
    """Of what is outside, the host and kernels of other wafers and phases, words come in at the first column."""
    places = {kernel.name: kernel.rectangle for kernel in phase.kernels}
    height = plan.region_height
    way_in = Rectangle(0, 0, 1, height)
    sources = {**dict.fromkeys(elsewhere, way_in), **places, HOST: way_in}
    targets = {**places, HOST: Rectangle(plan.region_width - 1, 0, 1, height)}
    region = Rectangle(0, 0, plan.region_width, height)
    colours: dict[int, list[_Runs]] = {}
    for link in phase.links:
        yield from _check_routed(link, sources, targets)
        for number, route in enumerate(link.routes):
            name = f"link {link.name}, route {number}"
            yield from _check_colour(route, name, plan)
            ends = ((route.source, sources.get(link.source)), (route.target, targets.get(link.target)))
            misplaced = [*_check_strips(ends, name), *_check_via(route, region, name)]
            yield from misplaced
            if not misplaced and inside(route.source, region) and inside(route.target, region):
                colours.setdefault(route.colour, []).append(_expand(route, name))
    for colour in sorted(colours):
        if _meet(colours[colour], region):
            yield from _name_meetings(colour, colours[colour], region)


def _check_routed(
    link: Link, sources: dict[str, Rectangle], targets: dict[str, Rectangle]
) -> Iterator[Finding]:
    if link.source in sources and link.target in targets and not link.routes:
        rule = "a link has a route"
        yield Finding(ROUTE, rule, f"link {link.name}", "at least one route", "none")


def _check_colour(route: Route, where: str, plan: Plan) -> Iterator[Finding]:
    fabric = plan.target.fabric
    usable = fabric.colours - fabric.reserved_colours - fabric.kernel_colours
    if not 0 <= route.colour < usable:
        rule = "the colour is one of those for links"
        yield Finding(ROUTE, rule, where, f"a colour from 0 to {usable - 1}", f"colour {route.colour}")


def _check_strips(ends: tuple[tuple[Rectangle, Rectangle | None], ...], where: str) -> Iterator[Finding]:
    for strip, place in ends:
        if place is None or not inside(strip, place):
            rule = "a lane begins and ends in the rectangles that it joins"
            expected = "a rectangle of the phase" if place is None else f"inside {shown(place)}"
            yield Finding(ROUTE, rule, where, expected, shown(strip))
        if min(strip.width, strip.height) != 1:
            rule = "a strip is one core wide or one core high"
            yield Finding(ROUTE, rule, where, "1xN or Nx1 cores", shown(strip))
    source, target = (strip.width * strip.height for strip, _ in ends)
    if source != target:
        rule = "the two strips of a route have as many cores"
        yield Finding(ROUTE, rule, where, count(source, "core"), count(target, "core"))


def _check_via(route: Route, region: Rectangle, where: str) -> Iterator[Finding]:
    extent = region.height if route.vertical_first else region.width
    if route.via is not None and not 0 <= route.via <= extent - route.lanes:
        rule = "lanes stay in the region"
        found = f"{count(route.lanes, 'lane')} from {route.via} on"
        yield Finding(
            ROUTE,
            rule,
            where,
            f"{'rows' if route.vertical_first else 'columns'} from 0 to {extent - 1}",
            found,
        )


def _cores(strip: Rectangle) -> tuple[Integers, Integers]:
    """The x and y of every core of a strip, from the lowest on."""
    along = np.arange(strip.width * strip.height, dtype=np.int64)
    zero = np.zeros_like(along)
    return (strip.x + along, strip.y + zero) if strip.height == 1 else (strip.x + zero, strip.y + along)


def _corners(route: Route) -> list[tuple[Integers, Integers]]:
    """The x and y, of every lane, where it begins, may turn, and ends."""
    start_x, start_y = _cores(route.source)
    end_x, end_y = _cores(route.target)
    if route.mirrored:
        end_x, end_y = end_x[::-1], end_y[::-1]
    if route.via is None:
        turns = [(start_x, end_y) if route.vertical_first else (end_x, start_y)]
    else:
        between = route.via + np.arange(route.lanes, dtype=np.int64)
        between = between[::-1] if route.via_mirrored else between
        turns = (
            [(start_x, between), (end_x, between)]
            if route.vertical_first
            else [(between, start_y), (between, end_y)]
        )
    return [(start_x, start_y), *turns, (end_x, end_y)]


def _expand(route: Route, name: str) -> _Runs:
    """The core where each lane begins, then each leg without the core that it begins on."""
    corners = _corners(route)
    runs = [(corners[0], corners[0])]
    for (from_x, from_y), (to_x, to_y) in pairwise(corners):
        step_x, step_y = np.sign(to_x - from_x), np.sign(to_y - from_y)
        moves = (step_x != 0) | (step_y != 0)
        runs.append((((from_x + step_x)[moves], (from_y + step_y)[moves]), (to_x[moves], to_y[moves])))
    return _Runs(
        name,
        left=np.concatenate([np.minimum(first[0], last[0]) for first, last in runs]),
        right=np.concatenate([np.maximum(first[0], last[0]) for first, last in runs]),
        top=np.concatenate([np.minimum(first[1], last[1]) for first, last in runs]),
        bottom=np.concatenate([np.maximum(first[1], last[1]) for first, last in runs]),
    )


def _meet(routes: list[_Runs], region: Rectangle) -> bool:
    """Whether any core of the region is in two runs."""
    return bool((_paint(routes, region) > 1).any())


def _paint(routes: list[_Runs], region: Rectangle) -> Integers:
    """How many runs each core of the region is in, [height, width]."""
    counts = np.zeros((region.height + 1, region.width + 1), dtype=np.int64)
    for runs in routes:
        np.add.at(counts, (runs.top, runs.left), 1)
        np.add.at(counts, (runs.bottom + 1, runs.right + 1), 1)
        np.add.at(counts, (runs.top, runs.right + 1), -1)
        np.add.at(counts, (runs.bottom + 1, runs.left), -1)
    return counts.cumsum(axis=0).cumsum(axis=1)[:-1, :-1]


def _name_meetings(colour: int, routes: list[_Runs], region: Rectangle) -> Iterator[Finding]:
    owner = np.full((region.height, region.width), -1, dtype=np.int64)
    for number, runs in enumerate(routes):
        count = _paint([runs], region)
        if (count > 1).any():
            yield _meeting("lanes of a route share no core", f"{runs.name}, colour {colour}", count > 1)
        mine = count > 0
        for other in np.unique(owner[mine]).tolist():
            if other >= 0:
                where = f"{routes[other].name} and {runs.name}, colour {colour}"
                yield _meeting("routes of one colour share no core", where, mine & (owner == other))
        owner[mine] = number


def _meeting(rule: str, where: str, shared: NDArray[np.bool_]) -> Finding:
    y, x = np.unravel_index(int(shared.argmax()), shared.shape)
    found = f"{count(int(shared.sum()), 'core')} in both, the first at x={x}, y={y}"
    return Finding(ROUTE, rule, where, "no core in both", found)
