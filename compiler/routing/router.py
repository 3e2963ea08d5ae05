"""From links to routes: choose where the lanes of each link run, then colour them within the target's budget.

A link whose routes find no colour runs another way; where that does not help, it and the links around it become
narrower, step by step down to one lane, and choose again. The result depends on the arguments alone.

Colours are numbered from 0; the highest ones of the machine stay with the kernels and the host. docs/routing.md states
what is assumed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wsec.compiler.cost.collectives import flight_cycles
from wsec.compiler.plan import Rectangle, Route
from wsec.compiler.routing.candidates import UNCOLOURED
from wsec.compiler.routing.colouring import ColouredRoutes, colour
from wsec.compiler.routing.fan_traffic import FanTraffic, LoadedLink, loaded, longest_way
from wsec.compiler.routing.footprints import Footprints
from wsec.compiler.routing.geometry import bounding_box, overlap
from wsec.compiler.routing.problem import ColouringError, RoutedLink, RoutingSummary
from wsec.compiler.routing.selection import NARROWEST, Selection
from wsec.compiler.routing.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.routing.problem import RoutingLink
    from wsec.compiler.target import Fabric, Target

_MOST_ROUNDS = 8
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
        ColouringError: WSEC340 when no colouring within the budget was found.
        ValueError: When source and target of a link overlap, or do not lie in the region.
    """
    if not links:
        return ()
    _check_rectangles(links, Rectangle(0, 0, width, height))
    selection = Selection(links, width=width, height=height, fabric=target.fabric, interval=interval)
    selection.choose_all()
    selection.relieve_ports()
    _colour_all(selection, links, target.fabric)
    if not all(link.inside for link in links):
        return tuple(
            RoutedLink(
                routes=routes,
                cycles=selection.port_cycles(number) + selection.flight_cycles(routes),
                interval=selection.port_cycles(number),
                fans=None,
            )
            for number, routes in enumerate(selection.chosen)
        )
    carried = [loaded(link, routes) for link, routes in zip(links, selection.chosen, strict=True)]
    traffic = FanTraffic(carried, width=width, height=height)
    return tuple(_routed(each, traffic.busiest(each), target.fabric) for each in carried)


