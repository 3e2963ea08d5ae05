"""Kernels on shelves: rows of rectangles of about one height, in topological order, one shelf below the other.

Between rectangles side by side whose rows begin and end alike, lanes run straight and words keep their order. So all kernels of a
shelf have its height, but for what their words can bear. The shelves of a time limit with the least height in sum are found
by dynamic programming over the kernels and the height of the last shelf; the time limit is the least for which they fit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.placement import interval_bound
from wsec.compiler.placement.problem import Placement, objective, rectangles, wirelength

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.problem import PlacementProblem, ShapeOptions

    Numbers = NDArray[np.int64]

_NEVER: Final = 1 << 30
_SHORT: Final = 0.15
"""The part of the interval that words may take which pass the columns, as lanes are fewer than rows of a rectangle."""
_TURNED: Final = 0.4
"""The part of it that the words of a turned lane may take, where shelves of different height meet."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Words of a sample, by kernel.

    Attributes:
        coming: Over all links to it.
        leaving: Over all links from it.
    """

    coming: Sequence[int]
    leaving: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Shelf:
    """Kernels `[first, stop)`, and the height."""

    first: int
    stop: int
    height: int


def place_on_shelves(problem: PlacementProblem, loads: Loads) -> Placement | None:
    """The fastest placement on shelves; None where there is none, or where something else may not be stood on."""
    if problem.constraints or problem.reserved or not problem.kernels:
        return None
    levels = np.unique(np.concatenate([kernel.shapes.cycles for kernel in problem.kernels]))
    low, high = 0, len(levels)
    while low < high:
        middle = (low + high) // 2
        if _stack(problem, loads, int(levels[middle])) is None:
            low = middle + 1
        else:
            high = middle
    if low == len(levels):
        return None
    shelves = _stack(problem, loads, int(levels[low]))
    return None if shelves is None else _placed(problem, loads, shelves, int(levels[low]))


def _stack(problem: PlacementProblem, loads: Loads, cycles: int) -> list[_Shelf] | None:
    """The shelves for kernels that take so many cycles at most, with the least height in sum; None if that is too high."""
    count, height = len(problem.kernels), problem.height
    widths = _widths(problem, loads, cycles)
    before = np.concatenate([np.zeros((1, height + 1), np.int64), np.cumsum(widths, axis=0)])
    needed = -(-_wires(problem, loads) // max(cycles, 1))
    leaving, arriving = (_crossing(problem, widths, end) for end in ("source", "target"))
    heights = np.arange(height + 1)
    sums = np.full((count + 1, height + 1), _NEVER, np.int64)
    back = np.zeros((count + 1, height + 1, 2), np.int64)
    sums[0] = 0
    for first in range(count):
        if sums[first].min() >= _NEVER:
            continue
        so_far, last = _meeting(
            sums[first], leaving[first] <= _TURNED * cycles, arriving[first] <= _TURNED * cycles
        )
        least = 0
        for stop in range(first + 1, count + 1):
            least = max(least, int(needed[stop - 1]))
            fits = (before[stop] - before[first] <= problem.width) & (heights >= max(least, 1))
            if not fits.any():
                break
            found = np.where(fits, so_far + heights, _NEVER)
            better = found < sums[stop]
            sums[stop][better] = found[better]
            back[stop][better] = np.stack([np.full(height + 1, first), last], axis=1)[better]
    if sums[count].min() > height:
        return None
    shelves, stop, own = [], count, int(sums[count].argmin())
    while stop:
        first, previous = back[stop, own].tolist()
        shelves.append(_Shelf(first, stop, own))
        stop, own = first, previous
    return shelves[::-1]


def _meeting(sums: Numbers, leave: NDArray[np.bool_], arrive: NDArray[np.bool_]) -> tuple[Numbers, Numbers]:
    """For each height of the next shelf the least sum so far, and the height of the shelf before it.

    Args:
        sums: By the height of the shelf before.
        leave: Whether from one of this height lanes can go to a lower one.
        arrive: Whether to one of this height lanes can come from a lower one.
    """
    heights = np.arange(len(sums))
    found, last = sums.copy(), heights.copy()
    falling = np.where(leave, sums, _NEVER)[::-1]
    least = np.minimum.accumulate(falling)
    at = (len(sums) - 1) - np.maximum.accumulate(np.where(falling == least, heights, 0))
    lower = least[::-1] < found
    found[lower], last[lower] = least[::-1][lower], at[::-1][lower]
    least = np.minimum.accumulate(sums)
    at = np.maximum.accumulate(np.where(sums == least, heights, 0))
    higher = arrive & (least < found)
    found[higher], last[higher] = least[higher], at[higher]
    return found, last


def _widths(problem: PlacementProblem, loads: Loads, cycles: int) -> Numbers:
    """The least width of each kernel on a shelf of each height, [kernels, heights]."""
    known: dict[tuple[int, int], Numbers] = {}
    found = []
    for number, kernel in enumerate(problem.kernels):
        words = loads.coming[number] + loads.leaving[number]
        key = id(kernel.shapes), words
        if key not in known:
            known[key] = _widths_of(kernel.shapes, words, cycles, problem.height)
        found.append(known[key])
    return np.array(found)


def _widths_of(shapes: ShapeOptions, words: int, cycles: int, height: int) -> Numbers:
    """The least width on a shelf of each height: of options that are as high, or lower by no more than words bear."""
    fast = np.flatnonzero((shapes.cycles <= cycles) & (shapes.heights <= height))
    widths, heights = shapes.widths[fast], shapes.heights[fast]
    spans = np.minimum(heights + _slack(widths, heights, words, cycles), height) - heights + 1
    ranks = np.floor(np.log2(spans)).astype(np.int64)
    # Minima over spans, each of them two spans of a power of two: the longer ones are handed down to the shorter.
    least = np.full((int(ranks.max(initial=0)) + 1, height + 1), _NEVER, np.int64)
    np.minimum.at(least, (ranks, heights), widths)
    np.minimum.at(least, (ranks, heights + spans - (1 << ranks)), widths)
    for rank in range(len(least) - 1, 0, -1):
        half = 1 << (rank - 1)
        np.minimum(least[rank - 1], least[rank], out=least[rank - 1])
        np.minimum(least[rank - 1, half:], least[rank, : height + 1 - half], out=least[rank - 1, half:])
    return np.asarray(np.minimum(least[0], _NEVER >> 12))  # sums of many stay small


def _slack(widths: Numbers, heights: Numbers, words: int, cycles: int) -> Numbers:
    """Rows by which a rectangle may be lower than its shelf: the words of so many pass its columns."""
    rows = _SHORT * cycles * widths * heights / max(words, 1)
    return np.asarray(np.minimum(rows, _NEVER >> 12), np.int64)


def _wires(problem: PlacementProblem, loads: Loads) -> Numbers:
    """Words that pass the rows of each kernel together: its own, and those between kernels on both sides of it."""
    passing = np.zeros(len(problem.kernels) + 1, np.int64)
    for net in problem.nets:
        first, last = sorted((net.source, net.target))
        passing[first + 1] += int(net.weight)
        passing[last] -= int(net.weight)
    coming = np.array(loads.coming, np.int64)
    own = np.maximum(coming, np.array(loads.leaving, np.int64)) + coming
    return np.asarray(np.cumsum(passing)[:-1] + own)


def _crossing(problem: PlacementProblem, widths: Numbers, end: str) -> NDArray[np.float64]:
    """Cycles of lanes over a border between shelves that turn at one end, by first kernel behind it and height there."""
    cycles = np.zeros((len(problem.kernels) + 1, widths.shape[1]))
    for net in problem.nets:
        own = net.weight / (2 * widths[getattr(net, end)])
        cycles[net.source + 1] += own
        cycles[net.target + 1] -= own
    return np.asarray(np.cumsum(cycles, axis=0))


def _placed(problem: PlacementProblem, loads: Loads, shelves: Sequence[_Shelf], cycles: int) -> Placement:
    options, columns, rows = [], [], []
    widths = _widths(problem, loads, cycles)
    y = 0
    for shelf in shelves:
        x = 0
        for number in range(shelf.first, shelf.stop):
            shapes = problem.kernels[number].shapes
            words = loads.coming[number] + loads.leaving[number]
            room = shapes.heights + _slack(shapes.widths, shapes.heights, words, cycles)
            fits = (shapes.cycles <= cycles) & (shapes.heights <= shelf.height) & (room >= shelf.height)
            fits &= shapes.widths == widths[number, shelf.height]
            among = np.flatnonzero(fits)
            options.append(int(among[np.lexsort((shapes.cycles[among], -shapes.heights[among]))[0]]))
            columns.append(x)
            rows.append(y)
            x += int(shapes.widths[options[-1]])
        y += shelf.height
    interval = max(
        int(kernel.shapes.cycles[option]) for kernel, option in zip(problem.kernels, options, strict=True)
    )
    placement = Placement(
        tuple(options),
        tuple(columns),
        tuple(rows),
        interval,
        0,
        0.0,
        "shelves",
        proven_optimal=False,
        interrupted=False,
    )
    hops = wirelength(problem.nets, rectangles(problem, placement))
    bound = interval_bound(problem)
    cost = objective(problem, interval, bound, hops)
    return Placement(
        placement.option,
        placement.x,
        placement.y,
        interval,
        bound,
        hops,
        "shelves",
        proven_optimal=interval == bound,
        interrupted=False,
        cost=cost,
        cost_bound=float(bound),
        front=((interval, hops),),
    )
