"""What links carry, and where their routes run: each thing that is made wrong is found, and nothing else."""

from __future__ import annotations

import pytest
from legal_plans import change_dimension
from plan_changes import HALVES, Case, assert_findings, kernel, link, route

from wsec.compiler.plan import Rectangle
from wsec.compiler.sharding import Sharding, cut, whole

CASES = (
    Case(
        "words",
        link("y to sum.e1", words=383),
        (
            "WSEC548 link y to sum.e1: a link counts the words of its tensor; expected 384 words of 1536 bytes, found 383 words",
        ),
    ),
    Case(
        "words to the host",
        link("out to host", words=385),
        (
            "WSEC548 link out to host, cycles: a lane carries one word a cycle; expected at least 193 cycles for 385 words on 2 lanes, found 192 cycles",
            "WSEC548 link out to host, interval: a lane carries one word a cycle; expected at least 193 cycles for 385 words on 2 lanes, found 192 cycles",
            "WSEC548 link out to host: a link counts the words of its tensor; expected 384 words of 1536 bytes, found 385 words",
        ),
    ),
    Case(
        "host gets a part",
        link("out to host", sharding=Sharding((whole(1), whole(5), whole(8), whole(8)))),
        (
            "WSEC548 link out to host: a link brings the whole tensor to the host; expected 384 elements, found a view [1, 5, 8, 8]",
        ),
    ),
    Case(
        "host gets a block",
        link("out to host", sharding=change_dimension(Sharding(tuple(map(whole, (1, 6, 8, 8)))), 1, block=5)),
        (
            "WSEC548 link out to host, dimension 1: a link brings each core all that it needs; expected elements [0, 6), found elements [0, 5)",
        ),
    ),
    Case(
        "slots of the link",
        link("y to sum.e1", slots=1),
        (
            "WSEC548 link y to sum.e1: link and input hold as many samples; expected 2, as input e1 of sum, found 1",
        ),
    ),
    Case(
        "link in another view",
        link("y to sum.e1", sharding=Sharding((whole(1), cut(6, 2, ("d1",)), whole(64)))),
        (
            "WSEC548 link y to sum.e1: a link uses the view of the input that it feeds; expected [1, 6, 8, 8], found [1, 6, 64]",
        ),
    ),
    Case(
        "link's sharding unsound",
        link("y to sum.e1", sharding=Sharding((whole(1), cut(6, 2, ("z",)), cut(8, 4, ("d2",)), whole(8)))),
        ("WSEC543 link y to sum.e1: a sharding names axes of its mesh; expected axes among d1, d2, found z",),
    ),
    Case(
        "link to the root only",
        link(
            "y to sum.e1", sharding=Sharding((whole(1), cut(6, 2, ("d1",)), whole(8), whole(8)), root=("d2",))
        ),
        (
            "WSEC548 link y to sum.e1: a link reaches every core that reads the tensor; expected no root axes but those of the input, found d2",
        ),
    ),
    Case(
        "link too short",
        link("y to sum.e1", sharding=change_dimension(Sharding(HALVES), 2, block=1)),
        (
            "WSEC548 link y to sum.e1, dimension 2: a link brings each core all that it needs; expected elements [0, 2), found elements [0, 1)",
        ),
    ),
    Case(
        "link brings more",
        link("y to sum.e1", sharding=Sharding((whole(1), whole(6), whole(8), whole(8)))),
        (),
    ),
    Case(
        "cycles of a link",
        link("y to sum.e1", cycles=383),
        (
            "WSEC548 link y to sum.e1, cycles: a lane carries one word a cycle; expected at least 384 cycles for 384 words on 1 lane, found 383 cycles",
        ),
    ),
    Case(
        "interval of a link",
        link("y to sum.e1", interval=383),
        (
            "WSEC548 link y to sum.e1, interval: a lane carries one word a cycle; expected at least 384 cycles for 384 words on 1 lane, found 383 cycles",
        ),
    ),
    Case(
        "link without a route",
        link("y to sum.e1", routes=()),
        ("WSEC549 link y to sum.e1: a link has a route; expected at least one route, found none",),
    ),
    Case(
        "strip outside its rectangle",
        route("y to sum.e1", source=Rectangle(5, 4, 1, 1)),
        (
            "WSEC549 link y to sum.e1, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x4 cores at x=2, y=0, found 1x1 cores at x=5, y=4",
        ),
    ),
    Case(
        "strip outside the host's column",
        route("x to conv.x", source=Rectangle(1, 0, 1, 2)),
        (
            "WSEC549 link x to conv.x, route 0: a lane begins and ends in the rectangles that it joins; expected inside 1x16 cores at x=0, y=0, found 1x2 cores at x=1, y=0",
        ),
    ),
    Case(
        "strip outside the region",
        lambda plan: kernel("sum", rectangle=Rectangle(13, 0, 4, 2))(
            route("out to host", source=Rectangle(16, 0, 1, 2))(plan)
        ),
        (
            "WSEC542 kernel sum: a rectangle lies inside the region; expected inside 16x16 cores, found 4x2 cores at x=13, y=0",
            "WSEC549 link p to sum.e0, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=13, y=0, found 1x2 cores at x=12, y=0",
            "WSEC549 link y to sum.e1, route 0: a lane begins and ends in the rectangles that it joins; expected inside 4x2 cores at x=13, y=0, found 1x1 cores at x=12, y=1",
        ),
    ),
    Case(
        "strip two cores thick",
        route("y to product.a", source=Rectangle(4, 0, 2, 2), target=Rectangle(7, 0, 2, 2)),
        (
            "WSEC549 link y to product.a, route 0: a strip is one core wide or one core high; expected 1xN or Nx1 cores, found 2x2 cores at x=4, y=0",
            "WSEC549 link y to product.a, route 0: a strip is one core wide or one core high; expected 1xN or Nx1 cores, found 2x2 cores at x=7, y=0",
        ),
    ),
    Case(
        "strips of unequal length",
        route("y to product.a", source=Rectangle(5, 0, 1, 3)),
        (
            "WSEC549 link y to product.a, route 0: the two strips of a route have as many cores; expected 3 cores, found 2 cores",
        ),
    ),
    Case(
        "colour over the budget",
        route("y to sum.e1", colour=16),
        (
            "WSEC549 link y to sum.e1, route 0: the colour is one of those for links; expected a colour from 0 to 15, found colour 16",
        ),
    ),
    Case(
        "colour below zero",
        route("y to sum.e1", colour=-1),
        (
            "WSEC549 link y to sum.e1, route 0: the colour is one of those for links; expected a colour from 0 to 15, found colour -1",
        ),
    ),
    Case(
        "routes of one colour cross",
        route("y to sum.e1", colour=0),
        (
            "WSEC549 link p to sum.e0, route 0 and link y to sum.e1, route 0, colour 0: routes of one colour share no core; expected no core in both, found 1 core in both, the first at x=12, y=1",
        ),
    ),
    Case(
        "lanes cross",
        route("y to product.a", source=Rectangle(4, 3, 2, 1), target=Rectangle(7, 0, 1, 2), colour=2),
        (
            "WSEC549 link y to product.a, route 0, colour 2: lanes of a route share no core; expected no core in both, found 5 cores in both, the first at x=7, y=1",
        ),
    ),
    Case(
        "lanes nested",
        route(
            "y to product.a",
            source=Rectangle(4, 3, 2, 1),
            target=Rectangle(7, 0, 1, 2),
            colour=2,
            vertical_first=True,
        ),
        (),
    ),
    Case(
        "lanes mirrored",
        route(
            "y to product.a",
            source=Rectangle(5, 2, 1, 2),
            target=Rectangle(7, 2, 2, 1),
            mirrored=True,
            colour=2,
        ),
        (
            "WSEC549 link y to product.a, route 0, colour 2: lanes of a route share no core; expected no core in both, found 1 core in both, the first at x=7, y=2",
        ),
    ),
    Case(
        "lanes not mirrored",
        route("y to product.a", source=Rectangle(5, 2, 1, 2), target=Rectangle(7, 2, 2, 1), colour=2),
        (),
    ),
    Case("lanes go round", route("y to sum.e1", via=8), ()),
    Case("lanes go round by rows", route("y to sum.e1", vertical_first=True, via=9), ()),
    Case(
        "lanes go round crossed",
        route("y to product.a", source=Rectangle(5, 2, 1, 2), via=6, via_mirrored=True, colour=2),
        (
            "WSEC549 link y to product.a, route 0, colour 2: lanes of a route share no core; expected no core in both, found 2 cores in both, the first at x=7, y=1",
        ),
    ),
    Case(
        "lanes go round outside",
        route("y to sum.e1", via=16),
        (
            "WSEC549 link y to sum.e1, route 0: lanes stay in the region; expected columns from 0 to 15, found 1 lane from 16 on",
        ),
    ),
    Case(
        "lanes go round outside by rows",
        route("y to sum.e1", via=16, vertical_first=True),
        (
            "WSEC549 link y to sum.e1, route 0: lanes stay in the region; expected rows from 0 to 15, found 1 lane from 16 on",
        ),
    ),
    Case(
        "lane turns back on itself",
        route("y to product.a", via=9),
        (
            "WSEC549 link y to product.a, route 0, colour 0: lanes of a route share no core; expected no core in both, found 5 cores in both, the first at x=7, y=0",
            "WSEC549 link y to product.a, route 0 and link p to sum.e0, route 0, colour 0: routes of one colour share no core; expected no core in both, found 1 core in both, the first at x=10, y=1",
        ),
    ),
    Case(
        "lanes go round straight", route("y to product.a", source=Rectangle(5, 2, 1, 2), via=6, colour=2), ()
    ),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_findings_are_exact(case: Case) -> None:
    """What is wrong is said word for word, with its place and numbers."""
    assert_findings(case)
