"""Ways of turns that need not be weighed: another one takes no more cycles, whatever neighbours do.

Exact: there is a best choice without them. What a way saves in its own cycles and towards one neighbour may outweigh the most that it
costs towards the others (dead-end elimination: R. F. Goldstein, 1994). Many ways differ in little that a neighbour sees, so that what is
left is small enough to be weighed in all combinations. Equal turns with equal neighbours are compared once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

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
    for _ in range(_ROUNDS):
        left = sum(map(len, kept))
        known: dict[object, NDArray[np.int64]] = {}
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
                first = _least(np.concatenate(features, axis=1))
                left_over = _not_outweighed([each[first] for each in features])
                known[key] = mine[first[left_over]]
            kept[at] = known[key]
        if sum(map(len, kept)) == left:
            break
    return kept


def _not_outweighed(features: Sequence[NDArray[np.float64]]) -> NDArray[np.int64]:
    """Ways of which no other one takes at most as many cycles for any ways of the neighbours, in rising order.

    Args:
        features: Own cycles and what none outweigh, [ways, 1 or more]; cycles towards each neighbour, [ways, its ways].
    """
    own, *between = features
    more = own[:, :1] - own[:, 0]  # [way, other]: the most that a way takes beyond the other
    for cycles in between:
        for way in range(len(own)):
            more[way] += (cycles[way] - cycles).max(axis=1)
    at_most = more <= 0
    for column in range(1, own.shape[1]):
        at_most &= own[:, column, None] <= own[:, column]
    left = np.ones(len(own), dtype=np.bool_)
    for way in np.argsort(own[:, 0], kind="stable")[::-1]:
        left[way] = False
        left[way] = not at_most[left, way].any()
    return np.flatnonzero(left)


def _least(features: NDArray[np.float64]) -> NDArray[np.int64]:
    """Rows that no other row is below or equal to in all columns; of equal rows the first."""
    features = np.unique(features, axis=1)
    _, first = np.unique(features, axis=0, return_index=True)
    rows = np.sort(first)
    some = features[rows]
    order = np.argsort(some.sum(axis=1), kind="stable")  # a row is below another only if its sum is
    kept: list[int] = []
    for row in order.tolist():
        if not kept or not (some[kept] <= some[row]).all(axis=1).any():
            kept.append(row)
    return np.sort(rows[kept])
