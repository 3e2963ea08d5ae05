"""Cycles of a product of matrices whose blocks shift around a square of cores, one step after the other.

Neighbours of a ring are at most two hops apart, as rings are interleaved (MeshGEMM, arXiv 2502.04563). Measured programs
(`cost.programs.mesh_gemm_cycles`) and the kernels of plans count alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.target import Target


@dataclass(frozen=True, slots=True)
class ShiftCycles:
    """Of all steps: arithmetic, and what words and steps take beyond it."""

    compute: float
    communication: float

    @property
    def total(self) -> float:
        """Of the product."""
        return self.compute + self.communication


@dataclass(frozen=True, slots=True)
class Shifts:
    """What shifts.

    Attributes:
        steps: As many as a side of the square has cores.
        shifting: Words of each block that shifts from step to step.
        aligned: Words of each block that is brought to where it starts, or home in the end, half as many shifts at the most.
        spacing: Cores from one of the square to the next along a line.
    """

    steps: int
    shifting: Sequence[float]
    aligned: Sequence[float]
    spacing: int = 1


def product_by_shifts(
    products: float, shifts: Shifts, target: Target, *, step_cycles: float, move_cycles: float = 0.0
) -> ShiftCycles:
    """Cycles of all steps.

    Words move while the cores compute, and all that come to a core in a step pass its one ramp. When blocks are brought to where they
    start nothing is computed, and words that leave and words that come share the datapath.

    Args:
        products: Cycles of the product of two blocks.
        shifts: What shifts.
        target: The machine.
        step_cycles: From one step to the next, besides.
        move_cycles: Of the datapath, for a word that is sent or received beside arithmetic.
    """
    fabric = target.fabric
    hops = 2 * fabric.hop_cycles * shifts.spacing
    busy = products + 2 * sum(shifts.shifting) * move_cycles
    moved = sum(shifts.shifting) / fabric.link_words_per_cycle + hops
    alone = [
        max(2 * words, words / fabric.link_words_per_cycle + hops + 2 * fabric.ramp_cycles)
        for words in shifts.aligned
    ]
    waiting = shifts.steps * (max(0.0, moved - busy) + step_cycles)
    return ShiftCycles(shifts.steps * busy, waiting + shifts.steps // 2 * sum(alone))
