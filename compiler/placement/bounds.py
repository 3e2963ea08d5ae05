"""The area lower bound on the interval, and the proof that a problem cannot fit.

Within time T every kernel needs at least its least area at T; no placement is faster than the smallest T whose least
areas sum to at most the free area.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.native import compiled
from wsec.compiler.placement.problem import ShapeOptions, hop_cycles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.candidate import Instance
    from wsec.compiler.placement.problem import PlacementKernel, PlacementProblem, Rectangle
    from wsec.compiler.placement.shape_curves import ShapeTable

_RUNS: Final = 2000
_TIMES: Final = 256
_NONE: Final = 1 << 44
"""More cores than any grid has; sums of many thousands are still int64."""


def fits(kernel: PlacementKernel, spaces: Sequence[Rectangle]) -> bool:
    """Whether some option of the kernel fits into one of the free `spaces`."""
    return int(_least_areas([kernel], [tuple(spaces)], kernel.shapes.cycles.max(keepdims=True))[0]) < _NONE


def least_area(
    kernels: Sequence[PlacementKernel], spaces: Sequence[tuple[Rectangle, ...]], time: int
) -> int | None:
    """Sum of the kernels' least areas within `time` cycles, each in one of its free `spaces`; None if one has no such option."""
    total = int(_least_areas(kernels, spaces, np.array([time]))[0])
    return total if total < _NONE else None


def area_bound(
    kernels: Sequence[PlacementKernel], spaces: Sequence[tuple[Rectangle, ...]], free_area: int
) -> int | None:
    """The smallest T whose least areas sum to at most `free_area`; None if no T is slow enough.

    A search in which each look at the options tells many times apart: ten thousand kernels have tens of millions.
    """
    low, high = 0, max(int(kernel.shapes.cycles.max()) for kernel in kernels)
    if _least_areas(kernels, spaces, np.array([high]))[0] > free_area:
        return None
    times = np.unique(np.append(np.geomspace(1, high + 1, _TIMES).astype(np.int64) - 1, high))
    while True:
        enough = int(np.argmax(_least_areas(kernels, spaces, times) <= free_area))
        low, high = int(times[enough - 1]) + 1 if enough else low, int(times[enough])
        if low >= high:
            return high
        times = np.unique(np.append(np.linspace(low, high, _TIMES).astype(np.int64), high))


def _least_areas(
    kernels: Sequence[PlacementKernel],
    spaces: Sequence[tuple[Rectangle, ...]],
    times: NDArray[np.int64],
) -> NDArray[np.int64]:
    """For each of the ascending times the sum of the kernels' least areas; `_NONE` or more if one has none."""
    # Equal kernels share their options, which are looked at once.
    keys = [
        (id(kernel.shapes), kernel.rotatable, where) for kernel, where in zip(kernels, spaces, strict=True)
    ]
    known = dict(zip(keys, kernels, strict=True))
    often = Counter(keys)
    total = np.zeros(len(times), dtype=np.int64)
    for key, kernel in known.items():
        sides = np.array([(space.width, space.height) for space in key[2]], dtype=np.int64).reshape(-1, 2)
        shapes = kernel.shapes
        each = np.full(len(times), _NONE)
        least_by_time(each, times, (shapes.widths, shapes.heights, shapes.cycles), sides)
        if kernel.rotatable:
            least_by_time(each, times, (shapes.heights, shapes.widths, shapes.cycles), sides)
        total += often[key] * np.minimum.accumulate(each)
    return total


@compiled
def least_by_time(
    least: NDArray[np.int64],
    times: NDArray[np.int64],
    options: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]],
    sides: NDArray[np.int64],
) -> None:
    """Lower `least` at the first time that each option meets to the option's area, if it fits one of the spaces.

    Options are widths, heights and cycles.
    """
    widths, heights, cycles = options
    for option in range(len(cycles)):
        area = widths[option] * heights[option]
        if cycles[option] > times[-1] or area >= least[0]:
            continue
        at = 0 if cycles[option] <= times[0] else np.searchsorted(times, cycles[option])
        if area < least[at]:
            for space in range(len(sides)):
                if widths[option] <= sides[space, 0] and heights[option] <= sides[space, 1]:
                    least[at] = area


def times_between(tables: Sequence[ShapeTable], low: int, high: int) -> list[int]:
    """The cycles of any option in `low` ... `high`, ascending: the only times at which a curve changes."""
    distinct = {id(table): table for table in tables}.values()
    return [
        int(time)
        for time in np.unique(
            np.concatenate(
                [
                    table.cycles[np.searchsorted(table.cycles, low) : table.count_within(high)]
                    for table in distinct
                ]
            )
        )
    ]


