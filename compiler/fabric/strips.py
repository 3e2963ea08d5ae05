"""Where the lanes of a route touch the rectangle of a kernel, and which part of the rectangle is each route's.

Routes of one link touch a rectangle at up to three strips of its boundary that share no core. Straight cuts divide the
rectangle so that each part has one strip, on its own boundary; of the cuts, those for which the busiest lane has least.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle, Route

    Corner = tuple[int, int]

OPPOSITE = {"N": "S", "S": "N", "E": "W", "W": "E"}


@dataclass(frozen=True, slots=True)
class Strip:
    """Lanes side by side on one side of a rectangle.

    Attributes:
        side: The side of the rectangle that they cross: N, E, S or W.
        x: First column, of the rectangle.
        y: First row, of the rectangle.
        lanes: How many, along the side.
        numbers: Of the lane at each core, from the lowest coordinate on.
    """

    side: str
    x: int
    y: int
    lanes: int
    numbers: range

    @property
    def stop_x(self) -> int:
        """Column behind the last one."""
        return self.x + (self.lanes if self.side in "NS" else 1)

    @property
    def stop_y(self) -> int:
        """Row behind the last one."""
        return self.y + (self.lanes if self.side in "EW" else 1)


@dataclass(frozen=True, slots=True)
class Part:
    """Columns `[left, right)` and rows `[top, bottom)` of a rectangle."""

    left: int
    top: int
    right: int
    bottom: int


def source_strips(routes: Sequence[Route], rectangle: Rectangle) -> tuple[Strip, ...]:
    """Where the lanes of a link leave the rectangle of its producer; lanes are numbered over all routes."""
    strips = []
    first = 0
    for route in routes:
        numbers = range(first, first + route.lanes)
        side = _moves(route)[0]
        strips.append(
            Strip(side, route.source.x - rectangle.x, route.source.y - rectangle.y, route.lanes, numbers)
        )
        first += route.lanes
    return tuple(strips)


def target_strips(routes: Sequence[Route], rectangle: Rectangle) -> tuple[Strip, ...]:
    """Where the lanes of a link enter the rectangle of its consumer; lanes are numbered over all routes."""
    strips = []
    first = 0
    for route in routes:
        numbers = range(first, first + route.lanes)
        side = OPPOSITE[_moves(route)[1]]
        strips.append(
            Strip(
                side,
                route.target.x - rectangle.x,
                route.target.y - rectangle.y,
                route.lanes,
                numbers[::-1] if route.mirrored else numbers,
            )
        )
        first += route.lanes
    return tuple(strips)


def prefix_sums(words: NDArray[np.int64]) -> NDArray[np.int64]:
    """What lies above and left of every corner of the cores: [height + 1, width + 1]."""
    height, width = words.shape
    sums = np.zeros((height + 1, width + 1), np.int64)
    np.cumsum(words, axis=0, out=sums[1:, 1:])
    np.cumsum(sums[1:, 1:], axis=1, out=sums[1:, 1:])
    return sums


def divide(strips: Sequence[Strip], sums: NDArray[np.int64]) -> tuple[Part, ...]:
    """The part of each strip: disjoint, together the rectangle.

    Args:
        strips: Of one rectangle; no core is in two of them.
        sums: By `prefix_sums`, of what every core weighs.

    Raises:
        ValueError: No straight cuts keep every strip on the boundary of its part.
    """
    height, width = sums.shape[0] - 1, sums.shape[1] - 1
    found = _best(tuple(range(len(strips))), Part(0, 0, width, height), strips, sums)
    if found is None:
        raise ValueError(f"no straight cuts divide {width} x {height} cores between {list(strips)}")
    parts = found[1]
    return tuple(parts[number] for number in range(len(strips)))


def divisible(strips: Sequence[Strip]) -> bool:
    """Whether straight cuts, none through a strip, divide a rectangle so that each strip has a part of its own."""
    if len(strips) == 1:
        return True
    for columns in (True, False):
        order = sorted(strips, key=lambda strip: strip.x if columns else strip.y)
        stop = 0
        for count in range(1, len(order)):
            stop = max(stop, order[count - 1].stop_x if columns else order[count - 1].stop_y)
            start = order[count].x if columns else order[count].y
            if stop <= start and divisible(order[:count]) and divisible(order[count:]):
                return True
    return False


def lane_share(along: int, depth: int, first: int, lanes: int) -> float:
    """Part of the cores of a rectangle that its busiest lane serves, about.

    Lanes side by side at `[first, first + lanes)` of a side of `along` cores; `depth` cores behind each have room for as
    many lanes that run beside the strip, in either direction.
    """
    rows = along / lanes
    if lanes > depth:
        rows = max(rows, first / depth + 1, (along - first - lanes) / depth + 1)
    return rows / along


def _moves(route: Route) -> tuple[str, str]:
    """The directions in which lane 0 leaves its first core and comes to its last; east where it has one core."""
    corners = _corners(route)
    moves = [_direction(start, end) for start, end in pairwise(corners) if start != end]
    return (moves[0], moves[-1]) if moves else ("E", "E")


def _corners(route: Route) -> list[Corner]:
    last = route.lanes - 1
    start = route.source.x, route.source.y
    end = route.target.x, route.target.y
    if route.mirrored:
        end = (end[0] + last, end[1]) if route.target.width > 1 else (end[0], end[1] + last)
    if route.via is None:
        turn = (start[0], end[1]) if route.vertical_first else (end[0], start[1])
        return [start, turn, end]
    between = route.via + (last if route.via_mirrored else 0)
    if route.vertical_first:
        return [start, (start[0], between), (end[0], between), end]
    return [start, (between, start[1]), (between, end[1]), end]


def _direction(start: Corner, end: Corner) -> str:
    if start[0] != end[0]:
        return "E" if end[0] > start[0] else "W"
    return "S" if end[1] > start[1] else "N"


def _best(
    chosen: tuple[int, ...], part: Part, strips: Sequence[Strip], sums: NDArray[np.int64]
) -> tuple[float, dict[int, Part]] | None:
    """The words of the busiest lane, about, and each strip's part, for the best cuts of `part`; None where there are none."""
    if len(chosen) == 1:
        return _busiest(part, strips[chosen[0]], sums), {chosen[0]: part}
    best: tuple[float, dict[int, Part]] | None = None
    for (low, low_part), (high, high_part) in _cuts(chosen, part, strips, sums):
        first = _best(low, low_part, strips, sums)
        second = _best(high, high_part, strips, sums)
        if first is None or second is None:
            continue
        words = max(first[0], second[0])
        if best is None or words < best[0]:
            best = words, first[1] | second[1]
    return best


