"""Partitions of kernels onto wafers: legal, no worse than any contiguous one, and near the best there is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.compiler.schedule import (
    KernelPartition,
    Objective,
    PartitionKernel,
    PartitionNet,
    PartitionProblem,
    partition_kernels,
)


def kernel(name: str, work: int, least: int = 1, most: int = 8) -> PartitionKernel:
    """A kernel whose cycles are its work over its cores, from `most` cores down to `least`."""
    areas = np.arange(most, least - 1, -1)
    cycles = -(-work // areas)
    keep = np.append(np.diff(cycles) > 0, True)
    return PartitionKernel(name, cycles[keep].astype(np.int64), areas[keep].astype(np.int64))


@st.composite
def problems(draw: st.DrawFn) -> PartitionProblem:
    """Small directed acyclic graphs with tensors of several readers."""
    count = draw(st.integers(2, 7))
    kernels = tuple(
        kernel(f"k{index}", draw(st.integers(1, 200)), draw(st.integers(1, 3))) for index in range(count)
    )
    nets = []
    for source in range(count - 1):
        for _ in range(draw(st.integers(0, 2))):
            targets = draw(st.sets(st.integers(source + 1, count - 1), min_size=1, max_size=2))
            nets.append(PartitionNet(source, tuple(sorted(targets)), draw(st.integers(0, 50))))
    return PartitionProblem(
        kernels,
        tuple(nets),
        draw(st.integers(1, min(3, count))),
        draw(st.integers(4, 20)),
        draw(st.sampled_from([0.0, 0.5, 3.0])),
    )


def crossing(problem: PartitionProblem, part: tuple[int, ...]) -> list[int]:
    """Words between each part and the next, net by net."""
    words = [0] * (problem.parts - 1)
    for net in problem.nets:
        for boundary in range(part[net.source], max(part[target] for target in net.targets)):
            words[boundary] += net.words
    return words


def interval(problem: PartitionProblem, part: tuple[int, ...]) -> int | None:
    """The least interval that a partition keeps, by trying all; None where a part is empty, too full, or a net goes back."""
    if set(part) != set(range(problem.parts)):
        return None
    if any(part[net.source] > part[target] for net in problem.nets for target in net.targets):
        return None
    words = max(crossing(problem, part), default=0)
    slowest = int(np.ceil(words * problem.cycles_per_word))
    for number in range(problem.parts):
        inside = [item for item, at in zip(problem.kernels, part, strict=True) if at == number]
        times = sorted({int(time) for item in inside for time in item.cycles})
        fits = (
            time
            for time in times
            if all(item.cycles[0] <= time for item in inside)
            and sum(int(item.areas[item.cycles <= time][-1]) for item in inside) <= problem.capacity
        )
        least = next(fits, None)
        if least is None:
            return None
        slowest = max(slowest, least)
    return slowest


def every(problem: PartitionProblem) -> list[tuple[int, int]]:
    """Interval and words of every legal partition."""
    found = []
    for part in itertools.product(range(problem.parts), repeat=len(problem.kernels)):
        time = interval(problem, part)
        if time is not None:
            found.append((time, sum(crossing(problem, part))))
    return found


def contiguous(problem: PartitionProblem) -> list[int]:
    """The interval of every partition that cuts the kernels in the order given."""
    count = len(problem.kernels)
    found = []
    for cuts in itertools.combinations(range(1, count), problem.parts - 1):
        time = interval(problem, tuple(sum(at >= cut for cut in cuts) for at in range(count)))
        found += [] if time is None else [time]
    return found


def partition_or_code(
    problem: PartitionProblem, tolerance: float, objective: Objective = "longest"
) -> KernelPartition | str:
    """The partition, or the code of the refusal."""
    try:
        return partition_kernels(problem, tolerance, objective=objective)
    except WsecError as error:
        return error.code


@settings(max_examples=150, deadline=None)
@given(problems(), st.sampled_from([0.0, 0.1]))
def test_a_partition_is_what_it_says_and_no_worse_than_any_contiguous_one(
    problem: PartitionProblem, tolerance: float
) -> None:
    """Interval and words hold against a count of their own; refusals are true; the bound is below all partitions."""
    best = every(problem)
    found = partition_or_code(problem, tolerance)
    if isinstance(found, str):
        assert not contiguous(problem)
        assert found == "WSEC362" or (found in {"WSEC320", "WSEC321"} and not best)
        return
    assert found.interval == interval(problem, found.part)
    assert list(found.crossing_words) == crossing(problem, found.part)
    assert found.interval_bound <= min(time for time, _ in best) <= found.interval
    assert found.interval <= min(contiguous(problem), default=found.interval) * (1 + tolerance)


def total(problem: PartitionProblem, part: tuple[int, ...]) -> int | None:
    """The sum of the least intervals of all parts, each by trying all, and the time of the words; None as in `interval`."""
    if interval(problem, part) is None:
        return None
    intervals = []
    for number in range(problem.parts):
        inside = tuple(item for item, at in zip(problem.kernels, part, strict=True) if at == number)
        alone = interval(PartitionProblem(inside, (), 1, problem.capacity), (0,) * len(inside))
        intervals += [] if alone is None else [alone]
    return sum(intervals) + int(np.ceil(sum(crossing(problem, part)) * problem.cycles_per_word))


def totals(problem: PartitionProblem, *, in_order: bool) -> list[int]:
    """The sum of every partition, or of those that cut the kernels in the order given."""
    parts = itertools.product(range(problem.parts), repeat=len(problem.kernels))
    found = (total(problem, part) for part in parts if not in_order or list(part) == sorted(part))
    return [each for each in found if each is not None]


@settings(max_examples=150, deadline=None)
@given(problems())
def test_parts_that_take_turns_have_the_least_sum_of_all_contiguous_ones(problem: PartitionProblem) -> None:
    """The sum holds against a count of its own, no cut of the given order has a lower one, and no partition the bound."""
    found = partition_or_code(problem, 0.0, "sum")
    if isinstance(found, str):
        assert not totals(problem, in_order=True)
        assert found in {"WSEC320", "WSEC321", "WSEC362"}
        return
    assert found.interval == total(problem, found.part)
    assert list(found.crossing_words) == crossing(problem, found.part)
    assert found.interval <= min(totals(problem, in_order=True), default=found.interval)
    assert found.interval_bound <= min(totals(problem, in_order=False)) <= found.interval


def test_many_times_are_tried_in_a_series() -> None:
    """More times than are tried: the sum is within a hundredth of the work of all kernels over the cores of a part."""
    draw = np.random.default_rng(3)
    works = draw.integers(10_000, 1_000_000, size=60)
    kernels = tuple(kernel(f"k{index}", int(work), most=4000) for index, work in enumerate(works))
    nets = tuple(PartitionNet(index, (index + 1,), 10) for index in range(59))
    found = partition_kernels(PartitionProblem(kernels, nets, 4, 4000), objective="sum")
    assert found.interval_bound <= found.interval <= 1.01 * found.interval_bound


def layered(seed: int) -> PartitionProblem:
    """Ten kernels in branches."""
    draw = np.random.default_rng(seed)
    kernels = tuple(kernel(f"k{index}", int(draw.integers(50, 400)), most=30) for index in range(10))
    nets = tuple(
        PartitionNet(
            index,
            tuple(sorted({index + 1, min(9, index + int(draw.integers(1, 5)))})),
            int(draw.integers(1, 100)),
        )
        for index in range(9)
    )
    return PartitionProblem(kernels, nets, 2, 40)


@pytest.mark.parametrize("seed", range(8))
def test_small_partitions_are_the_best_there_are(seed: int) -> None:
    """On graphs small enough to try every partition, the least interval is found, and with it the fewest words."""
    problem = layered(seed)
    best = min(every(problem))
    found = partition_kernels(problem, 0.0)
    assert (found.interval, sum(found.crossing_words)) == best


def test_branches_are_balanced_beyond_what_contiguous_parts_reach() -> None:
    """Independent chains of kernels go to different wafers whole, though they are interleaved in every order given."""
    kernels = tuple(kernel(f"k{index}", 80, 8, 8) for index in range(6))
    nets = (
        PartitionNet(0, (2,), 9),
        PartitionNet(2, (4,), 9),
        PartitionNet(1, (3,), 9),
        PartitionNet(3, (5,), 9),
    )
    found = partition_kernels(PartitionProblem(kernels, nets, 2, 24))
    assert sum(found.crossing_words) == 0
    assert found.part[0] == found.part[2] == found.part[4] != found.part[1] == found.part[3] == found.part[5]


def test_the_lighter_cut_is_taken_within_the_tolerance_only() -> None:
    """A heavy tensor is kept on one wafer where that lengthens the interval by less than the tolerance."""
    kernels = tuple(
        kernel(f"k{index}", work, most=100) for index, work in enumerate((1000, 1000, 30, 1000, 1000))
    )
    nets = tuple(PartitionNet(index, (index + 1,), words) for index, words in enumerate((5, 100, 7, 5)))
    problem = PartitionProblem(kernels, nets, 2, 100)
    assert sum(partition_kernels(problem, 0.05).crossing_words) == 7
    strict = partition_kernels(problem, 0.0)
    assert strict.interval == min(every(problem))[0]


def test_of_cuts_as_light_the_balanced_one_is_taken() -> None:
    """A slow link sets the interval; within it the parts are as even as they can be with as few words across."""
    kernels = tuple(kernel(f"k{index}", 1000, most=100) for index in range(8))
    nets = tuple(PartitionNet(index, (index + 1,), 10) for index in range(7))
    slow = PartitionProblem(kernels, nets, 2, 100, cycles_per_word=100.0)
    found = partition_kernels(slow)
    assert found.part == (0, 0, 0, 0, 1, 1, 1, 1)
    assert found.interval == 1000 > max(found.part_intervals)


def test_words_across_count_as_time() -> None:
    """Where the wafers' link is slow, the cut goes where few words cross, however unbalanced."""
    kernels = tuple(kernel(f"k{index}", 100) for index in range(4))
    nets = (PartitionNet(0, (1,), 1), PartitionNet(1, (2,), 1000), PartitionNet(2, (3,), 1000))
    slow = PartitionProblem(kernels, nets, 2, 20, cycles_per_word=1.0)
    assert partition_kernels(slow).part == (0, 1, 1, 1)
    assert partition_kernels(PartitionProblem(kernels, nets, 2, 8)).part == (0, 0, 1, 1)