def _routed(each: LoadedLink, words: int, fabric: Fabric) -> RoutedLink:
    """A link whose busiest port so many words pass."""
    interval = -(-words // fabric.link_words_per_cycle)
    cycles = interval + flight_cycles(longest_way(each), fabric)
    return RoutedLink(each.routes, cycles, interval, each.fans)


def summarize_routing(
    links: Sequence[RoutingLink], routed: Sequence[RoutedLink], *, width: int, height: int
) -> RoutingSummary:
    """What the routes use together, computed from the routes alone."""
    counts = Traffic(width, height)
    for link, result in zip(links, routed, strict=True):
        counts.claim(link.ends)
        for each in result.routes:
            counts.add(each, 0, link.ends)
    carried = [loaded(link, result.routes, result.fans) for link, result in zip(links, routed, strict=True)]
    return RoutingSummary(
        colours_used=len({each.colour for result in routed for each in result.routes}),
        colour_bound=counts.busiest_core()[2],
        max_link_words=FanTraffic(carried, width=width, height=height).busiest_port(),
        longest_path=max(map(longest_way, carried), default=0),
    )


def _check_rectangles(links: Sequence[RoutingLink], region: Rectangle) -> None:
    for link in links:
        for end in (link.source, link.target):
            if end and bounding_box(end, region) != region:
                raise ValueError(f"link {link.name}: {end} is not in the region")
        if link.source and link.target and overlap(link.source, link.target):
            raise ValueError(f"link {link.name}: source and target overlap")


def _colour_all(selection: Selection, links: Sequence[RoutingLink], fabric: Fabric) -> None:
    """Colour all routes within the budget, changing them where that is needed."""
    for _ in range(_MOST_ROUNDS):
        failed = _colour(selection, fabric.link_colours)
        failed = _reroute(selection, failed, fabric.link_colours)
        if not failed:
            return
        narrower = _narrower(selection, failed)
        if not narrower:
            break
        for number in narrower:
            selection.narrowness[number] += 1
            selection.withdraw(number)
        selection.choose_all()
        selection.relieve_ports()
    raise _too_many_colours(selection, links, failed, fabric)


def _colour(selection: Selection, budget: int) -> list[int]:
    """Colour everything afresh; the numbers of links with a route that found no colour."""
    conflicts = _footprints(selection).conflicts()
    colours = iter(colour(conflicts, budget).tolist())
    for number, routes in enumerate(selection.chosen):
        selection.chosen[number] = tuple(dataclasses.replace(each, colour=next(colours)) for each in routes)
    return [number for number, routes in enumerate(selection.chosen) if not _is_coloured(routes)]


def _reroute(selection: Selection, failed: Sequence[int], budget: int) -> list[int]:
    """Find links the cheapest routes that have a free colour, at any width; those for which there are none."""
    owners = [number for number, routes in enumerate(selection.chosen) if _is_coloured(routes)]
    kept = ColouredRoutes(
        [each for number in owners for each in selection.chosen[number]],
        budget,
        [selection.grounds[number] for number in owners for _ in selection.chosen[number]],
    )
    for number in failed:
        selection.withdraw(number)
    still_failed = []
    for number in failed:
        found = _first_colourable(selection, number, kept)
        if found is None:
            still_failed.append(number)
        else:
            selection.settle(number, found)
            kept.add(found, selection.grounds[number])
    selection.choose_all()
    return still_failed


def _first_colourable(selection: Selection, number: int, kept: ColouredRoutes) -> tuple[Route, ...] | None:
    for narrowness in range(selection.narrowness[number], NARROWEST + 1):
        for routes in selection.options(number, narrowness):
            found = kept.coloured(routes, selection.grounds[number])
            if found is not None:
                return found
    return None


def _narrower(selection: Selection, failed: Sequence[int]) -> list[int]:
    """The links that found no colour, and all that share a core with them, as far as they can become narrower."""
    owners = _owners(selection)
    footprints = _footprints(selection)
    around = {
        owners[touching]
        for number in failed
        for each in selection.chosen[number]
        for touching in footprints.touching(each, selection.grounds[number]).tolist()
    }
    return [
        number for number in selection.order if number in around and selection.narrowness[number] < NARROWEST
    ]


def _footprints(selection: Selection) -> Footprints:
    """The cores of all routes, in the order of the links."""
    routes = [each for chosen in selection.chosen for each in chosen]
    return Footprints(routes, [selection.grounds[number] for number in _owners(selection)])


def _owners(selection: Selection) -> list[int]:
    """The link of each route."""
    return [number for number, routes in enumerate(selection.chosen) for _ in routes]


def _is_coloured(routes: Sequence[Route]) -> bool:
    return all(each.colour != UNCOLOURED for each in routes)


def _too_many_colours(
    selection: Selection, links: Sequence[RoutingLink], failed: Sequence[int], fabric: Fabric
) -> ColouringError:
    column, row, routes = selection.traffic.busiest_core()
    core = Rectangle(column, row, 1, 1)
    owners = _owners(selection)
    crossing = [
        owners[each] for each in _footprints(selection).touching(Route(UNCOLOURED, core, core)).tolist()
    ]
    return ColouringError(
        code="WSEC340",
        what="the links between kernels need more colours than the machine has",
        where=f"core ({column}, {row}) of the region, which most routes cross: "
        f"{_listed([links[each].name for each in crossing])}",
        expected=f"at most {fabric.link_colours} colours: {fabric.colours} of the machine, less "
        f"{fabric.reserved_colours} of the host and {fabric.kernel_colours} of the kernels",
        found=f"{routes} routes through this core; no colour left for {_listed([links[each].name for each in failed])}",
        hint="give a larger --region, or a target with more colours or fewer kernel_colours",
        uncoloured=frozenset(failed),
        crowded=frozenset([*failed, *crossing]),
    )


def _listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    different = list(dict.fromkeys(names))
    shown = ", ".join(different[:_NAMES_SHOWN])
    more = len(different) - _NAMES_SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
