"""Which routes each link takes: those that finish first beside the routes chosen before.

Links with more words choose earlier. Then links through ports that carry more words than the interval has cycles choose
again, as long as that lowers their load.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.collectives import flight_cycles
from wsec.compiler.fabric.fans import range_words
from wsec.compiler.fabric.strips import divisible, prefix_sums, source_strips, target_strips
from wsec.compiler.plan import Rectangle
from wsec.compiler.routing.bundles import Demand, all_bundles, first_bundles, single_passages
from wsec.compiler.routing.fitting import fit
from wsec.compiler.routing.footprints import Ground
from wsec.compiler.routing.geometry import distance, longest_lane
from wsec.compiler.routing.order import in_order, keeps_rows
from wsec.compiler.routing.passages import detours, passages
from wsec.compiler.routing.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Route
    from wsec.compiler.routing.problem import RoutingLink
    from wsec.compiler.target import Fabric

    Words = int | NDArray[np.int64]

NARROWEST = 3  # 0 wide, 1 half an interval, 2 a whole interval, 3 one lane
_SMALL_PART = 32  # a link that takes 1/32 of the interval gains nothing from more lanes
_MOST_ROUNDS = 4
_ALL_LANES = 1 << 20  # more than any side has room for
_MOST_FITS = 1000  # bounds the time where hundreds of links exceed the interval whatever they do
# By narrowness: 1 / the part of the interval that a lane's own words may take, in the order in which they are tried.
_INTERVAL_PARTS = ((2, 4, 8, 1), (2, 1), (1,), ())

Cost = tuple[int, int, int, int]


class Selection:
    """The routes chosen so far, `chosen[link]`, and the traffic they make; how narrow each link has to be."""

    def __init__(
        self, links: Sequence[RoutingLink], *, width: int, height: int, fabric: Fabric, interval: int
    ) -> None:
        self.chosen: list[tuple[Route, ...]] = [()] * len(links)
        self.narrowness = [0] * len(links)
        self.order = sorted(range(len(links)), key=lambda number: (-links[number].words, number))
        self.traffic = Traffic(width, height)
        self._fits_left = _MOST_FITS
        # Of routes asked about since the traffic last changed.
        self._peaks: dict[tuple[Route, int], tuple[NDArray[np.int64], int]] = {}
        self._links = links
        self._words = [link.words for link in links]
        self._sources = [
            (link.source, prefix_sums(link.weights) if link.source is not None and link.inside else None)
            for link in links
        ]
        coming = Counter(link.target for link in links if link.target is not None)
        # Streams of all links to a kernel pass the ramps of its cores.
        self._shares = [
            coming[link.target] if link.target is not None and link.inside else 1 for link in links
        ]
        self._gathered: dict[tuple[int, tuple[Route, ...]], tuple[Words, ...]] = {}
        self._fabric = fabric
        self._interval = max(interval, 1)
        west, east = Rectangle(0, 0, 1, height), Rectangle(width - 1, 0, 1, height)
        self.grounds = [Ground(number, link.ends) for number, link in enumerate(links)]
        for ground in self.grounds:
            self.traffic.claim(ground.rectangles)
        self._ends = [(link.source or west, link.target or east) for link in links]
        self._passages = [passages(*ends) for ends in self._ends]
        self._detours = [detours(*ends, width, height) for ends in self._ends]
        self._ordered = [self._keep_order(number) for number in range(len(links))]

    def choose_all(self) -> None:
        """Give routes to every link that has none."""
        for number in self.order:
            if not self.chosen[number]:
                self.settle(number, self._cheapest(number))

    def relieve_ports(self) -> None:
        """Move links away from ports that exceed the interval, for a few rounds or until none of them gains by moving."""
        for _ in range(_MOST_ROUNDS):
            moved = [self._relieve(number) for number in reversed(self.order) if self._excess(number)]
            if not any(moved) or self._fits_left == 0:
                return

    def options(self, number: int, narrowness: int) -> list[tuple[Route, ...]]:
        """Every set of routes that is tried for the link at this narrowness, the cheapest first."""
        demand = self._demand(number, narrowness)
        options = all_bundles(self._passages[number], demand)
        if narrowness == NARROWEST:
            options += single_passages(self._detours[number], demand)
        return sorted(self._legal(number, options), key=lambda each: self._cost(number, each))

    def settle(self, number: int, routes: tuple[Route, ...]) -> None:
        """Give the link these routes."""
        for route, words in zip(routes, self._lane_words(number, routes), strict=True):
            self.traffic.add(route, words, self.grounds[number].rectangles)
        self._peaks.clear()
        self.chosen[number] = routes

    def withdraw(self, number: int) -> None:
        """Take the link's routes away."""
        routes = self.chosen[number]
        for route, words in zip(routes, self._lane_words(number, routes), strict=True):
            self.traffic.remove(route, words, self.grounds[number].rectangles)
        self._peaks.clear()
        self.chosen[number] = ()

    def port_cycles(self, number: int) -> int:
        """Cycles that the words through the link's busiest port take."""
        return self._cycles(self._peak_words(number))

    def flight_cycles(self, routes: Sequence[Route]) -> int:
        """Cycles of one word on the longest lane, both ramps included."""
        return flight_cycles(max(map(longest_lane, routes)), self._fabric)

    def _relieve(self, number: int) -> bool:
        """Give the link other routes if that lowers the cycles by which it exceeds the interval."""
        current, excess = self.chosen[number], self._excess(number)
        self.withdraw(number)
        self.settle(number, self._cheapest(number))
        if self._excess(number) < excess:
            return True
        self.withdraw(number)
        self.settle(number, current)
        return False

    def _excess(self, number: int) -> int:
        return max(0, self.port_cycles(number) - self._interval)

    def _keep_order(self, number: int) -> bool:
        """Whether the link has passages that keep its words in order, and is to have no others."""
        link = self._links[number]
        if not link.ordered or link.source is None or link.target is None:
            return False
        kept = (
            tuple(filter(keeps_rows, self._passages[number])),
            tuple(filter(keeps_rows, self._detours[number])),
        )
        if not any(kept):
            return False
        self._passages[number], self._detours[number] = kept
        return True

    def _cheapest(self, number: int) -> tuple[Route, ...]:
        """The cheapest routes among the simplest sets of which one overloads no port and no core, or among all."""
        best: tuple[Route, ...] = ()
        least: Cost | None = None
        if self._ordered[number] and self.narrowness[number] == 0:
            best = self._straight_over(number)
            if best:
                return best
        for tier in self._tiers(number):
            for routes in self._legal(number, tier):
                cost = self._cost(number, routes)
                if least is None or cost < least:
                    best, least = routes, cost
            if least is not None and least[:2] == (0, 0):
                break
        return best

    def _straight_over(self, number: int) -> tuple[Route, ...]:
        """All lanes between rectangles of the same rows, if they find a colour; nothing for others."""
        source, target = self._links[number].source, self._links[number].target
        if source is None or target is None or (source.y, source.height) != (target.y, target.height):
            return ()
        routes = self._passages[number][0].positions(source.height, packed=True, most=1)[:1]
        return routes if self._cost(number, routes)[0] == 0 else ()

    def _tiers(self, number: int) -> Iterator[list[tuple[Route, ...]]]:
        """Sets of routes for the link: first those at the best places, then what fits beside others."""
        ways = self._passages[number]
        narrowness = self.narrowness[number]
        if self._ordered[number]:
            every = (*ways, *self._detours[number])
            if narrowness == 0:
                yield [(route,) for way in every for route in in_order(way, self._links[number])]
            yield single_passages(every, self._demand(number, narrowness))
        best = first_bundles(ways, self._demand(number, narrowness))
        yield best
        yield all_bundles(ways, self._demand(number, narrowness))  # some may pass crowded kernels by
        if narrowness == 0:
            widest = Demand(wanted=_ALL_LANES, enough=_ALL_LANES, packed=True)
            yield all_bundles(ways, widest)
            yield single_passages(self._detours[number], widest)
        for parts in _INTERVAL_PARTS[narrowness]:
            if self._fits_left == 0:
                return
            self._fits_left -= 1
            lanes = self._lanes(number, self._interval // parts)
            words = -(-self._words[number] // lanes)
            most = self._interval * self._fabric.link_words_per_cycle
            routes = fit(self.traffic, (*ways, *self._detours[number]), lanes=lanes, words=words, most=most)
            yield [routes[:count] for count in range(len(routes), 0, -1)]

    def _lane_words(self, number: int, routes: tuple[Route, ...]) -> tuple[Words, ...]:
        """Words on the lanes of each route, about: what each gathers, or an even share of what the host sends."""
        source, sums = self._sources[number]
        if source is None or sums is None:
            return (words_per_lane(self._words[number], routes),) * len(routes)
        if (number, routes) not in self._gathered:
            self._gathered[number, routes] = range_words(source_strips(routes, source), sums)
        return self._gathered[number, routes]

    def _legal(self, number: int, options: Sequence[tuple[Route, ...]]) -> list[tuple[Route, ...]]:
        """Those whose fans can share the rectangles at both ends."""
        link = self._links[number]
        if not link.inside:
            return list(options)
        if self._ordered[
            number
        ]:  # of several strips each would have a part of the rectangle, and not the same at both ends
            return [routes for routes in options if len(routes) == 1]
        return [
            routes
            for routes in options
            if len(routes) == 1
            or (
                (link.source is None or divisible(source_strips(routes, link.source)))
                and (link.target is None or divisible(target_strips(routes, link.target)))
            )
        ]

    def _demand(self, number: int, narrowness: int) -> Demand:
        if narrowness == NARROWEST:
            return Demand(wanted=1, enough=1, packed=True)
        flight = flight_cycles(distance(*self._ends[number]), self._fabric)
        cycles = (max(flight, self._interval // _SMALL_PART), self._interval // 2, self._interval)
        return Demand(
            wanted=self._lanes(number, cycles[narrowness]),
            enough=self._lanes(number, cycles[max(narrowness, 1)]),
            packed=narrowness > 0,
        )

    def _lanes(self, number: int, cycles: int) -> int:
        """Lanes for which the words of the link take that long."""
        return max(1, -(-self._words[number] // (max(cycles, 1) * self._fabric.link_words_per_cycle)))

    def _cost(self, number: int, routes: tuple[Route, ...]) -> Cost:
        """Colours over budget, cycles over the interval, cycles, colours: the least is best, in this order."""
        peaks = [self._peak(number, route) for route in routes]
        own = self._lane_words(number, routes)
        words = max(int((mine + others).max()) for mine, (others, _) in zip(own, peaks, strict=True))
        colours = 1 + max(routes for _, routes in peaks)
        cycles = self._cycles(words)
        together = self._cycles(self._shares[number] * max(int(np.max(mine)) for mine in own))
        return (
            max(0, colours - self._fabric.link_colours),
            max(0, cycles - self._interval, together - self._interval),
            cycles + self.flight_cycles(routes),
            colours,
        )

    def _peak(self, number: int, route: Route) -> tuple[NDArray[np.int64], int]:
        """Words through the busiest port of each lane, and routes through the busiest core."""
        key = route, number
        if key not in self._peaks:
            ground = self.grounds[number].rectangles
            self._peaks[key] = self.traffic.lane_peaks(route), self.traffic.peak_routes(route, ground)
        return self._peaks[key]

    def _peak_words(self, number: int) -> int:
        return max(map(self.traffic.peak_words, self.chosen[number]))

    def _cycles(self, words: int) -> int:
        return -(-words // self._fabric.link_words_per_cycle)


def words_per_lane(words: int, routes: Sequence[Route]) -> int:
    """Words on each lane when they are spread evenly over all lanes."""
    return -(-words // sum(route.lanes for route in routes))