def test_as_many_parts_as_kernels() -> None:
    """A part may be one kernel; what skips a wafer crosses both its sides."""
    kernels = tuple(kernel(f"k{index}", 10) for index in range(3))
    found = partition_kernels(PartitionProblem(kernels, (PartitionNet(0, (1, 2), 6),), 3, 8))
    assert found == KernelPartition((0, 1, 2), 2, 2, (2, 2, 2), (6, 6))


def test_a_deep_decoder_is_balanced_to_the_bound() -> None:
    """Hundreds of kernels over eight wafers come within 2 % of what their area allows."""
    works = [40_000, 10_000, 10_000, 40_000, 90_000, 90_000] * 50
    kernels = tuple(kernel(f"k{index}", work, most=400) for index, work in enumerate(works))
    nets = tuple(PartitionNet(index, (index + 1,), 10) for index in range(len(works) - 1))
    found = partition_kernels(PartitionProblem(kernels, nets, 8, 4000))
    assert found.interval <= 1.02 * found.interval_bound
    assert found == partition_kernels(PartitionProblem(kernels, nets, 8, 4000))


def refusal(problem: PartitionProblem) -> str:
    """The whole message."""
    with pytest.raises(WsecError) as raised:
        partition_kernels(problem)
    return str(raised.value)


