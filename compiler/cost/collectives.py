"""Cycles of one-dimensional collectives between cores of a kernel.

Formulas of "Near-Optimal Wafer-Scale Reduce" (arXiv 2404.15888), with the distance between neighbours of the
collective written out: `hop` cycles for each of `spacing` hops. All arguments may be arrays.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.target import Fabric


def flight_cycles(hops: int, fabric: Fabric) -> int:
    """Cycles of one word over that many hops, both ramps included."""
    return math.ceil(fabric.hop_cycles * hops) + 2 * fabric.ramp_cycles


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


def two_level_all_reduce_cycles(
    words: int, cores: int, group: int, switch_cycles: int, fabric: Fabric
) -> float:
    """All-reduce along a line in groups: each group adds towards its middle, the middles towards theirs, then a broadcast.

    `3 B + hop * P + (2 T_R + 1 + switch) * steps`: the words pass a core three times; the way to the middle of the line
    and back is its length; each core on the longest way waits for its neighbour and switches to the task that adds. Two
    halves of a group work at once, so that its longest way has half of its cores.

    Args:
        words: B, of each core.
        cores: P.
        group: Cores of a group.
        switch_cycles: Of a task switch.
        fabric: Hops and ramps.
    """
    if cores <= 1:
        return 0.0
    inside = -(-(min(group, cores) - 1) // 2)
    between = -(-(-(-cores // group) - 1) // 2)
    step = 2 * fabric.ramp_cycles + 1 + switch_cycles
    return float(3 * words + fabric.hop_cycles * cores + step * (inside + between))
