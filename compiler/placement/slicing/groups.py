"""Slicing floorplans of groups of kernels, each group arranged in the best of all ways.

Up to ten kernels form a group, up to ten groups a larger one, and so on up to the whole. The dynamic program of
`slicing_subsets` gives the least boxes of a group over all slicing arrangements of its members, which keep all their
own boxes. So a floorplan is no more than an order of the kernels, and a change of it is two kernels that change places:
their groups and those around them are computed anew.
"""

from __future__ import annotations

from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from wsec.compiler.placement.bounds import times_between
from wsec.compiler.placement.candidate import Candidate, Instance, candidate_from
from wsec.compiler.placement.problem import Rectangle
from wsec.compiler.placement.random_numbers import draw, random_state
from wsec.compiler.placement.shape_curves import least_heights
from wsec.compiler.placement.slicing.subsets import (
    LONGEST,
    NONE,
    Rows,
    Subsets,
    close_curve,
    cut_boxes,
    fill_subsets,
    make_rows,
    make_subsets,
    several,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.problem import Limits

_WORKERS: Final = 2
_GROUP: Final = 10
_MARGIN: Final = 8
_LARGEST: Final = 149
_ROUNDS: Final = 12
_SWAPS: Final = 6
_ANY: Final = NONE * NONE


class Groups(NamedTuple):
    """Kernels in some order, in groups of groups.

    Attributes:
        order: Kernel at each place.
        kind: Equal kernels have the same.
        ends: At each level, between which members of the level below each group lies: group `g` has members
            `ends[g]` ... `ends[g + 1] - 1`. Members of the first level are places.
        rows: Curves of the kernels, then of the groups of each level; the last level is the whole.
        space: The free rectangle.
        spare: Cores of it beyond the kernels' least areas.
    """

    order: list[int]
    kind: Sequence[int]
    ends: Sequence[Sequence[int]]
    rows: Sequence[Rows]
    space: Rectangle
    spare: int


def applies(instance: Instance) -> bool:
    """Whether the kernels are few enough, and free, in one rectangle; the groups shorten the interval, not the wires."""
    space = instance.tilings[0][0]
    single = len(instance.tilings[0]) == 1 and 2 <= len(instance.tables) <= _LARGEST
    return single and not instance.demands and max(space.width, space.height) < LONGEST // 2


def search(instance: Instance, best: Candidate, limits: Limits) -> Iterator[Candidate]:
    """Ever faster placements than the best: bisection for the given order, then exchanges, in two threads."""
    order = list(range(len(instance.tables)))
    times = [*times_between(instance.tables, instance.bound, best.interval - 1), best.interval]
    low, high = 0, len(times) - 1
    while low < high and not limits.stopped():
        middle = (low + high) // 2
        groups = make_groups(instance, order, times[middle])
        if excess(groups) == 0:
            best = _candidate(instance, groups)
            yield best
            high = bisect_left(times, best.interval)
        else:
            low = middle + 1
    starts = [order, _shuffled(order, random_state(limits.seed, 0))]
    rounds = 0
    with ThreadPoolExecutor(_WORKERS) as threads:
        while high > 0 and not limits.stopped():
            walks = [make_groups(instance, start, times[high - 1]) for start in starts]
            while all(excess(walk) > 0 for walk in walks):
                rounds += 1
                if limits.stopped() or (limits.deadline is None and rounds > round(_ROUNDS * limits.effort)):
                    return
                jobs = [
                    threads.submit(_exchange, walk, random_state(limits.seed, rounds, at), limits)
                    for at, walk in enumerate(walks)
                ]
                for job in jobs:
                    job.result()
            best = _candidate(instance, next(walk for walk in walks if excess(walk) == 0))
            yield best
            starts = [walk.order for walk in walks]
            high = bisect_left(times, best.interval)


def _shuffled(order: Sequence[int], random: NDArray[np.uint64]) -> list[int]:
    left = list(order)
    return [left.pop(draw(random, len(left))) for _ in order]


def make_groups(instance: Instance, order: Sequence[int], time: int) -> Groups:
    """Groups of kernels in an order, with their curves within `time` cycles."""
    space, tables = instance.tilings[0][0], instance.tables
    sides = tuple(side + side // _MARGIN for side in (space.width, space.height))
    known: dict[int, int] = {}
    kind = [known.setdefault(id(table), kernel) for kernel, table in enumerate(tables)]
    kernels = make_rows(len(tables), *sides)
    for kernel in known.values():
        table = tables[kernel]
        kernels.area[kernel] = table.least_area[table.count_within(time) - 1]
        kernels.height[kernel] = np.minimum(least_heights(table, time, sides[0]), NONE)
        close_curve(kernels, kernel, _ANY)
    rows, ends, count = [kernels], [], len(tables)
    while count > 1:
        groups = -(-count // _GROUP)
        ends.append([at * count // groups for at in range(groups + 1)])
        rows.append(make_rows(groups, *sides))
        count = groups
    spare = space.area - int(kernels.area[kind].sum())
    groups_ = Groups(list(order), kind, ends, rows, space, spare)
    for level, bounds in enumerate(ends):
        for group in range(len(bounds) - 1):
            _compute(groups_, level, group, _ANY)
    return groups_


def _members(groups: Groups, level: int, group: int) -> dict[int, list[int]]:
    """Members of a group, equal ones together, by the row that has their curve."""
    found: dict[int, list[int]] = {}
    for at in range(groups.ends[level][group], groups.ends[level][group + 1]):
        member = at if level else groups.order[at]
        found.setdefault(member if level else groups.kind[member], []).append(member)
    return found


def _arrange(groups: Groups, level: int, group: int, waste: int) -> tuple[Subsets, dict[int, list[int]]]:
    """The curves of all subsets of a group, and its members by the subset that is one of them."""
    members, below = _members(groups, level, group), groups.rows[level]
    number = np.array([len(each) for each in members.values()], dtype=np.int64)
    subsets = make_subsets(number, below.height.shape[1] - 1, below.width.shape[1] - 1)
    for subset, row in zip(subsets.stride.tolist(), members, strict=True):
        subsets.height[subset], subsets.area[subset] = below.height[row], below.area[row]
        close_curve(subsets, subset, waste)
    fill_subsets(subsets, several(subsets), waste)
    return subsets, dict(zip(subsets.stride.tolist(), members.values(), strict=True))


def _compute(groups: Groups, level: int, group: int, waste: int) -> None:
    """The curve of a group, from those of its members."""
    subsets, _ = _arrange(groups, level, group, waste)
    above = groups.rows[level + 1]
    above.height[group], above.area[group] = subsets.height[-1], subsets.area[-1]


def _excesses(groups: Groups) -> NDArray[np.int64]:
    """The cores by which the smallest box around the grid and the whole exceeds the grid, for each width of the whole."""
    height = groups.rows[-1].height[0].astype(np.int64)
    wide, high = groups.space.width, groups.space.height
    beyond = np.maximum(np.arange(len(height)), wide) * np.maximum(height, high) - wide * high
    return np.where(height < NONE, beyond, _ANY)


def excess(groups: Groups) -> int:
    """Cores by which the whole exceeds the grid at least."""
    return int(_excesses(groups).min())


def _exchange(groups: Groups, random: NDArray[np.uint64], limits: Limits) -> None:
    """Let kernels of different groups change places some times, where that makes the excess no larger."""
    for _ in range(_SWAPS):
        if limits.stopped():
            return
        one, two = draw(random, len(groups.order)), draw(random, len(groups.order))
        if groups.kind[groups.order[one]] != groups.kind[groups.order[two]]:
            exchange(groups, one, two)


def exchange(groups: Groups, one: int, two: int) -> None:
    """Exchange the kernels at two places, unless the excess grows."""
    before = excess(groups)
    around = _groups_around(groups, (one, two))
    kept = [groups.rows[level + 1].height[group].copy() for level, group in around]
    areas = [int(groups.rows[level + 1].area[group]) for level, group in around]
    order = groups.order
    order[one], order[two] = order[two], order[one]
    for level, group in around:
        _compute(groups, level, group, groups.spare + before)
    if excess(groups) > before:
        order[one], order[two] = order[two], order[one]
        for (level, group), height, area in zip(around, kept, areas, strict=True):
            groups.rows[level + 1].height[group], groups.rows[level + 1].area[group] = height, area


def _groups_around(groups: Groups, places: Sequence[int]) -> list[tuple[int, int]]:
    """The groups that hold some places, from the inside out; none if they are in the same innermost one."""
    found: list[tuple[int, int]] = []
    for level, ends in enumerate(groups.ends):
        places = sorted({int(np.searchsorted(ends, place, side="right")) - 1 for place in places})
        if level == 0 and len(places) == 1:
            return []
        found += [(level, place) for place in places]
    return found


def _candidate(instance: Instance, groups: Groups) -> Candidate:
    """The rectangles of groups that fit."""
    space = groups.space
    width = int(np.argmin(_excesses(groups)))
    boxes = [space] * len(instance.tables)
    whole = Rectangle(space.x, space.y, width, int(groups.rows[-1].height[0, width]))
    tasks = [(len(groups.ends), 0, whole)]
    while tasks:
        level, member, box = tasks.pop()
        if level == 0:
            boxes[member] = box
            continue
        subsets, members = _arrange(groups, level - 1, member, groups.spare)
        parts = cut_boxes(subsets, len(subsets.area) - 1, box, members)
        tasks += [(level - 1, part, cut) for part, cut in parts]
    return candidate_from(instance, boxes, "groups")
