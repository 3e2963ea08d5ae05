"""Circuits of links: settings of routers, and how few rectangles they take."""

from __future__ import annotations

import numpy as np

from wsec.compiler.fabric.link_circuits import link_circuits
from wsec.compiler.fabric.link_fans import link_fans
from wsec.compiler.plan import Rectangle, Route, RouterArea


def test_straight_lanes_between_equal_rows_are_five_rectangles() -> None:
    """Columns of the producer, the bundle and columns of the consumer, whatever the number of lanes."""
    source, target = Rectangle(0, 0, 4, 50), Rectangle(8, 0, 4, 50)
    routes = (Route(3, Rectangle(3, 0, 1, 50), Rectangle(8, 0, 1, 50)),)
    fans = link_fans(routes, source, target, np.ones((50, 4), np.int64))
    (circuit,) = link_circuits("a", routes, source, target, fans)
    assert (circuit.colour, circuit.purpose, circuit.name) == (3, "link", "a")
    assert circuit.areas == (
        RouterArea(0, 0, 1, 50, ("R>E",)),
        RouterArea(1, 0, 3, 50, ("R>E", "W>E")),
        RouterArea(4, 0, 4, 50, ("W>E",)),
        RouterArea(8, 0, 3, 50, ("W>ER",)),
        RouterArea(11, 0, 1, 50, ("W>R",)),
    )


def test_cores_without_words_pass_those_of_others_and_idle_lanes_have_no_router() -> None:
    """The first column and every second row hold nothing."""
    source, target = Rectangle(0, 0, 3, 4), Rectangle(4, 0, 1, 4)
    held = np.array([[0, 2, 0], [0, 0, 0]] * 2, np.int64)
    routes = (Route(0, Rectangle(2, 0, 1, 4), Rectangle(4, 0, 1, 4)),)
    fans = link_fans(routes, source, target, held)
    assert fans.active.tolist() == [True, False, True, False]
    (circuit,) = link_circuits("a", routes, source, target, fans)
    top = [area for area in circuit.areas if area.y == 0]
    assert top == [
        RouterArea(1, 0, 1, 1, ("R>E",)),
        RouterArea(2, 0, 1, 1, ("W>E",)),
        RouterArea(3, 0, 1, 1, ("W>E",)),
        RouterArea(4, 0, 1, 1, ("W>SR",)),
    ]
    assert all(area.x == 4 for area in circuit.areas if area.y % 2)


def test_routes_of_two_colours_are_two_circuits() -> None:
    """Each has the lanes of its colour and its part of the rectangles."""
    source, target = Rectangle(0, 0, 2, 4), Rectangle(4, 0, 2, 4)
    routes = tuple(
        Route(colour, Rectangle(1, 2 * colour, 1, 2), Rectangle(4, 2 * colour, 1, 2)) for colour in (0, 1)
    )
    fans = link_fans(routes, source, target, np.ones((4, 2), np.int64))
    first, second = link_circuits("a", routes, source, target, fans)
    assert {area.y for area in first.areas} == {0}
    assert {area.y for area in second.areas} == {2}
