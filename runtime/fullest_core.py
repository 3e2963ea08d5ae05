"""The core of a plan with most bytes in use: that of one kernel, or of all kernels that take turns on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from wsec.compiler.plan import Phase, Plan, Wafer


@dataclass(frozen=True, slots=True)
class ResidentCore:
    """Bytes in use on the fullest core of a wafer whose kernels take turns.

    Attributes:
        resident: Weights and states of all kernels whose rectangles have it.
        working: What the turn with most of it works with, wherever that is: activations and buffers.
        code: Of the largest kernel.
    """

    resident: int
    working: int
    code: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.resident + self.working + self.code


def fullest_core(plan: Plan) -> tuple[int, str]:
    """Bytes in use on it, and what they belong to: a kernel, or the turns of a wafer; 0 and no name where there is no kernel.

    Where kernels take turns and all weights stay, the weights and states of every kernel lie on its cores, and beside them what the
    turn with most of it works with, wherever that is. Results that wait for a later turn are not counted.
    """
    found = [
        (resident_core(wafer, plan).total, f"{len(wafer.phases)} turns")
        for wafer in plan.wafers
        if wafer.mode == "sequential"
    ]
    found += [
        (kernel.memory.total, kernel.name)
        for wafer in plan.wafers
        if wafer.mode != "sequential"
        for kernel in wafer.kernels()
    ]
    return max(found, key=lambda each: each[0], default=(0, ""))


def resident_core(wafer: Wafer, plan: Plan) -> ResidentCore:
    """The fullest core of a wafer whose kernels take turns, all weights in place."""
    brought = _brought_bytes(plan)
    edges = np.zeros((plan.region_height + 1, plan.region_width + 1), dtype=np.int64)
    for kernel in wafer.kernels():
        stays = kernel.memory.weights + kernel.memory.states - brought.get(kernel.name, 0)
        area = kernel.rectangle
        edges[area.y, area.x] += stays
        edges[area.y, area.x + area.width] -= stays
        edges[area.y + area.height, area.x] -= stays
        edges[area.y + area.height, area.x + area.width] += stays
    resident = int(edges.cumsum(axis=0).cumsum(axis=1).max(initial=0))
    code = max((kernel.memory.code for kernel in wafer.kernels()), default=0)
    working = (
        sum(
            kernel.memory.activations + kernel.memory.buffers + brought.get(kernel.name, 0)
            for kernel in phase.kernels
        )
        + _coming_bytes(wafer.phases[(turn + 1) % len(wafer.phases)])
        for turn, phase in enumerate(wafer.phases)
    )
    return ResidentCore(resident, max(working, default=0), code)


def _coming_bytes(following: Phase) -> int:
    """Of weights of the turn after, that come in meanwhile."""
    if following.load is None or not following.load.ahead:
        return 0
    return sum(kernel.memory.weights for kernel in following.kernels)


def _brought_bytes(plan: Plan) -> dict[str, int]:
    """Of each kernel, bytes of weights that are there while it works: brought from where a decoder keeps them, or from outside."""
    found = {
        kernel.name: kernel.memory.weights
        for wafer in plan.wafers
        for phase in wafer.phases
        if phase.load is not None
        for kernel in phase.kernels
    }
    for weight in () if plan.shared is None else plan.shared.weights:
        if weight.kept == "moved":
            found[weight.kernel] = found.get(weight.kernel, 0) + weight.bytes
    return found
