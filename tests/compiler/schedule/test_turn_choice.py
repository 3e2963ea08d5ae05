"""Ways of turns are chosen exactly where combinations are few, whatever the graph, and left out only where they cannot help."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.schedule.sequential import elimination
from wsec.compiler.schedule.sequential.dominance import Table, undominated
from wsec.compiler.schedule.sequential.elimination import cycles_of, least_ways
from wsec.compiler.schedule.sequential.layers import ways_by_class

if TYPE_CHECKING:
    from collections.abc import Sequence


def _problem(seed: int, turns: int, tables: int) -> tuple[list[np.ndarray], list[Table]]:
    """Turns with one to four ways, and tables between random pairs of them; small numbers, so that ways are equal now and then."""
    random = np.random.default_rng(seed)
    own = [random.integers(0, 6, random.integers(1, 5)).astype(np.float64) for _ in range(turns)]
    pairs = [sorted(random.choice(turns, 2, replace=False).tolist()) for _ in range(tables)]
    return own, [
        Table(first, second, random.integers(0, 6, (len(own[first]), len(own[second]))).astype(np.float64))
        for first, second in pairs
    ]


def _first(own: Sequence[np.ndarray], _: Sequence[Table]) -> np.ndarray:
    return np.zeros(len(own), dtype=np.int64)


def _least(own: list[np.ndarray], tables: list[Table]) -> float:
    every = itertools.product(*(range(len(cycles)) for cycles in own))
    return min(cycles_of(np.array(ways), own, tables) for ways in every)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), turns=st.integers(2, 6), tables=st.integers(1, 9))
def test_elimination_finds_the_least_of_all_combinations(seed: int, turns: int, tables: int) -> None:
    """Cycles of the choice are those of the best of all combinations, which are tried one by one."""
    own, between = _problem(seed, turns, tables)
    chosen = least_ways(own, between, np.zeros(turns, dtype=np.int64))
    assert cycles_of(chosen, own, between) == _least(own, between)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10_000), turns=st.integers(2, 6), tables=st.integers(1, 9))
def test_ways_that_are_left_out_cost_nothing(seed: int, turns: int, tables: int) -> None:
    """The best combination of what is left takes as few cycles as that of all ways."""
    own, between = _problem(seed, turns, tables)
    kept = undominated([cycles[:, None] for cycles in own], between, list(range(turns)))
    few = [cycles[ways] for cycles, ways in zip(own, kept, strict=True)]
    smaller = [
        Table(each.source, each.target, each.cycles[np.ix_(kept[each.source], kept[each.target])])
        for each in between
    ]
    assert _least(few, smaller) == _least(own, between)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_turns_that_are_held_never_make_it_worse(seed: int) -> None:
    """Where combinations are too many, the choice is no worse than the ways that it began with."""
    own, between = _problem(seed, 6, 9)
    start = np.zeros(6, dtype=np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(elimination, "_MOST", 8)
        chosen = least_ways(own, between, start)
    assert _least(own, between) <= cycles_of(chosen, own, between) <= cycles_of(start, own, between)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), layers=st.integers(2, 4))
def test_equal_layers_take_the_best_of_equal_ways(seed: int, layers: int) -> None:
    """Of all choices in which the same turn of each layer has one way, the least is found; the last layer leads back to the first."""
    random = np.random.default_rng(seed)
    period = 3
    of_layer = [random.integers(0, 6, random.integers(1, 4)).astype(np.float64) for _ in range(period)]
    cycles = [
        random.integers(0, 6, (len(of_layer[at]), len(of_layer[(at + 1) % period]))).astype(np.float64)
        for at in range(period)
    ]
    count = layers * period
    own = [of_layer[at % period] for at in range(count)]
    between = [Table(at, (at + 1) % count, cycles[at % period]) for at in range(count)]
    chosen = ways_by_class(own, between, [at % period for at in range(count)], _first, hasty=False)
    assert chosen.tolist() == chosen[:period].tolist() * layers
    every = itertools.product(*(range(len(each)) for each in of_layer))
    least = min(cycles_of(np.array(ways * layers), own, between) for ways in every)
    assert cycles_of(chosen, own, between) == least
