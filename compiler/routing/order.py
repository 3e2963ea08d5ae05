"""Passages that keep the order of rows, and the routes on them.

Words come from a rectangle row by row where lanes leave its west or east side, and reach another in the same order where they
enter at its west or east side with the upper lanes above: straight, or turned there and back again. Lanes that turn
once give each lane columns; those that come back to the side they left are upside down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Route
    from wsec.compiler.routing.candidates import Passage
    from wsec.compiler.routing.problem import RoutingLink

_NARROWER: Final = (1, 2, 4, 8)


def keeps_rows(passage: Passage) -> bool:
    """Whether lanes of the passage keep the order of rows."""
    if passage.transposed or (passage.columns is not None and passage.final_rows is None):
        return False
    return not passage.positions(min(2, passage.room), packed=True, most=1)[0].mirrored


def in_order(passage: Passage, link: RoutingLink) -> Iterator[Route]:
    """Routes of a passage that keeps the order of rows: few enough lanes to reach all rows of both ends, or more.

    Lanes reach rows beyond the ends of their strip in a column of their own each, so that twice as many lanes as a rectangle has
    columns reach all of its rows evenly.
    """
    lanes = {passage.room // part for part in _NARROWER}
    for end in (link.source, link.target):
        if end is not None and end.height > passage.room:
            lanes |= {2 * end.width // part for part in _NARROWER}
    for count in sorted(lanes, reverse=True):
        if 0 < count <= passage.room:
            yield from passage.positions(count, packed=True)
