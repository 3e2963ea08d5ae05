"""The free space of a grid with reserved rectangles, as rectangles.

Exact: every free core lies in one of `partition`, and every rectangle of free cores lies in one of `maximal_spaces`.
"""

from __future__ import annotations

from wsec.compiler.placement.problem import PlacementProblem, Rectangle


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


def partition(grid: Rectangle, reserved: tuple[Rectangle, ...]) -> list[Rectangle]:
    """Disjoint free rectangles that cover the free area: the largest first cut, in reading order of columns."""
    taken = list(reserved)
    parts: list[Rectangle] = []
    while spaces := maximal_spaces(grid, tuple(taken)):
        parts.append(spaces[0])
        taken.append(spaces[0])
    return sorted(parts, key=lambda part: (part.x, part.y))
