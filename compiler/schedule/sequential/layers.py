"""Equal layers in equal ways: a problem of one layer and the ends of the model, whose solution the whole one begins with.

Turns that are alike, with like turns around them and the same cycles between them, take one way for all. What is left is as large as a
few layers, however many there are, and can be weighed in all combinations; a way that serves all layers, such as tables that lie on every
core, pays once for all of them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.schedule.sequential.dominance import Table, undominated
from wsec.compiler.schedule.sequential.elimination import least_ways

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


def ways_by_class(
    own: Sequence[NDArray[np.float64]],
    tables: Sequence[Table],
    alike: Sequence[object],
    begin: Callable[[Sequence[NDArray[np.float64]], Sequence[Table]], NDArray[np.int64]],
    *,
    hasty: bool,
) -> NDArray[np.int64]:
    """The way of each turn with the least cycles of all where turns of a class have one.

    Args:
        own: Cycles of each turn, [ways].
        tables: Between turns; those between equal pairs share their arrays.
        alike: By turn, equal where `own` is.
        begin: Gives ways that are nearly the best, with which the search begins.
        hasty: Weigh fewer combinations.
    """
    classes = _classes(tables, alike)
    count = max(classes, default=-1) + 1
    total: list[NDArray[np.float64]] = [np.zeros(0)] * count
    for at, cycles in zip(classes, own, strict=True):
        total[at] = cycles + total[at] if total[at].size else cycles.astype(np.float64)
    arrays = {id(table.cycles): table.cycles for table in tables}
    between: dict[tuple[int, int], NDArray[np.float64]] = {}
    for (first, second, key), times in Counter(
        (classes[table.source], classes[table.target], id(table.cycles)) for table in tables
    ).items():
        if first == second:
            total[first] = total[first] + times * np.diagonal(arrays[key])
            continue
        pair, cycles = (first, second), arrays[key]
        if first > second:
            pair, cycles = (second, first), cycles.T
        between[pair] = between[pair] + times * cycles if pair in between else times * cycles
    few = [Table(*pair, cycles) for pair, cycles in between.items()]
    kept = undominated([cycles[:, None] for cycles in total], few, list(range(count)))
    smaller = [
        Table(each.source, each.target, each.cycles[np.ix_(kept[each.source], kept[each.target])])
        for each in few
    ]
    left = [cycles[ways] for cycles, ways in zip(total, kept, strict=True)]
    chosen = least_ways(left, smaller, begin(left, smaller), hasty=hasty)
    return np.array([kept[at][chosen[at]] for at in classes], dtype=np.int64)


def _classes(tables: Sequence[Table], alike: Sequence[object]) -> list[int]:
    """The number of the class of each turn: equal where it, its neighbours and the cycles between them are."""
    near: list[list[tuple[bool, int, object]]] = [[] for _ in alike]
    for table in tables:
        near[table.source].append((True, id(table.cycles), alike[table.target]))
        near[table.target].append((False, id(table.cycles), alike[table.source]))
    numbers: dict[object, int] = {}
    return [
        numbers.setdefault((own, frozenset(around)), len(numbers))
        for own, around in zip(alike, near, strict=True)
    ]
