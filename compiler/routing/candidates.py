"""The ways a link can run: from which side of its source to which side of its target, with how many lanes, where.

A *passage* is a maximal family of nested lanes between two rectangles: straight over shared rows or columns, or with
one turn from a side of the source to a side of the target. Between disjoint rectangles there are one to three. Lanes
leave the source at its boundary, enter the target at its boundary and cross neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice
from typing import TYPE_CHECKING

from wsec.compiler.plan import Rectangle, Route
from wsec.compiler.routing.geometry import share_a_core, transpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

UNCOLOURED = -1
_MOST_POSITIONS = 8


@dataclass(frozen=True, slots=True)
class Demand:
    """What a link asks for.

    Attributes:
        wanted: Lanes, if there is room.
        enough: Lanes beyond which no further passage is worth its cores.
        packed: Whether lanes should leave room for others beside them.
    """

    wanted: int
    enough: int
    packed: bool


@dataclass(frozen=True, slots=True)
class Side:
    """Cores on one side of a rectangle: `room` rows of a column, counted from `first` in direction `step`."""

    first: int
    step: int
    room: int

    def low(self, offset: int, lanes: int) -> int:
        """Lowest coordinate of the `lanes` cores behind the first `offset` ones."""
        return self.first + offset if self.step > 0 else self.first - offset - lanes + 1


@dataclass(frozen=True, slots=True)
class Passage:
    """Lanes along rows from column `start` at the rows `rows`, to the columns `columns` of row `end`.

    Where `columns` is None they are straight and end at column `end`. With `transposed`, rows and columns are
    exchanged. Both sides are counted outwards from the innermost lane.
    """

    start: int
    rows: Side
    end: int
    columns: Side | None
    transposed: bool

    @property
    def room(self) -> int:
        """Most lanes."""
        return self.rows.room if self.columns is None else min(self.rows.room, self.columns.room)

    def shifted(self) -> list[Passage]:
        """The same turn without its innermost core on one side or on both, where lanes of another passage may end."""
        if self.columns is None:
            return []
        sides = (
            (_shorten(self.rows), self.columns),
            (self.rows, _shorten(self.columns)),
            (_shorten(self.rows), _shorten(self.columns)),
        )
        return [
            Passage(self.start, rows, self.end, columns, self.transposed)
            for rows, columns in sides
            if rows.room > 0 and columns.room > 0
        ]

    def positions(self, lanes: int, *, packed: bool) -> tuple[Route, ...]:
        """Routes of that many lanes at a few places, the best first.

        Turning lanes prefer the innermost, shortest place. Straight ones prefer the middle, from where the kernel's
        own distribution is shortest, or one end if they are to be `packed` beside others.
        """
        spare = max(side.room for side in (self.rows, self.columns) if side is not None) - lanes
        count = min(_MOST_POSITIONS, spare // lanes + 2) if spare > 0 else 1
        routes = [self._route(lanes, index, max(count - 1, 1)) for index in range(count)]
        if self.columns is None and spare > 0 and not packed:
            routes.insert(0, self._route(lanes, 1, 2))
        return tuple(routes)

    def _route(self, lanes: int, index: int, last: int) -> Route:
        row = self.rows.low((self.rows.room - lanes) * index // last, lanes)
        source = Rectangle(self.start, row, 1, lanes)
        if self.columns is None:
            target, mirrored = Rectangle(self.end, row, 1, lanes), False
        else:
            column = self.columns.low((self.columns.room - lanes) * index // last, lanes)
            target = Rectangle(column, self.end, lanes, 1)
            # Going down, the lowest row (the highest y) turns first: at the least x when going right.
            mirrored = lanes > 1 and (self.columns.step > 0) == (self.rows.step < 0)
        if self.transposed:
            source, target = transpose(source), transpose(target)
        vertical_first = self.transposed and self.columns is not None
        return Route(UNCOLOURED, source, target, mirrored, vertical_first)


def passages(source: Rectangle, target: Rectangle) -> tuple[Passage, ...]:
    """Every passage: straight ones first, then those along rows first, then those along columns first."""
    turned = transpose(source), transpose(target)
    straight = (*_straight(source, target, transposed=False), *_straight(*turned, transposed=True))
    return (
        *straight[:1],  # only rectangles of the host can have both, over the same cores
        *_bent(source, target, transposed=False),
        *_bent(*turned, transposed=True),
    )


def first_bundles(ways: Sequence[Passage], demand: Demand) -> list[tuple[Route, ...]]:
    """Sets of routes at their best places, of as few passages as give enough lanes, or of all there are."""
    found: list[tuple[Route, ...]] = []
    for size in range(1, len(ways) + 1):
        for chosen in combinations(ways, size):
            found.extend(islice(_bundles(chosen, demand), 1))
        if any(sum(route.lanes for route in routes) >= demand.enough for routes in found):
            break
    return found


def all_bundles(ways: Sequence[Passage], demand: Demand) -> list[tuple[Route, ...]]:
    """Every set of passages, at every place that is tried; single turns also without their innermost core."""
    sets = [chosen for size in range(1, len(ways) + 1) for chosen in combinations(ways, size)]
    sets += [(passage,) for way in ways for passage in way.shifted()[-1:]]
    return [routes for chosen in sets for routes in _bundles(chosen, demand)]


def _bundles(chosen: Sequence[Passage], demand: Demand) -> Iterator[tuple[Route, ...]]:
    shares = _share(chosen, demand.wanted)
    if shares is None:
        return
    places = [passage.positions(lanes, packed=demand.packed) for passage, lanes in shares]
    for index in range(max(map(len, places))):
        yield tuple(routes[min(index, len(routes) - 1)] for routes in places)


def _share(chosen: Sequence[Passage], lanes: int) -> list[tuple[Passage, int]] | None:
    """Lanes for each passage, filled in turn; None when one of them would have none."""
    shares: list[tuple[Passage, int]] = []
    routes: list[Route] = []
    for passage in chosen:
        for used in (passage, *passage.shifted()):
            share = min(lanes, used.room)
            route = used.positions(share, packed=True)[0] if share else None
            if route and not any(share_a_core(route, before) for before in routes):
                break
        else:
            return None
        shares.append((used, share))
        routes.append(route)
        lanes -= share
    return shares


def _straight(source: Rectangle, target: Rectangle, *, transposed: bool) -> Iterator[Passage]:
    top = max(source.y, target.y)
    room = min(source.y + source.height, target.y + target.height) - top
    if room < 1:
        return
    rows = Side(top, 1, room)
    if source.x + source.width - 1 <= target.x:
        yield Passage(source.x + source.width - 1, rows, target.x, None, transposed)
    elif target.x + target.width - 1 <= source.x:
        yield Passage(source.x, rows, target.x + target.width - 1, None, transposed)


def _bent(source: Rectangle, target: Rectangle, *, transposed: bool) -> Iterator[Passage]:
    right, bottom = source.x + source.width, source.y + source.height
    target_right, target_bottom = target.x + target.width, target.y + target.height
    above = min(bottom, target.y)
    below = max(source.y, target_bottom)
    beyond = max(right, target.x)
    before = min(source.x, target_right)
    from_rows = (
        (Side(above - 1, -1, above - source.y), target.y),
        (Side(below, 1, bottom - below), target_bottom - 1),
    )
    to_columns = (
        (Side(beyond, 1, target_right - beyond), right - 1),
        (Side(before - 1, -1, before - target.x), source.x),
    )
    for rows, end in from_rows:
        for columns, start in to_columns:
            if rows.room > 0 and columns.room > 0:
                yield Passage(start, rows, end, columns, transposed)


def _shorten(side: Side) -> Side:
    return Side(side.first + side.step, side.step, side.room - 1)
