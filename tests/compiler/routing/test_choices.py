"""What routing chooses in small, known situations: sides, lanes, turns, colours; and what it says when it fails."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.plan import Rectangle, Route
from wsec.compiler.routing import RoutingLink, RoutingSummary, route, summarize_routing
from wsec.compiler.target import Target, load_target

MESH = load_target("mesh64")


def with_colours(colours: int) -> Target:
    """A mesh with that many colours for links."""
    kept = MESH.fabric.reserved_colours + MESH.fabric.kernel_colours
    return dataclasses.replace(MESH, fabric=dataclasses.replace(MESH.fabric, colours=kept + colours))


def only_route(link: RoutingLink, interval: int) -> Route:
    """The single route of a link that is alone on the mesh."""
    (routed,) = route([link], width=64, height=64, target=MESH, interval=interval)
    (result,) = routed.routes
    return result


def test_neighbours_in_a_row_use_the_rows_they_share() -> None:
    """Side by side: straight lanes over the common part of the border, one hop long."""
    link = RoutingLink("a", Rectangle(0, 0, 10, 10), Rectangle(10, 4, 10, 10), 6000)
    assert only_route(link, 2000) == Route(0, Rectangle(9, 4, 1, 6), Rectangle(10, 4, 1, 6))


def test_neighbours_in_a_column_use_the_columns_they_share() -> None:
    """One above the other, upwards."""
    link = RoutingLink("a", Rectangle(5, 20, 4, 4), Rectangle(0, 0, 64, 18), 6000)
    assert only_route(link, 3000) == Route(0, Rectangle(5, 20, 4, 1), Rectangle(5, 17, 4, 1))


def test_a_small_tensor_takes_the_middle_of_the_border() -> None:
    """Few lanes are enough, and the middle is where the kernel's own distribution is shortest."""
    link = RoutingLink("a", Rectangle(0, 0, 10, 11), Rectangle(10, 0, 10, 11), 3)
    assert only_route(link, 1000) == Route(0, Rectangle(9, 5, 1, 1), Rectangle(10, 5, 1, 1))


@pytest.mark.parametrize(
    ("x", "y", "strip", "mirrored"),
    [
        (40, 40, Rectangle(40, 40, 2, 1), True),
        (40, 0, Rectangle(40, 7, 2, 1), False),
        (0, 40, Rectangle(6, 40, 2, 1), False),
        (0, 0, Rectangle(6, 7, 2, 1), True),
    ],
)
def test_lanes_to_each_quadrant_are_nested(x: int, y: int, strip: Rectangle, mirrored: bool) -> None:  # noqa: FBT001 - a parameter of the table above
    """Diagonal: along the row, around the corner nearest to both, mirrored where lanes would cross otherwise."""
    link = RoutingLink("a", Rectangle(20, 20, 8, 8), Rectangle(x, y, 8, 8), 60)
    result = only_route(link, 1000)
    assert (result.target, result.mirrored, result.vertical_first) == (strip, mirrored, False)


def test_a_second_route_is_not_taken_where_it_gathers_no_more() -> None:
    """Around both corners of a diagonal neighbour, straight cuts leave one of the two strips a single column."""
    link = RoutingLink("a", Rectangle(0, 0, 8, 8), Rectangle(8, 8, 8, 8), 150_016)
    (routed,) = route([link], width=16, height=16, target=MESH, interval=10_000)
    assert [(each.vertical_first, each.lanes, each.colour) for each in routed.routes] == [(False, 8, 0)]
    assert routed.interval == 150_016 // 8


def test_host_links_run_straight_from_column_0_and_to_the_last_column() -> None:
    """Inputs enter at the west edge and outputs leave at the east edge, at the kernel's own rows."""
    kernel = Rectangle(20, 10, 10, 40)
    links = [RoutingLink("in", None, kernel, 128_000), RoutingLink("out", kernel, None, 128_000)]
    entering, leaving = route(links, width=64, height=64, target=MESH, interval=6400)
    assert entering.routes == (Route(0, Rectangle(0, 10, 1, 40), Rectangle(20, 10, 1, 40)),)
    assert leaving.routes == (Route(1, Rectangle(29, 10, 1, 40), Rectangle(63, 10, 1, 40)),)
    # On each row words come and leave to the east, of which nine cores in ten send theirs past the busiest port.
    assert entering.interval == leaving.interval == 3200 + 3200 * 9 // 10
    assert entering.cycles == entering.interval + 20 + 9 + 2 * 2
    assert leaving.cycles == leaving.interval + 34 + 9 + 2 * 2


def test_a_kernel_at_the_edge_takes_its_input_without_a_hop() -> None:
    """The strip of the host then lies on the kernel's own first column."""
    link = RoutingLink("in", None, Rectangle(0, 3, 5, 1), 10)
    assert only_route(link, 100) == Route(0, Rectangle(0, 3, 1, 1), Rectangle(0, 3, 1, 1))


