"""Routes with two turns: when they are taken, which sides they join, and how they share the fabric with others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.plan import Rectangle, Route
from wsec.compiler.routing import RoutedLink, RoutingLink, route
from wsec.compiler.routing.footprints import Footprints
from wsec.compiler.routing.geometry import footprint, longest_lane, share_a_core, some_lanes
from wsec.compiler.routing.passages import detours
from wsec.compiler.target import load_target

MESH = load_target("mesh64")


def routed(*links: RoutingLink, interval: int) -> tuple[RoutedLink, ...]:
    """The links on a mesh of 64 by 64 cores."""
    return route(links, width=64, height=64, target=MESH, interval=interval)


def transposed(rectangle: Rectangle) -> Rectangle:
    """Rows and columns exchanged."""
    return Rectangle(rectangle.y, rectangle.x, rectangle.height, rectangle.width)


def test_thin_rectangles_that_touch_on_short_sides_are_joined_by_their_long_sides() -> None:
    """Two columns are shared, which alone would take 15 intervals; lanes around both sides bring that down to one."""
    link = RoutingLink("a", Rectangle(30, 10, 2, 20), Rectangle(30, 30, 2, 20), 30_000)
    (result,) = routed(link, interval=1000)
    assert result.interval <= 1000
    assert [each.via is not None for each in result.routes] == [False, True, True]
    west, east = (each for each in result.routes if each.via is not None)
    assert (west.source.x, west.target.x) == (30, 30)
    assert (east.source.x, east.target.x) == (31, 31)
    assert west.mirrored
    assert east.mirrored


def test_the_same_holds_with_rows_and_columns_exchanged() -> None:
    """Side by side instead of stacked: the channels are rows."""
    upright = RoutingLink("a", Rectangle(30, 10, 2, 20), Rectangle(30, 30, 2, 20), 30_000)
    lying = RoutingLink("a", Rectangle(10, 30, 20, 2), Rectangle(30, 30, 20, 2), 30_000)
    (first,), (second,) = routed(upright, interval=1000), routed(lying, interval=1000)
    assert [each.lanes for each in first.routes] == [each.lanes for each in second.routes]
    assert [each.via for each in first.routes] == [each.via for each in second.routes]
    assert [transposed(each.source) for each in first.routes] == [each.source for each in second.routes]
    assert [each.vertical_first for each in second.routes if each.via is not None] == [True, True]


def test_a_gap_between_two_rectangles_is_a_channel() -> None:
    """Diagonal thin rectangles: out of the east side, down between them, into the west side, in the same order."""
    link = RoutingLink("a", Rectangle(10, 0, 1, 20), Rectangle(40, 30, 1, 20), 10_000)
    (result,) = routed(link, interval=1000)
    between = [each for each in result.routes if each.via is not None and 10 < each.via < 40]
    assert result.interval <= 1000
    assert between
    assert not any(each.mirrored for each in between)


def test_no_second_turn_where_fewer_turns_are_enough() -> None:
    """Long lanes cost latency and colours; they are a last resort."""
    link = RoutingLink("a", Rectangle(30, 10, 2, 20), Rectangle(30, 30, 2, 20), 1900)
    (result,) = routed(link, interval=1000)
    assert [(each.lanes, each.via) for each in result.routes] == [(2, None)]


def test_two_links_of_a_kernel_leave_it_on_different_cores() -> None:
    """A core sends one word a cycle: consumers of the same kernel that would each take all of it share its edge."""
    source = Rectangle(30, 10, 2, 20)
    links = [
        RoutingLink("near", source, Rectangle(30, 30, 2, 20), 8000),
        RoutingLink("far", source, Rectangle(30, 52, 2, 10), 8000),
    ]
    near, far = routed(*links, interval=1000)
    assert near.interval <= 1000
    assert far.interval == 2000  # ten lanes at most; the outer ones gather from five rows beyond them
    assert {each.source.x for each in near.routes} != {each.source.x for each in far.routes}


def test_without_room_for_a_channel_the_link_takes_what_there_is() -> None:
    """A region without free rows or columns has no way around; the link then exceeds the interval and says so."""
    link = RoutingLink("a", Rectangle(0, 0, 2, 8), Rectangle(0, 8, 2, 8), 10_000)
    (result,) = route([link], width=2, height=16, target=MESH, interval=1000)
    assert [(each.lanes, each.via) for each in result.routes] == [(2, None)]
    assert result.interval == 5000


def test_links_that_cannot_fit_are_routed_all_the_same() -> None:
    """More words than the whole edge can carry: every link still gets legal routes, in bounded time."""
    cells = [Rectangle(2 * i, 0, 2, 64) for i in range(32)]
    links = [
        RoutingLink(f"l{i}-{step}", cells[i], cells[i + step], 10**6)
        for i in range(27)
        for step in range(1, 4)
    ]
    results = routed(*links, interval=100)
    assert all(result.interval > 100 for result in results)


@pytest.mark.parametrize("target", [Rectangle(0, 0, 3, 4), Rectangle(9, 2, 4, 9), Rectangle(4, 12, 6, 2)])
def test_detours_come_shortest_first(target: Rectangle) -> None:
    """The order in which they are taken is that of their innermost lanes."""
    found = detours(Rectangle(4, 5, 3, 4), target, 16, 16)
    lengths = [longest_lane(way.positions(1, packed=True)[0]) for way in found]
    assert lengths
    assert lengths == sorted(lengths)


def test_a_footprint_has_the_cores_of_every_leg_and_no_others() -> None:
    """Out to the west, down, and back east: what lies inside the U is free."""
    turned = Route(0, Rectangle(10, 4, 1, 2), Rectangle(10, 12, 1, 2), mirrored=True, via=6)
    assert footprint(turned) == (
        Rectangle(6, 4, 5, 2),
        Rectangle(6, 6, 2, 6),
        Rectangle(6, 12, 5, 2),
    )
    inside, across = Route(0, Rectangle(8, 6, 1, 6), Rectangle(11, 6, 1, 6)), turned
    assert Footprints([inside, across]).touching(turned).tolist() == [1]


@given(st.data())
def test_some_lanes_of_a_route_are_lanes_of_it(data: st.DataObject) -> None:
    """Lanes that are taken out of a route stay where they were, whatever is mirrored."""
    mirrored, via_mirrored, vertical = (data.draw(st.booleans()) for _ in range(3))
    whole = Route(
        0,
        Rectangle(5, 1, 1, 4) if not vertical else Rectangle(1, 5, 4, 1),
        Rectangle(5, 9, 1, 4) if not vertical else Rectangle(9, 5, 4, 1),
        mirrored=mirrored,
        vertical_first=vertical,
        via=20,
        via_mirrored=via_mirrored,
    )
    first = data.draw(st.integers(0, 3))
    count = data.draw(st.integers(1, 4 - first))
    part = some_lanes(whole, first, count)
    assert part.lanes == count
    assert share_a_core(part, whole)
    assert [waypoints(part, lane) for lane in range(count)] == [
        waypoints(whole, first + lane) for lane in range(count)
    ]


def waypoints(each: Route, lane: int) -> tuple[tuple[int, int], int, tuple[int, int]]:
    """Start, row or column of the middle leg, and end of a lane, from the words of `Route`'s docstring."""
    assert each.via is not None
    last = each.lanes - 1
    start, end = (
        (strip.x, strip.y + at)
        if strip.width == 1 and strip.height >= each.lanes
        else (strip.x + at, strip.y)
        for strip, at in ((each.source, lane), (each.target, last - lane if each.mirrored else lane))
    )
    return start, each.via + (last - lane if each.via_mirrored else lane), end
