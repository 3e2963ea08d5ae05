"""Plans and estimates as pandas tables; pandas is imported when one is asked for."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from types import ModuleType

    from pandas import DataFrame

    from wsec.compiler.plan import Kernel, Plan
    from wsec.runtime.estimate import Estimate


def estimate_table(estimate: Estimate) -> DataFrame:
    """One row for each kernel, one column for each number of `KernelEstimate`.

    Raises:
        WsecError: WSEC586 pandas is not installed.
    """
    rows = [asdict(kernel) for kernel in estimate.kernels]
    for row in rows:
        error = row.pop("known_error")
        row["known_error"] = None if error is None else error["mean"]
    table: DataFrame = _pandas().DataFrame(rows)
    return table


def plan_table(plan: Plan) -> DataFrame:
    """One row for each kernel: where it sits, its split, cycles and bytes.

    Raises:
        WsecError: WSEC586 pandas is not installed.
    """
    rows = [
        {"wafer": number, "phase": position, **_row(kernel)}
        for number, wafer in enumerate(plan.wafers)
        for position, phase in enumerate(wafer.phases)
        for kernel in phase.kernels
    ]
    table: DataFrame = _pandas().DataFrame(rows)
    return table


def _row(kernel: Kernel) -> dict[str, Any]:
    cycles = {f"{name}_cycles": value for name, value in asdict(kernel.cycles).items()}
    memory = {f"{name}_bytes": value for name, value in asdict(kernel.memory).items()}
    return {
        "name": kernel.name,
        "kind": kernel.kind,
        "operators": kernel.operators,
        **asdict(kernel.rectangle),
        "split": kernel.split,
        **cycles,
        "total_cycles": kernel.cycles.total,
        **memory,
        "total_bytes": kernel.memory.total,
    }


def _pandas() -> ModuleType:
    try:
        import pandas as pd
    except ImportError as error:
        raise WsecError(
            code="WSEC586",
            what="tables need pandas",
            where="to_dataframe",
            expected="the package pandas",
            found=str(error),
            hint='install it: pip install "wsec[dataframe]"',
        ) from error
    return pd
