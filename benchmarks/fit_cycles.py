"""Fits the measured cycles of the target files to the tables under `benchmarks/data`, and prints them as TOML.

    python benchmarks/fit_cycles.py [--data DIR]

Prediction is linear in the overheads but for a maximum of computing and moving words, so Gauss-Newton steps on the
relative errors converge at once. No row of the prefill table takes part in any fit. Beside the overheads stands the error
on each grid size, and on each size of a core's block, when its rows are left out of the fit.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from measured_cycles import Measurement, read_measurements
from wsec.compiler.cost.programs import overheads_of
from wsec.compiler.errors import WsecError
from wsec.compiler.target import Overheads, Target, load_target

if TYPE_CHECKING:
    from collections.abc import Sequence

CORE = ("issue_cycles", "loop_cycles", "wide_step_cycles")
"""Values of the table `[core]` that are fitted; the others are in `[overheads]`."""

INFERRED = ("plain_lanes",)
"""Overheads that no fit gives: of 1, 2 and 4 lanes the one with which the others fit measurements."""

FITTED: dict[str, tuple[str, ...]] = {
    "wse3": (
        *CORE,
        *(field.name for field in dataclasses.fields(Overheads) if field.name not in INFERRED),
    ),
    "wse2": ("step_cycles",),
}
"""By target, the values that were fitted on its own measurements; wse2 takes the others from wse3."""

CONSTANTS = (*FITTED["wse3"], *INFERRED)
"""All values of target files that were taken from measurements of whole programs, on whichever machine."""

UNSEEN = ("wse3_prefill_layer.csv",)
"""Tables of which no row is fitted."""

DATA = Path(__file__).parent / "data"
_STEPS = 4


def fitted(target: Target, names: Sequence[str], rows: Sequence[Measurement]) -> Target:
    """The target with the overheads `names` that fit `rows` best, in the least squares of the relative error."""
    for _ in range(_STEPS):
        start = np.array([value_of(target, name) for name in names])
        base = _relative(target, rows)
        slopes = np.stack(
            [
                _relative(with_values(target, {name: 1 + value}), rows) - base
                for name, value in zip(names, start, strict=True)
            ],
            axis=1,
        )
        change, *_ = np.linalg.lstsq(slopes, 1 - base, rcond=None)
        values = np.maximum(start + change, 1e-3)
        target = with_values(target, {name: float(value) for name, value in zip(names, values, strict=True)})
    return target


def left_out(
    target: Target, names: Sequence[str], rows: Sequence[Measurement], size: str
) -> dict[tuple[str, int], float]:
    """Worst relative error on the rows of each file and each `size` (`grid_side` or `tile`) after a fit without that size."""
    errors: dict[tuple[str, int], float] = {}
    for side in sorted({getattr(row, size) for row in rows}):
        tested = [row for row in rows if getattr(row, size) == side]
        model = fitted(target, names, [row for row in rows if getattr(row, size) != side])
        for row in tested:
            key = (row.file, side)
            errors[key] = max(errors.get(key, 0.0), abs(row.predict(model) / row.cycles - 1))
    return errors


def _relative(target: Target, rows: Sequence[Measurement]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.array([row.predict(target) / row.cycles for row in rows])


def value_of(target: Target, name: str) -> float:
    """A fitted value of a target."""
    value: float = getattr(target.core if name in CORE else overheads_of(target), name)
    return value


def with_values(target: Target, values: dict[str, float]) -> Target:
    """The target with other values of what is fitted."""
    core: dict[str, Any] = {name: value for name, value in values.items() if name in CORE}
    others = {name: value for name, value in values.items() if name not in CORE}
    return dataclasses.replace(
        target,
        core=dataclasses.replace(target.core, **core),
        overheads=dataclasses.replace(overheads_of(target), **others),
    )


def main() -> None:
    """Fit every target and print its overheads."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the tables")
    arguments = parser.parse_args()
    try:
        measurements = read_measurements(arguments.data)
    except WsecError as error:
        parser.exit(2, f"{error}\n")
    for name, overheads in FITTED.items():
        rows = [row for row in measurements if row.target == name and row.file not in UNSEEN]
        model = fitted(load_target(name), overheads, rows)
        print(f"# {name}: {len(overheads)} values fitted to {len(rows)} measurements")
        for key in overheads:
            print(f"{key} = {value_of(model, key):.4g}")
        for size, said in (("grid_side", "grid sizes"), ("tile", "tiles")):
            print(f"# worst error on {said} that are left out of the fit")
            for (file, side), worst in sorted(left_out(model, overheads, rows, size).items()):
                print(f"# {file:32} {side:4} {worst:7.2%}")


if __name__ == "__main__":
    main()
