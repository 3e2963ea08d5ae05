"""The plan as a whole, and where its kernels sit: each thing that is made wrong is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plan_changes import Case, assert_findings, kernel, placement

from wsec.compiler.plan import Rectangle

CASES = (
    Case(
        "format",
        lambda plan: replace(plan, format=7),
        ("WSEC541 format: the format is known; expected 4, found 7",),
    ),
    Case(
        "region wider than the wafer",
        lambda plan: replace(plan, region_width=17),
        (
            "WSEC541 region: the region lies on the wafer; expected at most 16x16 cores, found 17x16 cores",
            "WSEC549 link out to host, route 0: a lane begins and ends in the rectangles that it joins; expected inside 1x16 cores at x=16, y=0, found 1x2 cores at x=15, y=0",
        ),
    ),
    Case(
        "region higher than the wafer",
        lambda plan: replace(plan, region_height=17),
        ("WSEC541 region: the region lies on the wafer; expected at most 16x16 cores, found 16x17 cores",),
    ),
    Case(
        "bound above the interval",
        placement(interval_bound=991),
        (
            "WSEC541 placement: the interval is not below its bound; expected at least 991 cycles, found 990 cycles",
        ),
    ),
    Case(
        "interval below a kernel",
        placement(interval=899, interval_bound=1),
        (
            "WSEC541 placement: the interval is not below a kernel's arithmetic and SRAM ports; expected at least 900 cycles, of kernel conv, found 899 cycles",
        ),
    ),
    Case(
        "input renamed",
        lambda plan: replace(plan, inputs=(replace(plan.inputs[0], name="z"),)),
        (
            "WSEC541 inputs: inputs are those of the lowered model; expected x, found z",
            "WSEC547 link x to conv.x: a link begins where its tensor is produced; expected a tensor that is produced, found x from host",
        ),
    ),
    Case(
        "output of another shape",
        lambda plan: replace(plan, outputs=(replace(plan.outputs[0], shape=(6, 8, 8)),)),
        (
            "WSEC541 outputs, out: shape and element type are the model's; expected float32 [1, 6, 8, 8], found float32 [6, 8, 8]",
        ),
    ),
    Case(
        "rectangle of no cores",
        kernel("sum", rectangle=Rectangle(12, 0, 0, 2)),
        (
            "WSEC542 kernel sum: a rectangle is as large as its mesh; expected 4x2 cores, found 0x2 cores at x=12, y=0",
            "WSEC542 kernel sum: a rectangle lies inside the region; expected inside 16x16 cores, found 0x2 cores at x=12, y=0",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected inside 0x2 cores at x=12, y=0, found 1x2 cores at x=12, y=0",
            "WSEC549 link y to sum.e1, route 0: a lane begins and ends in the rectangles that it joins; expected inside 0x2 cores at x=12, y=0, found 1x1 cores at x=12, y=1",
            "WSEC549 link out to host, route 0: a lane begins and ends in the rectangles that it joins; expected inside 0x2 cores at x=12, y=0, found 1x2 cores at x=15, y=0",
        ),
    ),
    Case(
        "rectangle partly outside",
        kernel("sum", rectangle=Rectangle(13, 0, 4, 2)),
        (
            "WSEC542 kernel sum: a rectangle lies inside the region; expected inside 16x16 cores, found 4x2 cores at x=13, y=0",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=13, y=0, found 1x2 cores at x=12, y=0",
            "WSEC549 link y to sum.e1, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=13, y=0, found 1x1 cores at x=12, y=1",
        ),
    ),
    Case(
        "rectangle above the region",
        kernel("sum", rectangle=Rectangle(12, -1, 4, 2)),
        (
            "WSEC542 kernel sum: a rectangle lies inside the region; expected inside 16x16 cores, found 4x2 cores at x=12, y=-1",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=12, y=-1, found 1x2 cores at x=12, y=0",
            "WSEC549 link y to sum.e1, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=12, y=-1, found 1x1 cores at x=12, y=1",
            "WSEC549 link out to host, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=12, y=-1, found 1x2 cores at x=15, y=0",
        ),
    ),
    Case(
        "rectangle left of the region",
        kernel("sum", rectangle=Rectangle(-1, 5, 4, 2)),
        (
            "WSEC542 kernel sum: a rectangle lies inside the region; expected inside 16x16 cores, found 4x2 cores at x=-1, y=5",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=-1, y=5, found 1x2 cores at x=12, y=0",
            "WSEC549 link y to sum.e1, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=-1, y=5, found 1x1 cores at x=12, y=1",
            "WSEC549 link out to host, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=-1, y=5, found 1x2 cores at x=15, y=0",
        ),
    ),
    Case(
        "rectangle below the region",
        kernel("sum", rectangle=Rectangle(12, 15, 4, 2)),
        (
            "WSEC542 kernel sum: a rectangle lies inside the region; expected inside 16x16 cores, found 4x2 cores at x=12, y=15",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=12, y=15, found 1x2 cores at x=12, y=0",
            "WSEC549 link y to sum.e1, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=12, y=15, found 1x1 cores at x=12, y=1",
            "WSEC549 link out to host, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=12, y=15, found 1x2 cores at x=15, y=0",
        ),
    ),
    Case(
        "rectangles overlap",
        kernel("product", rectangle=Rectangle(5, 2, 4, 3)),
        (
            "WSEC542 kernels conv and product: kernels of a phase share no core; expected no core in both, found 2 cores in both",
            "WSEC549 link y to product.a, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x3 cores at x=5, y=2, found 1x2 cores at x=7, y=0",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x3 cores at x=5, y=2, found 1x2 cores at x=10, y=0",
        ),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_findings_are_exact(case: Case) -> None:
    """What is wrong is said word for word, with its place and numbers."""
    assert_findings(case)
