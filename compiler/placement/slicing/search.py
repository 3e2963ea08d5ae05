"""Search over slicing floorplans: the least interval in both directions, then short wires at and just above it.

Both directions means columns of kernels, and rows of kernels by solving the transposed problem.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.placement.bounds import times_between
from wsec.compiler.placement.candidate import Candidate, Instance, candidate_from
from wsec.compiler.placement.problem import Rectangle
from wsec.compiler.placement.slicing import layout
from wsec.compiler.placement.slicing.order_preserving import (
    GroupCurves,
    column_plans,
    column_widths,
    group_curves,
    reach,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.problem import Limits
    from wsec.compiler.placement.shape_curves import ShapeTable

_GALLOP: Final = (1.0, 1.002, 1.005, 1.01, 1.02, 1.035, 1.06, 1.1, 1.2, 1.4, 2.0, 4.0, 16.0)
_LADDER: Final = (1.004, 1.015)
_THIN_GROUPS: Final = (3, 2, 1)
_MANY: Final = 150
_AFFORDABLE: Final = 600
_FAR: Final = 1.06
_COLUMN_CHOICES: Final = 4
_COLUMN_CHOICES_OF_MANY: Final = 2


@dataclass(frozen=True, slots=True)
class Direction:
    """The problem as the slicing sees it: kernels in packing order, perhaps transposed."""

    transposed: bool
    group: int
    order: tuple[int, ...]
    tables: tuple[ShapeTable, ...]
    tilings: tuple[tuple[Rectangle, ...], ...]
    nets: layout.NetArrays


@dataclass(frozen=True, slots=True)
class Sliced:
    """A feasible time, and how the regions share the kernels.

    Attributes:
        time: In cycles.
        groups: Shape curves at that time.
        columns: Least widths of columns, by column height; see `column_widths`.
        fillings: For each region used its first kernel and the first kernel behind it.
    """

    time: int
    groups: GroupCurves
    columns: dict[int, NDArray[np.int32]]
    fillings: tuple[tuple[Rectangle, int, int], ...]


def is_affordable(instance: Instance) -> bool:
    """Whether kernels are so few that slicing them in order, or annealing their tree, is of use within seconds."""
    return len(instance.tables) <= _AFFORDABLE


def group_sizes(kernels: int) -> tuple[int, ...]:
    """How many consecutive kernels are arranged freely, in the order in which sizes are tried.

    Large groups pack best but their curves cost most, so a smaller size goes first and bounds the time of the larger.
    """
    if kernels <= 6:
        return (kernels,)
    if kernels <= 120:
        return 6, min(kernels, 16)
    return 6, 12


def directions(instance: Instance, order: Sequence[int], group: int) -> list[Direction]:
    """Columns and rows, with the kernels packed in `order` in groups of up to `group`."""
    position = {kernel: at for at, kernel in enumerate(order)}
    between = [net for net in instance.problem.nets if {net.source, net.target} <= position.keys()]
    nets = layout.NetArrays(
        np.array([position[net.source] for net in between], dtype=np.int64),
        np.array([position[net.target] for net in between], dtype=np.int64),
        np.array([net.weight for net in between], dtype=np.float64),
    )
    turned = {id(table): table.transposed() for table in instance.tables}
    return [
        Direction(
            transposed=False,
            group=group,
            order=tuple(order),
            tables=tuple(instance.tables[kernel] for kernel in order),
            tilings=instance.tilings,
            nets=nets,
        ),
        Direction(
            transposed=True,
            group=group,
            order=tuple(order),
            tables=tuple(turned[id(instance.tables[kernel])] for kernel in order),
            tilings=tuple(tuple(map(_transpose, tiling)) for tiling in instance.tilings),
            nets=nets,
        ),
    ]


def _transpose(part: Rectangle) -> Rectangle:
    return Rectangle(part.y, part.x, part.height, part.width)


def slice_within(direction: Direction, time: int) -> Sliced | None:
    """Place all kernels within `time` cycles in the first tiling where that works; None if none does."""
    tiles = [tile for tiling in direction.tilings for tile in tiling]
    width, height = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    groups = group_curves(direction.tables, time, width, height, direction.group)
    if groups is None:
        return None
    heights = sorted({tile.height for tile in tiles})
    columns = dict(zip(heights, column_widths(groups, heights), strict=True))
    for tiling in direction.tilings:
        fillings = _fill(columns, tiling, len(direction.tables))
        if fillings is not None:
            return Sliced(time, groups, columns, fillings)
    return None


def _fill(
    columns: dict[int, NDArray[np.int32]], tiling: tuple[Rectangle, ...], count: int
) -> tuple[tuple[Rectangle, int, int], ...] | None:
    """Fill the tiles in turn, each with as many kernels as possible; None if kernels are left over."""
    start = 0
    fillings: list[tuple[Rectangle, int, int]] = []
    for tile in tiling:
        end = reach(columns[tile.height], start, tile.width)
        if end > start:
            fillings.append((tile, start, end))
        start = end
        if start == count:
            return tuple(fillings)
    return None


def least_time(direction: Direction, low: int, high: int, limits: Limits) -> Sliced | None:
    """The least feasible time in `low` ... `high`: upwards in growing steps, then bisection over the curves' steps."""
    floor = low
    for factor in _GALLOP:
        time = min(high, int(low * factor))
        found = slice_within(direction, time)
        if found is not None:
            return _bisect(direction, floor, found, limits)
        if time == high or limits.stopped():
            break
        floor = time + 1
    return slice_within(direction, high)


