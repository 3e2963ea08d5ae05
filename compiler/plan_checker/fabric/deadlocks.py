"""Freedom of deadlocks: no circle of routers each of which waits for the next (Dally and Seitz, 1987).

A colour has queues of its own, and links serve all colours in turn, so words of different colours do not wait for each other:
each circuit is judged alone. What waits are the positions of switches, each in two stages. A position has *room* when its
switch has come to it, that is when the position before is done, and all positions that take its words have room. It is
*done* when it had room, and all positions that give it words are done.

Many routers hold the same setting, so first one node stands for all of them. A circle of such nodes is no circle of routers
if all its steps lead one way: along a straight line that no step goes back on, and with no circle among the steps that stay.
Where that cannot be shown, single routers are nodes, but for streams that were found to be trees. Settings that take words from one port at two positions (reductions)
have no two stages here; that such positions get their own words, in order, is seen where lines are followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import networkx as nx
import numpy as np

from wsec.compiler.plan_checker.fabric.areas import circuit_name
from wsec.compiler.plan_checker.fabric.grids import neighbours
from wsec.compiler.plan_checker.fabric.settings import MOST_POSITIONS, RAMP
from wsec.compiler.plan_checker.findings import DEADLOCK, Finding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan_checker.fabric.areas import Areas
    from wsec.compiler.plan_checker.fabric.settings import Settings

    Numbers = NDArray[np.int32]

_STEPS = ((0, -1), (1, 0), (0, 1), (-1, 0))
"""Columns and rows to the neighbour behind each port."""
_WAYS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
_ROOM, _DONE = 0, 1

Node = tuple[object, int, int]
"""A router or a setting, a position, and a stage."""

Circle = tuple[tuple[int, int], ...]


class Deadlocks:
    """Remembers circuits that are alike: kernels have many."""

    def __init__(self, areas: Areas) -> None:
        self._areas = areas
        self._free: set[tuple[object, ...]] = set()

    def check(self, number: int, grid: Numbers, *, trees: bool) -> Iterator[Finding]:
        """A finding where routers of a circuit may wait for each other.

        Args:
            number: Of the circuit, which has no loose ends.
            grid: Painted with its colour.
            trees: Whether its streams were followed, and are trees. Where words come together each router takes them in the
                order in which the tree gives them, so that waiting only leads to earlier words and towards the root.
        """
        if trees:
            return
        areas = self._areas
        own = np.arange(areas.first[number], areas.first[number + 1])
        present = np.unique(areas.setting[own])
        kind = np.full(len(areas.setting), -1, np.int32)
        kind[own] = np.searchsorted(present, areas.setting[own])
        beside = np.zeros((4, len(present), len(present)), np.bool_)
        neighbours(grid, own, areas.bounds, kind, beside)
        key = (tuple(present.tolist()), beside.tobytes())
        if key in self._free:
            return
        graph = _graph(
            range(len(present)),
            lambda at, port: np.flatnonzero(beside[port, at]).tolist(),
            lambda at: int(present[at]),
            areas.settings,
        )
        if _leads_one_way(graph):
            self._free.add(key)
            return
        circle = self._circle(number, grid)
        if circle:
            rule = "no router waits for itself"
            way = " -> ".join(f"x={x}, y={y}" for x, y in circle[:6])
            more = f" and {len(circle) - 6} more" if len(circle) > 6 else ""
            found = f"a circle of {len(circle)} routers: {way}{more}"
            yield Finding(DEADLOCK, rule, circuit_name(areas.circuits[number]), "no circle", found)

    def _circle(self, number: int, grid: Numbers) -> Circle:
        """Routers that wait for each other in a circle, none where nobody does."""
        areas = self._areas
        width = grid.shape[1]
        mine = (grid >= 0) & (areas.circuit[np.maximum(grid, 0)] == number)
        cells = np.flatnonzero(mine).tolist()

        def behind(at: int, port: int) -> Iterable[int]:
            right, down = _STEPS[port]
            x, y = at % width + right, at // width + down
            return [y * width + x] if 0 <= x < width and 0 <= y < len(grid) and mine[y, x] else []

        graph = _graph(
            cells, behind, lambda at: int(areas.setting[grid[at // width, at % width]]), areas.settings
        )
        try:
            edges = nx.find_cycle(graph)
        except nx.NetworkXNoCycle:
            return ()
        routers = list(dict.fromkeys(int(edge[0][0]) for edge in edges))
        return tuple((at % width, at // width) for at in routers)


def _graph(
    routers: Iterable[int],
    behind: Callable[[int, int], Iterable[int]],
    setting_of: Callable[[int], int],
    settings: Settings,
) -> nx.MultiDiGraph[Node]:
    """Who waits for whom; edges carry the columns and rows from one to the other.

    Args:
        routers: Or settings, that stand for all routers which hold them.
        behind: Those behind a port of a router.
        setting_of: Of a router.
        settings: Of the phase.
    """
    graph: nx.MultiDiGraph[Node] = nx.MultiDiGraph()
    for router in routers:
        setting = setting_of(router)
        sources = [int(source) for source in settings.source[setting] if source >= 0]
        in_order = len(set(sources)) == len(sources)
        for position, source in enumerate(sources):
            room, done = (router, position, _ROOM), (router, position, _DONE)
            graph.add_edge(done, room, step=(0, 0))
            if position and in_order:
                graph.add_edge(room, (router, position - 1, _DONE), step=(0, 0))
            ports = [port for port in range(RAMP) if settings.outputs[setting, position] >> port & 1]
            graph.add_edges_from(
                (room, (other, taking, _ROOM), {"step": _STEPS[port]})
                for port in ports
                for other in behind(router, port)
                for taking in _positions(settings, setting_of(other), (port + 2) % 4)
            )
            if source != RAMP and in_order:
                graph.add_edges_from(
                    (done, (other, giving, _DONE), {"step": _STEPS[source]})
                    for other in behind(router, source)
                    for giving in _giving(settings, setting_of(other), (source + 2) % 4)
                )
    return graph


def _positions(settings: Settings, setting: int, port: int) -> list[int]:
    """Positions of a setting that take words from a port."""
    return [place for place in range(MOST_POSITIONS) if settings.source[setting, place] == port]


def _giving(settings: Settings, setting: int, port: int) -> list[int]:
    """Positions of a setting that give words to a port, where its positions come in an order."""
    sources = [int(source) for source in settings.source[setting] if source >= 0]
    if len(set(sources)) < len(sources):
        return []
    return [place for place in range(len(sources)) if settings.outputs[setting, place] >> port & 1]


def _leads_one_way(graph: nx.MultiDiGraph[Node]) -> bool:
    """Whether no circle of nodes can be a circle of routers."""
    waiting = [graph]
    while waiting:
        part = waiting.pop()
        for nodes in nx.strongly_connected_components(part):
            steps: list[tuple[Node, Node, tuple[int, int]]] = list(part.subgraph(nodes).edges(data="step"))
            if not steps:
                continue
            way = next((way for way in _WAYS if _holds(way, {step for _, _, step in steps})), None)
            if way is None:
                return False
            still: nx.MultiDiGraph[Node] = nx.MultiDiGraph()
            still.add_edges_from((a, b, {"step": step}) for a, b, step in steps if not _along(way, step))
            waiting.append(still)
    return True


def _along(way: tuple[int, int], step: tuple[int, int]) -> int:
    return way[0] * step[0] + way[1] * step[1]


def _holds(way: tuple[int, int], steps: Iterable[tuple[int, int]]) -> bool:
    """Whether no step goes back on a way, and some go on."""
    along = [_along(way, step) for step in steps]
    return min(along) >= 0 and max(along) > 0
