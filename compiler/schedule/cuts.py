"""Contiguous parts of a topological order, exactly: the least interval by bisection, then the least words across.

Within an interval each kernel needs a known number of cores, so a part may reach back to a known position, and a cut
is allowed where the words across it take no longer. What remains is the shortest path over the positions of the cuts.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.schedule.problem import areas_within

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.schedule.problem import PartitionProblem

    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Cuts:
    """What is possible within an interval, for each position 0 ... kernels of the order.

    Attributes:
        reach: The first position from which one part may run up to this one.
        allowed: Whether a cut may be there.
        words: Words across a cut there.
    """

    reach: Integers
    allowed: NDArray[np.bool_]
    words: Integers


def words_across(problem: PartitionProblem, order: Sequence[int]) -> Integers:
    """Words of a sample from before each position of the order to behind it, [kernels + 1]."""
    position = np.empty(len(order), dtype=np.int64)
    position[list(order)] = np.arange(len(order))
    steps = np.zeros(len(order) + 1, dtype=np.int64)
    for net in problem.nets:
        steps[position[net.source] + 1] += net.words
        steps[position[list(net.targets)].max() + 1] -= net.words
    return np.cumsum(steps)


def least_interval(low: int, high: int, possible: Callable[[int], bool]) -> int | None:
    """The least interval from `low` to `high` that is possible, where all above a possible one are; None if none is."""
    if not possible(high):
        return None
    while low < high:
        middle = (low + high) // 2
        if possible(middle):
            high = middle
        else:
            low = middle + 1
    return low


def can_cut(problem: PartitionProblem, order: Sequence[int], words: Integers, interval: int) -> bool:
    """Whether the order has contiguous parts, none empty, within an interval."""
    cuts = _cuts_within(problem, order, words, interval)
    positions = np.arange(len(order) + 1)
    last = np.where(positions == 0, 0, -1)  # of the positions where a part may end, the last up to each one
    last = np.maximum.accumulate(last)
    for part in range(problem.parts):
        ends = np.concatenate([[False], last[:-1] >= cuts.reach[1:]])
        if part < problem.parts - 1:
            ends &= cuts.allowed
        last = np.maximum.accumulate(np.where(ends, positions, -1))
    return bool(last[-1] == len(order))


def lightest_cuts(
    problem: PartitionProblem, order: Sequence[int], words: Integers, interval: int
) -> list[int] | None:
    """The part of each kernel, in contiguous parts with the least words across within an interval; None if none are."""
    cuts = _cuts_within(problem, order, words, interval)
    least: list[float] = [0.0] + [np.inf] * len(order)
    sources: list[list[int]] = []
    for part in range(problem.parts):
        final = part == problem.parts - 1
        least, source = _extend(least, cuts, free=final)
        sources.append(source)
    if least[-1] == np.inf:
        return None
    parts = [0] * len(order)
    end = len(order)
    for part in reversed(range(problem.parts)):
        begin = sources[part][end]
        for place in range(begin, end):
            parts[order[place]] = part
        end = begin
    return parts


def _cuts_within(problem: PartitionProblem, order: Sequence[int], words: Integers, interval: int) -> _Cuts:
    reach = reach_back(areas_within(problem.kernels, interval)[list(order)], problem.capacity)
    return _Cuts(reach, words * problem.cycles_per_word <= interval, words)


def reach_back(areas: Integers, capacity: int) -> Integers:
    """For each position 0 ... kernels the first from which one part may run up to it, given the areas in order."""
    used = np.concatenate([[0], np.cumsum(areas)])
    return np.searchsorted(used, used - capacity, side="left")


def _extend(least: Sequence[float], cuts: _Cuts, *, free: bool) -> tuple[list[float], list[int]]:
    """One more part: the least words to each position, and where that part begins. A window minimum, linear."""
    found = [np.inf] * len(least)
    source = [0] * len(least)
    window: deque[int] = deque()
    reach, allowed, words = cuts.reach.tolist(), cuts.allowed.tolist(), cuts.words.tolist()
    for end in range(1, len(least)):
        if least[end - 1] < np.inf:
            while window and least[window[-1]] > least[end - 1]:
                window.pop()
            window.append(end - 1)
        while window and window[0] < reach[end]:
            window.popleft()
        if window and (free or allowed[end]):
            source[end] = window[0]
            found[end] = least[window[0]] + (0 if free else words[end])
    return found, source
