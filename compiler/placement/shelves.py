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
_TOO_WIDE: Final = 1 << 18  # sums of many stay small
_OPTIONS: Final = 1 << 32  # more than a kernel has
_SHORT: Final = 0.15
"""The part of the interval that words may take which pass the columns, as lanes are fewer than rows of a rectangle.

This and `_TURNED` are shares of one budget, what a column carries in an interval: the rest is for gathering, spreading and exchanges,
which are not known before routes are. They are assumptions of the search, tried on ResNet-50, and not quantities of a machine; the
cycles of a plan are counted from its routes, whatever these say. docs/fabric.md says what other values give.
"""
_TURNED: Final = 0.4
"""The part of it that the words of a turned lane may take, where shelves of different height meet."""


@dataclass(frozen=True, slots=True)
class Loads:
    """Words of a sample, by kernel.

    Attributes:
        coming: Over all links to it.
        leaving: Over all links from it.
        holding: Columns that hold a part of what leaves, of each option.
    """

    coming: Sequence[int]
    leaving: Sequence[int]
    holding: Sequence[Numbers]


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
    widths, options = _narrowest(problem, loads, cycles)
    holding = np.array([held[chosen] for held, chosen in zip(loads.holding, options, strict=True)])
    before = np.concatenate([np.zeros((1, height + 1), np.int64), np.cumsum(widths, axis=0)])
    needed = -(-_wires(problem, loads) // max(cycles, 1))
    leaving, arriving = _crossing(problem, holding, "source"), _crossing(problem, widths, "target")
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


def _narrowest(problem: PlacementProblem, loads: Loads, cycles: int) -> tuple[Numbers, Numbers]:
    """The least width of each kernel on a shelf of each height, and the option that has it: both [kernels, heights]."""
    known: dict[tuple[int, int, int], Numbers] = {}
    found = []
    for number, (kernel, most) in enumerate(
        zip(problem.kernels, _slack_of_others(problem, cycles), strict=True)
    ):
        words = loads.coming[number] + loads.leaving[number]
        key = id(kernel.shapes), words, most
        if key not in known:
            known[key] = _narrowest_of(kernel.shapes, words, most, cycles, problem.height)
        found.append(known[key])
    widths, options = np.divmod(np.array(found), _OPTIONS)
    return widths, options


def _narrowest_of(shapes: ShapeOptions, words: int, most: int, cycles: int, height: int) -> Numbers:
    """The narrowest option for a shelf of each height, of those as high, or lower by no more than words bear.

    Returns:
        Width times `_OPTIONS` plus the option, [heights].
    """
    fast = np.flatnonzero((shapes.cycles <= cycles) & (shapes.heights <= height))
    # Of two as narrow ones the higher comes first.
    fast = fast[np.lexsort((shapes.cycles[fast], -shapes.heights[fast], shapes.widths[fast]))]
    widths, heights = shapes.widths[fast], shapes.heights[fast]
    slack = np.minimum(_slack(widths, heights, words, cycles), most)
    spans = np.minimum(heights + slack, height) - heights + 1
    ranks = np.floor(np.log2(spans)).astype(np.int64)
    # Minima over spans, each of them two spans of a power of two: the longer ones are handed down to the shorter.
    least = np.full((int(ranks.max(initial=0)) + 1, height + 1), len(fast), np.int64)
    places = np.arange(len(fast))
    np.minimum.at(least, (ranks, heights), places)
    np.minimum.at(least, (ranks, heights + spans - (1 << ranks)), places)
    for rank in range(len(least) - 1, 0, -1):
        half = 1 << (rank - 1)
        np.minimum(least[rank - 1], least[rank], out=least[rank - 1])
        np.minimum(least[rank - 1, half:], least[rank, : height + 1 - half], out=least[rank - 1, half:])
    keys = np.append(widths * _OPTIONS + fast, _TOO_WIDE * _OPTIONS)
    return np.asarray(keys[least[0]])


def _slack_of_others(problem: PlacementProblem, cycles: int) -> list[int]:
    """Rows by which each kernel may be lower than those that it talks to: the words pass their columns."""
    known: dict[int, int] = {}
    for kernel in problem.kernels:
        if id(kernel.shapes) not in known:
            cores = kernel.shapes.widths * kernel.shapes.heights
            known[id(kernel.shapes)] = int(cores[kernel.shapes.cycles <= cycles].min(initial=_NEVER))
    least = [known[id(kernel.shapes)] for kernel in problem.kernels]
    most = [_TOO_WIDE] * len(least)
    for net in problem.nets:
        for here, there in ((net.source, net.target), (net.target, net.source)):
            most[here] = min(most[here], int(_SHORT * cycles * least[there] / max(net.weight, 1.0)))
    return most


def _slack(widths: Numbers, heights: Numbers, words: int, cycles: int) -> Numbers:
    """Rows by which a rectangle may be lower than its shelf: the words of so many pass its columns."""
    rows = _SHORT * cycles * widths * heights / max(words, 1)
    return np.asarray(np.minimum(rows, _TOO_WIDE), np.int64)


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


def _crossing(problem: PlacementProblem, columns: Numbers, end: str) -> NDArray[np.float64]:
    """Cycles of lanes over a border between shelves that turn at one end, by first kernel behind it and height there.

    Half of the rows lie on one side of the lanes, and a lane that turns passes all that its column holds there.
    """
    cycles = np.zeros((len(problem.kernels) + 1, columns.shape[1]))
    for net in problem.nets:
        own = net.weight / (2 * columns[getattr(net, end)])
        cycles[net.source + 1] += own
        cycles[net.target + 1] -= own
    return np.asarray(np.cumsum(cycles, axis=0))


def _placed(problem: PlacementProblem, loads: Loads, shelves: Sequence[_Shelf], cycles: int) -> Placement:
    options, columns, rows = [], [], []
    widths, narrowest = _narrowest(problem, loads, cycles)
    y = 0
    for shelf in shelves:
        x = 0
        for number in range(shelf.first, shelf.stop):
            options.append(int(narrowest[number, shelf.height]))
            columns.append(x)
            rows.append(y)
            x += int(widths[number, shelf.height])
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
