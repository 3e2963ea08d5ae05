"""Ways of turns that need not be weighed: another one takes no more cycles, whatever neighbours do.

Exact: there is a best choice without them. What a way saves in its own cycles and towards one neighbour may outweigh the most that it
costs towards the others (dead-end elimination: R. F. Goldstein, 1994). Many ways differ in little that a neighbour sees, so that what is
left is small enough to be weighed in all combinations. Equal turns with equal neighbours are compared once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.schedule.sequential.dominance_loops import least_rows, not_outweighed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_ROUNDS = 12


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """Cycles between the ways of two turns, [ways of `source`, ways of `target`]."""

    source: int
    target: int
    cycles: NDArray[np.float64]


def undominated(
    own: Sequence[NDArray[np.float64]], tables: Sequence[Table], alike: Sequence[object]
) -> list[NDArray[np.int64]]:
    """The ways of each turn that are left, in rising order.

    Args:
        own: Cycles of each turn, and what else counts of it and no cycles outweigh, [ways, 1 or more].
        tables: Between turns; those between equal pairs share their arrays.
        alike: By turn, equal where `own` is.
    """
    kept = [np.arange(len(cycles)) for cycles in own]
    of_turn: list[list[tuple[Table, bool]]] = [[] for _ in own]
    for table in tables:
        of_turn[table.source].append((table, True))
        of_turn[table.target].append((table, False))
    known: dict[object, NDArray[np.int64]] = {}
    for _ in range(_ROUNDS):
        left = sum(map(len, kept))
        before = list(kept)
        for at, near in enumerate(of_turn):
            sides = [
                (table.cycles if first else table.cycles.T, before[table.target if first else table.source])
                for table, first in near
            ]
            key = (
                alike[at],
                before[at].tobytes(),
                *(
                    (id(table.cycles), first, ways.tobytes())
                    for (table, first), (_, ways) in zip(near, sides, strict=True)
                ),
            )
            if key not in known:
                mine = before[at]
                features = [own[at][mine], *(each[np.ix_(mine, ways)] for each, ways in sides)]
                known[key] = mine[_left(features, own[at].shape[1])]
            kept[at] = known[key]
        if sum(map(len, kept)) == left:
            break
    return kept


def _left(features: Sequence[NDArray[np.float64]], own: int) -> NDArray[np.int64]:
    """Ways that neither any other one is below, nor any outweighs, in rising order.

    Args:
        features: Own cycles and what none outweigh, [ways, own]; cycles towards each neighbour, [ways, its ways].
        own: Columns of the first.
    """
    every = np.concatenate(features, axis=1)
    first = np.flatnonzero(least_rows(every, np.argsort(every.sum(axis=1), kind="stable")))
    starts = np.cumsum([own, *(each.shape[1] for each in features[1:])])
    dearest = np.argsort(every[first, 0], kind="stable")[::-1].copy()
    return first[not_outweighed(every[first], starts, dearest)]
