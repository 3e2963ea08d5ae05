"""One way for every turn by the elimination of one turn after the other, the one whose neighbours have the fewest combinations first.

For every combination of ways of its neighbours a turn takes the way with the least cycles, and is gone; what that costs stands between
its neighbours. Exact (R. Dechter, Bucket elimination, 1999), and linear in turns where layers follow each other. What many turns read
makes too many combinations: such turns are held in the way they have, the others eliminated; then one of them is let go, and so on, as
long as not too many combinations were weighed altogether.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.schedule.sequential.dominance import Table

    Array = NDArray[np.float64]
    Factor = tuple[tuple[int, ...], Array]

_MOST: Final = 30_000_000  # combinations that are weighed at once, where turns are few
_WORK: Final = 100_000_000  # combinations that are weighed altogether, about: a few seconds
_FEW_TURNS, _FEW = 64, 16  # of few turns that many times more are weighed at once
_HASTE: Final = 20  # how much less is weighed where an answer in haste will do
_ROUNDS: Final = 3


def least_ways(
    own: Sequence[Array], tables: Sequence[Table], start: NDArray[np.int64], *, hasty: bool = False
) -> NDArray[np.int64]:
    """The way of each turn with the least cycles of all, exactly or nearly; never worse than `start`.

    Args:
        own: Cycles of each turn, [ways].
        tables: Between turns.
        start: Ways from which turns that must be held begin.
        hasty: Weigh fewer combinations, and let no held turn go.
    """
    budget = _WORK // _HASTE if hasty else _WORK
    most = min(_MOST, budget // len(own) * (_FEW if len(own) <= _FEW_TURNS else 1))
    best, held, work = _eliminated(own, tables, (), start, most)
    least = cycles_of(best, own, tables)
    for _ in range(0 if hasty else _ROUNDS):
        before = least
        for turn in held:  # one after the other is let go, or changed alone where that is too much
            if work > budget:
                return best
            others = [each for each in held if each != turn]
            found, again, weighed = _eliminated(own, tables, others, best, most)
            work += weighed
            if turn in again:
                found = _with_best_way(turn, found, own, tables)
            cycles = cycles_of(found, own, tables)
            if cycles < least:
                best, least = found, cycles
        if least == before:
            break
    return best


def cycles_of(ways: NDArray[np.int64], own: Sequence[Array], tables: Sequence[Table]) -> float:
    """Cycles of all turns, and between them."""
    cycles = sum(float(each[way]) for each, way in zip(own, ways, strict=True))
    return cycles + sum(float(table.cycles[ways[table.source], ways[table.target]]) for table in tables)


def _with_best_way(
    turn: int, ways: NDArray[np.int64], own: Sequence[Array], tables: Sequence[Table]
) -> NDArray[np.int64]:
    """One turn in the way that is best while all others stay."""
    total = own[turn].astype(np.float64)
    for table in tables:
        if table.source == turn:
            total = total + table.cycles[:, ways[table.target]]
        elif table.target == turn:
            total = total + table.cycles[ways[table.source]]
    found = ways.copy()
    found[turn] = total.argmin()
    return found


def _eliminated(
    own: Sequence[Array],
    tables: Sequence[Table],
    held: Collection[int],
    start: NDArray[np.int64],
    most: int,
) -> tuple[NDArray[np.int64], list[int], int]:
    """The best ways while those that are held stay.

    Returns:
        The ways; the turns that were held, those included that had too many combinations around them; and how many combinations
        were weighed.
    """
    graph = _Factors(own, tables, held, start)
    staying = list(held)
    work = 0
    decided: list[tuple[int, tuple[int, ...], NDArray[np.int64]]] = []
    while graph.near:
        turn = min(graph.near, key=lambda each: (graph.weight[each], each))
        if graph.weight[turn] > most and graph.near[turn]:
            staying.append(graph.most_read(turn))
            graph.hold(staying[-1], int(start[staying[-1]]))
            continue
        work += graph.weight[turn]
        decided.append((turn, *graph.eliminate(turn)))
    ways = np.array(start, dtype=np.int64)
    for turn, others, choice in reversed(decided):
        ways[turn] = choice[tuple(ways[other] for other in others)]
    return ways, staying, work


class _Factors:
    """Cycles by the ways of one turn or several, of turns that are neither held nor gone; and who shares one with whom."""

    def __init__(
        self, own: Sequence[Array], tables: Sequence[Table], held: Collection[int], start: NDArray[np.int64]
    ) -> None:
        self._sizes = [len(cycles) for cycles in own]
        self._readers = [0] * len(own)
        for table in tables:
            self._readers[table.source] += 1
            self._readers[table.target] += 1
        open_turns = [turn for turn in range(len(own)) if turn not in held]
        self._factors: dict[int, list[Factor]] = {turn: [((turn,), own[turn])] for turn in open_turns}
        self.near: dict[int, set[int]] = {turn: set() for turn in open_turns}
        for factor in _open_factors(tables, held, start):
            self._add(factor)
        self.weight = {turn: self._weight(turn) for turn in open_turns}

    def most_read(self, turn: int) -> int:
        """Of a turn and its neighbours the one that most others read or are read by."""
        return max((turn, *self.near[turn]), key=lambda each: (self._readers[each], -each))

    def eliminate(self, turn: int) -> tuple[tuple[int, ...], NDArray[np.int64]]:
        """Take the best way of a turn for each combination of its neighbours: them, and the way by their ways."""
        others = tuple(sorted(self.near[turn]))
        scope = (*others, turn)
        total = np.zeros([self._sizes[other] for other in scope])
        for factor in self._without(turn):
            total += _spread(factor, scope)
        if others:
            self._add((others, np.asarray(total.min(axis=-1))))
        self._weigh(others)
        return others, total.argmin(axis=-1)

    def hold(self, turn: int, way: int) -> None:
        """A turn stays in a way."""
        others = self.near[turn]
        for turns, cycles in self._without(turn):
            left = tuple(each for each in turns if each != turn)
            if left:
                self._add((left, np.asarray(cycles.take(way, axis=turns.index(turn)))))
        self._weigh(others)

    def _without(self, turn: int) -> list[Factor]:
        """The factors of a turn, which is gone then."""
        gone = self._factors.pop(turn)
        numbers = {id(factor) for factor in gone}
        for other in self.near.pop(turn):
            self._factors[other] = [each for each in self._factors[other] if id(each) not in numbers]
            self.near[other].discard(turn)
        return gone

    def _add(self, factor: Factor) -> None:
        for turn in factor[0]:
            self._factors[turn].append(factor)
            self.near[turn].update(each for each in factor[0] if each != turn)

    def _weigh(self, turns: Collection[int]) -> None:
        for turn in turns:
            self.weight[turn] = self._weight(turn)

    def _weight(self, turn: int) -> int:
        return math.prod(self._sizes[other] for other in self.near[turn]) * self._sizes[turn]


def _open_factors(tables: Sequence[Table], held: Collection[int], start: NDArray[np.int64]) -> list[Factor]:
    """Cycles between turns of which one at least is not held."""
    found: list[Factor] = []
    for table in tables:
        first, second = table.source in held, table.target in held
        if first and second:
            continue
        if first:
            found.append(((table.target,), table.cycles[start[table.source]]))
        elif second:
            found.append(((table.source,), table.cycles[:, start[table.target]]))
        else:
            found.append(((table.source, table.target), table.cycles))
    return found


def _spread(factor: Factor, scope: tuple[int, ...]) -> Array:
    """A factor with an axis for each turn of a scope."""
    turns, cycles = factor
    order = sorted(range(len(turns)), key=lambda at: scope.index(turns[at]))
    shape = [1] * len(scope)
    for at in order:
        shape[scope.index(turns[at])] = cycles.shape[at]
    return cycles.transpose(order).reshape(shape)
