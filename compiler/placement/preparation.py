"""A problem made ready for searching: checked, pinned kernels taken out, shapes indexed, the bound computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.placement import bounds, regions
from wsec.compiler.placement.candidate import Instance
from wsec.compiler.placement.constraint_checks import check_areas, check_constraints, narrow_spaces
from wsec.compiler.placement.constraints import TouchEdge, Within
from wsec.compiler.placement.demands import split
from wsec.compiler.placement.problem import Rectangle, ShapeOptions
from wsec.compiler.placement.shape_curves import shape_table
from wsec.compiler.placement.validation import check_problem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.placement.demands import Movable
    from wsec.compiler.placement.problem import PlacementKernel, PlacementProblem
    from wsec.compiler.placement.shape_curves import ShapeTable


def prepare(problem: PlacementProblem) -> Instance:
    """Check the problem, index its shapes and compute the bound; raises as `place` does."""
    check_problem(problem)
    check_constraints(problem)
    movable = split(problem)
    grid = regions.grid_of(problem)
    obstacles = tuple(
        regions.intersection(grid, block) for block in movable.problem.reserved if block.overlaps(grid)
    )
    spaces = regions.maximal_spaces(grid, obstacles)
    if not spaces and movable.index:
        raise bounds.no_free_core()
    allowed = _allowed(problem, movable, tuple(spaces))
    tilings = tuple(regions.tilings(grid, obstacles)) if movable.index else ((),)
    free_area = sum(tile.area for tile in tilings[0])
    kernels = movable.problem.kernels
    bound = bounds.area_bound(kernels, allowed, free_area) if kernels else 0
    tables = _tables(kernels, allowed, bound or 0)
    if bound is None:
        raise bounds.area_too_small(movable.problem, tables, free_area)
    least = {
        kernel.name: int(table.least_area[-1])
        for kernel, table in zip(movable.problem.kernels, tables, strict=True)
    }
    check_areas(problem, least, tilings[0])
    slowest = max((int(table.cycles[-1]) for table in tables), default=0)
    return Instance(
        problem=movable.problem,
        tables=tables,
        spaces=allowed,
        tilings=tilings,
        free_area=free_area,
        obstacles=obstacles,
        bound=max(bound, movable.least),
        slowest=max(slowest, movable.least),
        whole=problem,
        pinned=tuple(_pinned_table(problem.kernels[at], option) for at, option in movable.options.items()),
        movable=movable,
    )


def least_area(instance: Instance, time: int) -> int | None:
    """Cores that the kernels need at least within `time` cycles each; None if one has no shape that fast."""
    areas = [
        bounds.least_area(instance.problem.kernels, instance.spaces, time),
        *(table.area_within(time) for table in instance.pinned),
    ]
    return None if None in areas else sum(area for area in areas if area is not None)


def _allowed(
    problem: PlacementProblem, movable: Movable, everywhere: tuple[Rectangle, ...]
) -> tuple[tuple[Rectangle, ...], ...]:
    """The free rectangles in one of which each kernel to place must be, some of its shapes fitting."""
    narrowing: list[Within | TouchEdge] = [
        *(each for each in problem.constraints if isinstance(each, Within)),
        *(each for each in problem.constraints if isinstance(each, TouchEdge)),
    ]
    fitting: set[tuple[int, bool]] = set()
    allowed = []
    for kernel in movable.problem.kernels:
        kind = (id(kernel.shapes), kernel.rotatable)
        if kind not in fitting and not bounds.fits(kernel, everywhere):
            raise bounds.kernel_too_large(movable.problem, kernel, everywhere)
        fitting.add(kind)
        spaces = everywhere
        for each in narrowing:
            if each.kernel == kernel.name:
                spaces = tuple(narrow_spaces(each, kernel, spaces, problem))
        allowed.append(spaces)
    return tuple(allowed)


def _tables(
    kernels: Sequence[PlacementKernel], allowed: Sequence[tuple[Rectangle, ...]], bound: int
) -> tuple[ShapeTable, ...]:
    """The shapes of each kernel that fit where it may be; kernels that may be at the same places share them."""
    known: dict[tuple[int, bool, tuple[Rectangle, ...]], ShapeTable] = {}
    tables = []
    for kernel, spaces in zip(kernels, allowed, strict=True):
        key = (id(kernel.shapes), kernel.rotatable, spaces)
        if key not in known:
            known[key] = shape_table(kernel.shapes, spaces, rotatable=kernel.rotatable, fastest=bound)
        tables.append(known[key])
    return tuple(tables)


def _pinned_table(kernel: PlacementKernel, chosen: tuple[int, bool]) -> ShapeTable:
    option, turned = chosen
    sides = kernel.shapes.widths[[option]], kernel.shapes.heights[[option]]
    width, height = reversed(sides) if turned else sides
    shapes = ShapeOptions(width, height, kernel.shapes.cycles[[option]])
    return shape_table(shapes, [Rectangle(0, 0, int(width[0]), int(height[0]))])
