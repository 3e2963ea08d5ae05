"""What the routes chosen so far put on the fabric: words through every router port, and routes through every core.

A port carries one direction: to a neighbour, from the core into the router, or from the router into the core. The
arrays have one entry for a core, `[height, width]`; adding a route and asking for its busiest port cost one pass over
the route's own cores.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from wsec.compiler.routing.geometry import overlap
from wsec.compiler.routing.traffic_loops import add_lanes, count_route, lane_peaks, route_peak

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle, Route
    from wsec.compiler.routing.traffic_loops import Shape

    Words = int | NDArray[np.int64]

Number = TypeVar("Number", bound=np.integer[Any])


class Traffic:
    """Loads of all ports of a region of `width` columns and `height` rows; it changes as routes come and go."""

    def __init__(self, width: int, height: int, *, ramps: bool = True) -> None:
        """No words yet; without `ramps` only the ports between cores are counted."""
        self._ramps = ramps
        # Words that leave a core towards higher and lower columns, then towards higher and lower rows: each along memory.
        self.ports = (
            np.zeros((height, width), np.int64),
            np.zeros((height, width), np.int64),
            np.zeros((width, height), np.int64),
            np.zeros((width, height), np.int64),
        )
        self._sent = np.zeros((height, width), np.int64)
        self._received = np.zeros((height, width), np.int64)
        self._routes = np.zeros((height, width), np.int32)

    @property
    def leaving(self) -> dict[str, NDArray[np.int64]]:
        """Words that leave each core by the port, [height, width], by port: N, E, S, W."""
        east, west, south, north = self.ports
        return {"N": north.T, "E": east, "S": south.T, "W": west}

    def claim(self, rectangles: Sequence[Rectangle]) -> None:
        """Count the fans of a link, which fill the rectangles at its ends: one use of every core."""
        for rectangle in rectangles:
            cut = _cut(self._routes, rectangle)
            np.add(cut, 1, out=cut)

    def add(self, route: Route, words: Words, ground: Sequence[Rectangle] = ()) -> None:
        """Put words on every port of the lanes of the route: as many on each, or `[lanes]`.

        Cores in the `ground` of its link, which was claimed, are not counted again.
        """
        self._change(route, words, 1, ground)

    def remove(self, route: Route, words: Words, ground: Sequence[Rectangle] = ()) -> None:
        """Take away what `add` put there."""
        self._change(route, -words, -1, ground)

    def peak_words(self, route: Route) -> int:
        """Words through the busiest port that a lane of the route uses."""
        return int(self.lane_peaks(route).max())

    def lane_peaks(self, route: Route) -> NDArray[np.int64]:
        """Words through the busiest port of each lane, `[lanes]`."""
        peaks = lane_peaks(self.ports, _shape(route))
        for loads in self._ramps_of(route):
            np.maximum(peaks, loads, out=peaks)
        return peaks

    def peak_routes(self, route: Route, ground: Sequence[Rectangle] = ()) -> int:
        """Routes through the core of the route that most others use; its own claim on its `ground` is none of them."""
        return route_peak(self._routes, _shape(route), _own_ends(route, ground))

    def busiest_core(self) -> tuple[int, int, int]:
        """Column and row of the core that most routes use, the first in reading order, and how many use it."""
        row, column = divmod(int(self._routes.argmax()), self._routes.shape[1])
        return column, row, int(self._routes[row, column])

    def _change(self, route: Route, words: Words, routes: int, ground: Sequence[Rectangle]) -> None:
        by_lane = np.full(route.lanes, words, np.int64)
        add_lanes(self.ports, _shape(route), by_lane)
        for loads in self._ramps_of(route):
            np.add(loads, by_lane, out=loads)
        count_route(self._routes, _shape(route), _own_ends(route, ground), routes)

    def _ramps_of(self, route: Route) -> tuple[NDArray[np.int64], ...]:
        """Views `[lanes]` of the loads of the ramps where lanes begin and end."""
        if not self._ramps:
            return ()
        received = _lanes_of(self._received, route.target)
        return _lanes_of(self._sent, route.source), received[::-1] if route.mirrored else received


def _shape(route: Route) -> Shape:
    """The route as numbers."""
    source, target = route.source, route.target
    via = -1 if route.via is None else route.via
    return (
        *(source.x, source.y, source.width, source.height),
        *(target.x, target.y, target.width, target.height),
        *(via, int(route.mirrored), int(route.vertical_first), int(route.via_mirrored)),
    )


def _own_ends(route: Route, ground: Sequence[Rectangle]) -> tuple[bool, bool]:
    """Whether the route begins and ends on its ground; a core where it does both counts once."""
    begins, ends = (any(overlap(strip, each) for each in ground) for strip in (route.source, route.target))
    return begins, ends and route.target != route.source


def _lanes_of(array: NDArray[np.int64], strip: Rectangle) -> NDArray[np.int64]:
    """The entries of a strip, `[lanes]`."""
    cut = _cut(array, strip)
    return cut[:, 0] if strip.width == 1 else cut[0]


def _cut(array: NDArray[Number], strip: Rectangle) -> NDArray[Number]:
    return array[strip.y : strip.y + strip.height, strip.x : strip.x + strip.width]
