"""From links to routes: choose where the lanes of each link run, then colour them within the target's budget.

A link whose routes find no colour runs another way; where that does not help, it and the links around it become
narrower, step by step down to one lane, and choose again. The result depends on the arguments alone.

Colours are numbered from 0; the highest ones of the machine stay with the kernels and the host. docs/routing.md states
what is assumed.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from wsec.compiler.plan import Rectangle, Route
from wsec.compiler.routing.candidates import UNCOLOURED
from wsec.compiler.routing.colouring import ColouredRoutes, colour
from wsec.compiler.routing.footprints import Footprints
from wsec.compiler.routing.geometry import bounding_box, longest_lane, overlap
from wsec.compiler.routing.problem import ColouringError, RoutedLink, RoutingSummary
from wsec.compiler.routing.selection import NARROWEST, Selection, words_per_lane
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
    return tuple(
        RoutedLink(
            routes=routes,
            cycles=selection.port_cycles(number) + selection.flight_cycles(routes),
            interval=selection.port_cycles(number),
        )
        for number, routes in enumerate(selection.chosen)
    )


def summarize_routing(
    links: Sequence[RoutingLink], routed: Sequence[RoutedLink], *, width: int, height: int
) -> RoutingSummary:
    """What the routes use together, computed from the routes alone."""
    traffic = Traffic(width, height)
    for link, result in zip(links, routed, strict=True):
        for each in result.routes:
            traffic.add(each, words_per_lane(link.words, result.routes))
    routes = [each for result in routed for each in result.routes]
    return RoutingSummary(
        colours_used=len({each.colour for each in routes}),
        colour_bound=traffic.busiest_core()[2],
        max_link_words=traffic.busiest_port()[2],
        longest_path=max(map(longest_lane, routes), default=0),
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
    conflicts = Footprints([each for routes in selection.chosen for each in routes]).conflicts()
    colours = iter(colour(conflicts, budget).tolist())
    for number, routes in enumerate(selection.chosen):
        selection.chosen[number] = tuple(dataclasses.replace(each, colour=next(colours)) for each in routes)
    return [number for number, routes in enumerate(selection.chosen) if not _is_coloured(routes)]


def _reroute(selection: Selection, failed: Sequence[int], budget: int) -> list[int]:
    """Find links the cheapest routes that have a free colour, at any width; those for which there are none."""
    kept = ColouredRoutes(
        [each for routes in selection.chosen if _is_coloured(routes) for each in routes], budget
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
            kept.add(found)
    selection.choose_all()
    return still_failed


def _first_colourable(selection: Selection, number: int, kept: ColouredRoutes) -> tuple[Route, ...] | None:
    for narrowness in range(selection.narrowness[number], NARROWEST + 1):
        for routes in selection.options(number, narrowness):
            found = kept.coloured(routes)
            if found is not None:
                return found
    return None


def _narrower(selection: Selection, failed: Sequence[int]) -> list[int]:
    """The links that found no colour, and all that share a core with them, as far as they can become narrower."""
    owners = [number for number, routes in enumerate(selection.chosen) for _ in routes]
    footprints = Footprints([each for routes in selection.chosen for each in routes])
    around = {
        owners[touching]
        for number in failed
        for each in selection.chosen[number]
        for touching in footprints.touching(each).tolist()
    }
    return [
        number for number in selection.order if number in around and selection.narrowness[number] < NARROWEST
    ]


def _is_coloured(routes: Sequence[Route]) -> bool:
    return all(each.colour != UNCOLOURED for each in routes)


def _too_many_colours(
    selection: Selection, links: Sequence[RoutingLink], failed: Sequence[int], fabric: Fabric
) -> ColouringError:
    column, row, routes = selection.traffic.busiest_core()
    core = Rectangle(column, row, 1, 1)
    owners = [number for number, chosen in enumerate(selection.chosen) for _ in chosen]
    footprints = Footprints([each for chosen in selection.chosen for each in chosen])
    crossing = [owners[each] for each in footprints.touching(Route(UNCOLOURED, core, core)).tolist()]
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
