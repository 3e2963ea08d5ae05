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
        # [r, c] is true where c < r.
        self._before_turn = np.tri(min(width, height), k=-1, dtype=np.bool_)

    def add(self, route: Route, words: int) -> None:
        """Put `words` on every port of every lane of the route."""
        self._change(route, words, 1)

    def remove(self, route: Route, words: int) -> None:
        """Take away what `add` put there."""
        self._change(route, -words, -1)

    def peak_words(self, route: Route) -> int:
        """Words through the busiest port that a lane of the route uses."""
        return int(self.lane_peaks(route).max())

    def lane_peaks(self, route: Route) -> NDArray[np.int64]:
        """Words through the busiest port of each lane, `[lanes]`."""
        peaks = np.zeros(route.lanes, np.int64)
        for loads, mask in self._ports(route):
            if loads.size:
                np.maximum(peaks, (loads if mask is None else loads * mask).max(axis=1), out=peaks)
        return peaks

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
        """Views `[lanes, any]` of the loads of the ports of every lane, each with a mask of those that it does use."""
        yield _lanes_of(self._sent, route.source), None
        yield _lanes_of(self._received, route.target)[:: -1 if route.mirrored else 1], None
        for number, part in enumerate(single_turns(route)):
            frame = legs(part, self._width, self._height)
            backwards = frame.flip_rows != (number > 0 and route.via_mirrored)
            for loads, mask in self._links(frame):
                if backwards:
                    yield loads[::-1], mask if mask is None else mask[::-1]
                else:
                    yield loads, mask

    def _links(self, frame: Legs) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_] | None]]:
        """The same for the ports between cores, lanes in the order of the frame's rows."""
        along, across = (self._rows, self._columns) if frame.transposed else (self._columns, self._rows)
        lanes = frame.lanes
        first = _view(along[frame.flip_columns], frame)[frame.row : frame.row + lanes]
        yield first[:, frame.start : frame.turn], None
        if frame.bent:
            # The lane in row r of the square turns in its column `lanes - 1 - r`, and runs there from row r on.
            second = _view(across[frame.flip_rows], frame)[:, frame.turn : frame.turn + lanes][:, ::-1].T
            before_turn = self._before_turn[:lanes, :lanes]
            yield first[:, frame.turn : frame.turn + lanes], before_turn[::-1]
            yield second[:, frame.row : frame.row + lanes], ~before_turn
            yield second[:, frame.row + lanes : frame.end], None


def _lanes_of(array: NDArray[Number], strip: Rectangle) -> NDArray[Number]:
    """The entries of a strip, `[lanes, 1]`."""
    cut = _cut(array, strip)
    return cut if strip.width == 1 else cut.T


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