def test_refusals_say_what_is_at_fault() -> None:
    """Each message whole."""
    large = PartitionProblem((kernel("small", 5), kernel("large", 50, 7)), (), 2, 5)
    assert refusal(large) == (
        "error[WSEC320]: kernel 'large' does not fit a wafer, even at its slowest\n"
        "  where:    kernel 'large'\n"
        "  expected: at most 5 cores\n"
        "  found:    at least 7 cores\n"
        "  try:      use a larger region, or split the operator into smaller ones"
    )
    many = PartitionProblem(tuple(kernel(f"k{index}", 9, 4) for index in range(5)), (), 2, 8)
    assert refusal(many) == (
        "error[WSEC321]: the kernels do not fit 2 wafers, even at their slowest\n"
        "  expected: sum of least areas <= free cores, 20 <= 16\n"
        "  found:    4 cores too few for 5 kernels\n"
        "  try:      use at least 3 wafers, a larger region, or a smaller model"
    )
    apart = PartitionProblem(tuple(kernel(f"k{index}", 9, 5) for index in range(3)), (), 2, 8)
    assert refusal(apart) == (
        "error[WSEC362]: no way was found to spread the kernels over 2 wafers\n"
        "  expected: at most 8 cores of kernels on each wafer, and no link back to an earlier one\n"
        "  found:    3 kernels with at least 15 cores; the largest: 'k0' 5\n"
        "  try:      use one more wafer, or a larger region"
    )


def test_malformed_problems_are_refused() -> None:
    """Each message whole."""

    def malformed(**changes: object) -> str:
        fields: dict[str, object] = {"kernels": (kernel("a", 4), kernel("b", 4)), "nets": (), "parts": 1}
        with pytest.raises(WsecError) as raised:
            PartitionProblem(**{**fields, "capacity": 8, **changes})  # type: ignore[arg-type] # names are the test's
        return str(raised.value)

    hint = "  try:      docs/wafers.md says what the problem holds"
    head = "error[WSEC360]: the partition problem is malformed\n"
    assert (
        malformed(capacity=0) == f"{head}  where:    capacity\n  expected: at least 1\n  found:    0\n{hint}"
    )
    assert malformed(nets=(PartitionNet(1, (0,), 3),)) == (
        f"{head}  where:    net 0\n  expected: a source, later targets below 2, and at least 0 words\n"
        f"  found:    source 1, targets [0], 3 words\n{hint}"
    )
    assert malformed(cycles_per_word=float("nan")) == (
        f"{head}  where:    cycles_per_word\n  expected: a number of at least 0\n  found:    nan\n{hint}"
    )
    rising = PartitionKernel("r", np.array([1, 2]), np.array([1, 2]))
    assert malformed(kernels=(rising,)) == (
        f"{head}  where:    kernel 'r'\n"
        "  expected: as many cycles as areas, at least one; cycles never fall, areas never rise and are above 0\n"
        f"  found:    cycles [1, 2] and areas [1, 2]\n{hint}"
    )
    assert malformed(parts=3) == (
        "error[WSEC361]: the kernels cannot be spread over 3 wafers\n"
        "  expected: at least 1 wafer, and no more than kernels, of which there are 2\n"
        "  found:    3\n"
        "  try:      ask for fewer wafers, or for the least that the model fits on: --wafers auto"
    )
