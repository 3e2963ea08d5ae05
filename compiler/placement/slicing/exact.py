"""The fastest slicing floorplan there is, and floorplans with one wheel, where equal kernels leave few enough subsets.

For a time limit, `slicing_subsets` says whether any slicing arrangement fits, and `wheels` whether five such parts fit
in a wheel. What fits at one limit fits at slower ones too, so that the fastest time is found by bisection. Sixteen
kernels of eight kinds take a tenth of a second for each limit; twenty different ones are too many.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.placement.bounds import least_area, times_between
from wsec.compiler.placement.candidate import Candidate, Instance, candidate_from
from wsec.compiler.placement.problem import Rectangle
from wsec.compiler.placement.shape_curves import least_heights
from wsec.compiler.placement.slicing import wheels
from wsec.compiler.placement.slicing.subsets import (
    LONGEST,
    NONE,
    WIDTH_TO,
    Subsets,
    close_curve,
    cut_boxes,
    fill_subsets,
    make_subsets,
    sizes,
)

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.problem import Limits

_WORKERS: Final = 2
_BYTES: Final = 1 << 28
_PAIRS: Final = 5e7
_BATCH: Final = 512
_CHUNKS: Final = 64
_STEPS: Final = 3e8


@dataclass(frozen=True, slots=True)
class Kinds:
    """Kernels that share a shape table, and the free rectangle that all are to fit."""

    members: tuple[tuple[int, ...], ...]
    space: Rectangle

    @property
    def count(self) -> NDArray[np.int64]:
        """Kernels of each kind."""
        return np.array([len(kernels) for kernels in self.members], dtype=np.int64)


def kinds_of(instance: Instance) -> Kinds | None:
    """The kinds of kernels, if their subsets and the pairs of these are few enough; else None.

    None too where more counts than the interval: equal kernels are then not the same.
    """
    if len(instance.tilings[0]) > 1 or len(instance.tables) < 2:
        return None
    if instance.problem.wires_matter or instance.demands:
        return None
    space = instance.tilings[0][0]
    by_table: dict[int, list[int]] = {}
    for kernel, table in enumerate(instance.tables):
        by_table.setdefault(id(table), []).append(kernel)
    kinds = Kinds(tuple(tuple(kernels) for kernels in by_table.values()), space)
    counts = kinds.count.tolist()
    subsets = math.prod(count + 1 for count in counts)
    pairs = math.prod((count + 1) * (count + 2) // 2 for count in counts) // 2
    sides = space.width + space.height + 2
    few = subsets * sides * 2 <= _BYTES and pairs <= _PAIRS and max(space.width, space.height) < LONGEST
    return kinds if few else None


def search(
    instance: Instance, kinds: Kinds, best: Candidate, limits: Limits
) -> Generator[Candidate, None, bool]:
    """Ever faster placements than the best.

    Returns:
        Whether the last is as fast as any slicing floorplan; False if the limits ended the search.
    """
    times = [*times_between(instance.tables, instance.bound, best.interval - 1), best.interval]
    low, high = 0, len(times) - 1
    # The best is often the fastest already, so that the step just below it is tried first.
    middle = high - 1
    while low < high:
        candidate = within(instance, kinds, times[middle], limits)
        if candidate is not None:
            yield candidate
            high = bisect_left(times, candidate.interval)
        elif limits.stopped():
            return False
        else:
            low = middle + 1
        middle = (low + high) // 2
    return True


def within(instance: Instance, kinds: Kinds, time: int, limits: Limits) -> Candidate | None:
    """A slicing floorplan within `time` cycles, or else five slicing parts in a wheel; None if neither was found."""
    space = kinds.space
    subsets = subset_curves(instance, kinds, time, limits)
    everything = len(subsets.area) - 1
    if subsets.window[everything, WIDTH_TO] > 0:
        return _candidate(instance, kinds, subsets, [(everything, space)], "exact slicing")
    wheel = _first_wheel(subsets, _waste(instance, time), limits)
    if wheel is None:
        return None
    left, right, upper, lower = wheel[wheels.LEFT : wheels.LOWER + 1]
    boxes = (
        Rectangle(0, 0, right, upper),
        Rectangle(right, 0, space.width - right, lower),
        Rectangle(left, lower, space.width - left, space.height - lower),
        Rectangle(0, upper, left, space.height - upper),
        Rectangle(left, upper, right - left, lower - upper),
    )
    placed = [Rectangle(space.x + box.x, space.y + box.y, box.width, box.height) for box in boxes]
    return _candidate(instance, kinds, subsets, list(zip(wheel, placed, strict=False)), "wheel")


def _waste(instance: Instance, time: int) -> int:
    """Cores that the grid can spare."""
    area = least_area(instance.problem.kernels, instance.spaces, time)
    return instance.free_area - area if area is not None else -1


def subset_curves(instance: Instance, kinds: Kinds, time: int, limits: Limits) -> Subsets:
    """The curves of all subsets within `time` cycles; those left out at the end of the limits have no box."""
    space, waste = kinds.space, _waste(instance, time)
    subsets = make_subsets(kinds.count, space.width, space.height)
    for members, subset in zip(kinds.members, subsets.stride.tolist(), strict=True):
        table = instance.tables[members[0]]
        subsets.area[subset] = table.least_area[table.count_within(time) - 1]
        subsets.height[subset] = np.minimum(least_heights(table, time, space.width), NONE)
        close_curve(subsets, subset, waste)
    size = sizes(subsets)
    with ThreadPoolExecutor(_WORKERS) as threads:
        for kernels in range(2, int(size[-1]) + 1):
            which = np.flatnonzero(size == kernels)
            batches = [which[at : at + _BATCH] for at in range(0, len(which), _BATCH)]

            def fill(batch: NDArray[np.int64]) -> None:
                if not limits.stopped():
                    fill_subsets(subsets, batch, waste)

            list(threads.map(fill, batches))
    return subsets


def _first_wheel(subsets: Subsets, waste: int, limits: Limits) -> list[int] | None:
    """The first wheel in the order of the search, whichever thread finds one first."""
    first = np.arange(1, len(subsets.area) - 1)
    steps = int(_STEPS * limits.effort / _CHUNKS) if limits.deadline is None else 1 << 60

    def find(chunk: int) -> list[int] | None:
        wheel = np.zeros(9, dtype=np.int64)
        left = np.array([steps], dtype=np.int64)
        if limits.stopped() or not wheels.find_wheel(subsets, first[chunk::_CHUNKS], waste, left, wheel):
            return None
        return [int(each) for each in wheel]

    with ThreadPoolExecutor(_WORKERS) as threads:
        for chunk in range(0, _CHUNKS, _WORKERS):
            found = [wheel for wheel in threads.map(find, range(chunk, chunk + _WORKERS)) if wheel]
            if found:
                return found[0]
    return None


def _candidate(
    instance: Instance, kinds: Kinds, subsets: Subsets, parts: Sequence[tuple[int, Rectangle]], method: str
) -> Candidate:
    """Cut each part's box until every kernel has one."""
    left = {int(at): list(kernels) for at, kernels in zip(subsets.stride, kinds.members, strict=True)}
    boxes = [kinds.space] * len(instance.tables)
    for subset, whole in parts:
        for kernel, box in cut_boxes(subsets, subset, whole, left):
            boxes[kernel] = box
        have = subset // subsets.stride % (subsets.number + 1)
        for kernels, taken in zip(left.values(), have.tolist(), strict=True):
            del kernels[len(kernels) - taken :]
    return candidate_from(instance, boxes, method)
