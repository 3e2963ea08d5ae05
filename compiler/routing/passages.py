"""Every passage between two disjoint rectangles.

Lanes leave the source at its boundary, enter the target at its boundary and cross neither. They run straight over shared
rows or columns; or turn once, from a side of the source to a side of the target at a right angle to it; or turn twice, in a
channel beside both rectangles or between them, which joins sides that are parallel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.routing.candidates import Passage, Side
from wsec.compiler.routing.geometry import longest_lane, transpose

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Rectangle


def passages(source: Rectangle, target: Rectangle) -> tuple[Passage, ...]:
    """Those with one turn at most: straight ones first, then along rows first, then along columns first."""
    turned = transpose(source), transpose(target)
    straight = (*_straight(source, target, transposed=False), *_straight(*turned, transposed=True))
    return (
        *straight[:1],  # only rectangles of the host can have both, over the same cores
        *_bent(source, target, transposed=False),
        *_bent(*turned, transposed=True),
    )


def detours(source: Rectangle, target: Rectangle, width: int, height: int) -> tuple[Passage, ...]:
    """Those with two turns, in a region of `width` columns and `height` rows, the shortest first."""
    along_rows = _twice_bent(source, target, width, transposed=False)
    along_columns = _twice_bent(transpose(source), transpose(target), height, transposed=True)
    return tuple(sorted((*along_rows, *along_columns), key=_hops))


def _straight(source: Rectangle, target: Rectangle, *, transposed: bool) -> Iterator[Passage]:
    top = max(source.y, target.y)
    room = min(source.y + source.height, target.y + target.height) - top
    if room < 1:
        return
    rows = Side(top, 1, room)
    if source.x + source.width - 1 <= target.x:
        yield Passage(source.x + source.width - 1, rows, None, None, target.x, transposed)
    elif target.x + target.width - 1 <= source.x:
        yield Passage(source.x, rows, None, None, target.x + target.width - 1, transposed)


def _bent(source: Rectangle, target: Rectangle, *, transposed: bool) -> Iterator[Passage]:
    right, bottom = source.x + source.width, source.y + source.height
    target_right, target_bottom = target.x + target.width, target.y + target.height
    above = min(bottom, target.y)
    below = max(source.y, target_bottom)
    beyond = max(right, target.x)
    before = min(source.x, target_right)
    from_rows = (
        (Side(above - 1, -1, above - source.y), target.y),
        (Side(below, 1, bottom - below), target_bottom - 1),
    )
    to_columns = (
        (Side(beyond, 1, target_right - beyond), right - 1),
        (Side(before - 1, -1, before - target.x), source.x),
    )
    for rows, end in from_rows:
        for columns, start in to_columns:
            if rows.room > 0 and columns.room > 0:
                yield Passage(start, rows, columns, None, end, transposed)


def _twice_bent(source: Rectangle, target: Rectangle, width: int, *, transposed: bool) -> Iterator[Passage]:
    left, right = source.x, source.x + source.width
    target_left, target_right = target.x, target.x + target.width
    outer_left, outer_right = min(left, target_left), max(right, target_right)
    channels = (
        (left, Side(outer_left - 1, -1, outer_left), target_left, target_left <= left),
        (right - 1, Side(outer_right, 1, width - outer_right), target_right - 1, target_right >= right),
        (right - 1, Side(right, 1, target_left - right), target_left, True),
        (left, Side(left - 1, -1, left - target_right), target_right - 1, True),
    )
    for start, columns, end, source_passes in channels:
        for rows, final_rows in _apart(source, target, source_passes=source_passes):
            if min(columns.room, rows.room, final_rows.room) > 0:
                yield Passage(start, rows, columns, final_rows, end, transposed)


def _apart(source: Rectangle, target: Rectangle, *, source_passes: bool) -> tuple[tuple[Side, Side], ...]:
    """Rows of the source above rows of the target, and below them.

    Rows that both have are the target's where lanes of the source would otherwise pass it (`source_passes`), else the
    source's.
    """
    top, bottom = source.y, source.y + source.height
    target_top, target_bottom = target.y, target.y + target.height
    last = min(bottom, target_top) if source_passes else bottom
    first = max(top, target_bottom) if source_passes else top
    target_first = target_top if source_passes else max(target_top, bottom)
    target_last = target_bottom if source_passes else min(target_bottom, top)
    return (
        (Side(last - 1, -1, last - top), Side(target_first, 1, target_bottom - target_first)),
        (Side(first, 1, bottom - first), Side(target_last - 1, -1, target_last - target_top)),
    )


def _hops(passage: Passage) -> int:
    """Hops of the innermost lane."""
    return longest_lane(passage.positions(1, packed=True, most=1)[0])
