"""Cycles of one-dimensional collectives between cores of a kernel.

Formulas of "Near-Optimal Wafer-Scale Reduce" (arXiv 2404.15888), with the distance between neighbours of the
collective written out: `hop` cycles for each of `spacing` hops. All arguments may be arrays.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.target import Fabric


def chain_reduce_cycles(
    words: NDArray[np.float64], cores: NDArray[np.float64], spacing: NDArray[np.float64], fabric: Fabric
) -> NDArray[np.float64]:
    """Reduce along a chain: `B + (2 T_R + 1 + hop * spacing) (P - 1)`; nothing for one core."""
    step = 2 * fabric.ramp_cycles + 1 + fabric.hop_cycles * spacing
    return np.where(cores > 1, words + step * (cores - 1), 0.0)


def all_gather_cycles(
    words: NDArray[np.float64], cores: NDArray[np.float64], spacing: NDArray[np.float64], fabric: Fabric
) -> NDArray[np.float64]:
    """All-gather along a line, `words` from each core: `B P + hop * spacing * P + 2 T_R + 1`; nothing for one core.

    The cores multicast in turn, one dependent step: every ramp takes the words of all.
    """
    distance = fabric.hop_cycles * spacing * cores
    return np.where(cores > 1, words * cores + distance + 2 * fabric.ramp_cycles + 1, 0.0)


def broadcast_cycles(
    words: NDArray[np.float64], cores: NDArray[np.float64], spacing: NDArray[np.float64], fabric: Fabric
) -> NDArray[np.float64]:
    """Broadcast along a line by multicast: `B + hop * spacing * P + 2 T_R`; nothing for one core."""
    distance = fabric.hop_cycles * spacing * cores
    return np.where(cores > 1, words + distance + 2 * fabric.ramp_cycles, 0.0)
