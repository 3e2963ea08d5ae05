"""Arithmetic on rectangles and routes: overlap, distance, length, and the legs of a route in a common frame.

Nothing here loops over lanes or cores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.plan import Rectangle

if TYPE_CHECKING:
    from wsec.compiler.plan import Route


@dataclass(frozen=True, slots=True)
class Legs:
    """A route as it looks where its first leg runs to higher columns and its second leg to higher rows.

    The frame is the region, transposed if `transposed`, then with its columns and rows reversed as the flags say.
    The lanes start at column `start` of rows `[row, row + lanes)`. Straight ones end at column `turn`. Bent ones
    turn at columns `[turn, turn + lanes)`, the highest row first, and end at row `end`.
    """

    transposed: bool
    flip_columns: bool
    flip_rows: bool
    row: int
    lanes: int
    start: int
    turn: int
    end: int
    bent: bool


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


def is_straight(route: Route) -> bool:
    """Whether the lanes do not turn."""
    return _same_rows(route) or _same_columns(route)


def footprint(route: Route) -> tuple[Rectangle, Rectangle]:
    """Two bands of cores that together are exactly those of the route: source to corner, corner to target."""
    source, target = route.source, route.target
    if route.vertical_first:
        corner = Rectangle(source.x, target.y, source.width, target.height)
    else:
        corner = Rectangle(target.x, source.y, target.width, source.height)
    return bounding_box(source, corner), bounding_box(corner, target)


def share_a_core(first: Route, second: Route) -> bool:
    """Whether a core lies on both routes."""
    return any(overlap(a, b) for a in footprint(first) for b in footprint(second))


def longest_lane(route: Route) -> int:
    """Hops of the longest lane; the outermost one of nested lanes spans the whole bounding box."""
    if is_straight(route):
        return distance(route.source, route.target)
    box = bounding_box(route.source, route.target)
    return box.width + box.height - 2


def legs(route: Route, width: int, height: int) -> Legs:
    """The route in its frame, for a region of `width` columns and `height` rows."""
    source, target = route.source, route.target
    bent = not is_straight(route)
    transposed = route.vertical_first if bent else not _same_rows(route)
    if transposed:
        source, target = transpose(source), transpose(target)
        width, height = height, width
    flip_columns = target.x < source.x
    flip_rows = target.y < source.y
    return Legs(
        transposed=transposed,
        flip_columns=flip_columns,
        flip_rows=flip_rows,
        row=height - source.y - source.height if flip_rows else source.y,
        lanes=source.height,
        start=width - source.x - source.width if flip_columns else source.x,
        turn=width - target.x - target.width if flip_columns else target.x,
        end=height - target.y - target.height if flip_rows else target.y,
        bent=bent,
    )


def _same_rows(route: Route) -> bool:
    return (route.source.y, route.source.height) == (route.target.y, route.target.height)


def _same_columns(route: Route) -> bool:
    return (route.source.x, route.source.width) == (route.target.x, route.target.width)
