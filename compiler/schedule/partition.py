"""The partition of kernels onto a chain of equal parts: the shortest interval, and near it the fewest words across.

Where the longest interval counts, contiguous parts of several topological orders, each exact, then moves of single kernels
from there: first for shorter intervals than contiguous parts reach, down to the area lower bound, then for fewer words,
then for balance where no more words are across. Where the sum counts, the best contiguous parts of these orders.
Deterministic.
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.schedule.cuts import can_cut, least_interval, lightest_cuts, words_across
from wsec.compiler.schedule.moves import crossing_words, improve
from wsec.compiler.schedule.orders import topological_orders
from wsec.compiler.schedule.problem import TOO_LARGE, KernelPartition, areas_within
from wsec.compiler.schedule.sums import cheapest_cuts, work_bound

if TYPE_CHECKING:
    from wsec.compiler.schedule.problem import Integers, Objective, PartitionKernel, PartitionProblem

TOLERANCE: Final = 0.01
"""How much longer than the best one found an interval may be for fewer words across: what placement loses anyway."""
_STEPS: Final = 6  # of the bisection between what contiguous parts reach and the bound


def partition_kernels(
    problem: PartitionProblem, tolerance: float = TOLERANCE, *, objective: Objective = "longest"
) -> KernelPartition:
    """The partition with the least words across among those whose interval is within `tolerance` of the best found.

    Args:
        problem: Kernels, nets, and the parts.
        tolerance: A share of the best interval, at least 0. Of no account for the sum, in which words have their time.
        objective: Whether the longest interval of a part is to be least, or the sum of all and of the words across.

    Raises:
        WsecError: WSEC320 a kernel is larger than a part, WSEC321 all kernels together are larger than all parts,
            WSEC362 no partition was found that fits.
    """
    bound = interval_bound(problem, objective)
    search = _Search(problem)
    if objective == "sum":
        return search.cheapest(bound)
    interval, part = search.shortest(bound)
    limit = int(interval * (1 + tolerance))
    lightest = min(
        (improve(problem, start, limit) for start in (part, *search.starts(limit))),
        key=lambda found: (found[1], found[0]),
    )[0]
    found = [_result(problem, each, bound) for each in (lightest, *search.as_light(lightest, limit))]
    return min(found, key=lambda each: (sum(each.crossing_words), max(each.part_intervals), each.part))


def interval_bound(problem: PartitionProblem, objective: Objective = "longest") -> int:
    """The least cycles within which no kernel needs more cores than a part has, nor all kernels more than all parts.

    Where the sum counts: what no sum of intervals is below, by the work of the kernels.

    Raises:
        WsecError: WSEC320, WSEC321 there are none.
    """
    areas = np.array([int(kernel.areas[-1]) for kernel in problem.kernels])
    if int(areas.max()) > problem.capacity:
        raise _kernel_too_large(problem, int(areas.argmax()))
    if int(areas.sum()) > problem.parts * problem.capacity:
        raise _parts_too_small(problem, int(areas.sum()))
    if objective == "sum":
        return work_bound(problem)
    low = max(int(kernel.cycles[0]) for kernel in problem.kernels)
    bound = least_interval(low, _longest(problem), lambda time: _area_suffices(problem, time))
    if bound is None:
        raise AssertionError("at their slowest, the kernels fit")
    return bound


def _area_suffices(problem: PartitionProblem, time: int) -> bool:
    areas = areas_within(problem.kernels, time)
    return int(areas.max()) <= problem.capacity and int(areas.sum()) <= problem.parts * problem.capacity


def _longest(problem: PartitionProblem) -> int:
    return max(int(kernel.cycles[-1]) for kernel in problem.kernels)


class _Search:
    """The orders of a problem, and the partitions that they lead to."""

    def __init__(self, problem: PartitionProblem) -> None:
        self._problem = problem
        self._orders = [(order, words_across(problem, order)) for order in topological_orders(problem)]

    def starts(self, interval: int) -> list[list[int]]:
        """The lightest contiguous parts of each order within an interval, where there are any."""
        found = (lightest_cuts(self._problem, order, words, interval) for order, words in self._orders)
        return [part for part in found if part is not None]

    def shortest(self, bound: int) -> tuple[int, list[int]]:
        """The shortest interval found, and a partition that keeps it.

        Raises:
            WsecError: WSEC362 none was found.
        """
        contiguous = self._contiguous(bound)
        if contiguous is None:
            starts = [self._even(order) for order, _ in self._orders]
            best = self._within(self._end(), starts)
        else:
            starts = self.starts(contiguous)
            best = starts[0]
        if best is None:
            raise self._not_found()
        low, high = bound, _slowest(self._problem, best)
        for _ in range(_STEPS):
            if low >= high:
                break
            middle = (low + high) // 2
            part = self._within(middle, starts)
            if part is None:
                low = middle + 1
            else:
                high, best = _slowest(self._problem, part), part
        return high, best

    def cheapest(self, bound: int) -> KernelPartition:
        """The contiguous parts of any order with the least sum.

        Raises:
            WsecError: WSEC362 no order has any that fit.
        """
        found = [
            _result(self._problem, part, bound, objective="sum")
            for part in cheapest_cuts(self._problem, self._orders)
        ]
        if not found:
            raise self._not_found()
        return min(found, key=lambda each: (each.interval, sum(each.crossing_words), each.part))

    def as_light(self, part: list[int], limit: int) -> list[list[int]]:
        """Contiguous parts with no more words across than `part` and within `limit`, as balanced as each order allows."""
        allowed = int(crossing_words(self._problem, np.array(part)).sum())
        found = (self._balanced(order, words, allowed, limit) for order, words in self._orders)
        return [each for each in found if each is not None]

    def _balanced(self, order: list[int], words: Integers, allowed: int, limit: int) -> list[int] | None:
        areas_only = replace(self._problem, cycles_per_word=0.0)

        def light(time: int) -> list[int] | None:
            """Parts whose kernels keep this time, if few words are across."""
            part = lightest_cuts(areas_only, order, words, time)
            if part is None:
                return None
            across = crossing_words(self._problem, np.array(part))
            quick = int(across.max(initial=0)) * self._problem.cycles_per_word <= limit
            return part if quick and int(across.sum()) <= allowed else None

        time = least_interval(0, limit, lambda time: light(time) is not None)
        return None if time is None else light(time)

    def _within(self, interval: int, starts: list[list[int]]) -> list[int] | None:
        """A partition within an interval that moves reach from one of the starts; None where they reach none."""
        for start in starts:
            part, (excess, _) = improve(self._problem, start, interval)
            if not excess:
                return part
        return None

    def _contiguous(self, bound: int) -> int | None:
        """The least interval of contiguous parts of any order; None where no order has any."""
        best: int | None = None
        for order, words in self._orders:
            possible = partial(can_cut, self._problem, order, words)
            high = self._end() if best is None else best
            best = least_interval(min(bound, high), high, possible) or best
        return best

    def _even(self, order: list[int]) -> list[int]:
        """Contiguous parts of about as many cores each, none empty, however full."""
        areas = areas_within(self._problem.kernels, self._end())[order]
        shares = np.arange(1, self._problem.parts) * int(areas.sum()) / self._problem.parts
        step = np.arange(len(shares))
        cuts = np.maximum.accumulate(np.searchsorted(np.cumsum(areas), shares) - step) + step
        cuts = np.clip(cuts, 1 + step, len(order) - len(shares) + step)
        part = np.empty(len(order), dtype=np.int64)
        part[order] = np.searchsorted(cuts, np.arange(len(order)), side="right")
        return [int(number) for number in part]

    def _end(self) -> int:
        """An interval that no more cycles make easier to keep."""
        words = max(int(words.max()) for _, words in self._orders)
        return max(_longest(self._problem), int(words * self._problem.cycles_per_word) + 1)

    def _not_found(self) -> WsecError:
        parts, capacity, name = self._problem.parts, self._problem.capacity, self._problem.part_name
        largest = max(self._problem.kernels, key=lambda kernel: int(kernel.areas[-1]))
        return WsecError(
            "WSEC362",
            f"no way was found to spread the kernels over {parts} {name}{'s' * (parts > 1)}",
            expected=f"at most {capacity:,} cores of kernels on each {name}, and no link back to an earlier one",
            found=f"{len(self._problem.kernels)} kernels with at least "
            f"{sum(int(kernel.areas[-1]) for kernel in self._problem.kernels):,} cores; the largest: "
            f"{largest.name!r} {int(largest.areas[-1]):,}",
            hint=f"use one more {name}, or a larger region",
        )


def _slowest(problem: PartitionProblem, part: list[int]) -> int:
    return _result(problem, part, 0).interval


def _result(
    problem: PartitionProblem, part: list[int], bound: int, *, objective: Objective = "longest"
) -> KernelPartition:
    intervals = tuple(
        _part_interval(
            [kernel for kernel, at in zip(problem.kernels, part, strict=True) if at == number], problem
        )
        for number in range(problem.parts)
    )
    crossing = crossing_words(problem, np.array(part, dtype=np.int64))
    if objective == "sum":
        interval = sum(intervals) + math.ceil(int(crossing.sum()) * problem.cycles_per_word)
    else:
        interval = max(*intervals, math.ceil(int(crossing.max(initial=0)) * problem.cycles_per_word))
    return KernelPartition(
        part=tuple(part),
        interval=interval,
        interval_bound=bound,
        part_intervals=intervals,
        crossing_words=tuple(crossing.tolist()),
    )


def _part_interval(kernels: list[PartitionKernel], problem: PartitionProblem) -> int:
    """The least cycles within which the kernels of a part need no more cores than it has; `TOO_LARGE` where none are."""
    low = max(int(kernel.cycles[0]) for kernel in kernels)
    high = max(int(kernel.cycles[-1]) for kernel in kernels)
    found = least_interval(low, high, lambda time: int(areas_within(kernels, time).sum()) <= problem.capacity)
    return TOO_LARGE if found is None else found


def _kernel_too_large(problem: PartitionProblem, index: int) -> WsecError:
    kernel = problem.kernels[index]
    return WsecError(
        "WSEC320",
        f"kernel {kernel.name!r} does not fit a wafer, even at its slowest",
        where=f"kernel {kernel.name!r}",
        expected=f"at most {problem.capacity:,} cores",
        found=f"at least {int(kernel.areas[-1]):,} cores",
        hint="use a larger region, or split the operator into smaller ones",
    )


def _parts_too_small(problem: PartitionProblem, total: int) -> WsecError:
    free, name = problem.parts * problem.capacity, problem.part_name
    least = -(-total // problem.capacity)
    return WsecError(
        "WSEC321",
        f"the kernels do not fit {problem.parts} {name}{'s' * (problem.parts > 1)}, even at their slowest",
        expected=f"sum of least areas <= free cores, {total:,} <= {free:,}",
        found=f"{total - free:,} cores too few for {len(problem.kernels)} kernels",
        hint=f"use at least {least} {name}s, a larger region, or a smaller model",
    )
