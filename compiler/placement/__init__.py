"""Floorplanning: one shape and one position for each kernel, with a lower bound beside the result.

A library of its own, free of ONNX:

>>> import numpy as np
>>> shapes = ShapeOptions(np.array([4, 8]), np.array([8, 4]), np.array([100, 90]))
>>> problem = PlacementProblem(
...     width=8, height=8, kernels=(PlacementKernel("filter", shapes), PlacementKernel("sum", shapes)),
...     nets=(Net(0, 1, weight=16.0),),
... )
>>> placement = place(problem, Limits(effort=0))
>>> placement.interval, placement.interval_bound, placement.proven_optimal
(90, 90, True)

The solvers are imported when a function is first called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.placement.constraints import Adjacent, Constraint, Forbid, Pin, Side, TouchEdge, Within
from wsec.compiler.placement.problem import (
    Limits,
    Net,
    Placement,
    PlacementKernel,
    PlacementProblem,
    Progress,
    Rectangle,
    ShapeOptions,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Adjacent",
    "Constraint",
    "Forbid",
    "Limits",
    "Net",
    "Pin",
    "Placement",
    "PlacementKernel",
    "PlacementProblem",
    "Progress",
    "Rectangle",
    "ShapeOptions",
    "Side",
    "TouchEdge",
    "Within",
    "interval_bound",
    "least_area",
    "objective_bound",
    "place",
]


def place(
    problem: PlacementProblem,
    limits: Limits | None = None,
    callback: Callable[[Progress], None] | None = None,
) -> Placement:
    """The best legal placement that the limits allow; see `wsec.compiler.placement.solver.place`.

    Raises:
        WsecError: WSEC320 to WSEC323 where the kernels do not fit or constraints are in the way, WSEC330 to WSEC333 for
            malformed input, WSEC334 and WSEC335 for constraints that cannot be kept.
    """
    from wsec.compiler.placement.solver import place as solve

    return solve(problem, limits, callback)


def interval_bound(problem: PlacementProblem) -> int:
    """The area lower bound on the interval, in cycles; raises as `place` does for what cannot fit."""
    from wsec.compiler.placement.conflicts import prepare

    return prepare(problem).bound


def objective_bound(problem: PlacementProblem) -> float:
    """A lower bound on the whole objective, wires included, in cycles; raises as `place` does for what cannot fit."""
    from wsec.compiler.placement import bounds
    from wsec.compiler.placement.conflicts import prepare

    instance = prepare(problem)
    return bounds.objective_bound(instance, instance.bound)


def least_area(problem: PlacementProblem, time: int) -> int | None:
    """Cores that the kernels need at least within `time` cycles each; None if one has no shape that fast.

    More than the grid has free: no placement reaches that interval. Raises as `place` does for what cannot fit.
    """
    from wsec.compiler.placement.conflicts import prepare
    from wsec.compiler.placement.preparation import least_area as area_within

    return area_within(prepare(problem), time)
