"""Colours for routes: two routes that share a core need different ones.

DSATUR: colour next the route that sees most colours among its neighbours, of these the one with most neighbours, of
these the first. Method: Brélaz, "New methods to color the vertices of a graph", CACM 22(4), 1979.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.routing.candidates import UNCOLOURED
from wsec.compiler.routing.footprints import NO_GROUND, Footprints, Ground
from wsec.compiler.routing.geometry import share_a_core

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Route


def colour(neighbours: Sequence[NDArray[np.intp]], budget: int) -> NDArray[np.int64]:
    """A colour below `budget` for each route, or `UNCOLOURED` where its neighbours have them all.

    Args:
        neighbours: For each route the numbers of those that need another colour.
        budget: How many colours there are, at least 1.
    """
    count = len(neighbours)
    colours = np.full(count, UNCOLOURED, np.int64)
    seen = np.zeros((count, budget), np.bool_)
    degrees = np.array([len(others) for others in neighbours], np.int64)
    urgency = degrees.copy()  # saturation first, degree second; -1 once the route is done
    for _ in range(count):
        route = int(urgency.argmax())
        urgency[route] = -1
        free = int(seen[route].argmin())
        if seen[route, free]:
            continue
        colours[route] = free
        others = neighbours[route]
        others = others[(urgency[others] >= 0) & ~seen[others, free]]
        seen[others, free] = True
        urgency[others] += count
    return colours


class ColouredRoutes:
    """Routes that have their colours, to which more are added where a colour is free."""

    def __init__(self, routes: Sequence[Route], budget: int, grounds: Sequence[Ground] | None = None) -> None:
        self._budget = budget
        self._footprints = Footprints(routes, grounds)
        self._colours = np.array([route.colour for route in routes], np.int64)

    def coloured(self, routes: Sequence[Route], ground: Ground = NO_GROUND) -> tuple[Route, ...] | None:
        """The routes of a link, each with the lowest colour that is free for it, or None.

        Routes of the link may share a colour where their lanes share no core.
        """
        found: list[Route] = []
        for route in routes:
            taken = np.zeros(self._budget, np.bool_)
            taken[self._colours[self._footprints.touching(route, ground)]] = True
            taken[[before.colour for before in found if share_a_core(before, route)]] = True
            free = int(taken.argmin())
            if taken[free]:
                return None
            found.append(dataclasses.replace(route, colour=free))
        return tuple(found)

    def add(self, routes: Sequence[Route], ground: Ground = NO_GROUND) -> None:
        """Keep these routes of a link with their colours."""
        self._footprints.add(routes, ground)
        self._colours = np.concatenate([self._colours, [route.colour for route in routes]])
