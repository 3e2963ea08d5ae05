"""Which routes each link takes: those that finish first beside the routes chosen before.

Links with more words choose earlier. Then links through ports that carry more words than the interval has cycles choose
again, as long as that lowers their load.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan import Rectangle
from wsec.compiler.routing.bundles import Demand, all_bundles, detour_bundles, first_bundles
from wsec.compiler.routing.fitting import fit
from wsec.compiler.routing.geometry import distance, longest_lane, share_a_core
from wsec.compiler.routing.passages import detours, passages
from wsec.compiler.routing.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.plan import Route
    from wsec.compiler.routing.problem import RoutingLink
    from wsec.compiler.target import Fabric

NARROWEST = 3  # 0 wide, 1 half an interval, 2 a whole interval, 3 one lane
_SMALL_PART = 32  # a link that takes 1/32 of the interval gains nothing from more lanes
_MOST_ROUNDS = 4

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
        self._peaks: dict[Route, tuple[int, int]] = {}  # of routes asked about since the traffic last changed
        self._words = [link.words for link in links]
        self._fabric = fabric
        self._interval = max(interval, 1)
        west, east = Rectangle(0, 0, 1, height), Rectangle(width - 1, 0, 1, height)
        self._ends = [(link.source or west, link.target or east) for link in links]
        self._passages = [passages(*ends) for ends in self._ends]
        self._detours = [detours(*ends, width, height) for ends in self._ends]

    def choose_all(self) -> None:
        """Give routes to every link that has none."""
        for number in self.order:
            if not self.chosen[number]:
                self.settle(number, self._cheapest(number))

    def relieve_ports(self) -> None:
        """Move links away from ports that exceed the interval, for a few rounds or until none of them gains by moving."""
        for _ in range(_MOST_ROUNDS):
            moved = [self._relieve([number]) for number in reversed(self.order) if self._excess(number)]
            if not any(moved):
                break
        for _ in range(_MOST_ROUNDS):
            moved = [self._relieve_together(number) for number in self.order if self._excess(number)]
            if not any(moved):
                break

    def options(self, number: int, narrowness: int) -> list[tuple[Route, ...]]:
        """Every set of routes that is tried for the link at this narrowness, the cheapest first."""
        demand = self._demand(number, narrowness)
        ways, detours = self._passages[number], self._detours[number]
        options = [*all_bundles(ways, demand), *detour_bundles(ways, detours, demand)]
        return sorted(options, key=lambda each: self._cost(number, each))

    def settle(self, number: int, routes: tuple[Route, ...]) -> None:
        """Give the link these routes."""
        share = words_per_lane(self._words[number], routes)
        for route in routes:
            self.traffic.add(route, share)
        self._peaks.clear()
        self.chosen[number] = routes

    def withdraw(self, number: int) -> None:
        """Take the link's routes away."""
        routes = self.chosen[number]
        share = words_per_lane(self._words[number], routes)
        for route in routes:
            self.traffic.remove(route, share)
        self._peaks.clear()
        self.chosen[number] = ()

    def port_cycles(self, number: int) -> int:
        """Cycles that the words through the link's busiest port take."""
        return self._cycles(self._peak_words(number))

    def flight_cycles(self, routes: Sequence[Route]) -> int:
        """Cycles of one word on the longest lane, both ramps included."""
        return self._fabric.hop_cycles * max(map(longest_lane, routes)) + 2 * self._fabric.ramp_cycles

    def _relieve_together(self, number: int) -> bool:
        """Choose afresh for the link and all that exceed the interval on ports of its cores; whether that helped."""
        others = [
            other
            for other in self.order
            if other != number and self._excess(other) and self._touch(number, other)
        ]
        return self._relieve([number, *others]) or (others != [] and self._relieve([*others, number]))

    def _touch(self, first: int, second: int) -> bool:
        return any(share_a_core(a, b) for a in self.chosen[first] for b in self.chosen[second])

    def _relieve(self, numbers: Sequence[int]) -> bool:
        """Give the links other routes, in this order, if that lowers the cycles by which they exceed the interval."""
        before = [(number, self.chosen[number]) for number in numbers]
        excess = sum(map(self._excess, numbers))
        for number in numbers:
            self.withdraw(number)
        for number in numbers:
            self.settle(number, self._cheapest(number, frugal=len(numbers) > 1))
        if sum(map(self._excess, numbers)) < excess:
            return True
        for number in numbers:
            self.withdraw(number)
        for number, routes in before:
            self.settle(number, routes)
        return False

    def _excess(self, number: int) -> int:
        return max(0, self.port_cycles(number) - self._interval)

    def _cheapest(self, number: int, *, frugal: bool = False) -> tuple[Route, ...]:
        """The cheapest routes among the simplest sets of which one overloads no port and no core, or among all."""
        best: tuple[Route, ...] = ()
        for bundles in self._tiers(number, frugal=frugal):
            best = min([best, *bundles] if best else bundles, key=lambda each: self._cost(number, each))
            if self._cost(number, best)[:2] == (0, 0):
                break
        return best

    def _tiers(self, number: int, *, frugal: bool) -> Iterator[list[tuple[Route, ...]]]:
        """Sets of routes for the link, the simplest first, or those of fewest lanes."""
        ways = self._passages[number]
        demand = self._demand(number, self.narrowness[number])
        if not frugal:
            yield first_bundles(ways, demand)
            yield all_bundles(ways, demand)
        most = self._interval * self._fabric.link_words_per_cycle
        for parts in (1, 2, 4, 8) if frugal else (2, 4, 8, 1):
            lanes = self._lanes(number, self._interval // parts)
            words = -(-self._words[number] // lanes)
            routes = fit(self.traffic, (*ways, *self._detours[number]), lanes=lanes, words=words, most=most)
            if routes:
                yield [routes]
        if frugal:
            yield first_bundles(ways, demand)

    def _demand(self, number: int, narrowness: int) -> Demand:
        if narrowness == NARROWEST:
            return Demand(wanted=1, enough=1, packed=True)
        flight = self._fabric.hop_cycles * distance(*self._ends[number]) + 2 * self._fabric.ramp_cycles
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
        peaks = [self._peak(route) for route in routes]
        words = words_per_lane(self._words[number], routes) + max(words for words, _ in peaks)
        colours = 1 + max(routes for _, routes in peaks)
        cycles = self._cycles(words)
        return (
            max(0, colours - self._fabric.link_colours),
            max(0, cycles - self._interval),
            cycles + self.flight_cycles(routes),
            colours,
        )

    def _peak(self, route: Route) -> tuple[int, int]:
        """Words through the busiest port of the route, and routes through its busiest core."""
        if route not in self._peaks:
            self._peaks[route] = self.traffic.peak_words(route), self.traffic.peak_routes(route)
        return self._peaks[route]

    def _peak_words(self, number: int) -> int:
        return max(map(self.traffic.peak_words, self.chosen[number]))

    def _cycles(self, words: int) -> int:
        return -(-words // self._fabric.link_words_per_cycle)


def words_per_lane(words: int, routes: Sequence[Route]) -> int:
    """Words on each lane when they are spread evenly over all lanes."""
    return -(-words // sum(route.lanes for route in routes))
