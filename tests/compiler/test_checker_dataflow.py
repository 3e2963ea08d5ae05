"""Who computes what, and who brings it: each thing that is made wrong is found, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import pytest
from legal_plans import change_link
from plan_changes import Case, assert_findings, kernel, link, phases

from wsec.compiler.plan import Rectangle, Route

CASES = (
    Case(
        "node computed twice",
        kernel("sum", operators=("sum", "scaled", "relu")),
        (
            "WSEC545 kernel sum: a kernel gives the output of its last node; expected y, found out",
            "WSEC547 node relu (Relu): each node of the lowered model is computed once; expected one kernel, or the host, found 2 of them",
        ),
    ),
    Case(
        "operator unknown",
        kernel("sum", operators=("sum", "scale")),
        (
            "WSEC547 node scaled (Mul): each node of the lowered model is computed once; expected one kernel, or the host, found 0 of them",
            "WSEC547 operator scale: operators are nodes of the lowered model; expected a node of that name, found nothing",
        ),
    ),
    Case(
        "kernel name twice",
        kernel("product", name="conv"),
        (
            "WSEC547 kernel conv: a kernel is there once; expected one, found 2",
            "WSEC547 link x to conv.x: a link goes to an input of a kernel, or to the host; expected a kernel of the plan and one of its roles, found role 'x' of conv",
            "WSEC547 link y to product.a: a link goes to an input of a kernel, or to the host; expected a kernel of the plan and one of its roles, found role 'a' of product",
            "WSEC547 link p to sum.e0: a link comes from a kernel or the host; expected a kernel of the plan, found product",
            "WSEC547 kernel conv, input a: a weight is loaded, a state stays, an activation comes over one link; expected 1 link, found 0 links",
            "WSEC547 link p to sum.e0: a link begins where its tensor is produced; expected conv, found p from product",
            "WSEC549 link x to conv.x, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x3 cores at x=7, y=0, found 1x2 cores at x=2, y=0",
            "WSEC549 link y to product.a, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x3 cores at x=7, y=0, found 1x2 cores at x=5, y=0",
            "WSEC549 link y to product.a, route 0: a lane begins and ends in the rectangles that it joins; expected a rectangle of the phase, found 1x2 cores at x=7, y=0",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected a rectangle of the phase, found 1x2 cores at x=10, y=0",
            "WSEC549 link y to sum.e1, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x3 cores at x=7, y=0, found 1x1 cores at x=5, y=3",
        ),
    ),
    Case(
        "link name twice",
        link("y to sum.e1", name="y to product.a"),
        ("WSEC547 link y to product.a: a link is there once; expected one, found 2",),
    ),
    Case(
        "two links to one input",
        phases(
            lambda phase: replace(
                phase,
                links=(
                    *phase.links,
                    replace(
                        phase.links[1], name="again", routes=(replace(phase.links[1].routes[0], colour=2),)
                    ),
                ),
            )
        ),
        (
            "WSEC547 kernel product, input a: a weight is loaded, a state stays, an activation comes over one link; expected 1 link, found 2 links",
        ),
    ),
    Case(
        "link from nobody",
        link("p to sum.e0", source="nobody"),
        (
            "WSEC547 link p to sum.e0: a link comes from a kernel or the host; expected a kernel of the plan, found nobody",
            "WSEC547 link p to sum.e0: a link begins where its tensor is produced; expected product, found p from nobody",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected a rectangle of the phase, found 1x2 cores at x=10, y=0",
        ),
    ),
    Case(
        "link from the wrong kernel",
        link("p to sum.e0", source="conv"),
        (
            "WSEC547 link p to sum.e0: a link begins where its tensor is produced; expected product, found p from conv",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x4 cores at x=2, y=0, found 1x2 cores at x=10, y=0",
        ),
    ),
    Case(
        "link of the wrong tensor",
        link("p to sum.e0", tensor="y"),
        (
            "WSEC547 link p to sum.e0: a link brings the tensor that its input reads; expected p, found y",
            "WSEC547 link p to sum.e0: a link begins where its tensor is produced; expected conv, found y from product",
        ),
    ),
    Case(
        "link to the wrong role",
        link("p to sum.e0", role="x"),
        (
            "WSEC547 link p to sum.e0: a link goes to an input of a kernel, or to the host; expected a kernel of the plan and one of its roles, found role 'x' of sum",
            "WSEC547 kernel sum, input e0: a weight is loaded, a state stays, an activation comes over one link; expected 1 link, found 0 links",
        ),
    ),
    Case(
        "link to nobody",
        link("p to sum.e0", target="nobody"),
        (
            "WSEC547 link p to sum.e0: a link goes to an input of a kernel, or to the host; expected a kernel of the plan and one of its roles, found role 'e0' of nobody",
            "WSEC547 kernel sum, input e0: a weight is loaded, a state stays, an activation comes over one link; expected 1 link, found 0 links",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected a rectangle of the phase, found 1x2 cores at x=12, y=0",
        ),
    ),
    Case(
        "circle of links",
        phases(
            lambda phase: replace(
                phase,
                links=(
                    *phase.links,
                    replace(phase.links[2], name="back", source="sum", target="conv", role="x"),
                ),
            )
        ),
        (
            "WSEC547 kernel conv, input x: a weight is loaded, a state stays, an activation comes over one link; expected 1 link, found 2 links",
            "WSEC547 link back: a link brings the tensor that its input reads; expected x, found p",
            "WSEC547 link back: a link begins where its tensor is produced; expected product, found p from sum",
            "WSEC547 links: a kernel does not wait for itself; expected no circle, found a circle of links",
            "WSEC548 link back: a link counts the words of its tensor; expected 256 words of 1024 bytes, found 384 words",
            "WSEC548 link back: a link uses the view of the input that it feeds; expected [1, 1, 4, 8, 8], found [1, 6, 8, 8]",
            "WSEC549 link back, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=12, y=0, found 1x2 cores at x=10, y=0",
            "WSEC549 link back, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x4 cores at x=2, y=0, found 1x2 cores at x=12, y=0",
        ),
    ),
    Case(
        "output not sent",
        lambda plan: change_link(plan, "out to host", lambda _link: None),
        (
            "WSEC547 output out: each output of the model that a kernel gives goes to the host once; expected 1 link, found 0 links",
        ),
    ),
    Case(
        "output sent from the wrong kernel",
        link("out to host", source="product"),
        (
            "WSEC547 link out to host: a link begins where its tensor is produced; expected sum, found out from product",
            "WSEC549 link out to host, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x3 cores at x=7, y=0, found 1x2 cores at x=15, y=0",
        ),
    ),
    Case(
        "more sent than asked for",
        phases(
            lambda phase: replace(
                phase,
                links=(
                    *phase.links,
                    replace(
                        phase.links[-1],
                        name="more",
                        tensor="p",
                        source="product",
                        routes=(Route(2, Rectangle(10, 0, 1, 2), Rectangle(15, 0, 1, 2)),),
                    ),
                ),
            )
        ),
        (
            "WSEC547 link more: the host is given what it asks for; expected an output of the model, or what a host operator or another wafer or phase reads, found p",
        ),
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_findings_are_exact(case: Case) -> None:
    """What is wrong is said word for word, with its place and numbers."""
    assert_findings(case)
