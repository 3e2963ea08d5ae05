"""Constraints as the search sees them: pinned kernels are out of it, the others have demands by index.

A pinned kernel is an obstacle for the kernels that are left, and a fixed end of its nets. So a problem splits into the
`Movable` one and the pins; its nets and pairs count the pinned rectangles on behind the last kernel.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wsec.compiler.placement.constraints import Adjacent, Forbid, Pin, TouchEdge, Within
from wsec.compiler.placement.problem import Net, Rectangle
from wsec.compiler.placement.regions import grid_of, intersection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsec.compiler.placement.constraints import Side
    from wsec.compiler.placement.problem import PlacementKernel, PlacementProblem


@dataclass(frozen=True, slots=True)
class Demands:
    """What is asked of the kernels of a packing, by index.

    Attributes:
        grid: Whose sides are meant.
        fixed: Rectangles that stand; index `kernels + i` is that of `fixed[i]`.
        areas: Kernel -> rectangle that it may not leave.
        edges: Kernels and the sides of which they must touch one.
        pairs: What must share a border.
    """

    grid: Rectangle
    fixed: tuple[Rectangle, ...] = ()
    areas: tuple[tuple[int, Rectangle], ...] = ()
    edges: tuple[tuple[int, tuple[Side, ...]], ...] = ()
    pairs: tuple[tuple[int, int], ...] = ()

    def __bool__(self) -> bool:
        """Whether anything is asked at all."""
        return bool(self.areas or self.edges or self.pairs)

    def kept(self, placed: Sequence[Rectangle]) -> bool:
        """Whether rectangles of all kernels are as asked."""
        return not self.broken(placed)

    def broken(self, placed: Sequence[Rectangle]) -> list[int]:
        """The kernels and fixed rectangles of which a demand is not met, ascending."""
        boxes = [*placed, *self.fixed]
        found = {at for at, area in self.areas if intersection(boxes[at], area) != boxes[at]}
        found |= {at for at, sides in self.edges if not touches(boxes[at], self.grid, sides)}
        for pair in self.pairs:
            if not share_border(boxes[pair[0]], boxes[pair[1]]):
                found |= set(pair)
        return sorted(found)

    def among(self, chosen: Sequence[int], placed: Sequence[Rectangle]) -> Demands:
        """The demands on the kernels `chosen`, counted from 0, where all others stand as placed, counted on in order."""
        boxes = [*placed, *self.fixed]
        inside = set(chosen)
        outside = [at for at in range(len(boxes)) if at not in inside]
        position = {at: new for new, at in enumerate((*chosen, *outside))}
        return Demands(
            self.grid,
            tuple(boxes[at] for at in outside),
            tuple((position[at], area) for at, area in self.areas if at in inside),
            tuple((position[at], sides) for at, sides in self.edges if at in inside),
            tuple((position[one], position[other]) for one, other in self.pairs if {one, other} & inside),
        )

    def asked(self, kernels: int) -> list[int]:
        """The kernels of which something is asked, ascending."""
        found = {at for at, _ in (*self.areas, *self.edges)} | {at for pair in self.pairs for at in pair}
        return sorted(at for at in found if at < kernels)


@dataclass(frozen=True, slots=True)
class Movable:
    """What is left to place, and where the rest stands.

    Attributes:
        problem: The kernels without a pin, in order; pins and forbidden areas are reserved, no constraint is left.
        index: Of each of its kernels in the whole problem.
        demands: Of its kernels; the fixed rectangles are those of the pinned kernels in order.
        options: Of each pinned kernel by index in the whole problem: the option, and whether it is turned.
        least: Cycles of the slowest pinned kernel.
    """

    problem: PlacementProblem
    index: tuple[int, ...]
    demands: Demands
    options: Mapping[int, tuple[int, bool]]
    least: int


def split(problem: PlacementProblem) -> Movable:
    """Take the pinned kernels out of a problem whose constraints passed `constraint_checks`."""
    names = {kernel.name: at for at, kernel in enumerate(problem.kernels)}
    pins = {names[each.kernel]: each.rectangle for each in problem.constraints if isinstance(each, Pin)}
    forbidden = tuple(each.area for each in problem.constraints if isinstance(each, Forbid))
    index = tuple(at for at in range(len(problem.kernels)) if at not in pins)
    options = {at: fastest_option(problem.kernels[at], pins[at]) for at in sorted(pins)}
    new = {at: position for position, at in enumerate((*index, *options))}
    movable = replace(
        problem,
        kernels=tuple(problem.kernels[at] for at in index),
        nets=tuple(Net(new[net.source], new[net.target], net.weight) for net in problem.nets),
        reserved=(*problem.reserved, *forbidden, *(pins[at] for at in options)),
        constraints=(),
    )
    position = {name: new[at] for name, at in names.items()}
    demands = _demands(problem, position, len(index), tuple(pins[at] for at in options))
    cycles = (int(problem.kernels[at].shapes.cycles[option]) for at, (option, _) in options.items())
    return Movable(movable, index, demands, options, max(cycles, default=0))


def _demands(
    problem: PlacementProblem, position: Mapping[str, int], kernels: int, fixed: tuple[Rectangle, ...]
) -> Demands:
    """Demands that pinned kernels alone are concerned with hold already, and are left out."""
    areas: dict[int, Rectangle] = {}
    edges: list[tuple[int, tuple[Side, ...]]] = []
    pairs: list[tuple[int, int]] = []
    for each in problem.constraints:
        if isinstance(each, Within) and position[each.kernel] < kernels:
            at = position[each.kernel]
            areas[at] = intersection(areas.get(at, each.area), each.area)
        elif isinstance(each, TouchEdge) and position[each.kernel] < kernels:
            edges.append((position[each.kernel], each.sides))
        elif isinstance(each, Adjacent):
            pair = position[each.kernel], position[each.other]
            pairs += [(min(pair), max(pair))] if min(pair) < kernels else []
    return Demands(grid_of(problem), fixed, tuple(areas.items()), tuple(edges), tuple(pairs))


def fastest_option(kernel: PlacementKernel, box: Rectangle) -> tuple[int, bool]:
    """The fastest option of exactly the sides of `box`, and whether it is turned; ValueError if there is none."""
    shapes = kernel.shapes
    straight = (shapes.widths == box.width) & (shapes.heights == box.height)
    turned = (shapes.widths == box.height) & (shapes.heights == box.width) & kernel.rotatable
    fits = (straight | turned).nonzero()[0]
    if not len(fits):
        msg = f"no option of kernel {kernel.name!r} is {box.width} x {box.height}"
        raise ValueError(msg)
    option = int(fits[shapes.cycles[fits].argmin()])
    return option, not straight[option]


def touches(box: Rectangle, grid: Rectangle, sides: Sequence[Side]) -> bool:
    """Whether a rectangle of the grid touches one of its sides."""
    at = {
        "left": box.x == grid.x,
        "right": box.right == grid.right,
        "top": box.y == grid.y,
        "bottom": box.bottom == grid.bottom,
    }
    return any(at[side] for side in sides)


def share_border(one: Rectangle, other: Rectangle) -> bool:
    """Whether two rectangles that do not overlap have a border in common."""
    common = intersection(one, other)
    return min(common.width, common.height) == 0 and max(common.width, common.height) > 0


def slide_to_edges(demands: Demands, placed: Sequence[Rectangle], space: Rectangle) -> list[Rectangle]:
    """Kernels that must touch an edge move to it inside `space` where nothing is in between."""
    boxes = list(placed)
    for at, sides in demands.edges:
        box = boxes[at]
        if touches(box, demands.grid, sides):
            continue
        there = {
            "left": (demands.grid.x, box.y),
            "top": (box.x, demands.grid.y),
            "right": (demands.grid.right - box.width, box.y),
            "bottom": (box.x, demands.grid.bottom - box.height),
        }
        for side in sides:
            moved = Rectangle(*there[side], box.width, box.height)
            others = (other for index, other in enumerate(boxes) if index != at)
            if intersection(moved, space) == moved and not any(map(moved.overlaps, others)):
                boxes[at] = moved
                break
    return boxes
