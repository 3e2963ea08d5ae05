"""The least boxes of every sub-multiset of some items over all slicing arrangements of it; compiled.

An item is whatever has a shape curve: a kernel, or a part of a floorplan. Equal items are of one kind, so that a subset
is a number of items of each kind, and there are few: sixteen kernels of eight kinds have 3,456 subsets, not 65,536. The
curve of a subset is the minimum over all ways to split it in two and over both directions of the cut, which covers
every slicing arrangement. After Stockmeyer, "Optimal orientations of cells in slicing floorplan designs" (1983).

Waste prunes without loss: where the least areas leave S cores of the grid, a box that wastes more than S is in no
arrangement that fits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from wsec.compiler.native import compiled
from wsec.compiler.placement.problem import Rectangle

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

NONE: Final = 1 << 14
"""A side longer than any grid; the sum of two of them is still an int16 when taken with a side below `LONGEST`."""

LONGEST: Final = 1 << 13
"""No grid has longer sides than this."""

WIDTH_FROM: Final = 0
WIDTH_TO: Final = 1
HEIGHT_FROM: Final = 2
HEIGHT_TO: Final = 3


class Subsets(NamedTuple):
    """Curves of subsets. Subset `s` holds `s // stride[kind] % (number[kind] + 1)` items of each kind.

    Attributes:
        number: Items of each kind, int64.
        stride: Of each kind, int64; the subset of all items is the last one.
        height: Least height of each subset within each width, int16 `[subsets, width + 1]`.
        width: Least width within each height, int16 `[subsets, height + 1]`.
        window: Ends of the widths and of the heights that boxes which do not waste too much have, int64 `[subsets, 4]`,
            from one to the other exclusive; empty where there is no such box.
        area: Sum of the items' least areas, int64.
    """

    number: NDArray[np.int64]
    stride: NDArray[np.int64]
    height: NDArray[np.int16]
    width: NDArray[np.int16]
    window: NDArray[np.int64]
    area: NDArray[np.int64]


class Rows(NamedTuple):
    """Curves of anything that has boxes, one in each row; as those of `Subsets`."""

    height: NDArray[np.int16]
    width: NDArray[np.int16]
    window: NDArray[np.int64]
    area: NDArray[np.int64]


def make_rows(rows: int, width: int, height: int) -> Rows:
    """Room for as many curves of boxes up to `width` x `height`."""
    return Rows(
        np.full((rows, width + 1), NONE, dtype=np.int16),
        np.full((rows, height + 1), NONE, dtype=np.int16),
        np.zeros((rows, 4), dtype=np.int64),
        np.zeros(rows, dtype=np.int64),
    )


def make_subsets(number: NDArray[np.int64], width: int, height: int) -> Subsets:
    """Room for the subsets of `number` items of each kind in boxes of up to `width` x `height`."""
    stride = np.concatenate([[1], np.cumprod(number + 1)[:-1]]).astype(np.int64)
    return Subsets(number, stride, *make_rows(int(np.prod(number + 1)), width, height))


@compiled
def close_curve(curves: Subsets | Rows, row: int, waste: int) -> None:
    """Make both curves of a row say the same, from the boxes entered in either, and find their windows."""
    height, width, window = curves.height[row], curves.width[row], curves.window[row]
    area = curves.area[row]
    for at in range(len(width)):
        if width[at] < len(height) and height[width[at]] > at:
            height[width[at]] = at
    width[:] = NONE
    window[:] = 0
    least = np.int16(NONE)
    for at in range(len(height)):
        height[at] = least = min(least, height[at])
        if least < len(width):
            width[least] = min(width[least], at)
            if np.int64(least) * at - area <= waste:
                if window[WIDTH_TO] == 0:
                    window[WIDTH_FROM] = at
                window[WIDTH_TO] = at + 1
    least = np.int16(NONE)
    for at in range(len(width)):
        width[at] = least = min(least, width[at])
        if least < len(height) and np.int64(least) * at - area <= waste:
            if window[HEIGHT_TO] == 0:
                window[HEIGHT_FROM] = at
            window[HEIGHT_TO] = at + 1


@compiled
def lower_to_sums(one: NDArray[np.int16], two: NDArray[np.int16], out: NDArray[np.int16]) -> None:
    """Lower `out` to the sum of both curves where that is less; one instruction does sixteen points."""
    for at in range(len(out)):
        total = np.int16(one[at] + two[at])
        out[at] = min(out[at], total)


@compiled
def lower_to_stack(curve: NDArray[np.int16], window: NDArray[np.int64], one: int, two: int, out: int) -> None:
    """Lower a row to what two other rows need together, one upon the other, within the windows of both."""
    begin, end = max(window[one, 0], window[two, 0]), min(window[one, 1], window[two, 1])
    if begin < end:
        lower_to_sums(curve[one, begin:end], curve[two, begin:end], curve[out, begin:end])


@compiled
def next_part(take: NDArray[np.int64], have: NDArray[np.int64], stride: NDArray[np.int64], part: int) -> int:
    """Count on to the next subset of `have`, whose numbers `take` holds; -1 behind the last, which leaves none."""
    for kind in range(len(take)):
        if take[kind] < have[kind]:
            take[kind] += 1
            return part + stride[kind]  # type: ignore[no-any-return]
        part -= take[kind] * stride[kind]
        take[kind] = 0
    return -1


@compiled
def fill_subset(subsets: Subsets, subset: int, waste: int) -> None:
    """The curve of a subset of several items, from those of its parts."""
    height, width, window = subsets.height, subsets.width, subsets.window
    have = subset // subsets.stride % (subsets.number + 1)
    take = np.zeros_like(have)
    height[subset, :] = NONE
    width[subset, :] = NONE
    part = next_part(take, have, subsets.stride, 0)
    subsets.area[subset] = subsets.area[part] + subsets.area[subset - part]
    # A part and its rest are the same cut as the rest and its part, so that half of the parts will do.
    while part <= subset - part:
        lower_to_stack(height, window[:, WIDTH_FROM:HEIGHT_FROM], part, subset - part, subset)
        lower_to_stack(width, window[:, HEIGHT_FROM:], part, subset - part, subset)
        part = next_part(take, have, subsets.stride, part)
    close_curve(subsets, subset, waste)


@compiled
def fill_subsets(subsets: Subsets, which: NDArray[np.int64], waste: int) -> None:
    """The curves of some subsets, whose parts are done or come before them; those of one item must be there."""
    for subset in which:
        fill_subset(subsets, subset, waste)


@compiled
def split_box(subsets: Subsets, subset: int, width: int, height: int) -> tuple[int, bool]:
    """How a subset of several items is cut to fit a box that its curve allows: a part, and whether both lie side by side."""
    have = subset // subsets.stride % (subsets.number + 1)
    take = np.zeros_like(have)
    part = next_part(take, have, subsets.stride, 0)
    while part <= subset - part:
        rest = subset - part
        if np.int64(subsets.height[part, width]) + subsets.height[rest, width] <= height:
            return part, False
        if np.int64(subsets.width[part, height]) + subsets.width[rest, height] <= width:
            return part, True
        part = next_part(take, have, subsets.stride, part)
    return 0, False


def sizes(subsets: Subsets) -> NDArray[np.int64]:
    """How many items each subset holds."""
    index = np.arange(len(subsets.area))
    held: NDArray[np.int64] = (index[:, None] // subsets.stride % (subsets.number + 1)).sum(axis=1)
    return held


def several(subsets: Subsets) -> NDArray[np.int64]:
    """The subsets of at least two items, fewest items first."""
    size = sizes(subsets)
    order: NDArray[np.int64] = np.argsort(size, kind="stable")
    return order[np.searchsorted(size[order], 2) :]


def cut_boxes(
    subsets: Subsets, subset: int, box: Rectangle, members: Mapping[int, Sequence[int]]
) -> Iterator[tuple[int, Rectangle]]:
    """Cut a box, which the curve of a subset allows, until every item has one.

    Args:
        subsets: Curves of all its subsets.
        subset: What is in the box.
        box: Where it lies.
        members: Names of the items of each kind, by the subset that is one of them; the last ones are taken first.
    """
    left = {one: list(items) for one, items in members.items()}
    tasks = [(subset, box)]
    while tasks:
        subset, box = tasks.pop()
        if subset in left:
            yield left[subset].pop(), box
            continue
        part, beside = split_box(subsets, subset, box.width, box.height)
        if beside:
            width = int(subsets.width[part, box.height])
            cut = (
                Rectangle(box.x, box.y, width, box.height),
                Rectangle(box.x + width, box.y, box.width - width, box.height),
            )
        else:
            height = int(subsets.height[part, box.width])
            cut = (
                Rectangle(box.x, box.y, box.width, height),
                Rectangle(box.x, box.y + height, box.width, box.height - height),
            )
        tasks += zip((part, subset - part), cut, strict=True)
