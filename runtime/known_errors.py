"""How far estimates of cycles were from what was simulated or measured: the range that a figure may be off by.

Against the simulator: `benchmarks/simulation.py` (kernels of plans) and `benchmarks/simulated_programs.py`; against hardware:
`benchmarks/hardware_cycles.py`. docs/validation.md has the tables. Rows are added by hand from what these print; of kernels,
`benchmarks/simulation.py --check` and a test say where they are others than `benchmarks/data/simulated_kernels.json` has.
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
    KnownError(0.0127, 0.0464, 47, "hardware", "2026-11-23"),
)
"""Whole programs: GEMV, GEMM; on hardware the layers of decoders too."""

KERNELS: Final[dict[str, KnownError]] = {
    "attention": KnownError(0.0024, 0.0091, 4, "simulator", "2026-11-23"),
    "concat": KnownError(0.0128, 0.0128, 1, "simulator", "2026-11-23"),
    "convolution": KnownError(0.0002, 0.0004, 11, "simulator", "2026-11-23"),
    "elementwise": KnownError(0.0008, 0.0021, 3, "simulator", "2026-11-23"),
    "expand": KnownError(0.0278, 0.0278, 1, "simulator", "2026-11-23"),
    "gather": KnownError(0.0208, 0.0417, 2, "simulator", "2026-11-23"),
    "matmul": KnownError(0.0008, 0.0029, 20, "simulator", "2026-11-23"),
    "normalization": KnownError(0.0253, 0.0446, 4, "simulator", "2026-11-23"),
    "pad": KnownError(0.0049, 0.0064, 2, "simulator", "2026-11-23"),
    "pooling": KnownError(0.0008, 0.0010, 3, "simulator", "2026-11-23"),
    "reduction": KnownError(0.0033, 0.0099, 6, "simulator", "2026-11-23"),
    "resize": KnownError(0.0043, 0.0068, 2, "simulator", "2026-11-23"),
    "slice": KnownError(0.0044, 0.0044, 1, "simulator", "2026-11-23"),
    "softmax": KnownError(0.0093, 0.0222, 4, "simulator", "2026-11-23"),
    "transpose": KnownError(0.0124, 0.0333, 3, "simulator", "2026-11-23"),
    "transposed_convolution": KnownError(0.0032, 0.0061, 2, "simulator", "2026-11-23"),
}
"""By kind of kernel; a kind that is not here was not compared."""


def known_errors(kernels: Iterable[KernelEstimate]) -> tuple[tuple[str, KnownError], ...]:
    """Of the kinds among these kernels, each once, and of whole programs."""
    kinds = sorted({kernel.kind for kernel in kernels} & KERNELS.keys())
    return (*((kind, KERNELS[kind]) for kind in kinds), *(("whole programs", each) for each in PROGRAMS))


def known_error(kind: str) -> KnownError | None:
    """Of kernels of a kind; None where none was compared."""
    return KERNELS.get(kind)
