"""The words of fans on the ports of routers, and how long a link takes with them.

With lanes on their routes and trees at both ends every word is accounted for: which ports it passes, of which routers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.fabric.fans import subtree_words
from wsec.compiler.fabric.link_fans import LinkFans, lane_words
from wsec.compiler.routing.fan_traffic_loops import depths, pass_gathered, pass_spread
from wsec.compiler.routing.geometry import lane_hops
from wsec.compiler.routing.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle, Route
    from wsec.compiler.routing.problem import RoutingLink
    from wsec.compiler.sharding import Side

_HOST_WAYS = 2
_FROM_HOST, _TO_HOST = range(_HOST_WAYS)


@dataclass(frozen=True, slots=True, eq=False)
class LoadedLink:
    """A link with its routes, its fans and what its lanes carry, [lanes]."""

    link: RoutingLink
    routes: tuple[Route, ...]
    fans: LinkFans
    words: NDArray[np.int64]

    @property
    def by_route(self) -> list[tuple[Route, NDArray[np.int64]]]:
        """Each route and what its lanes carry."""
        ends = np.cumsum([route.lanes for route in self.routes])[:-1]
        return list(zip(self.routes, np.split(self.words, ends), strict=True))


def loaded(link: RoutingLink, routes: tuple[Route, ...], fans: LinkFans | None = None) -> LoadedLink:
    """A link on these routes; with their fans, where those are known."""
    fans = link.fans(routes) if fans is None else fans
    return LoadedLink(link, routes, fans, lane_words(fans, link.words, len(fans.active)))


class FanTraffic:
    """Words of one interval through every port of a region, fans and lanes of all links together."""

    def __init__(self, links: Sequence[LoadedLink], *, width: int, height: int) -> None:
        self._lanes = Traffic(width, height, ramps=False)
        self._sent = np.zeros((height, width), np.int64)
        self._received = np.zeros((height, width), np.int64)
        self._host = np.zeros(
            (_HOST_WAYS, height), np.int64
        )  # words that come at each row, and that leave there
        for each in links:
            for route, words in each.by_route:
                self._lanes.add(route, words)
            for way, rows, words in _at_host(each):
                self._host[way, rows] += words
            self._pass(each, 1)

    def exchange(self, rectangle: Rectangle, along: Side, words: NDArray[np.int64]) -> None:
        """Count words, [height, width], that every core of a rectangle sees in an exchange, and passes on both ways."""
        for loads, seen in self._exchanged(rectangle, along, words):
            np.add(loads, seen, out=loads)

    def busiest_exchange(self, rectangle: Rectangle, along: Side, words: NDArray[np.int64]) -> int:
        """Words through the busiest port that words of such an exchange pass, all others included."""
        return max(
            int((loads * (seen > 0)).max()) for loads, seen in self._exchanged(rectangle, along, words)
        )

    def _exchanged(
        self, rectangle: Rectangle, along: Side, words: NDArray[np.int64]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Loads of a rectangle and words: forwards at all cores but the last of a line, backwards at all but the first."""
        forwards, backwards = words.copy(), words.copy()
        if along == "rows":
            forwards[:, -1] = backwards[:, 0] = 0
        else:
            forwards[-1] = backwards[0] = 0
        leaving = self._lanes.leaving
        for port, seen in zip("EW" if along == "rows" else "SN", (forwards, backwards), strict=True):
            yield _part(leaving[port], rectangle), seen
        yield _part(self._received, rectangle), words

    def busiest(self, each: LoadedLink) -> int:
        """Words through the busiest of all ports that words of the link pass."""
        lanes = [int((self._lanes.lane_peaks(route) * (words > 0)).max()) for route, words in each.by_route]
        host = [int((self._host[way, rows] * (words > 0)).max()) for way, rows, words in _at_host(each)]
        return max(*lanes, *host, self._pass(each, 0))

    def busiest_port(self) -> int:
        """Words through the busiest port of all."""
        loads = (*self._lanes.leaving.values(), self._sent, self._received, self._host)
        return max(int(each.max()) for each in loads)

    def _pass(self, each: LoadedLink, factor: int) -> int:
        """Add the words of both fans that often, 1 or 0; the most that any port carries which they pass."""
        link, fans, ports = each.link, each.fans, self._lanes.ports
        peaks = [0]
        if link.source is not None and fans.gather is not None and fans.held is not None:
            fan, held = fans.gather, np.ascontiguousarray(fans.held)
            behind, corner = subtree_words(fan, held), (link.source.x, link.source.y)
            tree = fan.parent, fan.order
            peaks.append(pass_gathered(ports, self._sent, tree, held, behind, corner, factor))
        if link.target is not None and fans.spread is not None:
            fan, corner = fans.spread, (link.target.x, link.target.y)
            tree = fan.parent, fan.order
            words = np.ascontiguousarray(each.words, np.int64)
            peaks.append(pass_spread(ports, self._received, tree, fan.lane, words, corner, factor))
        return max(peaks)


def longest_way(each: LoadedLink) -> int:
    """Hops of a word on its longest way: to the lane, along it, and from there to a core."""
    hops = np.concatenate([_lane_hops(route) for route in each.routes])
    link, fans = each.link, each.fans
    if link.source is not None and fans.gather is not None and fans.held is not None:
        hops = hops + depths(fans.gather.lane, fans.gather.depth, fans.held > 0, len(hops))
    if link.target is not None and fans.spread is not None:
        hops = hops + depths(fans.spread.lane, fans.spread.depth, fans.spread.lane >= 0, len(hops))
    return int(hops.max())


def _lane_hops(route: Route) -> NDArray[np.int64]:
    """Hops of every lane; from lane to lane of nested ones the length rises or falls evenly."""
    first, last = lane_hops(route, 0), lane_hops(route, route.lanes - 1)
    return np.linspace(first, last, route.lanes).round().astype(np.int64)


def _at_host(each: LoadedLink) -> Iterator[tuple[int, NDArray[np.int64], NDArray[np.int64]]]:
    """Where words come from the host or leave to it: which of both, the rows of the lanes, and their words."""
    for route, words in each.by_route:
        if each.link.source is None:
            yield _FROM_HOST, _rows(route.source), words
        if each.link.target is None:
            yield _TO_HOST, _rows(route.target)[:: -1 if route.mirrored else 1], words


def _rows(strip: Rectangle) -> NDArray[np.int64]:
    return strip.y + np.arange(strip.height)


def _part(loads: NDArray[np.int64], rectangle: Rectangle) -> NDArray[np.int64]:
    rows = slice(rectangle.y, rectangle.y + rectangle.height)
    return loads[rows, rectangle.x : rectangle.x + rectangle.width]
