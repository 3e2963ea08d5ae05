"""Costs of collectives against the published table, and against what no reduction can be faster than."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.cost.collective_uses import TREES
from wsec.compiler.cost.collectives import (
    all_gather,
    all_reduce_cycles,
    all_reduce_ring,
    best_group,
    broadcast,
    broadcast_2d,
    gather,
    halo_exchange_cycles,
    interleaved_shift,
    lower_bound_cycles,
    multicast,
    reduce_2d_cycles,
    reduce_chain,
    reduce_in_groups,
    reduce_star,
    reduce_tree,
    reduction,
    scatter,
    shift,
    snake_reduce,
)
from wsec.compiler.target import load_target

FABRIC = load_target("wse2").fabric
FAST_HOPS, SLOW_HOPS = FABRIC, load_target("wse3").fabric
RAMP = FABRIC.ramp_cycles


def test_the_published_table() -> None:
    """ArXiv 2404.15888, B words and P cores, hops of one cycle."""
    assert (FABRIC.hop_cycles, RAMP) == (1, 2)
    b, p = 100, 16
    assert broadcast(b, p).cycles(FABRIC) == b + p + 2 * RAMP
    assert reduce_chain(b, p).cycles(FABRIC) == b + (2 * RAMP + 2) * (p - 1)
    assert reduce_star(b, p).cycles(FABRIC) == b * (p - 1) + 2 * RAMP + 1 + 1  # and the hop of the last word
    grouped = reduce_in_groups(b, p, 4)
    assert grouped.contention == 2 * b
    assert grouped.depth == 2 * 4 - 2 - 1  # the last group's first core waits for none
    assert broadcast_2d(b, 8, 5).cycles(FABRIC) == b + 8 + 5 - 2 + 2 * RAMP + 1
    assert all_reduce_ring(p, p).cycles(FABRIC) == 2 * (p - 1) + 4 * p - 6 + 2 * (p - 1) * (2 * RAMP + 1)
    assert snake_reduce(b, 4, 4).cycles(FABRIC) == reduce_chain(b, p).cycles(FABRIC)
    both = all_reduce_cycles("chain", b, p, FABRIC)
    assert both == reduce_chain(b, p).cycles(FABRIC) + broadcast(b, p).cycles(FABRIC)
    two_sides = reduce_2d_cycles("chain", b, 4, 6, FABRIC)
    assert two_sides == reduce_chain(b, 4).cycles(FABRIC) + reduce_chain(b, 6).cycles(FABRIC)


def test_words_that_move_without_sums() -> None:
    """Shifts, scatters, gathers and exchanges, worked out by hand for hops of one cycle."""
    b, p = 10, 9
    assert shift(4, p).cycles(FABRIC) == 4 + p - 1 + 2 * RAMP + 1
    assert shift(b, p).cycles(FABRIC) == 2 * b + p - 2  # sent and received by one datapath
    assert interleaved_shift(4, p).cycles(FABRIC) == 4 + 2 + 2 * RAMP + 1
    assert interleaved_shift(4, 2).cycles(FABRIC) == 4 + 1 + 2 * RAMP + 1
    assert interleaved_shift(b, p).cycles(FABRIC) == 2 * b
    assert multicast(b, 6).cycles(FABRIC) == b + 6 + 2 * RAMP + 1
    assert scatter(b, p).cycles(FABRIC) == gather(b, p).cycles(FABRIC) == b * (p - 1) + 1 + 2 * RAMP + 1
    assert all_gather(b, p).cycles(FABRIC) == b * p + 2 * (p - 1) + 2 * RAMP + 1
    assert halo_exchange_cycles(b, 2, FABRIC) == 2 * (b * 4 + 2 * 3 + 2 * RAMP + 1) - 2


def test_a_slow_hop_and_a_wide_spacing_lengthen_the_way_alone() -> None:
    """Two cycles a hop, or cores two hops apart: the same for a broadcast and a chain."""
    for cost in (broadcast, reduce_chain, reduce_tree):
        slow = cost(50, 16).cycles(SLOW_HOPS)
        wide = cost(50, 16, 2).cycles(FAST_HOPS)
        near = cost(50, 16).cycles(FAST_HOPS)
        assert slow == wide == near + 15


@pytest.mark.parametrize("algorithm", [*TREES, "ring"])
def test_one_core_has_nothing_to_do(algorithm: str) -> None:
    """An axis that is not cut costs nothing, beside others in one array."""
    cycles = all_reduce_cycles(algorithm, 7, np.array([1, 2]), FABRIC, group=np.array([1, 2]))
    assert cycles[0] == 0 < cycles[1]


def test_an_unknown_reduction_is_refused() -> None:
    """A name that nobody knows is a mistake of the caller."""
    with pytest.raises(ValueError, match="butterfly"):
        reduction("butterfly", 1, 2)


@given(st.integers(1, 300), st.integers(2, 40))
def test_no_reduction_beats_the_bound(words: int, cores: int) -> None:
    """Whatever the algorithm; a chain of many words comes near."""
    bound = lower_bound_cycles(words, cores, FABRIC)
    for algorithm in TREES:
        group = {"two_phase": math.isqrt(cores - 1) + 1, "two_level": best_group(words, cores, 1, FABRIC)}
        cycles = float(reduction(algorithm, words, cores, 1, group.get(algorithm, 0)).cycles(FABRIC))
        assert cycles >= bound - 1e-6


def test_the_bound_of_two_cores_is_their_chain() -> None:
    """There is one way to add two numbers."""
    assert lower_bound_cycles(30, 2, FABRIC) == reduce_chain(30, 2).cycles(FABRIC)
    assert lower_bound_cycles(30, 1, FABRIC) == 0


@given(st.integers(1, 2000), st.integers(2, 200), st.integers(1, 5))
def test_the_best_group_is_no_worse_than_any(words: int, cores: int, spacing: int) -> None:
    """Groups of ceil(sqrt P) are one of those that it is chosen from."""
    chosen = reduce_in_groups(words, cores, best_group(words, cores, spacing, FABRIC), spacing)
    root = math.isqrt(cores - 1) + 1
    assert chosen.cycles(FABRIC) <= reduce_in_groups(words, cores, max(2, root), spacing).cycles(FABRIC)
