"""Links that are to keep the order of rows leave and enter at the west or the east, never upside down."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.fabric.strips import source_strips, target_strips
from wsec.compiler.plan import Rectangle
from wsec.compiler.routing import RoutingLink, route
from wsec.compiler.target import load_target

MESH = load_target("mesh64")
SIDE = st.integers(2, 18)


@given(st.tuples(SIDE, SIDE), st.tuples(SIDE, SIDE), st.integers(0, 40), st.integers(1, 4000))
def test_order_is_kept_between_rectangles_side_by_side(
    size: tuple[int, int], other: tuple[int, int], y: int, words: int
) -> None:
    """Wherever the one stands in its columns, straight lanes or lanes that turn there and back join them."""
    source, target = Rectangle(1, 20, *size), Rectangle(40, y, *other)
    link = RoutingLink("a", source, target, words, ordered=True)
    (result,) = route([link], width=64, height=64, target=MESH, interval=500)
    assert len(result.routes) == 1
    (leaving,), (entering,) = source_strips(result.routes, source), target_strips(result.routes, target)
    assert leaving.side in "EW"
    assert entering.side in "EW"
    assert len(entering.numbers) == 1 or entering.numbers.step > 0


def test_rectangles_of_the_same_rows_are_joined_by_all_of_them() -> None:
    """A lane from each row, however few the words: what a row of the one holds is what that of the other needs."""
    link = RoutingLink("a", Rectangle(0, 3, 4, 30), Rectangle(20, 3, 9, 30), 60, ordered=True)
    (result,) = route([link], width=64, height=64, target=MESH, interval=500)
    assert result.lanes == 30


def test_one_above_the_other_has_no_such_way_and_takes_any() -> None:
    """The link is routed all the same."""
    link = RoutingLink("a", Rectangle(0, 0, 60, 10), Rectangle(0, 20, 60, 10), 600, ordered=True)
    (result,) = route([link], width=64, height=64, target=MESH, interval=500)
    assert result.routes
