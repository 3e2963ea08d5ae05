"""The columns that rows use around their dead cores: living ones in order, near those of the rows beside them."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.row_shifts import shift_rows


def _distance(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    return sum(abs(left - right) for left, right in zip(a, b, strict=True))


@given(seed=st.integers(0, 1000), share=st.floats(0, 0.5), rows=st.integers(1, 6), width=st.integers(1, 9))
def test_rows_use_living_columns_in_order(seed: int, share: float, rows: int, width: int) -> None:
    """As many as are asked for, each alive, each behind the one before it."""
    alive = np.random.default_rng(seed).random((rows, width)) >= share
    used = int(alive.sum(axis=1).min())
    chosen = shift_rows(alive, used)
    assert chosen.shape == (rows, used)
    assert (np.diff(chosen, axis=1) > 0).all()
    assert np.take_along_axis(alive, chosen, axis=1).all()


@given(seed=st.integers(0, 1000))
def test_the_last_row_is_as_near_as_any_to_the_one_above(seed: int) -> None:
    """Of all ways to choose its columns, tried one by one, none is nearer."""
    alive = np.random.default_rng(seed).random((4, 9)) >= 0.3
    used = max(1, int(alive.sum(axis=1).min()))
    alive[:, :used] |= alive.sum(axis=1, keepdims=True) < used
    chosen = [tuple(map(int, row)) for row in shift_rows(alive, used)]
    living = [int(column) for column in np.flatnonzero(alive[-1])]
    nearest = min(_distance(columns, chosen[-2]) for columns in itertools.combinations(living, used))
    assert _distance(chosen[-1], chosen[-2]) == nearest


def test_a_row_without_dead_cores_follows_its_neighbours() -> None:
    """All rows shift past the two dead cores of the middle one where it must: nothing lies more than a hop apart."""
    alive = np.ones((3, 8), dtype=np.bool_)
    alive[1, [2, 5]] = False
    assert shift_rows(alive, 6).tolist() == [[0, 1, 3, 4, 6, 7]] * 3
