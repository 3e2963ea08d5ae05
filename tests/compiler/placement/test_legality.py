"""The legality check: silent on a good placement, and every finding read whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wsec.compiler.placement.legality import explain
from wsec.compiler.placement.problem import (
    Net,
    Placement,
    PlacementKernel,
    PlacementProblem,
    Rectangle,
    ShapeOptions,
)

SHAPES = ShapeOptions(np.array([2, 4]), np.array([3, 1]), np.array([10, 12]))
PROBLEM = PlacementProblem(
    6,
    5,
    (PlacementKernel("a", SHAPES), PlacementKernel("b", SHAPES)),
    (Net(0, 1, 2.0),),
    (Rectangle(0, 4, 6, 1),),
)
GOOD = Placement((0, 1), (0, 2), (0, 0), 12, 10, 8.0, "by hand", proven_optimal=False, interrupted=False)


def test_a_legal_placement_has_no_findings() -> None:
    """Centres at (1, 1.5) and (4, 0.5): 4 hops, 8 word-hops; touching is no overlap."""
    assert explain(PROBLEM, GOOD) == []


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        (
            {"x": (0,)},
            "expected one option, x and y for each of 2 kernels, found 2, 1, 2",
        ),
        ({"option": (0, 2)}, "kernel 'b': expected an option in 0 ... 1, found 2"),
        (
            {"x": (0, 3), "wirelength": 10.0},
            "kernel 'b': expected to lie within columns 0 ... 5 and rows 0 ... 4, found columns 3 ... 6 and rows 0 ... 0",
        ),
        (
            {"y": (2, 0), "wirelength": 12.0},
            "kernel 'a': expected no reserved core, found overlap with the reserved rectangle of 6 x 1 at column 0, row 4",
        ),
        (
            {"x": (0, 1), "wirelength": 6.0},
            "kernels 'a' and 'b': expected no common core, found both at column 1, row 0",
        ),
        ({"interval": 13}, "interval: expected 12 cycles, found 13"),
        ({"interval_bound": 13}, "interval bound: expected at most the interval 12, found 13"),
        ({"wirelength": 7.0}, "wirelength: expected 8.0 word-hops, found 7.0"),
    ],
)
def test_each_fault_is_found_and_said(change: dict[str, object], finding: str) -> None:
    """One change to a good placement gives exactly the one finding that explains it."""
    assert explain(PROBLEM, replace(GOOD, **change)) == [finding]  # type: ignore[arg-type]
