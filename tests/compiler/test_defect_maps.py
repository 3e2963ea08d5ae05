"""The grid around dead cores: whole, as large as any, on living cores only, and its hops counted."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.defects import map_defects, read_defects
from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import DefectMap


def _used(found: DefectMap) -> list[list[int]]:
    return [[column for column in range(found.width) if column not in skipped] for skipped in found.skipped]


@given(
    width=st.integers(1, 12),
    height=st.integers(1, 12),
    share=st.floats(0, 0.9),
    seed=st.integers(0, 1000),
)
def test_the_grid_is_whole_living_and_largest(width: int, height: int, share: float, seed: int) -> None:
    """Every row used has equally many columns, all alive; no other number of columns has more cores."""
    random = np.random.default_rng(seed).random((height, width))
    dead = [(int(column), int(row)) for row, column in np.argwhere(random < share)]
    if len(dead) == width * height:
        with pytest.raises(WsecError, match="WSEC209"):
            map_defects(dead, width, height)
        return
    found = map_defects(dead, width, height)
    used = _used(found)
    assert list(found.rows) == sorted(set(found.rows))
    assert all(len(columns) == found.columns for columns in used)
    for row, columns in zip(found.rows, used, strict=True):
        assert not {(column, row) for column in columns} & set(dead)
    living = [width - sum(1 for _, at in dead if at == row) for row in range(height)]
    largest = max(count * sum(1 for each in living if each >= count) for count in range(width + 1))
    assert found.columns * len(found.rows) == largest


@given(seed=st.integers(0, 1000))
def test_hops_are_the_distances_on_the_wafer(seed: int) -> None:
    """Means over all neighbours, counted one by one."""
    random = np.random.default_rng(seed).random((8, 30))
    dead = [(int(column), int(row)) for row, column in np.argwhere(random < 0.1)]
    found = map_defects(dead, 30, 8)
    used = _used(found)
    along = [right - left for columns in used for left, right in itertools.pairwise(columns)]
    assert found.row_hops == pytest.approx(np.mean(along))
    across = [
        abs(a - b) + found.rows[index + 1] - found.rows[index]
        for index in range(len(used) - 1)
        for a, b in zip(used[index], used[index + 1], strict=True)
    ]
    assert found.column_hops == pytest.approx(np.mean(across) if across else 1.0)


def test_a_wafer_without_defects_is_as_it_was() -> None:
    """No column skipped, every hop one."""
    found = map_defects([], 5, 4)
    assert (found.columns, found.rows, found.row_hops, found.column_hops) == (5, (0, 1, 2, 3), 1.0, 1.0)


def test_one_percent_of_dead_cores_costs_few_columns() -> None:
    """Rows keep close to each other: three in four neighbours of a column lie one hop apart."""
    random = np.random.default_rng(0).random((994, 750))
    dead = [(int(column), int(row)) for row, column in np.argwhere(random < 0.01)]
    found = map_defects(dead, 750, 994)
    assert found.columns * len(found.rows) >= 0.97 * 750 * 994
    assert found.column_hops < 1.3


def test_a_file_names_rows_columns_and_cores(tmp_path: Path) -> None:
    """All three are joined, and nothing is counted twice."""
    path = tmp_path / "dead.toml"
    path.write_text("rows = [1]\ncolumns = [0]\ncores = [[2, 2], [0, 1]]\n")
    assert read_defects(path, 3, 3) == ((0, 0), (0, 1), (0, 2), (1, 1), (2, 1), (2, 2))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("rows = [3]", "rows: 3"),
        ("columns = [-1]\ncolors = 1", "colors: unknown key\ncolumns: -1"),
        ("cores = [[0]]", "cores: [0]"),
        ("cores = 4", "cores = 4: a list of [column, row] is needed"),
        ("rows = true", "rows = True: a list of whole numbers is needed"),
        ("rows = [", "Invalid value (at end of document)"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(tmp_path: Path, text: str, found: str) -> None:
    """Every entry that names no core of the wafer."""
    path = tmp_path / "dead.toml"
    path.write_text(text)
    with pytest.raises(WsecError) as error:
        read_defects(path, 3, 3)
    assert error.value.code == "WSEC209"
    assert error.value.found == found
