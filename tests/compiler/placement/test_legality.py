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
    hop_cycles=0.05,
)
GOOD = Placement(
    (0, 1),
    (0, 2),
    (0, 0),
    12,
    10,
    8.0,
    "by hand",
    proven_optimal=False,
    interrupted=False,
    cost=12.4,
    cost_bound=10.1,
    front=((11, 9.0), (12, 8.0)),
)


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
            {"x": (0, 3), "wirelength": 10.0, "cost": 12.5, "front": ()},
            "kernel 'b': expected to lie within columns 0 ... 5 and rows 0 ... 4, found columns 3 ... 6 and rows 0 ... 0",
        ),
        (
            {"y": (2, 0), "wirelength": 12.0, "cost": 12.6, "front": ()},
            "kernel 'a': expected no reserved core, found overlap with the reserved rectangle of 6 x 1 at column 0, row 4",
        ),
        (
            {"x": (0, 1), "wirelength": 6.0, "cost": 12.3, "front": ()},
            "kernels 'a' and 'b': expected no common core, found both at column 1, row 0",
        ),
        ({"interval": 13, "front": ()}, "interval: expected 12 cycles, found 13"),
        ({"interval_bound": 13}, "interval bound: expected at most the interval 12, found 13"),
        ({"wirelength": 7.0, "front": ()}, "wirelength: expected 8.0 word-hops, found 7.0"),
        ({"cost_bound": 13.0}, "cost bound: expected at most the cost 12.4, found 13.0"),
        ({"cost": 12.5}, "cost: expected 12.4 cycles, found 12.5"),
        (
            {"front": ((11, 8.0), (12, 8.0))},
            "front: expected shorter wires at a longer interval, found (11, 8.0) before (12, 8.0)",
        ),
        (
            {"front": ((11, 9.0), (13, 8.0))},
            "front: expected (12, 8.0) in it, found (11, 9.0), (13, 8.0)",
        ),
    ],
)
def test_each_fault_is_found_and_said(change: dict[str, object], finding: str) -> None:
    """One change to a good placement gives exactly the one finding that explains it."""
    assert explain(PROBLEM, replace(GOOD, **change)) == [finding]  # type: ignore[arg-type]
