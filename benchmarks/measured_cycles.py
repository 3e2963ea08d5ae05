"""Cycles measured on hardware, and what the analytic model says of each: the tables under `benchmarks/data`.

A table is a CSV file; `TABLES` names its predictors. Rows and cells that a file does not have are left out.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.cost.programs import (
    chain_gemv_cycles,
    decode_layer_cycles,
    gemv_cycles,
    library_summa_cycles,
    mesh_gemm_cycles,
    prefill_layer_cycles,
    summa_cycles,
)
from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from wsec.compiler.target import Target

MODELS: dict[str, tuple[int, int]] = {
    "LLaMA3-8B": (4096, 14336),
    "LLaMA2-13B": (5120, 13824),
    "CodeLLaMA-34B": (8192, 22016),
    "QWen2-72B": (8192, 29568),
}
"""Hidden and feed-forward size of the models that were measured."""

CONTEXT = 4096
SHORT_CONTEXT = 2048
_MOST = 1e15


def bad_table(where: str, expected: str, found: str) -> WsecError:
    """WSEC598: which file and line cannot be used, and why."""
    return WsecError(
        code="WSEC598",
        what="a table of measured cycles cannot be used",
        where=where,
        expected=expected,
        found=found,
        hint="benchmarks/data has tables of every kind, and its README says what their columns mean",
    )


@dataclass(frozen=True, slots=True)
class Measurement:
    """One measured cell: `row` counts the data rows of `file` from 0; `tile` is the side of a core's block.

    `predict` takes a target.
    """

    file: str
    row: int
    column: str
    target: str
    grid_side: int
    tile: int
    cycles: float
    predict: Callable[[Target], float]


Row = dict[str, int]
Predictor = tuple[str, tuple[str, ...], "Callable[[Row, Target], float]"]


def _square(program: Callable[[int, int, Target], float]) -> Callable[[Row, Target], float]:
    return lambda row, target: program(row["grid_side"], row["tile_side"], target)


def _mesh_gemm(row: Row, target: Target) -> float:
    tile = row["tile_side"]
    return mesh_gemm_cycles(row["grid_side"], tile, tile, tile, target)


def _decode(row: Row, target: Target) -> float:
    sizes = (row["hidden_per_core"], row["kv_length_per_core"], row["ffn_per_core"])
    return decode_layer_cycles(row["grid_side"], *sizes, target)


def _prefill(row: Row, target: Target) -> float:
    sizes = (row["hidden_per_core"], row["sequence_per_core"], row["ffn_per_core"])
    return prefill_layer_cycles(row["grid_side"], *sizes, target)


_SQUARE = ("grid_side", "tile_side")
_DECODE = ("grid_side", "hidden_per_core", "kv_length_per_core", "ffn_per_core")
_PREFILL = ("grid_side", "hidden_per_core", "sequence_per_core", "ffn_per_core")

TABLES: dict[str, tuple[str, tuple[Predictor, ...]]] = {
    "wse3_gemv.csv": ("wse3", (("cycles", _SQUARE, _square(gemv_cycles)),)),
    "wse3_gemv_chain_allreduce.csv": ("wse3", (("cycles", _SQUARE, _square(chain_gemv_cycles)),)),
    "wse3_gemm.csv": (
        "wse3",
        (
            ("meshgemm_cycles", _SQUARE, _mesh_gemm),
            ("summa_multicast_cycles", _SQUARE, _square(summa_cycles)),
            ("summa_vendor_collectives_cycles", _SQUARE, _square(library_summa_cycles)),
        ),
    ),
    "wse3_decode_layer.csv": ("wse3", (("cycles_per_layer", _DECODE, _decode),)),
    "wse3_prefill_layer.csv": ("wse3", (("cycles_per_layer", _PREFILL, _prefill),)),
    "wse2_decode_layer.csv": ("wse2", (("cycles_per_layer", _DECODE, _decode),)),
}
"""By file: the machine, and for each measured column the columns that the prediction needs, and the prediction."""


def read_measurements(folder: Path) -> tuple[Measurement, ...]:
    """Every measured cell of the files of `TABLES` that `folder` has.

    Raises:
        WsecError: WSEC598 the folder has none of them, or one lacks a column, has no rows or holds something else than numbers.
    """
    found = [name for name in TABLES if (folder / name).is_file()]
    if not found:
        raise bad_table(str(folder), f"a folder with one of {', '.join(TABLES)}", "none of them")
    return tuple(measurement for name in found for measurement in _read(folder / name))


def missing_tables(folder: Path) -> tuple[str, ...]:
    """The files of `TABLES` that `folder` does not have."""
    return tuple(name for name in TABLES if not (folder / name).is_file())


def _read(path: Path) -> list[Measurement]:
    target, predictors = TABLES[path.name]
    columns, lines = _lines(path)
    for column, _, _ in predictors:
        if column not in columns:
            raise bad_table(str(path), f"a column {column}", f"columns {', '.join(columns) or 'none'}")
    measurements = []
    for index, line in enumerate(lines):
        for column, needed, predict in predictors:
            if not (line[column] or "").strip():
                continue
            where = f"{path}, data row {index}"
            row = {name: _whole(_cell(line, name, where), name, where) for name in needed}
            cycles = _number(line[column], column, where)
            tile = row.get("tile_side", row.get("hidden_per_core", 0))
            sizes = (row["grid_side"], tile)
            measurements.append(
                Measurement(path.name, index, column, target, *sizes, cycles, _bound(predict, row))
            )
    if not measurements:
        raise bad_table(
            str(path), "at least one row with a measured cell", f"{len(lines)} rows, none with one"
        )
    return measurements


def _lines(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """The columns of a table and its rows."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            lines = list(reader)
            columns = list(reader.fieldnames or ())
    except (UnicodeDecodeError, csv.Error) as error:
        raise bad_table(str(path), "a CSV file", str(error)) from error
    except OSError as error:
        raise bad_table(str(path), "a file that can be read", error.strerror or str(error)) from error
    for index, line in enumerate(lines):
        if None in line:
            more = len(columns) + len(line[None])
            raise bad_table(f"{path}, data row {index}", f"{len(columns)} cells", f"{more}")
    return columns, lines


def _bound(predict: Callable[[Row, Target], float], row: Row) -> Callable[[Target], float]:
    return lambda target: predict(row, target)


def _cell(line: Mapping[str, str], name: str, where: str) -> str:
    """A cell, or what the model and the grid say where the table has no such column; sizes are rounded up."""
    if line.get(name):
        return line[name]
    model = line.get("model") or ""
    sizes = MODELS.get(model.removesuffix("-2K"))
    if name == "grid_side" or sizes is None or name == "tile_side":
        expected = f"a cell {name}"
        if name not in {"grid_side", "tile_side"}:
            expected += f", or a model of {', '.join(MODELS)}"
        raise bad_table(where, expected, f"none, and the model {model!r}" if model else "none")
    side = _whole(line.get("grid_side") or "", "grid_side", where)
    context = SHORT_CONTEXT if model.endswith("-2K") else CONTEXT
    size = {"hidden_per_core": sizes[0], "ffn_per_core": sizes[1]}.get(name, context)
    return str(-(-size // side))


def _whole(text: str, name: str, where: str) -> int:
    value = _number(text, name, where)
    if value != int(value):
        raise bad_table(where, f"a whole number for {name}", repr(text))
    return int(value)


def _number(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < _MOST:
        raise bad_table(where, f"a number above 0 for {name}", repr(text))
    return value
