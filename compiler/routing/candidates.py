"""The places where a link can run: from which side of its source to which side of its target, with how many lanes.

A `Passage` is a maximal family of nested lanes between two rectangles; a `Route` is some of its lanes.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from wsec.compiler.plan import Rectangle, Route
from wsec.compiler.routing.geometry import transpose

UNCOLOURED = -1
_MOST_POSITIONS = 9


@dataclass(frozen=True, slots=True)
class Side:
    """Places for lanes side by side: `room` rows or columns, counted from `first` in direction `step`."""

    first: int
    step: int
    room: int

    def low(self, offset: int, lanes: int) -> int:
        """Lowest coordinate of the `lanes` places behind the first `offset` ones."""
        return self.first + offset if self.step > 0 else self.first - offset - lanes + 1

    def shortened(self) -> Side:
        """The same side without its first place."""
        return Side(self.first + self.step, self.step, self.room - 1)


@dataclass(frozen=True, slots=True)
class Passage:
    """Lanes along rows from column `start`, at the rows `rows`; with `transposed`, rows and columns are exchanged.

    Every side is counted from the place where lanes are shortest.

    Attributes:
        start: Column of the source's boundary.
        rows: Rows at the source.
        columns: Where lanes turn: the columns at the target, or those of a channel beside it. None for straight lanes.
        final_rows: Rows at the target of lanes that turn twice, else None.
        end: Where lanes end: a row if they turn once, else a column.
        transposed: Whether lanes start along columns.
    """

    start: int
    rows: Side
    columns: Side | None
    final_rows: Side | None
    end: int
    transposed: bool

    @property
    def room(self) -> int:
        """Most lanes."""
        return min(side.room for side in (self.rows, self.columns, self.final_rows) if side is not None)

    def shifted(self) -> list[Passage]:
        """The same turns without the innermost core at one end or at both, where lanes of another passage may end."""
        if self.columns is None:
            return []
        later = dataclasses.replace(self, rows=self.rows.shortened())
        ways = (later, _ending_later(self), _ending_later(later))
        return [way for way in ways if way.room > 0]

    def positions(self, lanes: int, *, packed: bool, most: int = _MOST_POSITIONS) -> tuple[Route, ...]:
        """Routes of that many lanes at a few places, `most` or fewer, the best first.

        Turning lanes prefer the innermost, shortest place. Straight ones prefer the middle, from where the kernel's
        own distribution is shortest, or one end if they are to be `packed` beside others.
        """
        ends = (self.rows, self.final_rows or self.columns or self.rows)
        spare = max(side.room for side in ends) - lanes
        last = min(_MOST_POSITIONS - 2, spare // lanes + 1) if spare else 0
        places = [(index, max(last, 1)) for index in range(last + 1)]
        if self.columns is None and spare and not packed:
            places.insert(0, (1, 2))
        return tuple(self._route(lanes, index, last) for index, last in places[:most])

    def _route(self, lanes: int, index: int, last: int) -> Route:
        """The lanes at place `index` of those from 0 to `last`."""
        route = self._along_rows(lanes, index, last)
        if not self.transposed:
            return route
        return dataclasses.replace(
            route,
            source=transpose(route.source),
            target=transpose(route.target),
            vertical_first=self.columns is not None,
        )

    def _along_rows(self, lanes: int, index: int, last: int) -> Route:
        row = _low(self.rows, lanes, index, last)
        source = Rectangle(self.start, row, 1, lanes)
        if self.columns is None:
            return Route(UNCOLOURED, source, Rectangle(self.end, row, 1, lanes))
        # Going down, the lowest row (the highest y) turns first: at the least x when going right.
        reversed_order = lanes > 1 and (self.columns.step > 0) == (self.rows.step < 0)
        if self.final_rows is None:
            column = _low(self.columns, lanes, index, last)
            return Route(UNCOLOURED, source, Rectangle(column, self.end, lanes, 1), mirrored=reversed_order)
        # The channel may be far wider than the lanes: their places in it are side by side.
        channel = self.columns.low(min(index * lanes, self.columns.room - lanes), lanes)
        returning = (self.columns.step > 0) != (self.end > channel)
        final_row = _low(self.final_rows, lanes, index, last)
        return Route(
            UNCOLOURED,
            source,
            Rectangle(self.end, final_row, 1, lanes),
            mirrored=lanes > 1 and returning,
            via=channel,
            via_mirrored=reversed_order,
        )


def _ending_later(way: Passage) -> Passage:
    if way.final_rows is not None:
        return dataclasses.replace(way, final_rows=way.final_rows.shortened())
    return dataclasses.replace(way, columns=way.columns and way.columns.shortened())


def _low(side: Side, lanes: int, index: int, last: int) -> int:
    return side.low((side.room - lanes) * index // last, lanes)
