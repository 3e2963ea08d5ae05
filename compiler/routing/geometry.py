"""Arithmetic on rectangles and routes: overlap, distance, length.

Nothing here loops over lanes or cores.
"""

from __future__ import annotations

import dataclasses

from wsec.compiler.plan import Rectangle, Route


def transpose(rectangle: Rectangle) -> Rectangle:
    """The same rectangle with columns and rows exchanged."""
    return Rectangle(rectangle.y, rectangle.x, rectangle.height, rectangle.width)


def bounding_box(first: Rectangle, second: Rectangle) -> Rectangle:
    """The least rectangle that holds both."""
    x, y = min(first.x, second.x), min(first.y, second.y)
    right = max(first.x + first.width, second.x + second.width)
    bottom = max(first.y + first.height, second.y + second.height)
    return Rectangle(x, y, right - x, bottom - y)


def overlap(first: Rectangle, second: Rectangle) -> bool:
    """Whether a core lies in both."""
    columns = first.x < second.x + second.width and second.x < first.x + first.width
    return columns and first.y < second.y + second.height and second.y < first.y + first.height


def distance(first: Rectangle, second: Rectangle) -> int:
    """Least hops from a core of one to a core of the other."""
    columns = max(first.x - (second.x + second.width - 1), second.x - (first.x + first.width - 1), 0)
    rows = max(first.y - (second.y + second.height - 1), second.y - (first.y + first.height - 1), 0)
    return columns + rows


def footprint(route: Route) -> tuple[Rectangle, ...]:
    """One to three rectangles, which share no core, of exactly the cores of a route with nested lanes.

    Nested lanes fill the squares in which they turn, so each leg is a band without holes; the squares are counted with
    the legs at either end.
    """
    if route.vertical_first:
        return tuple(map(transpose, footprint(transpose_route(route))))
    source, target, lanes = route.source, route.target, route.lanes
    if route.via is None:
        corner = Rectangle(target.x, source.y, target.width, source.height)
        bands: tuple[Rectangle, ...] = (bounding_box(source, corner), _beyond(corner, target))
    else:
        leaving = Rectangle(route.via, source.y, lanes, lanes)
        entering = Rectangle(route.via, target.y, lanes, lanes)
        bands = (
            bounding_box(source, leaving),
            _between(leaving, entering),
            bounding_box(entering, target),
        )
    return tuple(band for band in bands if band.height > 0)


def share_a_core(first: Route, second: Route) -> bool:
    """Whether a core lies on both routes."""
    return any(overlap(a, b) for a in footprint(first) for b in footprint(second))


def longest_lane(route: Route) -> int:
    """Hops of the longest lane; from lane to lane of nested ones the length rises or falls evenly."""
    return max(lane_hops(route, 0), lane_hops(route, route.lanes - 1))


def lane_hops(route: Route, lane: int) -> int:
    """Hops of one lane."""
    last = route.lanes - 1
    x, y = _core(route.source, lane)
    to_x, to_y = _core(route.target, last - lane if route.mirrored else lane)
    if route.via is None:
        return abs(to_x - x) + abs(to_y - y)
    turn = route.via + (last - lane if route.via_mirrored else lane)
    if route.vertical_first:
        return abs(turn - y) + abs(to_x - x) + abs(to_y - turn)
    return abs(turn - x) + abs(to_y - y) + abs(to_x - turn)


def some_lanes(route: Route, first: int, lanes: int) -> Route:
    """The route's lanes from `first` on."""
    after = route.lanes - first - lanes
    via = None if route.via is None else route.via + (after if route.via_mirrored else first)
    return dataclasses.replace(
        route,
        source=_some_cores(route.source, first, lanes),
        target=_some_cores(route.target, after if route.mirrored else first, lanes),
        via=via,
    )


def transpose_route(route: Route) -> Route:
    """The same route with columns and rows exchanged."""
    return dataclasses.replace(
        route,
        source=transpose(route.source),
        target=transpose(route.target),
        vertical_first=not route.vertical_first,
    )


def _beyond(first: Rectangle, second: Rectangle) -> Rectangle:
    """From behind `first` to the end of `second`, which has the same columns."""
    if second.y < first.y:
        return Rectangle(first.x, second.y, first.width, first.y - second.y)
    bottom = first.y + first.height
    return Rectangle(first.x, bottom, first.width, second.y + second.height - bottom)


def _between(first: Rectangle, second: Rectangle) -> Rectangle:
    """What lies between two squares in the same columns."""
    top = min(first.y, second.y) + first.height
    return Rectangle(first.x, top, first.width, max(first.y, second.y) - top)


def _some_cores(strip: Rectangle, first: int, cores: int) -> Rectangle:
    if strip.width == 1:
        return Rectangle(strip.x, strip.y + first, 1, cores)
    return Rectangle(strip.x + first, strip.y, cores, 1)


def _core(strip: Rectangle, lane: int) -> tuple[int, int]:
    return (strip.x, strip.y + lane) if strip.width == 1 else (strip.x + lane, strip.y)
