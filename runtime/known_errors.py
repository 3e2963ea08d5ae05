"""How far estimates of cycles were from what was simulated or measured: the range that a figure may be off by.

Against the simulator: `benchmarks/simulation.py` (kernels of plans) and `benchmarks/simulated_programs.py`; against hardware:
`benchmarks/hardware_cycles.py`. docs/validation.md has the tables. Rows are added by hand from what these print.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wsec.runtime.estimate import KernelEstimate


@dataclass(frozen=True, slots=True)
class KnownError:
    """Errors of estimates, as shares of what was counted or measured.

    Attributes:
        mean: Of the absolute errors.
        worst: The largest.
        configurations: How many were compared.
        against: What with.
        date: When.
    """

    mean: float
    worst: float
    configurations: int
    against: Literal["simulator", "hardware"]
    date: str


PROGRAMS: Final = (
    KnownError(0.0140, 0.0514, 60, "simulator", "2026-11-23"),
    KnownError(0.0093, 0.0426, 47, "hardware", "2026-11-23"),
)
"""Whole programs: GEMV, GEMM; on hardware the layers of decoders too."""

KERNELS: Final[dict[str, KnownError]] = {}
"""By kind of kernel; a kind that is not here was not compared."""


def known_errors(kernels: Iterable[KernelEstimate]) -> tuple[tuple[str, KnownError], ...]:
    """Of the kinds among these kernels, each once, and of whole programs."""
    kinds = sorted({kernel.kind for kernel in kernels} & KERNELS.keys())
    return (*((kind, KERNELS[kind]) for kind in kinds), *(("whole programs", each) for each in PROGRAMS))


def known_error(kind: str) -> KnownError | None:
    """Of kernels of a kind; None where none was compared."""
    return KERNELS.get(kind)
