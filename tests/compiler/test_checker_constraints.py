"""Constraints of a plan that do not hold, each finding read whole."""

from __future__ import annotations

from dataclasses import replace

import pytest
from legal_plans import check_without_circuits, network_plan

from wsec.compiler.plan import PlacementConstraint, Rectangle

KEPT = (
    PlacementConstraint("pin", "", ("relu",), Rectangle(2, 0, 4, 4)),
    PlacementConstraint("region", "", ("sum",), Rectangle(11, 0, 5, 3)),
    PlacementConstraint("forbid", "", (), Rectangle(0, 0, 2, 16)),
    PlacementConstraint("edge", "", ("scaled",), sides=("left", "right")),
    PlacementConstraint("edge", "", ("product",), sides=("top",)),
)
"""Conv and relu are 4x4 at 2, 0; product 4x3 at 7, 0; sum and scaled 4x2 at 12, 0."""


def test_constraints_that_hold_give_no_findings() -> None:
    """On any operator of a kernel."""
    assert check_without_circuits(replace(network_plan(), constraints=KEPT)) == check_without_circuits(
        network_plan()
    )


@pytest.mark.parametrize(
    ("constraint", "finding"),
    [
        (
            PlacementConstraint("pin", "keep", ("relu",), Rectangle(3, 0, 4, 4)),
            (
                "WSEC552 constraint keep, kernel conv: a pinned kernel is where it is pinned; "
                "expected 4x4 cores at x=3, y=0, found 4x4 cores at x=2, y=0"
            ),
        ),
        (
            PlacementConstraint("region", "", ("sum",), Rectangle(12, 0, 4, 1)),
            (
                "WSEC552 constraint 0, kernel sum: a kernel lies inside its region; "
                "expected inside 4x1 cores at x=12, y=0, found 4x2 cores at x=12, y=0"
            ),
        ),
        (
            PlacementConstraint("forbid", "aisle", (), Rectangle(10, 2, 4, 1)),
            (
                "WSEC552 constraint aisle, kernel product: no kernel has a core in a forbidden area; "
                "expected no core in 4x1 cores at x=10, y=2, found 4x3 cores at x=7, y=0"
            ),
        ),
        (
            PlacementConstraint("adjacent", "", ("conv", "sum")),
            (
                "WSEC552 constraint 0, kernels conv and sum: adjacent kernels share a border; "
                "expected a common side of a core, found 4x4 cores at x=2, y=0 and 4x2 cores at x=12, y=0"
            ),
        ),
        (
            PlacementConstraint("edge", "", ("product",), sides=("left", "bottom")),
            (
                "WSEC552 constraint 0, kernel product: a kernel touches the edge of the grid; "
                "expected at the left or bottom, found 4x3 cores at x=7, y=0"
            ),
        ),
        (
            PlacementConstraint("edge", "", ("gone",), sides=("left",)),
            (
                "WSEC552 constraint 0: a constraint is on operators of the wafer; "
                "expected operators of kernels, found gone"
            ),
        ),
        (
            PlacementConstraint("pin", "", ("conv",)),
            (
                "WSEC552 constraint 0: a constraint is whole; "
                "expected operators, area and sides as its kind needs them, found 1 operator in a pin"
            ),
        ),
    ],
)
def test_a_constraint_that_does_not_hold_is_found(constraint: PlacementConstraint, finding: str) -> None:
    """One finding for each."""
    plan = replace(network_plan(), constraints=(constraint,))
    assert [str(each) for each in check_without_circuits(plan) if each.code == "WSEC552"] == [finding]


def test_neighbours_share_more_than_a_corner() -> None:
    """Moved to touch at a side, at a corner and not at all."""
    constraint = PlacementConstraint("adjacent", "", ("conv", "product"))
    plan = replace(network_plan(), constraints=(constraint,))
    (phase,) = plan.wafers[0].phases
    found = []
    for x, y in ((6, 3), (6, 4), (7, 0), (2, 4), (0, 1)):
        moved = tuple(
            replace(kernel, rectangle=Rectangle(x, y, 4, 3)) if kernel.name == "product" else kernel
            for kernel in phase.kernels
        )
        wafers = (replace(plan.wafers[0], phases=(replace(phase, kernels=moved),)),)
        codes = [each.code for each in check_without_circuits(replace(plan, wafers=wafers))]
        found.append("WSEC552" in codes)
    assert found == [False, True, True, False, True]
