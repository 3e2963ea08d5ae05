"""The free space of a grid with reserved rectangles, as rectangles.

Exact: every free core lies in one rectangle of each tiling, and every rectangle of free cores lies in one of
`maximal_spaces`.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from wsec.compiler.placement.problem import PlacementProblem, Rectangle

if TYPE_CHECKING:
    from collections.abc import Callable

_FEW: Final = 4
_PREFERENCES: Final[tuple[Callable[[Rectangle], int], ...]] = (
    lambda space: space.area,
    lambda space: space.height,
    lambda space: space.width,
)


def grid_of(problem: PlacementProblem) -> Rectangle:
    """The whole grid."""
    return Rectangle(0, 0, problem.width, problem.height)


def intersection(a: Rectangle, b: Rectangle) -> Rectangle:
    """What two rectangles share; of zero or negative size where they do not overlap."""
    x, y = max(a.x, b.x), max(a.y, b.y)
    return Rectangle(x, y, min(a.right, b.right) - x, min(a.bottom, b.bottom) - y)


def maximal_spaces(grid: Rectangle, reserved: tuple[Rectangle, ...]) -> list[Rectangle]:
    """The free rectangles that no other free rectangle contains, largest first."""
    spaces = [grid]
    for block in reserved:
        touched = [space for space in spaces if space.overlaps(block)]
        if not touched:
            continue
        rest = [space for space in spaces if not space.overlaps(block)]
        for space in touched:
            rest.extend(_around(space, block))
        spaces = _without_contained(rest)
    return sorted(spaces, key=lambda space: (-space.area, space.y, space.x))


def _around(space: Rectangle, block: Rectangle) -> list[Rectangle]:
    """The up to four maximal parts of `space` left, right, above and below `block`."""
    parts = (
        Rectangle(space.x, space.y, block.x - space.x, space.height),
        Rectangle(block.right, space.y, space.right - block.right, space.height),
        Rectangle(space.x, space.y, space.width, block.y - space.y),
        Rectangle(space.x, block.bottom, space.width, space.bottom - block.bottom),
    )
    return [part for part in parts if part.width > 0 and part.height > 0]


def _without_contained(spaces: list[Rectangle]) -> list[Rectangle]:
    kept: list[Rectangle] = []
    for space in sorted(spaces, key=lambda each: (-each.area, each.y, each.x)):
        if not any(intersection(space, other) == space for other in kept):
            kept.append(space)
    return kept


def tilings(grid: Rectangle, reserved: tuple[Rectangle, ...]) -> list[tuple[Rectangle, ...]]:
    """Ways to cover the free cores by disjoint rectangles, each in several orders.

    The largest, the highest or the widest space is cut off first. Few tiles come in every order; many in that of
    columns and in that of rows, forwards and backwards.
    """
    found: dict[tuple[Rectangle, ...], None] = {}
    for preference in _PREFERENCES:
        tiles = _tiles(grid, reserved, preference)
        by_column = sorted(tiles, key=lambda tile: (tile.x, tile.y))
        by_row = sorted(tiles, key=lambda tile: (tile.y, tile.x))
        orders = itertools.permutations(by_column) if len(tiles) <= _FEW else (by_column, by_row)
        for order in orders:
            found[tuple(order)] = None
            found[tuple(reversed(order))] = None
    return list(found)


def _tiles(
    grid: Rectangle, reserved: tuple[Rectangle, ...], preference: Callable[[Rectangle], int]
) -> list[Rectangle]:
    taken = list(reserved)
    tiles: list[Rectangle] = []
    while spaces := maximal_spaces(grid, tuple(taken)):
        chosen = max(spaces, key=preference)
        tiles.append(chosen)
        taken.append(chosen)
    return tiles
