"""Demands on kernels as constraints of a CP-SAT packing model."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ortools.sat.python import cp_model

    from wsec.compiler.placement.demands import Demands
    from wsec.compiler.placement.packing.model import KernelVariables
    from wsec.compiler.placement.problem import Rectangle

    Sides = tuple[cp_model.LinearExpr, cp_model.LinearExpr, cp_model.LinearExpr, cp_model.LinearExpr]


def add_demands(model: cp_model.CpModel, demands: Demands, kernels: Sequence[KernelVariables]) -> None:
    """Demand areas, edges and borders of the model's kernels."""
    for at, area in demands.areas:
        left, top, right, bottom = _sides(kernels[at])
        model.add(left >= area.x)
        model.add(top >= area.y)
        model.add(right <= area.right)
        model.add(bottom <= area.bottom)
    grid = demands.grid
    for at, sides in demands.edges:
        left, top, right, bottom = _sides(kernels[at])
        touching = {
            "left": left == grid.x,
            "right": right == grid.right,
            "top": top == grid.y,
            "bottom": bottom == grid.bottom,
        }
        _any(model, [[touching[side]] for side in sides])
    for pair in demands.pairs:
        a, b = (
            _sides(kernels[at])
            if at < len(kernels)
            else _fixed_sides(model, demands.fixed[at - len(kernels)])
            for at in pair
        )
        rows = [a[1] + 1 <= b[3], b[1] + 1 <= a[3]]
        columns = [a[0] + 1 <= b[2], b[0] + 1 <= a[2]]
        _any(
            model,
            [
                [a[2] == b[0], *rows],
                [b[2] == a[0], *rows],
                [a[3] == b[1], *columns],
                [b[3] == a[1], *columns],
            ],
        )


def _any(model: cp_model.CpModel, cases: list[list[cp_model.BoundedLinearExpression | bool]]) -> None:
    """One of the cases holds with all its conditions."""
    chosen = [model.new_bool_var("") for _ in cases]
    model.add_bool_or(chosen)
    for variable, conditions in zip(chosen, cases, strict=True):
        for condition in conditions:
            model.add(condition).only_enforce_if(variable)


def _sides(kernel: KernelVariables) -> Sides:
    """Left, top, right and bottom."""
    return kernel.x, kernel.y, kernel.x + kernel.width, kernel.y + kernel.height


def _fixed_sides(model: cp_model.CpModel, box: Rectangle) -> Sides:
    left, top, right, bottom = (model.new_constant(at) for at in (box.x, box.y, box.right, box.bottom))
    return left, top, right, bottom
