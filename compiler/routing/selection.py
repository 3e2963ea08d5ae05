"""Which routes each link takes: those that finish first beside the routes chosen before.

Links with more words choose earlier. Then links that use the busiest port move elsewhere, as long as that lowers the
load there and while it exceeds the interval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.plan import Rectangle
from wsec.compiler.routing.candidates import Demand, all_bundles, first_bundles, passages
from wsec.compiler.routing.geometry import bounding_box, distance, longest_lane, overlap
from wsec.compiler.routing.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Route
    from wsec.compiler.routing.problem import RoutingLink
    from wsec.compiler.target import Fabric

NARROWEST = 3  # 0 wide, 1 half an interval, 2 a whole interval, 3 one lane
_SMALL_PART = 32  # a link that takes 1/32 of the interval gains nothing from more lanes
_MOST_MOVES = 64

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
        self._words = [link.words for link in links]
        self._fabric = fabric
        self._interval = max(interval, 1)
        west, east = Rectangle(0, 0, 1, height), Rectangle(width - 1, 0, 1, height)
        self._ends = [(link.source or west, link.target or east) for link in links]
        self._passages = [passages(*ends) for ends in self._ends]

    def choose_all(self) -> None:
        """Give routes to every link that has none."""
        for number in self.order:
            if not self.chosen[number]:
                self._choose(number)

    def relieve_ports(self) -> None:
        """Move links away from the busiest port until it suits the interval or none of them gains by moving."""
        for _ in range(_MOST_MOVES):
            column, row, words = self.traffic.busiest_port()
            if self._cycles(words) <= self._interval or not self._relieve_port(column, row, words):
                return

    def options(self, number: int, narrowness: int) -> list[tuple[Route, ...]]:
        """Every set of routes that is tried for the link at this narrowness, the cheapest first."""
        options = all_bundles(self._passages[number], self._demand(number, narrowness))
        return sorted(options, key=lambda each: self._cost(number, each))

    def settle(self, number: int, routes: tuple[Route, ...]) -> None:
        """Give the link these routes."""
        share = words_per_lane(self._words[number], routes)
        for route in routes:
            self.traffic.add(route, share)
        self.chosen[number] = routes

    def withdraw(self, number: int) -> None:
        """Take the link's routes away."""
        routes = self.chosen[number]
        share = words_per_lane(self._words[number], routes)
        for route in routes:
            self.traffic.remove(route, share)
        self.chosen[number] = ()

    def port_cycles(self, number: int) -> int:
        """Cycles that the words through the link's busiest port take."""
        return self._cycles(self._peak_words(number))

    def flight_cycles(self, routes: Sequence[Route]) -> int:
        """Cycles of one word on the longest lane, both ramps included."""
        return self._fabric.hop_cycles * max(map(longest_lane, routes)) + 2 * self._fabric.ramp_cycles

    def _choose(self, number: int) -> None:
        """Take the cheapest routes; look at more of them where the first ones overload a port or a core."""
        narrowness = self.narrowness[number]
        routes = first_bundles(self._passages[number], self._demand(number, narrowness))
        best = min(routes, key=lambda each: self._cost(number, each))
        if self._cost(number, best)[:2] != (0, 0):
            best = self.options(number, narrowness)[0]
        self.settle(number, best)

    def _relieve_port(self, column: int, row: int, words: int) -> bool:
        core = Rectangle(column, row, 1, 1)
        for number in reversed(self.order):
            current = self.chosen[number]
            if len(self._passages[number]) == 1 and self._is_full(number):
                continue
            if not any(overlap(core, bounding_box(each.source, each.target)) for each in current):
                continue
            if self._peak_words(number) < words:
                continue
            self.withdraw(number)
            best = self.options(number, self.narrowness[number])[0]
            moved = self._cost(number, best)[:2] < self._cost(number, current)[:2]
            self.settle(number, best if moved else current)
            if moved:
                return True
        return False

    def _is_full(self, number: int) -> bool:
        """Whether the link's lanes leave no room on either side, so that it cannot shift."""
        return sum(each.lanes for each in self.chosen[number]) == self._passages[number][0].room

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
        share = words_per_lane(self._words[number], routes)
        colours = 1 + max(map(self.traffic.peak_routes, routes))
        cycles = self._cycles(share + max(map(self.traffic.peak_words, routes)))
        return (
            max(0, colours - self._fabric.link_colours),
            max(0, cycles - self._interval),
            cycles + self.flight_cycles(routes),
            colours,
        )

    def _peak_words(self, number: int) -> int:
        return max(map(self.traffic.peak_words, self.chosen[number]))

    def _cycles(self, words: int) -> int:
        return -(-words // self._fabric.link_words_per_cycle)


def words_per_lane(words: int, routes: Sequence[Route]) -> int:
    """Words on each lane when they are spread evenly over all lanes."""
    return -(-words // sum(route.lanes for route in routes))
