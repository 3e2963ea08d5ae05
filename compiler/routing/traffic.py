"""What the routes chosen so far put on the fabric: words through every router port, and routes through every core.

A port carries one direction: to a neighbour, from the core into the router, or from the router into the core. The
arrays have one entry for a core, `[height, width]`; adding a route and asking for its busiest port cost one pass over
the route's own cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from wsec.compiler.routing.geometry import footprint, legs, overlap, single_turns

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle, Route
    from wsec.compiler.routing.geometry import Legs

    Words = int | NDArray[np.int64]

Number = TypeVar("Number", bound=np.integer[Any])


class Traffic:
    """Loads of all ports of a region of `width` columns and `height` rows; it changes as routes come and go."""

    def __init__(self, width: int, height: int, *, ramps: bool = True) -> None:
        """No words yet; without `ramps` only the ports between cores are counted."""
        self._ramps = ramps
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

    @property
    def leaving(self) -> dict[str, NDArray[np.int64]]:
        """Words that leave each core by the port, [height, width], by port: N, E, S, W."""
        return {"N": self._rows[1], "E": self._columns[0], "S": self._rows[0], "W": self._columns[1]}

    def claim(self, rectangles: Sequence[Rectangle]) -> None:
        """Count the fans of a link, which fill the rectangles at its ends: one use of every core."""
        for rectangle in rectangles:
            cut = _cut(self._routes, rectangle)
            np.add(cut, 1, out=cut)

    def add(self, route: Route, words: Words, ground: Sequence[Rectangle] = ()) -> None:
        """Put words on every port of the lanes of the route: as many on each, or `[lanes]`.

        Cores in the `ground` of its link, which was claimed, are not counted again.
        """
        self._change(route, np.asarray(words, np.int64), 1, ground)

    def remove(self, route: Route, words: Words, ground: Sequence[Rectangle] = ()) -> None:
        """Take away what `add` put there."""
        self._change(route, -np.asarray(words, np.int64), -1, ground)

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

    def peak_routes(self, route: Route, ground: Sequence[Rectangle] = ()) -> int:
        """Routes through the core of the route that most others use; its own claim on its `ground` is none of them."""
        self._count(route, -1, ground, bands=False)
        peak = max(int(_cut(self._routes, band).max()) for band in footprint(route))
        self._count(route, 1, ground, bands=False)
        return peak

    def busiest_port(self) -> tuple[int, int, int]:
        """Column and row of the core with the port that most words pass, the first one, and how many pass it."""
        arrays = (*self._columns, *self._rows, self._sent, self._received)
        peaks = [_peak(loads) for loads in arrays]
        return max(peaks, key=lambda peak: peak[2])

    def busiest_core(self) -> tuple[int, int, int]:
        """Column and row of the core that most routes use, the first in reading order, and how many use it."""
        return _peak(self._routes)

    def _change(
        self, route: Route, words: NDArray[np.int64], routes: int, ground: Sequence[Rectangle]
    ) -> None:
        by_lane = words[:, None] if words.ndim else words
        for loads, mask in self._ports(route):
            np.add(loads, by_lane if mask is None else mask * by_lane, out=loads)
        self._count(route, routes, (), bands=True)
        self._count(route, -routes, ground, bands=False)

    def _count(self, route: Route, routes: int, ground: Sequence[Rectangle], *, bands: bool) -> None:
        """Change the count of routes on the bands of a route, or on the cores where it begins and ends on its ground."""
        strips = dict.fromkeys((route.source, route.target))
        ends = [strip for strip in strips if any(overlap(strip, rectangle) for rectangle in ground)]
        for rectangle in footprint(route) if bands else ends:
            cut = _cut(self._routes, rectangle)
            np.add(cut, routes, out=cut)

    def _ports(self, route: Route) -> Iterator[tuple[NDArray[np.int64], NDArray[np.bool_] | None]]:
        """Views `[lanes, any]` of the loads of the ports of every lane, each with a mask of those that it does use."""
        if self._ramps:
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
