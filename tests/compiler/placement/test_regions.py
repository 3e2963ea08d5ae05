"""The free space around reserved rectangles, counted core by core."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.placement.problem import Rectangle
from wsec.compiler.placement.regions import maximal_spaces, tilings

if TYPE_CHECKING:
    from numpy.typing import NDArray

SIDE = 7
BLOCKS = st.lists(
    st.builds(
        Rectangle, st.integers(-2, SIDE), st.integers(-2, SIDE), st.integers(1, SIDE), st.integers(1, SIDE)
    ),
    max_size=4,
).map(tuple)
GRID = Rectangle(0, 0, SIDE, SIDE)


def _free(blocks: tuple[Rectangle, ...]) -> NDArray[np.int64]:
    free = np.ones((SIDE, SIDE), dtype=np.int64)
    for block in blocks:
        free[max(0, block.y) : max(0, block.bottom), max(0, block.x) : max(0, block.right)] = 0
    return free


@given(BLOCKS)
def test_each_tiling_covers_each_free_core_once(blocks: tuple[Rectangle, ...]) -> None:
    """No free core is lost, none counted twice, and no reserved one used."""
    free = _free(blocks)
    for tiling in tilings(GRID, blocks):
        counted = np.zeros((SIDE, SIDE), dtype=np.int64)
        for tile in tiling:
            counted[tile.y : tile.bottom, tile.x : tile.right] += 1
        assert np.array_equal(counted, free)


@given(BLOCKS)
def test_every_free_rectangle_lies_in_a_maximal_space(blocks: tuple[Rectangle, ...]) -> None:
    """So "fits no maximal space" is a proof that a kernel cannot be placed."""
    free = _free(blocks)
    spaces = maximal_spaces(GRID, blocks)
    for space in spaces:
        assert free[space.y : space.bottom, space.x : space.right].all()
    for x in range(SIDE):
        for y in range(SIDE):
            for right in range(x + 1, SIDE + 1):
                for bottom in range(y + 1, SIDE + 1):
                    if free[y:bottom, x:right].all():
                        assert any(
                            s.x <= x and s.y <= y and right <= s.right and bottom <= s.bottom for s in spaces
                        )
