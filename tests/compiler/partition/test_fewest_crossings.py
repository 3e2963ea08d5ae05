"""The minimum cut, against every partition there is."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.partition.cut import OUTSIDE, Net, Side, crossings, fewest_crossings

if TYPE_CHECKING:
    from random import Random

HOST, WAFER = Side.HOST, Side.WAFER
Problem = tuple[tuple[Side | None, ...], tuple[Net, ...]]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Random directed acyclic graphs of up to eight units, some of them forced; any unit may read from or give to the host."""
    count = draw(st.integers(1, 8))
    forced = tuple(draw(st.sampled_from([None, None, None, HOST, WAFER])) for _ in range(count))
    nets = []
    for source in draw(st.lists(st.integers(OUTSIDE, count - 1), max_size=10)):
        readers = draw(st.sets(st.sampled_from([OUTSIDE, *range(source + 1, count)]), min_size=1, max_size=4))
        if source == OUTSIDE:
            readers.discard(OUTSIDE)
        if readers:
            nets.append(Net(source, tuple(sorted(readers)), draw(st.integers(0, 9))))
    return forced, tuple(nets)


def _partitions(forced: tuple[Side | None, ...]) -> list[tuple[Side, ...]]:
    choices = [(HOST, WAFER) if side is None else (side,) for side in forced]
    return list(itertools.product(*choices))


@settings(max_examples=80)
@given(problems())
def test_no_partition_is_better(problem: Problem) -> None:
    """Fewest crossings first, fewest words next, most units on the wafer last; forced sides are kept."""
    forced, nets = problem
    found = fewest_crossings(forced, nets)
    partitions = _partitions(forced)
    assert found in partitions
    assert (*crossings(found, nets), found.count(HOST)) == min(
        (*crossings(sides, nets), sides.count(HOST)) for sides in partitions
    )


@settings(max_examples=25)
@given(problems(), st.randoms(use_true_random=False))
def test_the_order_of_the_nets_does_not_matter(problem: Problem, random: Random) -> None:
    """Equal models give equal plans."""
    forced, nets = problem
    shuffled = list(nets)
    random.shuffle(shuffled)
    assert fewest_crossings(forced, shuffled) == fewest_crossings(forced, nets)


def test_a_tensor_crosses_once_however_many_read_it() -> None:
    """Three readers on the other side cost one crossing: its free source does not move for them."""
    nets = (Net(OUTSIDE, (0,), 1), Net(OUTSIDE, (0,), 1), Net(0, (1, 2, 3), 100))
    assert fewest_crossings((None, WAFER, WAFER, WAFER), nets)[0] is HOST
    assert crossings((HOST, WAFER, WAFER, WAFER), nets) == (1, 100)


def test_words_decide_between_partitions_with_equal_crossings() -> None:
    """A cast to a narrower type is done before its tensor crosses, one to a wider type after it."""
    narrowing = (Net(0, (1,), 8), Net(1, (2,), 2))
    assert fewest_crossings((HOST, None, WAFER), narrowing) == (HOST, HOST, WAFER)
    widening = (Net(0, (1,), 2), Net(1, (2,), 8))
    assert fewest_crossings((HOST, None, WAFER), widening) == (HOST, WAFER, WAFER)


def test_long_chains_are_no_problem() -> None:
    """The cut does not recurse."""
    count = 2 * sys.getrecursionlimit()
    chain = tuple(Net(index, (index + 1,), 1) for index in range(count - 1))
    sides = fewest_crossings((HOST, *[None] * (count - 2), WAFER), chain)
    assert sides == (HOST, *[WAFER] * (count - 1))
