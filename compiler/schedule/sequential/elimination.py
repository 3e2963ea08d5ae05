"""One way for every turn by the elimination of one turn after the other, the one whose neighbours have the fewest combinations first.

For every combination of ways of its neighbours a turn takes the way with the least cycles, and is gone; what that costs stands between
its neighbours. Exact (R. Dechter, Bucket elimination, 1999), and linear in turns where layers follow each other. What many turns read
makes too many combinations: such turns are held in the way they have, the others eliminated, then one of them is let go, and so on.
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

_MOST: Final = 2_000_000  # combinations that are weighed at once
_ROUNDS: Final = 3


class _TooManyError(Exception):
    """More combinations than are weighed; the turns whose they are."""

    def __init__(self, turns: tuple[int, ...]) -> None:
        super().__init__()
        self.turns = turns


def least_ways(own: Sequence[Array], tables: Sequence[Table], start: NDArray[np.int64]) -> NDArray[np.int64]:
    """The way of each turn with the least cycles of all, exactly or nearly.

    Args:
        own: Cycles of each turn, [ways].
        tables: Between turns.
        start: Ways from which turns that must be held begin.
    """
    readers = [0] * len(own)
    for table in tables:
        readers[table.source] += 1
        readers[table.target] += 1
    held: list[int] = []
    while True:
        try:
            best = _eliminated(own, tables, held, start)
            break
        except _TooManyError as many:
            held.append(max(many.turns, key=lambda turn: (readers[turn], -turn)))
    if not held:
        return best
    return _let_go(held, best, own, tables)


def _let_go(
    held: Sequence[int], best: NDArray[np.int64], own: Sequence[Array], tables: Sequence[Table]
) -> NDArray[np.int64]:
    """One held turn after the other is let go, or changed alone where that is too much, as long as that helps."""
    least = cycles_of(best, own, tables)
    for _ in range(_ROUNDS):
        before = least
        for turn in (*held, None):
            try:
                found = _eliminated(own, tables, [each for each in held if each != turn], best)
            except _TooManyError:
                found = best if turn is None else _with_best_way(turn, best, own, tables)
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
    own: Sequence[Array], tables: Sequence[Table], held: Collection[int], start: NDArray[np.int64]
) -> NDArray[np.int64]:
    """The best ways while those that are held stay. Raises _TooManyError."""
    factors: dict[int, list[Factor]] = {turn: [((turn,), cycles)] for turn, cycles in enumerate(own)}
    near: dict[int, set[int]] = {turn: set() for turn in factors if turn not in held}
    for factor in _open_factors(tables, held, start):
        for turn in factor[0]:
            factors[turn].append(factor)
            near[turn].update(set(factor[0]) - {turn})
    sizes = [len(cycles) for cycles in own]
    weight = {
        turn: math.prod(sizes[other] for other in others) * sizes[turn] for turn, others in near.items()
    }
    decided: list[tuple[int, tuple[int, ...], NDArray[np.int64]]] = []
    while near:
        turn = min(near, key=lambda each: (weight[each], each))
        others = tuple(sorted(near.pop(turn)))
        if weight[turn] > _MOST:
            raise _TooManyError((turn, *others))
        scope = (*others, turn)
        total = np.zeros([sizes[other] for other in scope])
        for factor in factors.pop(turn):
            total += _spread(factor, scope)
            for other in factor[0]:
                if other != turn:
                    factors[other] = [each for each in factors[other] if each is not factor]
        decided.append((turn, others, total.argmin(axis=-1)))
        made: Factor = (others, total.min(axis=-1))
        for other in others:
            factors[other].append(made)
            near[other] = (near[other] | set(others)) - {turn, other}
            weight[other] = math.prod(sizes[each] for each in near[other]) * sizes[other]
    ways = np.array(start, dtype=np.int64)
    for turn, others, choice in reversed(decided):
        ways[turn] = choice[tuple(ways[other] for other in others)]
    return ways


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
