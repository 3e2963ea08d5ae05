"""Columns for many kernels: how wide, which kernels near by may stand in them, and the rectangles that come of it.

Columns are grouped in blocks, each for a run of consecutive kernels. Within a column the order of kernels is kept, so
that neighbours in the order are at about the same height of their block: wide blocks pack best, narrow ones keep wires
short.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.placement.columns.walk import Columns, Packing, fill_rows, pour
from wsec.compiler.placement.problem import Rectangle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.candidate import Instance
    from wsec.compiler.placement.shape_curves import ShapeTable

_NARROW: Final = 0.6
_WIDE: Final = 1.6
_WIDEST: Final = 4
_MARGIN: Final = 0.1


@dataclass(frozen=True, slots=True)
class Kinds:
    """Kernels by kind; columns are columns of the grid, or rows if `transposed`.

    Attributes:
        tables: Of each kind.
        kind: Of each kernel.
        tiles: The free rectangles to fill, in packing order.
        transposed: Whether the sides of `tables` and `tiles` are swapped.
    """

    tables: tuple[ShapeTable, ...]
    kind: NDArray[np.int64]
    tiles: tuple[Rectangle, ...]
    transposed: bool


@dataclass(frozen=True, slots=True)
class Arrangement:
    """Columns before any kernel is in them.

    Attributes:
        columns: As the walk takes them.
        width: Of each column, to start from.
        left: First grid column of each tile.
        top: First grid row of each column.
        upwards: Whether a column's kernels go from the bottom to the top, so that blocks join where they end.
    """

    columns: Columns
    width: NDArray[np.int64]
    left: NDArray[np.int64]
    top: NDArray[np.int64]
    upwards: NDArray[np.bool_]


def kinds_of(instance: Instance, *, transposed: bool) -> Kinds:
    """The problem with its equal kernels found."""
    known: dict[int, int] = {}
    kind = np.array([known.setdefault(id(table), len(known)) for table in instance.tables], dtype=np.int64)
    tables = tuple({id(table): table for table in instance.tables}.values())
    tiles = instance.tilings[0]
    if transposed:
        tables = tuple(table.transposed() for table in tables)
        tiles = tuple(Rectangle(tile.y, tile.x, tile.height, tile.width) for tile in tiles)
    return Kinds(tables, kind, tiles, transposed)


def at_time(kinds: Kinds, columns: Columns, time: int) -> Columns:
    """The columns with the curves of a time limit, in cycles."""
    rows = np.empty_like(columns.rows)
    _fill(rows, kinds.tables, time)
    return columns._replace(rows=rows)


def _fill(rows: NDArray[np.int32], tables: Sequence[ShapeTable], time: int) -> None:
    for row, table in zip(rows, tables, strict=True):
        fill_rows(row, table.widths, table.heights, table.count_within(time))


def arrange(kinds: Kinds, time: int, scale: float, blocks: int) -> Arrangement:
    """Columns about `scale` times as wide as a square kernel of mean area, in about `blocks` blocks.

    Each block has columns of the widths in which its kernels need the fewest cores within `time` cycles.
    """
    fair = scale * math.sqrt(sum(tile.area for tile in kinds.tiles) / len(kinds.kind))
    rows = _curves(kinds, time, fair)
    preferred, area = _preferred(rows, fair, max(tile.height for tile in kinds.tiles))
    # Kernel by kernel, the share of the area that is in front of its middle.
    needed = area[kinds.kind]
    share = (np.cumsum(needed) - needed / 2) / needed.sum()
    parts = _blocks(kinds.tiles, blocks)
    ends = np.cumsum([part.area for part in parts]) / sum(part.area for part in parts)
    widths = []
    for part, low, high in zip(parts, [0.0, *ends[:-1]], ends, strict=True):
        inside = kinds.kind[np.searchsorted(share, low) : np.searchsorted(share, high)]
        order = inside[np.argsort(-preferred[inside], kind="stable")]
        widths.append(_column_widths(preferred[order], area[order], part, rows.shape[1] - 1))
    counts = np.array([len(each) for each in widths])
    block = np.repeat(np.arange(len(parts)), counts)
    tile = np.array([_tile_of(kinds.tiles, part) for part in parts])
    height = np.array([part.height for part in parts])
    first, behind, low, high = _ranges(share, ends, counts)
    return Arrangement(
        Columns(kinds.kind, rows, first, behind, low, high, height[block], tile[block]),
        np.array([width for each in widths for width in each], dtype=np.int64),
        np.array([tile.x for tile in kinds.tiles]),
        np.array([part.y for part in parts])[block],
        block % 2 == 1,
    )


def _curves(kinds: Kinds, time: int, fair: float) -> NDArray[np.int32]:
    """Least heights for all widths that columns may grow to, some of which suit every kernel."""
    widest, tallest = max(tile.width for tile in kinds.tiles), max(tile.height for tile in kinds.tiles)
    most = math.ceil(_WIDEST * fair) + 2 * _WIDEST
    for table in kinds.tables:
        count = table.count_within(time)
        low_enough = table.widths[:count][table.heights[:count] <= tallest]
        most = max(most, 2 * int(low_enough.min(initial=widest)))
    rows = np.empty((len(kinds.tables), min(widest, most) + 1), dtype=np.int32)
    _fill(rows, kinds.tables, time)
    return rows


def _preferred(
    rows: NDArray[np.int32], fair: float, tallest: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Of each kind the width near `fair` that needs the fewest cores, else its narrowest, and those cores."""
    low = min(rows.shape[1] - 1, max(1, math.floor(_NARROW * fair)))
    high = min(rows.shape[1], max(low, math.ceil(_WIDE * fair)) + 1)
    cores = rows[:, low:high].astype(np.int64) * np.arange(low, high)
    narrowest = np.argmax(rows <= tallest, axis=1)
    width = np.maximum(low + np.argmin(cores, axis=1), narrowest)
    return width, rows[np.arange(len(rows)), width].astype(np.int64) * width


