"""What the routes chosen so far put on the fabric: words through every router port, and routes through every core.

A port carries one direction: to a neighbour, from the core into the router, or from the router into the core. The
arrays have one entry for a core, `[height, width]`; adding a route and asking for its busiest port cost one pass over
the route's own cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from wsec.compiler.routing.geometry import footprint, legs, single_turns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle, Route
    from wsec.compiler.routing.geometry import Legs

Number = TypeVar("Number", bound=np.integer[Any])


class Traffic:
    """Loads of all ports of a region of `width` columns and `height` rows; it changes as routes come and go."""

    def __init__(self, width: int, height: int) -> None:
        self._width = width
        self._height = height
        shape = (height, width)
        # Words that leave a core towards higher and lower columns, then towards higher and lower rows.
        self._columns = (np.zeros(shape, np.int64), np.zeros(shape, np.int64))
        self._rows = (np.zeros(shape, np.int64), np.zeros(shape, np.int64))
        self._sent = np.zeros(shape, np.int64)
        self._received = np.zeros(shape, np.int64)
        self._routes = np.zeros(shape, np.int32)
        # Row r, column c of the turning square is still on the first leg where c < lanes - 1 - r.
        self._before_turn = np.tri(min(width, height), k=-1, dtype=np.bool_)

    def add(self, route: Route, words: int) -> None:
        """Put `words` on every port of every lane of the route."""
        self._change(route, words, 1)

    def remove(self, route: Route, words: int) -> None:
        """Take away what `add` put there."""
        self._change(route, -words, -1)

    def peak_words(self, route: Route) -> int:
        """Words through the busiest port that a lane of the route uses."""
        peak = 0
        for loads, mask in self._ports(route):
            if loads.size:
                peak = max(peak, int((loads if mask is None else loads * mask).max()))
        return peak

    def peak_routes(self, route: Route) -> int:
        """Routes through the core of the route that most routes use."""
        return max(int(_cut(self._routes, band).max()) for band in footprint(route))

    def busiest_port(self) -> tuple[int, int, int]:
        """Column and row of the core with the port that most words pass, the first one, and how many pass it."""
        arrays = (*self._columns, *self._rows, self._sent, self._received)
        peaks = [_peak(loads) for loads in arrays]
        return max(peaks, key=lambda peak: peak[2])

    def busiest_core(self) -> tuple[int, int, int]:
        """Column and row of the core that most routes use, the first in reading order, and how many use it."""
        return _peak(self._routes)

    def _change(self, route: Route, words: int, routes: int) -> None:
        for loads, mask in self._ports(route):
            np.add(loads, words if mask is None else mask * np.int64(words), out=loads)
        for rectangle in footprint(route):
            band = _cut(self._routes, rectangle)
            np.add(band, routes, out=band)

    def _ports(self, route: Route) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_] | None]]:
        """Views of the loads of every port that the lanes use, each with a mask of those in it that they do use."""
        yield _cut(self._sent, route.source), None
        yield _cut(self._received, route.target), None
        for part in single_turns(route):
            yield from self._links(legs(part, self._width, self._height))

    def _links(self, frame: Legs) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_] | None]]:
        along, across = (self._rows, self._columns) if frame.transposed else (self._columns, self._rows)
        first = _view(along[frame.flip_columns], frame)
        rows = slice(frame.row, frame.row + frame.lanes)
        yield first[rows, frame.start : frame.turn], None
        if frame.bent:
            columns = slice(frame.turn, frame.turn + frame.lanes)
            second = _view(across[frame.flip_rows], frame)
            before_turn = self._before_turn[: frame.lanes, : frame.lanes][::-1]
            yield first[rows, columns], before_turn
            yield second[rows, columns], ~before_turn
            yield second[rows.stop : frame.end, columns], None


def _peak(array: NDArray[Number]) -> tuple[int, int, int]:
    row, column = divmod(int(array.argmax()), array.shape[1])
    return column, row, int(array[row, column])


def _cut(array: NDArray[Number], strip: Rectangle) -> NDArray[Number]:
    return array[strip.y : strip.y + strip.height, strip.x : strip.x + strip.width]


def _view(array: NDArray[Number], frame: Legs) -> NDArray[Number]:
    view = array.T if frame.transposed else array
    if frame.flip_columns:
        view = view[:, ::-1]
    return view[::-1] if frame.flip_rows else view