def _cuts(
    chosen: tuple[int, ...], part: Part, strips: Sequence[Strip], sums: NDArray[np.int64]
) -> Iterator[tuple[tuple[tuple[int, ...], Part], tuple[tuple[int, ...], Part]]]:
    """Ways to cut a part in two with some of its strips on either side; a cut crosses no strip."""
    for columns in (True, False):
        order = sorted(chosen, key=lambda number: strips[number].x if columns else strips[number].y)
        for count in range(1, len(order)):
            low, high = tuple(order[:count]), tuple(order[count:])
            least = max(strips[number].stop_x if columns else strips[number].stop_y for number in low)
            most = min(strips[number].x if columns else strips[number].y for number in high)
            if least > most:
                continue
            lanes = [sum(strips[number].lanes for number in group) for group in (low, high)]
            cut = _balanced(part, sums, least, most, lanes[0] / sum(lanes), columns=columns)
            if columns:
                yield (
                    (low, Part(part.left, part.top, cut, part.bottom)),
                    (high, Part(cut, part.top, part.right, part.bottom)),
                )
            else:
                yield (
                    (low, Part(part.left, part.top, part.right, cut)),
                    (high, Part(part.left, cut, part.right, part.bottom)),
                )


def _balanced(
    part: Part, sums: NDArray[np.int64], least: int, most: int, share: float, *, columns: bool
) -> int:
    """The cut from `least` to `most` before which about that share of the part's words lie."""
    if columns:
        before = sums[part.bottom, part.left : part.right + 1] - sums[part.top, part.left : part.right + 1]
        start = part.left
    else:
        before = sums[part.top : part.bottom + 1, part.right] - sums[part.top : part.bottom + 1, part.left]
        start = part.top
    before = before - before[0]
    distance = np.abs(before[least - start : most - start + 1] - share * before[-1])
    return least + int(distance.argmin())


def _busiest(part: Part, strip: Strip, sums: NDArray[np.int64]) -> float:
    words = (
        sums[part.bottom, part.right]
        - sums[part.top, part.right]
        - sums[part.bottom, part.left]
        + sums[part.top, part.left]
    )
    width, height = part.right - part.left, part.bottom - part.top
    if strip.side in "EW":
        return float(words) * lane_share(height, width, strip.y - part.top, strip.lanes)
    return float(words) * lane_share(width, height, strip.x - part.left, strip.lanes)
