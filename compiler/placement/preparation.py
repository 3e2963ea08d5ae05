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
    tables = _tables(problem, movable, spaces)
    tilings = tuple(regions.tilings(grid, obstacles)) if tables else ((),)
    free_area = sum(tile.area for tile in tilings[0])
    bound = bounds.area_bound(tables, free_area) if tables else 0
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
        tilings=tilings,
        free_area=free_area,
        obstacles=obstacles,
        bound=max(bound, movable.least),
        slowest=max(slowest, movable.least),
        whole=problem,
        pinned=tuple(_pinned_table(problem.kernels[at], option) for at, option in movable.options.items()),
        movable=movable,
    )


def _tables(
    problem: PlacementProblem, movable: Movable, spaces: Sequence[Rectangle]
) -> tuple[ShapeTable, ...]:
    """The shapes of each kernel to place that fit where it may be; kernels that may be anywhere share them."""
    narrowing: list[Within | TouchEdge] = [
        *(each for each in problem.constraints if isinstance(each, Within)),
        *(each for each in problem.constraints if isinstance(each, TouchEdge)),
    ]
    known: dict[tuple[int, bool, tuple[Rectangle, ...]], ShapeTable] = {}
    tables = []
    everywhere = tuple(spaces)
    for kernel in movable.problem.kernels:
        shared = (id(kernel.shapes), kernel.rotatable, everywhere)
        if shared not in known:
            known[shared] = shape_table(kernel.shapes, list(everywhere), rotatable=kernel.rotatable)
            if not len(known[shared].cycles):
                raise bounds.kernel_too_large(movable.problem, kernel, everywhere)
        allowed = everywhere
        for each in narrowing:
            if each.kernel == kernel.name:
                allowed = tuple(narrow_spaces(each, kernel, allowed, problem))
        key = (id(kernel.shapes), kernel.rotatable, allowed)
        if key not in known:
            known[key] = shape_table(kernel.shapes, list(allowed), rotatable=kernel.rotatable)
        tables.append(known[key])
    return tuple(tables)


def _pinned_table(kernel: PlacementKernel, chosen: tuple[int, bool]) -> ShapeTable:
    option, turned = chosen
    sides = kernel.shapes.widths[[option]], kernel.shapes.heights[[option]]
    width, height = reversed(sides) if turned else sides
    shapes = ShapeOptions(width, height, kernel.shapes.cycles[[option]])
    return shape_table(shapes, [Rectangle(0, 0, int(width[0]), int(height[0]))])
