"""Compares the analytic model of cycles with cycles measured on hardware, cell by cell.

    python benchmarks/hardware_cycles.py [--data DIR] [--json FILE]

Prints measured cycles, prediction and error of each cell, the mean and worst error of each file and of each column, and how
many overheads were fitted to measurements (`benchmarks/fit_cycles.py`).
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from fit_cycles import DATA, FITTED
from measured_cycles import BadTable, read_measurements
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measured cell beside its prediction; `error` is relative, positive where the prediction is too high."""

    file: str
    row: int
    column: str
    measured: float
    predicted: float
    error: float


def compare(folder: Path) -> tuple[Comparison, ...]:
    """Predict every measured cell of a folder.

    Raises:
        BadTable: A file cannot be used.
    """
    targets = {name: load_target(name) for name in FITTED}
    found = []
    for cell in read_measurements(folder):
        predicted = cell.predict(targets[cell.target])
        error = predicted / cell.cycles - 1
        found.append(Comparison(cell.file, cell.row, cell.column, cell.cycles, predicted, error))
    return tuple(found)


def summary(comparisons: Sequence[Comparison]) -> dict[tuple[str, str], tuple[float, float]]:
    """Mean and worst absolute error by file and column."""
    errors: dict[tuple[str, str], list[float]] = {}
    for each in comparisons:
        errors.setdefault((each.file, each.column), []).append(abs(each.error))
    return {key: (sum(each) / len(each), max(each)) for key, each in errors.items()}


def report(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print all cells, then the errors by file."""
    cells = Table("file", "row", "column", "measured", "predicted", "error", box=None)
    for each in comparisons:
        numbers = (f"{each.measured:,.1f}", f"{each.predicted:,.1f}", f"{each.error:+.2%}")
        cells.add_row(each.file, str(each.row), each.column, *numbers)
    console.print(cells)
    errors = Table("file", "column", "mean error", "worst error", box=None)
    for (file, column), (mean, worst) in summary(comparisons).items():
        errors.add_row(file, column, f"{mean:.2%}", f"{worst:.2%}")
    console.print(errors)
    counts = ", ".join(f"{name} {len(overheads)}" for name, overheads in FITTED.items())
    console.print(f"fitted constants: {counts}; no prefill row takes part in a fit")


def main() -> None:
    """Compare, print, and write the JSON file if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the tables")
    parser.add_argument("--json", type=Path, help="write all cells to this file")
    arguments = parser.parse_args()
    try:
        comparisons = compare(arguments.data)
    except (BadTable, OSError) as error:
        parser.exit(2, f"error: {error}\n")
    report(comparisons, Console(width=120, soft_wrap=True))
    if arguments.json:
        fields = ("file", "row", "column", "measured", "predicted", "error")
        rows = [{name: getattr(each, name) for name in fields} for each in comparisons]
        counts = {name: len(overheads) for name, overheads in FITTED.items()}
        draft = arguments.json.with_name(f".{arguments.json.name}.draft")
        draft.write_text(json.dumps({"fitted_constants": counts, "rows": rows}, indent=1) + "\n")
        draft.replace(arguments.json)


if __name__ == "__main__":
    main()
