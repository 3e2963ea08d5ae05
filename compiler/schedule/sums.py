"""Contiguous parts of a topological order that take turns: the least sum of their intervals and of the time of words across.

Exact over the times that are tried, by dynamic programming: within a time a part may reach back to a known position, so the
best way to a position ends with the time for which the way up to somewhere in that reach, and the time itself, are least.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.schedule.cuts import reach_back
from wsec.compiler.schedule.problem import areas_within

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.schedule.problem import Integers, PartitionProblem

_TIMES: Final = 2048
"""Most times that are tried. Where curves have more, a geometric series of them: over five decades 0.6 % apart."""


def part_times(problem: PartitionProblem) -> Integers:
    """The times that parts may take: those at which some kernel needs fewer cores, ascending."""
    curves = {id(kernel.cycles): kernel.cycles for kernel in problem.kernels}
    times: Integers = np.unique(np.concatenate(list(curves.values())))
    if len(times) <= _TIMES:
        return times
    series = np.geomspace(max(1, int(times[0])), int(times[-1]), _TIMES)
    chosen: Integers = times[np.unique(np.searchsorted(times, series).clip(max=len(times) - 1))]
    return chosen


def work_bound(problem: PartitionProblem) -> int:
    """No sum of intervals is less: cores times cycles of all kernels at their thriftiest, over the cores of a part."""
    curves = {id(kernel.cycles): int((kernel.cycles * kernel.areas).min()) for kernel in problem.kernels}
    work = sum(curves[id(kernel.cycles)] for kernel in problem.kernels)
    slowest = max(int(kernel.cycles[0]) for kernel in problem.kernels)
    return max(slowest, -(-work // problem.capacity))


def cheapest_cuts(
    problem: PartitionProblem, orders: Sequence[tuple[Sequence[int], Integers]]
) -> Iterator[list[int]]:
    """For each order that has any, the part of each kernel in the contiguous parts with the least sum.

    Args:
        problem: The kernels.
        orders: Topological, each with the words across every position of it, [kernels + 1].
    """
    times = part_times(problem)
    areas = [areas_within(problem.kernels, int(time)) for time in times]
    for order, words in orders:
        reach = np.array([reach_back(each[list(order)], problem.capacity) for each in areas])
        part = _cheapest(problem, order, words, times, reach)
        if part is not None:
            yield part


def _cheapest(
    problem: PartitionProblem,
    order: Sequence[int],
    words: Integers,
    times: Integers,
    reach: Integers,
) -> list[int] | None:
    """Parts with the least sum; None where none fit. `reach` is [times, kernels + 1]."""
    positions = len(order) + 1
    least = np.full(positions, np.inf)
    least[0] = 0.0
    steps: list[tuple[NDArray[np.float64], Integers]] = []
    for number in range(problem.parts):
        before = least
        windows = _WindowMinima(before)
        least, chosen = np.full(positions, np.inf), np.zeros(positions, dtype=np.int64)
        for index, time in enumerate(times):
            found = time + windows.up_to(reach[index])
            better = found < least
            least[better], chosen[better] = found[better], index
        if number < problem.parts - 1:
            least = least + words * problem.cycles_per_word
        steps.append((before, chosen))
    if not np.isfinite(least[-1]):
        return None
    parts = [0] * len(order)
    end = len(order)
    for number in reversed(range(problem.parts)):
        before, chosen = steps[number]
        first = int(reach[chosen[end], end])
        begin = first + int(np.argmin(before[first:end]))
        for place in range(begin, end):
            parts[order[place]] = number
        end = begin
    return parts


class _WindowMinima:
    """Minima of any windows of an array, from those of all windows whose length is a power of two."""

    def __init__(self, values: NDArray[np.float64]) -> None:
        self._levels = [values]
        width = 1
        while 2 * width <= len(values):
            last = self._levels[-1]
            self._levels.append(np.minimum(last[:-width], last[width:]))
            width *= 2

    def up_to(self, first: Integers) -> NDArray[np.float64]:
        """For each position the minimum from `first` to the position before it, infinite for empty windows."""
        end = np.arange(len(first))
        found = np.full(len(first), np.inf)
        lengths = end - first
        for level, values in enumerate(self._levels):
            width = 1 << level
            here = (lengths >= width) & (lengths < 2 * width)
            found[here] = np.minimum(values[first[here]], values[end[here] - width])
        return found