def objective_bound(instance: Instance, interval_bound: int) -> float:
    """A lower bound on the objective, in cycles, given one on the interval that is not below the instance's.

    Rectangles that do not overlap are apart by half the sum of their widths or of their heights, so the centres of two
    kernels are at least half the sum of their shortest sides apart. Shortest sides fall as the interval rises; the
    least sum over all intervals is the bound.
    """
    tables = instance.all_tables
    price = hop_cycles(instance.problem, instance.bound)
    words = np.zeros(len(tables))
    for net in instance.problem.nets:
        if net.source != net.target:
            words[[net.source, net.target]] += net.weight
    if price <= 0 or not words.any():
        return float(interval_bound)
    times = np.array(times_between(tables, interval_bound, max(int(table.cycles[-1]) for table in tables)))
    times = np.unique(np.append(times, interval_bound))
    # Many times are taken in runs: the first of a run as interval, the last for the sides.
    first = times[:: max(1, len(times) // _RUNS)]
    last = np.append(first[1:] - 1, times[-1])
    by_table: dict[int, float] = {}
    for table, share in zip(tables, words.tolist(), strict=True):
        by_table[id(table)] = by_table.get(id(table), 0.0) + share
    hops = np.zeros(len(first))
    for table in {id(table): table for table in tables}.values():
        shortest = np.minimum.accumulate(np.minimum(table.widths, table.heights))
        hops += by_table[id(table)] * shortest[np.searchsorted(table.cycles, last, side="right") - 1] / 2
    return float((first + price * hops).min())


def kernel_too_large(
    problem: PlacementProblem, kernel: PlacementKernel, spaces: Sequence[Rectangle]
) -> WsecError:
    """The error for a kernel none of whose options fits into a free rectangle."""
    shapes = kernel.shapes
    if kernel.rotatable:
        shapes = ShapeOptions(
            np.concatenate([shapes.widths, shapes.heights]),
            np.concatenate([shapes.heights, shapes.widths]),
            np.concatenate([shapes.cycles, shapes.cycles]),
        )
    space, option, excess = _nearest_miss(shapes, spaces)
    width, height = int(shapes.widths[option]), int(shapes.heights[option])
    free = "the free rectangle that it misses by least is" if problem.reserved else "the region is"
    return WsecError(
        "WSEC320",
        f"kernel {kernel.name!r} does not fit the region in any of its {len(kernel.shapes.cycles)} shapes",
        where=f"kernel {kernel.name!r}",
        expected=f"width <= {space.width} and height <= {space.height} ({free} {space.width} x {space.height})",
        found=f"its nearest shape is {width} x {height}: {excess}",
        hint="use a larger region, or split the operator into smaller ones",
    )


def _nearest_miss(shapes: ShapeOptions, spaces: Sequence[Rectangle]) -> tuple[Rectangle, int, str]:
    """The space and option with the fewest cores sticking out, and by how much they do."""
    best: tuple[int, int, Rectangle] | None = None
    for space in spaces:
        out = np.maximum(shapes.widths - space.width, 0) + np.maximum(shapes.heights - space.height, 0)
        option = int(np.argmin(out))
        if best is None or int(out[option]) < best[0]:
            best = (int(out[option]), option, space)
    if best is None:
        raise no_free_core()
    _, option, space = best
    wide = _excess(int(shapes.widths[option]) - space.width, "column", "wide")
    high = _excess(int(shapes.heights[option]) - space.height, "row", "high")
    return space, option, " and ".join(each for each in (wide, high) if each)


def _excess(by: int, unit: str, direction: str) -> str:
    return f"{by} {unit}{'s' if by > 1 else ''} too {direction}" if by > 0 else ""


def no_free_core() -> WsecError:
    """The error for a grid that is reserved as a whole."""
    return WsecError(
        "WSEC321",
        "the kernels do not fit: no core of the region is free",
        expected="at least one core outside of the reserved rectangles",
        found="reserved rectangles cover the whole region",
        hint="reserve less, or use a larger region",
    )


def area_too_small(problem: PlacementProblem, tables: Sequence[ShapeTable], free_area: int) -> WsecError:
    """The error for a region smaller than the least areas of the kernels at their slowest."""
    areas = [int(table.least_area[-1]) for table in tables]
    total = sum(areas)
    largest = sorted(range(len(areas)), key=lambda index: (-areas[index], index))[:3]
    wide, high = _smallest_region(problem, total + problem.width * problem.height - free_area)
    named = ", ".join(f"{problem.kernels[index].name!r} {areas[index]:,}" for index in largest)
    return WsecError(
        "WSEC321",
        "the kernels do not fit: together they need more cores than the region has, even at their slowest",
        expected=f"sum of least areas <= free cores, {total:,} <= {free_area:,}",
        found=f"{total - free_area:,} cores too few for {len(areas)} kernels; the largest: {named}",
        hint=f"use a region of at least {total:,} free cores, such as {wide} x {high}, spread the kernels over several wafers (--wafers auto), "
        "let them take turns (--phases auto), or choose a smaller model",
    )


def _smallest_region(problem: PlacementProblem, cores: int) -> tuple[int, int]:
    """Columns and rows of at least so many cores, as near to the grid's proportions as whole numbers allow."""
    columns = math.ceil(math.sqrt(cores * problem.width / problem.height))
    return columns, math.ceil(cores / columns)
