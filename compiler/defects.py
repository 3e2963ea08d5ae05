"""Dead cores and rows, and the smaller whole grid that programs see instead.

The hardware's own way: a row shifts past its dead cores onto spare columns. All rows that are used get the same number
of columns; rows with fewer living cores are left out. Which number gives most cores is found by trying all. Where a row has
more living cores than it needs, `row_shifts` chooses those it skips.

A router beside a dead core reaches the next living one over the links of the dead one's router, a hop for each core
passed: neighbours of the smaller grid may lie several hops apart.
"""

from __future__ import annotations

import tomllib
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import DefectMap
from wsec.compiler.row_shifts import shift_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from wsec.compiler.row_shifts import Columns
    from wsec.compiler.target import Target

_KEYS = ("rows", "columns", "cores")


def read_defects(path: Path, width: int, height: int) -> tuple[tuple[int, int], ...]:
    """The dead cores that a TOML file lists, (column, row), sorted.

    Args:
        path: Of a file with any of `rows = [row, ...]`, `columns = [column, ...]`, `cores = [[column, row], ...]`.
        width: Columns of the wafer.
        height: Rows of it.

    Raises:
        WsecError: WSEC209 the file cannot be read, or names something else than cores of the wafer.
    """
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise _bad_map(str(path), f"a TOML file with {', '.join(_KEYS)}", reason) from error
    problems = [f"{name}: unknown key" for name in data if name not in _KEYS]
    rows, columns = (_numbers(data, *axis, problems) for axis in (("rows", height), ("columns", width)))
    cores = list(_cores(data, width, height, problems))
    if problems:
        expected = f"columns from 0 to {width - 1} and rows from 0 to {height - 1}"
        raise _bad_map(str(path), expected, "\n".join(problems[:20]))
    whole_rows = {(column, row) for row in rows for column in range(width)}
    whole_columns = {(column, row) for column in columns for row in range(height)}
    return tuple(sorted(whole_rows | whole_columns | set(cores)))


def map_defects(dead: Iterable[tuple[int, int]], width: int, height: int) -> DefectMap:
    """The largest whole grid around the dead cores of a wafer of `width` columns and `height` rows.

    Raises:
        WsecError: WSEC209 no living core is left.
    """
    dead = tuple(sorted(set(dead)))
    alive = np.ones((height, width), dtype=bool)
    if dead:
        columns, rows = np.array(dead, dtype=np.int64).T
        alive[rows, columns] = False
    living = alive.sum(axis=1)
    wanted = np.arange(width + 1)
    cores = wanted * (living[:, None] >= wanted).sum(axis=0)
    used = int(cores.argmax())
    if used == 0:
        raise _bad_map("the wafer", "a living core", f"all of {width} x {height} cores are dead")
    kept = np.flatnonzero(living >= used)
    chosen = shift_rows(alive[kept], used)
    mask = np.zeros((len(kept), width), dtype=bool)
    np.put_along_axis(mask, chosen, values=True, axis=1)
    skipped = tuple(tuple(int(column) for column in np.flatnonzero(~row)) for row in mask)
    row_hops, column_hops = _mean_hops(chosen, kept)
    return DefectMap(width, height, dead, tuple(map(int, kept)), skipped, row_hops, column_hops)


def around_defects(target: Target, found: DefectMap) -> Target:
    """The machine as programs see it around its dead cores: a smaller grid, and hops as long as they are on average.

    The longer of the two averages counts in both directions, as most formulas do not say in which words travel.
    """
    grid = replace(target.grid, width=found.columns, height=len(found.rows))
    hop = target.fabric.hop_cycles * max(found.row_hops, found.column_hops)
    return replace(target, grid=grid, fabric=replace(target.fabric, hop_cycles=hop))


def defect_notes(found: DefectMap) -> tuple[str, ...]:
    """What dead cores cost, for the user; nothing where there are none."""
    if not found.dead:
        return ()
    grid = f"{found.columns} x {len(found.rows)} instead of {found.width} x {found.height}"
    hops = f"{found.row_hops:.2f} hops apart in a row on average, {found.column_hops:.2f} in a column"
    return (f"{len(found.dead):,} dead cores: the grid is {grid}; neighbours lie {hops}",)


def _mean_hops(chosen: Columns, kept: NDArray[np.int64]) -> tuple[float, float]:
    """Hops between neighbours of a row and of a column, on average; 1 where there are no neighbours."""
    along_rows = np.diff(chosen, axis=1)
    along_columns = np.diff(kept)[:, None] + np.abs(np.diff(chosen, axis=0))
    return tuple(float(hops.mean()) if hops.size else 1.0 for hops in (along_rows, along_columns))  # type: ignore[return-value]


def _numbers(data: Mapping[str, object], name: str, limit: int, problems: list[str]) -> list[int]:
    listed = data.get(name, [])
    if not isinstance(listed, list):
        problems.append(f"{name} = {listed}: a list of whole numbers is needed")
        return []
    bad = [item for item in listed if type(item) is not int or not 0 <= item < limit]
    problems += [f"{name}: {item}" for item in bad]
    return [item for item in listed if item not in bad]


def _cores(
    data: Mapping[str, object], width: int, height: int, problems: list[str]
) -> Iterable[tuple[int, int]]:
    listed = data.get("cores", [])
    if not isinstance(listed, list):
        problems.append(f"cores = {listed}: a list of [column, row] is needed")
        return
    for item in listed:
        whole = isinstance(item, list) and len(item) == 2 and all(type(part) is int for part in item)
        if whole and 0 <= item[0] < width and 0 <= item[1] < height:
            yield item[0], item[1]
        else:
            problems.append(f"cores: {item}")


def _bad_map(where: str, expected: str, found: str) -> WsecError:
    return WsecError(
        "WSEC209",
        "the list of dead cores cannot be used",
        where=where,
        expected=expected,
        found=found,
        hint="docs/targets.md describes the file",
    )
