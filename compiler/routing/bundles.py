"""Sets of routes that a link could take, at places that do not depend on other links."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice
from typing import TYPE_CHECKING

from wsec.compiler.routing.geometry import share_a_core

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.plan import Route
    from wsec.compiler.routing.candidates import Passage


@dataclass(frozen=True, slots=True)
class Demand:
    """What a link asks for.

    Attributes:
        wanted: Lanes, if there is room.
        enough: Lanes beyond which no further passage is worth its cores.
        packed: Whether lanes should leave room for others beside them.
    """

    wanted: int
    enough: int
    packed: bool


def first_bundles(ways: Sequence[Passage], demand: Demand) -> list[tuple[Route, ...]]:
    """Sets of routes at their best places, of as few passages as give enough lanes, or of all there are."""
    found: list[tuple[Route, ...]] = []
    for size in range(1, len(ways) + 1):
        for chosen in combinations(ways, size):
            found.extend(islice(_bundles(chosen, demand), 1))
        if any(sum(route.lanes for route in routes) >= demand.enough for routes in found):
            break
    return found


def all_bundles(ways: Sequence[Passage], demand: Demand) -> list[tuple[Route, ...]]:
    """Every set of passages, at every place that is tried; single turns also without their innermost core."""
    sets = _subsets(ways)
    sets += [(passage,) for way in ways for passage in way.shifted()[-1:]]
    return [routes for chosen in sets for routes in _bundles(chosen, demand)]


def single_passages(ways: Sequence[Passage], demand: Demand) -> list[tuple[Route, ...]]:
    """Each passage by itself, at every place that is tried."""
    return [routes for way in ways for routes in _bundles((way,), demand)]


def _subsets(ways: Sequence[Passage]) -> list[tuple[Passage, ...]]:
    return [chosen for size in range(1, len(ways) + 1) for chosen in combinations(ways, size)]


def _bundles(chosen: Sequence[Passage], demand: Demand) -> Iterator[tuple[Route, ...]]:
    shares = _share(chosen, demand.wanted)
    if shares is None:
        return
    places = [passage.positions(lanes, packed=demand.packed) for passage, lanes in shares]
    for index in range(max(map(len, places))):
        yield tuple(routes[min(index, len(routes) - 1)] for routes in places)


def _share(chosen: Sequence[Passage], lanes: int) -> list[tuple[Passage, int]] | None:
    """Lanes for each passage, filled in turn; None when one of them would have none."""
    shares: list[tuple[Passage, int]] = []
    routes: list[Route] = []
    for passage in chosen:
        for used in (passage, *passage.shifted()):
            share = min(lanes, used.room)
            route = used.positions(share, packed=True, most=1)[0] if share else None
            if route and not any(share_a_core(route, before) for before in routes):
                break
        else:
            return None
        shares.append((used, share))
        routes.append(route)
        lanes -= share
    return shares
