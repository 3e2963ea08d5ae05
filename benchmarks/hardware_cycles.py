"""Compares the analytic model of cycles with cycles measured on hardware, cell by cell.

    python benchmarks/hardware_cycles.py [--data DIR] [--json FILE]

Prints measured cycles, prediction and error of each cell, the mean and worst error of each file and of each column, and how
many constants of the target files that were taken from measurements (`benchmarks/fit_cycles.py`) these predictions read.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from fit_cycles import CONSTANTS, DATA, FITTED, value_of, with_values
from measured_cycles import Measurement, missing_tables, read_measurements
from wsec.compiler.errors import WsecError
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class Comparison:
    """One measured cell beside its prediction; `error` is relative, positive where the prediction is too high."""

    file: str
    row: int
    column: str
    measured: float
    predicted: float
    error: float


def compare(measurements: Sequence[Measurement]) -> tuple[Comparison, ...]:
    """Predict every measured cell."""
    targets = {name: load_target(name) for name in FITTED}
    found = []
    for cell in measurements:
        predicted = cell.predict(targets[cell.target])
        error = predicted / cell.cycles - 1
        found.append(Comparison(cell.file, cell.row, cell.column, cell.cycles, predicted, error))
    return tuple(found)


def constants_in_use(measurements: Sequence[Measurement]) -> dict[str, tuple[str, ...]]:
    """By target, the constants taken from measurements, of it or of another target, that a prediction for it depends on.

    Each is halved and doubled: it is in use where any prediction moves.
    """
    used = {}
    for name in FITTED:
        target, rows = load_target(name), [cell for cell in measurements if cell.target == name]
        before = [cell.predict(target) for cell in rows]
        used[name] = tuple(
            constant
            for constant in CONSTANTS
            if any(
                [
                    cell.predict(with_values(target, {constant: factor * value_of(target, constant)}))
                    for cell in rows
                ]
                != before
                for factor in (0.5, 2.0)
            )
        )
    return used


def summary(comparisons: Sequence[Comparison]) -> dict[tuple[str, str], tuple[float, float]]:
    """Mean and worst absolute error by file and column."""
    errors: dict[tuple[str, str], list[float]] = {}
    for each in comparisons:
        errors.setdefault((each.file, each.column), []).append(abs(each.error))
    return {key: (sum(each) / len(each), max(each)) for key, each in errors.items()}


def report(comparisons: Sequence[Comparison], used: Mapping[str, Sequence[str]], console: Console) -> None:
    """Print all cells, then the errors by file, then the constants in use."""
    cells = Table("file", "row", "column", "measured", "predicted", "error", box=None)
    for each in comparisons:
        numbers = (f"{each.measured:,.1f}", f"{each.predicted:,.1f}", f"{each.error:+.2%}")
        cells.add_row(each.file, str(each.row), each.column, *numbers)
    console.print(cells)
    errors = Table("file", "column", "mean error", "worst error", box=None)
    for (file, column), (mean, worst) in summary(comparisons).items():
        errors.add_row(file, column, f"{mean:.2%}", f"{worst:.2%}")
    console.print(errors)
    counts = ", ".join(f"{name} {len(constants)}" for name, constants in used.items())
    console.print(f"fitted constants in use: {counts}; no prefill row takes part in a fit")
    for name, constants in used.items():
        console.print(f"  {name}: {', '.join(constants) or 'none'}")


def main() -> None:
    """Compare, print, and write the JSON file if asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the tables")
    parser.add_argument("--json", type=Path, help="write all cells to this file")
    arguments = parser.parse_args()
    try:
        measurements = read_measurements(arguments.data)
    except WsecError as error:
        parser.exit(2, f"{error}\n")
    comparisons, used = compare(measurements), constants_in_use(measurements)
    report(comparisons, used, Console(width=120, soft_wrap=True))
    for name in missing_tables(arguments.data):
        print(f"not there: {arguments.data / name}")
    if arguments.json:
        try:
            _write(arguments.json, comparisons, used)
        except OSError as error:
            parser.exit(2, f"error: {arguments.json}: {error.strerror}\n")


def _write(path: Path, comparisons: Sequence[Comparison], used: Mapping[str, Sequence[str]]) -> None:
    fields = ("file", "row", "column", "measured", "predicted", "error")
    rows = [{name: getattr(each, name) for name in fields} for each in comparisons]
    counts = {name: len(constants) for name, constants in used.items()}
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(json.dumps({"fitted_constants": counts, "rows": rows}, indent=1) + "\n")
    draft.replace(path)


if __name__ == "__main__":
    main()
