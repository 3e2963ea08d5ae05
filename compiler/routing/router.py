"""From links to routes: choose where the lanes of each link run, then colour them within the target's budget.

Every decision is greedy and repaired where it went wrong: links are taken by falling size and get the routes that
finish first beside those chosen before; links through overloaded ports choose again; then the routes are coloured. A
link whose routes find no colour runs another way, and where that does not help it and the links around it become
narrower, step by step down to one lane. The result depends on the arguments alone.

Colours are numbered from 0; the highest ones of the machine stay with the kernels and the host. docs/routing.md states
what is assumed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import Rectangle, Route
from wsec.compiler.routing.candidates import UNCOLOURED, bundles, passages
from wsec.compiler.routing.colouring import Footprints, colour
from wsec.compiler.routing.geometry import distance, longest_lane, overlap
from wsec.compiler.routing.problem import RoutedLink, RoutingSummary
from wsec.compiler.routing.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.routing.problem import RoutingLink
    from wsec.compiler.target import Fabric, Target

_WIDTHS = 4  # wide, half an interval, a whole interval, one lane
_RELIEF_SWEEPS = 2
_SMALL_PART = 32  # a link that takes 1/32 of the interval gains nothing from more lanes
_NAMES_SHOWN = 6


def route(
    links: Sequence[RoutingLink], *, width: int, height: int, target: Target, interval: int
) -> tuple[RoutedLink, ...]:
    """Routes, colours and cycles of every link, in the order of `links`.

    Args:
        links: Between disjoint rectangles inside the region.
        width: Columns of the region.
        height: Rows of the region.
        target: Gives the colours and the speed of the fabric.
        interval: Cycles between two samples, which links should not exceed. They may: see `RoutedLink.interval`.

    Raises:
        WsecError: WSEC340 when no colouring within the budget was found.
        ValueError: When source and target of a link overlap.
    """
    if not links:
        return ()
    for link in links:
        if link.source and link.target and overlap(link.source, link.target):
            raise ValueError(f"link {link.name}: source and target overlap")
    router = _Router(links, width, height, target.fabric, interval)
    router.choose_all()
    router.relieve_ports()
    router.colour_all()
    return router.result()


def summarize_routing(
    links: Sequence[RoutingLink], routed: Sequence[RoutedLink], *, width: int, height: int
) -> RoutingSummary:
    """What the routes use together, computed from the routes alone."""
    traffic = Traffic(width, height)
    for link, result in zip(links, routed, strict=True):
        for each in result.routes:
            traffic.add(each, _words_per_lane(link.words, result.routes))
    routes = [each for result in routed for each in result.routes]
    return RoutingSummary(
        colours_used=len({each.colour for each in routes}),
        colour_bound=traffic.busiest_core()[2],
        max_link_words=traffic.busiest_port(),
        longest_path=max(map(longest_lane, routes), default=0),
    )


class _Router:
    """The routes chosen so far and the traffic they make."""

    def __init__(
        self, links: Sequence[RoutingLink], width: int, height: int, fabric: Fabric, interval: int
    ) -> None:
        self._links = links
        self._fabric = fabric
        self._budget = fabric.link_colours
        self._interval = max(interval, 1)
        west, east = Rectangle(0, 0, 1, height), Rectangle(width - 1, 0, 1, height)
        self._ends = [(link.source or west, link.target or east) for link in links]
        self._passages = [passages(*ends) for ends in self._ends]
        self._order = sorted(range(len(links)), key=lambda number: (-links[number].words, number))
        self._narrowness = [0] * len(links)
        self._chosen: list[tuple[Route, ...]] = [()] * len(links)
        self._traffic = Traffic(width, height)

    def choose_all(self) -> None:
        """Give every link its routes, those with most words first."""
        for number in self._order:
            self._choose(number)

    def relieve_ports(self) -> None:
        """Let links choose again whose ports carry more words than the interval has cycles."""
        for _ in range(_RELIEF_SWEEPS):
            for number in self._order:
                if self._port_cycles(self._peak_words(number)) > self._interval:
                    self._withdraw(number)
                    self._choose(number, thorough=True)

    def colour_all(self) -> None:
        """Colour all routes within the budget.

        Raises:
            WsecError: WSEC340 when that failed with every link as narrow as it can be.
        """
        for _ in range(_WIDTHS * 2):
            failed = self._colour()
            failed = [number for number in failed if not self._reroute(number)]
            if not failed:
                return
            if not self._narrow(failed):
                break
        raise self._too_many_colours(failed)

    def result(self) -> tuple[RoutedLink, ...]:
        """The routes and what they cost beside each other."""
        return tuple(
            RoutedLink(
                routes=routes,
                cycles=self._port_cycles(self._peak_words(number)) + self._flight_cycles(routes),
                interval=self._port_cycles(self._peak_words(number)),
            )
            for number, routes in enumerate(self._chosen)
        )

    # One link at a time

    def _choose(self, number: int, *, thorough: bool = False) -> None:
        """Take the cheapest routes; look at more of them where the first ones overload a port or a core."""
        options = self._options(number, self._narrowness[number], every_position=thorough)
        cost, best = min(((self._cost(number, each), each) for each in options), key=lambda pair: pair[0])
        if not thorough and cost[:2] != (0, 0):
            self._choose(number, thorough=True)
            return
        self._settle(number, best)

    def _options(self, number: int, narrowness: int, *, every_position: bool) -> list[tuple[Route, ...]]:
        lanes = self._lanes_wanted(number, narrowness)
        return list(bundles(self._passages[number], lanes, every_position=every_position))

    def _lanes_wanted(self, number: int, narrowness: int) -> int:
        """Lanes for which the words take as long as the narrowness allows."""
        flight = self._fabric.hop_cycles * distance(*self._ends[number]) + 2 * self._fabric.ramp_cycles
        cycles = (
            max(flight, self._interval // _SMALL_PART, 1),
            max(self._interval // 2, 1),
            self._interval,
        )
        if narrowness >= len(cycles):
            return 1
        return max(
            1, -(-self._links[number].words // (cycles[narrowness] * self._fabric.link_words_per_cycle))
        )

    def _cost(self, number: int, routes: tuple[Route, ...]) -> tuple[int, int, int, int]:
        """Colours over budget, cycles over the interval, cycles, colours: the least is best, in this order."""
        words = _words_per_lane(self._links[number].words, routes)
        colours = 1 + max(map(self._traffic.peak_routes, routes))
        cycles = self._port_cycles(words + max(map(self._traffic.peak_words, routes)))
        return (
            max(0, colours - self._budget),
            max(0, cycles - self._interval),
            cycles + self._flight_cycles(routes),
            colours,
        )

    def _settle(self, number: int, routes: tuple[Route, ...]) -> None:
        for each in routes:
            self._traffic.add(each, _words_per_lane(self._links[number].words, routes))
        self._chosen[number] = routes

    def _withdraw(self, number: int) -> None:
        routes = self._chosen[number]
        for each in routes:
            self._traffic.remove(each, _words_per_lane(self._links[number].words, routes))
        self._chosen[number] = ()

    def _peak_words(self, number: int) -> int:
        return max(map(self._traffic.peak_words, self._chosen[number]))

    def _port_cycles(self, words: int) -> int:
        return -(-words // self._fabric.link_words_per_cycle)

    def _flight_cycles(self, routes: tuple[Route, ...]) -> int:
        return self._fabric.hop_cycles * max(map(longest_lane, routes)) + 2 * self._fabric.ramp_cycles

    # All links together

    def _colour(self) -> list[int]:
        """Colour everything afresh; the numbers of links with a route that found no colour."""
        flat = [each for routes in self._chosen for each in routes]
        colours = iter(colour(Footprints(flat).conflicts(), self._budget).tolist())
        for number, routes in enumerate(self._chosen):
            self._chosen[number] = tuple(dataclasses.replace(each, colour=next(colours)) for each in routes)
        return [
            number
            for number, routes in enumerate(self._chosen)
            if any(each.colour == UNCOLOURED for each in routes)
        ]

    def _reroute(self, number: int) -> bool:
        """Find the link the cheapest routes that are free of conflicts with the coloured ones, at any width."""
        self._withdraw(number)
        flat = [each for routes in self._chosen for each in routes if each.colour != UNCOLOURED]
        footprints = Footprints(flat)
        for narrowness in range(self._narrowness[number], _WIDTHS):
            options = self._options(number, narrowness, every_position=True)
            for option in sorted(options, key=lambda each: self._cost(number, each)):
                coloured = self._colour_around(option, footprints, flat)
                if coloured is not None:
                    self._settle(number, coloured)
                    return True
        self._choose(number)
        return False

    def _colour_around(
        self, routes: tuple[Route, ...], footprints: Footprints, others: Sequence[Route]
    ) -> tuple[Route, ...] | None:
        """The routes with the lowest free colours, or None; routes of one link never share a colour here."""
        coloured: list[Route] = []
        for each in routes:
            taken = {others[number].colour for number in footprints.touching(each)}
            taken.update(before.colour for before in coloured)
            free = next((number for number in range(self._budget) if number not in taken), None)
            if free is None:
                return None
            coloured.append(dataclasses.replace(each, colour=free))
        return tuple(coloured)

    def _narrow(self, failed: Sequence[int]) -> bool:
        """Make the links that found no colour, and all that touch them, one step narrower; False if none could be."""
        owners = [number for number, routes in enumerate(self._chosen) for _ in routes]
        footprints = Footprints([each for routes in self._chosen for each in routes])
        around = {
            owners[touching]
            for number in failed
            for each in self._chosen[number]
            for touching in footprints.touching(each).tolist()
        }
        narrower = [number for number in self._order if number in around]
        narrower = [number for number in narrower if self._narrowness[number] < _WIDTHS - 1]
        for number in narrower:
            self._narrowness[number] += 1
            self._withdraw(number)
        for number in narrower:
            self._choose(number)
        return bool(narrower)

    def _too_many_colours(self, failed: Sequence[int]) -> WsecError:
        column, row, routes = self._traffic.busiest_core()
        core = Rectangle(column, row, 1, 1)
        owners = [link.name for link, chosen in zip(self._links, self._chosen, strict=True) for _ in chosen]
        footprints = Footprints([each for chosen in self._chosen for each in chosen])
        crossing = [owners[each] for each in footprints.touching(Route(UNCOLOURED, core, core)).tolist()]
        fabric = self._fabric
        return WsecError(
            code="WSEC340",
            what="the links between kernels need more colours than the machine has",
            where=f"core ({column}, {row}) of the region, crossed by {_listed(crossing)}",
            expected=f"at most {self._budget} colours: {fabric.colours} of the machine, less "
            f"{fabric.reserved_colours} of the host and {fabric.kernel_colours} of the kernels",
            found=f"{routes} routes through this core; no colour for {_listed([self._links[each].name for each in failed])}",
            hint="use a larger --region, or a target with more colours or fewer kernel_colours",
        )


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    different = list(dict.fromkeys(names))
    shown = ", ".join(different[:_NAMES_SHOWN])
    more = len(different) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown


def _words_per_lane(words: int, routes: Sequence[Route]) -> int:
    return -(-words // sum(each.lanes for each in routes))