def _bisect(direction: Direction, floor: int, found: Sliced, limits: Limits) -> Sliced:
    times = times_between(direction.tables, floor, found.time)
    low, high = 0, len(times) - 1
    while low < high and not limits.stopped():
        middle = (low + high) // 2
        better = slice_within(direction, times[middle])
        if better is None:
            low = middle + 1
        else:
            high, found = middle, better
    return found


def floorplans(instance: Instance, direction: Direction, sliced: Sliced) -> Iterator[Candidate]:
    """The floorplans of one slicing with different numbers of columns, each with its wires shortened by flips."""
    choices = _COLUMN_CHOICES if len(direction.order) <= _MANY else _COLUMN_CHOICES_OF_MANY
    plans = [
        column_plans(sliced.columns[part.height], start, end, part.width, choices)
        for part, start, end in sliced.fillings
    ]
    for choice in range(max(map(len, plans))):
        boxes = layout.empty_boxes(len(direction.order))
        for (part, start, _), options in zip(sliced.fillings, plans, strict=True):
            plan = options[min(choice, len(options) - 1)]
            layout.add_columns(boxes, sliced.groups, plan, start, part)
        layout.shorten_by_flips(boxes, direction.nets)
        yield candidate_from(instance, _as_kernels(direction, boxes), "slicing")


def _as_kernels(direction: Direction, boxes: layout.Boxes) -> list[Rectangle]:
    """The boxes in the order of the problem's kernels, turned back."""
    turned = boxes.box[:, [1, 0, 3, 2]] if direction.transposed else boxes.box
    placed: list[Rectangle] = [Rectangle(0, 0, 0, 0)] * len(direction.order)
    for kernel, (x, y, width, height) in zip(direction.order, turned.tolist(), strict=True):
        placed[kernel] = Rectangle(x, y, width, height)
    return placed


def search(instance: Instance, order: Sequence[int], limits: Limits) -> Iterator[Candidate]:
    """Floorplans of the least time in both directions, then those worth their wires.

    The first one comes as soon as there is any, so that a caller who stops has it. Small groups make long thin
    kernels whose centres are near: slower, but with much shorter wires. So each group size gives a part of the front
    of (interval, wirelength), on which the caller chooses by the objective.
    """
    best: int | None = None
    for group in group_sizes(len(order)):
        for direction in directions(instance, order, group):
            if best is not None and (limits.stopped() or best == instance.bound):
                break
            high = instance.slowest if best is None else best
            sliced = least_time(direction, instance.bound, high, limits)
            if sliced is not None:
                best = sliced.time
                yield from floorplans(instance, direction, sliced)
    if best is not None and instance.problem.wires_matter and limits.effort > 0:
        yield from _front(instance, order, best, limits)


def _front(instance: Instance, order: Sequence[int], best: int, limits: Limits) -> Iterator[Candidate]:
    """Floorplans for each group size at its own least time and a little above, none far above the `best`."""
    first = group_sizes(len(order))[0]
    thin = _THIN_GROUPS if len(order) <= _MANY else _THIN_GROUPS[-1:]
    for group in [first, *(each for each in thin if each < first)]:
        for direction in directions(instance, order, group):
            if limits.stopped():
                return
            least = least_time(direction, best, int(best * _FAR), limits)
            if least is None:
                continue
            yield from floorplans(instance, direction, least)
            for factor in _LADDER:
                relaxed = None if limits.stopped() else slice_within(direction, int(least.time * factor))
                if relaxed is not None:
                    yield from floorplans(instance, direction, relaxed)