def test_links_that_overload_a_port_spread_over_other_sides() -> None:
    """The second link could share the first one's rows; it goes around the corner, which keeps both in time."""
    source = Rectangle(0, 0, 8, 8)
    links = [
        RoutingLink("straight", source, Rectangle(16, 0, 8, 8), 8000),
        RoutingLink("diagonal", source, Rectangle(24, 16, 8, 8), 7000),
    ]
    routed = route(links, width=64, height=64, target=MESH, interval=1000)
    assert any(each.vertical_first for each in routed[1].routes)
    assert all(result.interval < (8000 + 7000) // 8 for result in routed)


def test_an_overloaded_port_is_counted_in_every_link_that_uses_it() -> None:
    """Where there is no other way, both links take as long as the port needs for the words of both."""
    a, b, c = (Rectangle(4 * i, 0, 4, 1) for i in range(3))
    links = [RoutingLink("near", b, c, 600), RoutingLink("far", a, c, 500)]
    near, far = route(links, width=12, height=1, target=MESH, interval=700)
    assert (near.interval, far.interval) == (1100, 1100)
    assert (near.cycles, far.cycles) == (1100 + 3 + 1 + 3 + 4, 1100 + 3 + 5 + 3 + 4)  # along the kernels too
    assert summarize_routing(links, (near, far), width=12, height=1) == RoutingSummary(
        colours_used=2, colour_bound=2, max_link_words=1100, longest_path=3 + 5 + 3
    )


def test_links_become_narrower_where_colours_are_scarce() -> None:
    """One colour, and kernels that lie in the way: the lanes run past them, which the interval allows."""
    a, b = Rectangle(0, 0, 2, 4), Rectangle(10, 0, 2, 4)
    c, d = Rectangle(4, 0, 2, 1), Rectangle(7, 0, 2, 1)
    links = [RoutingLink("far", a, b, 400), RoutingLink("near", c, d, 40)]
    far, near = route(links, width=12, height=4, target=with_colours(1), interval=200)
    assert [each.colour for result in (far, near) for each in result.routes] == [0, 0]
    assert 2 <= far.lanes <= 3
    assert far.interval <= 200


def test_too_many_colours_names_the_core_the_links_and_the_budget() -> None:
    """When nothing helps, the message says where it fails, by how much, and what to change."""
    cells = [Rectangle(x, 0, 1, 1) for x in range(6)]
    links = [RoutingLink(f"link{i}", a, cells[5], 10) for i, a in enumerate(cells[:5])]
    with pytest.raises(WsecError) as caught:
        route(links, width=6, height=1, target=with_colours(2), interval=100)
    assert caught.value.exit_status == ExitStatus.DOES_NOT_FIT
    assert str(caught.value) == (
        "error[WSEC340]: the links between kernels need more colours than the machine has\n"
        "  where:    core (4, 0) of the region, which most routes cross: link0, link1, link2, link3, link4\n"
        "  expected: at most 2 colours: 10 of the machine, less 0 of the host and 8 of the kernels\n"
        "  found:    5 routes through this core; no colour left for link2, link3, link4\n"
        "  try:      give a larger --region, or a target with more colours or fewer kernel_colours"
    )


def test_a_long_list_of_links_is_cut_short_in_the_message() -> None:
    """A message stays readable when dozens of links fail."""
    cells = [Rectangle(x, 0, 1, 1) for x in range(12)]
    links = [RoutingLink(f"link{i}", a, b, 10) for i, (a, b) in enumerate(pairwise(cells))]
    links += [RoutingLink(f"long{i}", cells[0], cells[11], 10) for i in range(9)]
    with pytest.raises(WsecError) as caught:
        route(links, width=12, height=1, target=with_colours(2), interval=100)
    assert caught.value.where.endswith("and 5 more")


def test_without_links_there_are_no_routes() -> None:
    """A model of one kernel on a region of its own is nothing special."""
    assert route([], width=4, height=4, target=MESH, interval=10) == ()
    assert summarize_routing([], (), width=4, height=4) == RoutingSummary(0, 0, 0, 0)


def test_overlapping_rectangles_are_refused() -> None:
    """Routing relies on a legal placement and says so instead of returning nonsense."""
    link = RoutingLink("bad", Rectangle(0, 0, 4, 4), Rectangle(2, 2, 4, 4), 10)
    with pytest.raises(ValueError, match="link bad: source and target overlap"):
        route([link], width=8, height=8, target=MESH, interval=10)


def test_rectangles_outside_the_region_are_refused() -> None:
    """The same for a kernel that sticks out."""
    link = RoutingLink("bad", Rectangle(0, 0, 4, 4), Rectangle(6, 0, 4, 4), 10)
    with pytest.raises(ValueError, match=r"link bad: Rectangle.* is not in the region"):
        route([link], width=8, height=8, target=MESH, interval=10)
