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


class BadTable(ValueError):  # noqa: N818 - what is wrong with a file, for its reader
    """Says which file and line cannot be used, and why."""


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
        BadTable: The folder has none of them, or one lacks a column or holds something else than numbers.
    """
    found = [name for name in TABLES if (folder / name).is_file()]
    if not found:
        raise BadTable(f"{folder}: none of {', '.join(TABLES)}")
    return tuple(measurement for name in found for measurement in _read(folder / name))


def _read(path: Path) -> list[Measurement]:
    target, predictors = TABLES[path.name]
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadTable(f"{path}: not a CSV file: {error}") from error
    measurements = []
    for index, line in enumerate(lines):
        for column, needed, predict in predictors:
            if column not in line:
                raise BadTable(f"{path}: no column {column}; it has {', '.join(map(str, line))}")
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
    return measurements


def _bound(predict: Callable[[Row, Target], float], row: Row) -> Callable[[Target], float]:
    return lambda target: predict(row, target)


def _cell(line: Mapping[str, str], name: str, where: str) -> str:
    """A cell, or what the model and the grid say where the table has no such column; sizes are rounded up."""
    if line.get(name):
        return line[name]
    model = line.get("model") or ""
    sizes = MODELS.get(model.removesuffix("-2K"))
    if name == "grid_side" or sizes is None or name == "tile_side":
        raise BadTable(f"{where}: no {name}, and the model is none of {', '.join(MODELS)}")
    side = _whole(line.get("grid_side") or "", "grid_side", where)
    context = SHORT_CONTEXT if model.endswith("-2K") else CONTEXT
    size = {"hidden_per_core": sizes[0], "ffn_per_core": sizes[1]}.get(name, context)
    return str(-(-size // side))


def _whole(text: str, name: str, where: str) -> int:
    value = _number(text, name, where)
    if value != int(value):
        raise BadTable(f"{where}: {name} is {text}, a whole number is needed")
    return int(value)


def _number(text: str, name: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e15:
        raise BadTable(f"{where}: {name} is {text!r}, a number above 0 is needed")
    return value
