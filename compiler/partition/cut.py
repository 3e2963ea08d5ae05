"""The partition with the fewest crossings: a minimum cut between host and wafer.

A tensor crosses where its source and one of its readers are on different sides, and it crosses once however many read
it there. Among partitions with the fewest crossings the one with the fewest words that cross is taken, and among those
the one with the most on the wafer, which is unique: the result does not depend on the order of anything.

A tensor with several readers is a hyperedge. Its gadget, one vertex for each direction, is that of E. Ihler, D. Wagner
and F. Wagner, "Modeling hypergraphs by graphs with the same mincut properties", Information Processing Letters 45 (1993).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import networkx as nx

OUTSIDE = -1
"""Stands for what gives the model's inputs and takes its outputs, which is the host."""


class Side(Enum):
    """Where an operator runs."""

    HOST = "host"
    WAFER = "wafer"


@dataclass(frozen=True, slots=True)
class Net:
    """A tensor: the unit that gives it, the units that read it (any of them `OUTSIDE`), and its words."""

    source: int
    readers: tuple[int, ...]
    words: int


def fewest_crossings(forced: Sequence[Side | None], nets: Sequence[Net]) -> tuple[Side, ...]:
    """The side of each unit.

    Args:
        forced: The side that a unit must be on; None where it is free.
        nets: The tensors between units.
    """
    if None not in forced:
        return tuple(side for side in forced if side is not None)
    import networkx as nx

    open_nets = [net for net in nets if any(_side(pin, forced) is None for pin in (net.source, *net.readers))]
    graph: nx.DiGraph[object] = nx.DiGraph()
    graph.add_nodes_from([Side.WAFER, Side.HOST])
    crossing = 1 + sum(net.words for net in open_nets)  # one crossing weighs more than all words together
    for index, net in enumerate(open_nets):
        _add_net(graph, forced, net, index, crossing + net.words)
    _, (_, with_host) = nx.minimum_cut(graph, Side.WAFER, Side.HOST)
    return tuple(
        side if side is not None else Side.HOST if unit in with_host else Side.WAFER
        for unit, side in enumerate(forced)
    )


def crossings(sides: Sequence[Side], nets: Sequence[Net]) -> tuple[int, int]:
    """How many tensors cross, and their words."""
    crossed = [
        net for net in nets if any(_side(pin, sides) != _side(net.source, sides) for pin in net.readers)
    ]
    return len(crossed), sum(net.words for net in crossed)


def _side(unit: int, sides: Sequence[Side | None]) -> Side | None:
    return Side.HOST if unit == OUTSIDE else sides[unit]


def _add_net(
    graph: nx.DiGraph[object], forced: Sequence[Side | None], net: Net, index: int, capacity: int
) -> None:
    """Two vertices, of which the cut separates one from the source where a reader is on the other side.

    An edge without a capacity is never cut.
    """
    source, *readers = _vertices((net.source, *net.readers), forced)
    to_host, to_wafer = (index, Side.HOST), (index, Side.WAFER)
    graph.add_edge(source, to_host, capacity=capacity)
    graph.add_edge(to_wafer, source, capacity=capacity)
    for reader in dict.fromkeys(readers):
        graph.add_edge(to_host, reader)
        graph.add_edge(reader, to_wafer)


def _vertices(pins: Sequence[int], forced: Sequence[Side | None]) -> Iterator[object]:
    for pin in pins:
        side = _side(pin, forced)
        yield pin if side is None else side
