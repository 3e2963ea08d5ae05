"""The words of fans on the ports of routers, and how long a link takes with them.

With lanes on their routes and trees at both ends every word is accounted for: which ports it passes, of which routers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.fabric.fans import subtree_words
from wsec.compiler.fabric.link_fans import LinkFans, lane_words
from wsec.compiler.routing.geometry import lane_hops
from wsec.compiler.routing.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.fabric.fans import Fan
    from wsec.compiler.plan import Rectangle, Route
    from wsec.compiler.routing.problem import RoutingLink
    from wsec.compiler.sharding import Side

    _Use = tuple[int, NDArray[np.int64], NDArray[np.int64]]  # kind of port, which ones, words through each

_STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # rows and columns to the neighbour at N, E, S, W
_PORTS = "NESW"
_FROM_CORE, _TO_CORE, _FROM_HOST, _TO_HOST = range(4, 8)


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
        self._width = width
        self._lanes = Traffic(width, height, ramps=False)
        leaving = self._lanes.leaving
        # Ports towards N, E, S, W, from the core, to the core, from the host and to it.
        inside = (
            *(leaving[port] for port in _PORTS),
            *(np.zeros((height, width), np.int64) for _ in range(2)),
        )
        self._loads = (*inside, np.zeros(height, np.int64), np.zeros(height, np.int64))
        for each in links:
            for route, words in each.by_route:
                self._lanes.add(route, words)
            for kind, ports, words in self._uses(each):
                self._loads[kind].reshape(-1)[ports] += words

    def exchange(self, rectangle: Rectangle, along: Side, words: NDArray[np.int64]) -> None:
        """Count words, [height, width], that every core of a rectangle sees in an exchange, and passes on both ways."""
        for kind, seen in self._exchanged(along, words):
            self._loads[kind].reshape(-1)[self._places(rectangle)] += seen

    def busiest_exchange(self, rectangle: Rectangle, along: Side, words: NDArray[np.int64]) -> int:
        """Words through the busiest port that words of such an exchange pass, all others included."""
        ports = self._places(rectangle)
        return max(
            int((self._loads[kind].reshape(-1)[ports] * (seen > 0)).max())
            for kind, seen in self._exchanged(along, words)
        )

    @staticmethod
    def _exchanged(along: Side, words: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Words by kind of port: forwards at all cores but the last of a line, backwards at all but the first."""
        forwards, backwards = words.copy(), words.copy()
        if along == "rows":
            forwards[:, -1] = backwards[:, 0] = 0
        else:
            forwards[-1] = backwards[0] = 0
        east_west, south_north = (
            (_PORTS.index("E"), _PORTS.index("W")),
            (_PORTS.index("S"), _PORTS.index("N")),
        )
        yield from zip(east_west if along == "rows" else south_north, (forwards, backwards), strict=True)
        yield _TO_CORE, words

    def busiest(self, each: LoadedLink) -> int:
        """Words through the busiest of all ports that words of the link pass."""
        lanes = [int((self._lanes.lane_peaks(route) * (words > 0)).max()) for route, words in each.by_route]
        fans = [int(self._loads[kind].reshape(-1)[ports].max()) for kind, ports, _ in self._uses(each)]
        return max(lanes + fans)

    def busiest_port(self) -> int:
        """Words through the busiest port of all."""
        return max(int(loads.max()) for loads in self._loads)

    def _uses(self, each: LoadedLink) -> Iterator[_Use]:
        """The ports at both ends of a link, none of them twice in a use."""
        link, fans = each.link, each.fans
        for route, words in each.by_route:
            if link.source is None:
                yield from _used(_FROM_HOST, _rows(route.source), words, words > 0)
            if link.target is None:
                rows = _rows(route.target)[:: -1 if route.mirrored else 1]
                yield from _used(_TO_HOST, rows, words, words > 0)
        if link.source is not None and fans.gather is not None and fans.held is not None:
            yield from self._gather(fans.gather, fans.held, link.source)
        if link.target is not None and fans.spread is not None:
            yield from self._spread(fans.spread, each.words, link.target)

    def _gather(self, fan: Fan, held: NDArray[np.int64], place: Rectangle) -> Iterator[_Use]:
        ports = self._places(place)
        behind = subtree_words(fan, held)
        yield from _used(_FROM_CORE, ports, held, held > 0)
        for port in range(len(_PORTS)):
            yield from _used(port, ports, behind, (fan.parent == port) & (fan.order > 0) & (behind > 0))

    def _spread(self, fan: Fan, words: NDArray[np.int64], place: Rectangle) -> Iterator[_Use]:
        ports = self._places(place)
        stream = words[fan.lane]
        yield from _used(_TO_CORE, ports, stream, stream > 0)
        for port, (down, right) in enumerate(_STEPS):
            taken = (fan.parent == port) & (fan.order > 0) & (stream > 0)
            yield from _used((port + 2) % 4, ports + down * self._width + right, stream, taken)

    def _places(self, rectangle: Rectangle) -> NDArray[np.int64]:
        """Flat indices of the cores of a rectangle, [height, width]."""
        rows = rectangle.y + np.arange(rectangle.height)
        return np.asarray(rows[:, None] * self._width + rectangle.x + np.arange(rectangle.width))


def longest_way(each: LoadedLink) -> int:
    """Hops of a word on its longest way: to the lane, along it, and from there to a core."""
    hops = np.concatenate([_lane_hops(route) for route in each.routes])
    link, fans = each.link, each.fans
    if link.source is not None and fans.gather is not None and fans.held is not None:
        hops = hops + _depths(fans.gather, fans.held > 0, len(hops))
    if link.target is not None and fans.spread is not None:
        hops = hops + _depths(fans.spread, np.ones(fans.spread.lane.shape, np.bool_), len(hops))
    return int(hops.max())


def _depths(fan: Fan, cores: NDArray[np.bool_], lanes: int) -> NDArray[np.int64]:
    """Hops between the root of each lane and the farthest of these cores in its tree, [lanes]."""
    found = np.zeros(lanes, np.int64)
    np.maximum.at(found, fan.lane[cores], fan.depth[cores])
    return found


def _lane_hops(route: Route) -> NDArray[np.int64]:
    """Hops of every lane; from lane to lane of nested ones the length rises or falls evenly."""
    first, last = lane_hops(route, 0), lane_hops(route, route.lanes - 1)
    return np.linspace(first, last, route.lanes).round().astype(np.int64)


def _used(
    kind: int, ports: NDArray[np.int64], words: NDArray[np.int64], taken: NDArray[np.bool_]
) -> Iterator[_Use]:
    if taken.any():
        yield kind, ports[taken], words[taken]


def _rows(strip: Rectangle) -> NDArray[np.int64]:
    return strip.y + np.arange(strip.height)