def _blocks(tiles: Sequence[Rectangle], blocks: int) -> list[Rectangle]:
    """The tiles, cut into about so many parts of about equal area, side by side."""
    area = sum(tile.area for tile in tiles)
    parts = []
    for tile in tiles:
        count = min(tile.width, max(1, round(blocks * tile.area / area)))
        cuts = [tile.x + tile.width * at // count for at in range(count + 1)]
        parts += [
            Rectangle(left, tile.y, right - left, tile.height) for left, right in itertools.pairwise(cuts)
        ]
    return parts


def _column_widths(
    preferred: NDArray[np.int64], area: NDArray[np.int64], part: Rectangle, widest: int
) -> list[int]:
    """Widths that fill a part, from wide to narrow: each as its share of the kernels likes it best.

    A part without a share has columns as wide as there are heights for: kernels of other parts may come to stand there.
    """
    if not len(preferred):
        return [min(widest, part.width - at) for at in range(0, part.width, widest)]
    reached = np.cumsum(area) * (part.area / area.sum())
    widths: list[int] = []
    left = part.width
    while left:
        at = int(np.searchsorted(reached, (part.width - left) * part.height, side="right"))
        width = min(left, int(preferred[min(at, len(preferred) - 1)]))
        width = left if 2 * (left - width) < width else width
        widths.append(width)
        left -= width
    return widths


def _ranges(
    share: NDArray[np.float64], ends: NDArray[np.float64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], ...]:
    """`first`, `behind`, `low` and `high` of `Columns`: kernels near the end of a block may stand in either block."""
    margin = _MARGIN / len(ends)
    first = np.searchsorted(ends[:-1], share - margin)
    last = np.searchsorted(ends[:-1], share + margin)
    block = np.repeat(np.arange(len(ends)), counts)
    behind = np.cumsum(counts)
    low, high = np.searchsorted(last, block), np.searchsorted(first, block, side="right")
    return (behind - counts)[first], behind[last], low, high


def _tile_of(tiles: Sequence[Rectangle], part: Rectangle) -> int:
    return next(at for at, tile in enumerate(tiles) if tile.overlaps(part))


def first_packing(arrangement: Arrangement) -> Packing:
    """All kernels in columns, the bulky ones first; some columns may exceed their heights."""
    columns = arrangement.columns
    width = arrangement.width.copy()
    packing = Packing(
        np.zeros(len(columns.kind), dtype=np.int64), width, np.zeros(len(width), dtype=np.int64)
    )
    middle = (columns.first + columns.behind) // 2
    cores = columns.rows[columns.kind, width[middle]].astype(np.int64) * width[middle]
    pour(columns, packing, np.argsort(-cores, kind="stable"))
    return packing


def rectangles_of(
    kinds: Kinds, arrangement: Arrangement, columns: Columns, packing: Packing
) -> list[Rectangle]:
    """A box for each kernel, in the problem's order; in each column from one end to the other in that order."""
    column, width = packing.column, packing.width
    height = columns.rows[columns.kind, width[column]].astype(np.int64)
    order = np.argsort(column, kind="stable")
    before = np.cumsum(height[order]) - height[order]
    starts = np.searchsorted(column[order], np.arange(len(width)))
    y = np.empty_like(height)
    y[order] = before - before[np.minimum(starts, len(order) - 1)][column[order]]
    y = (
        np.where(arrangement.upwards[column], columns.height[column] - y - height, y)
        + arrangement.top[column]
    )
    x = np.cumsum(width) - width
    x += (arrangement.left - x[np.searchsorted(columns.tile, np.arange(len(arrangement.left)))])[columns.tile]
    boxes = zip(x[column].tolist(), y.tolist(), width[column].tolist(), height.tolist(), strict=True)
    if kinds.transposed:
        return [Rectangle(y, x, height, width) for x, y, width, height in boxes]
    return [Rectangle(x, y, width, height) for x, y, width, height in boxes]
