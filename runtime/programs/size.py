"""What the simulation of a plan would take, from its records alone, before anything is followed or laid out.

Bytes were measured on encoder blocks of 16,000 and 83,000 cores; they are about right where blocks or links make up most.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.size import bytes_text, seconds_text

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel, Phase, Plan

_WORD_BYTES: Final = 9
"""A word of core memory: in the image that is loaded and in the simulator, and scratch words beside the blocks."""

_NEEDED_BYTES: Final = 60
"""An element that a core needs of a link: where it stands in its stream, and in lists of addresses."""

_ROUTER_BYTES: Final = 350
"""A position of a router."""

_HOPS_PER_SECOND: Final = 2e6
"""On one thread of a slow machine, engines included."""


def check_plan_size(plan: Plan, limit_bytes: int) -> None:
    """Nothing, where every phase fits.

    Raises:
        WsecError: WSEC350 a phase would take more memory than `limit_bytes`.
    """
    for wafer in plan.wafers:
        for phase in wafer.phases:
            needed = sum(map(_needed_words, phase.kernels))
            routers = _routers(phase)
            size = _WORD_BYTES * sum(map(_block_words, phase.kernels)) + _NEEDED_BYTES * needed
            size += _ROUTER_BYTES * sum(routers.values())
            if size > limit_bytes:
                raise _too_large(plan, size, limit_bytes, _hops(phase, routers) + needed)


def _block_words(kernel: Kernel) -> int:
    blocks = (*(item.sharding for item in kernel.inputs), *(item.sharding for item in kernel.outputs))
    return math.prod(kernel.mesh.shape) * sum(sharding.block_elements for sharding in blocks)


def _needed_words(kernel: Kernel) -> int:
    needed = (item.sharding.block_elements for item in kernel.inputs if not item.constant)
    return math.prod(kernel.mesh.shape) * sum(needed)


def _routers(phase: Phase) -> dict[str, int]:
    """Positions of routers, by the name of the link or kernel that they serve."""
    found: dict[str, int] = {}
    for circuit in phase.circuits:
        positions = sum(area.width * area.height * len(area.positions) for area in circuit.areas)
        found[circuit.name] = found.get(circuit.name, 0) + positions
    return found


def _hops(phase: Phase, routers: dict[str, int]) -> float:
    """Words times the routers of a lane and its trees."""
    lanes = {link.name: max(1, sum(route.lanes for route in link.routes)) for link in phase.links}
    return sum(link.words * routers.get(link.name, 0) / lanes[link.name] for link in phase.links)


def _too_large(plan: Plan, size: int, limit_bytes: int, hops: float) -> WsecError:
    width, height = plan.region_width, plan.region_height
    shrink = math.sqrt(limit_bytes / size)
    smaller = int(width * shrink), int(height * shrink)
    region = f"compile for a region of about {smaller[0]}x{smaller[1]}, or " if min(smaller) > 1 else ""
    return WsecError(
        code="WSEC350",
        what="the simulation is too large",
        where=f"{width} x {height} cores",
        expected=f"at most {bytes_text(limit_bytes)}",
        found=f"{bytes_text(size)} and about {seconds_text(hops / _HOPS_PER_SECOND)} for {hops:.3g} words over links",
        hint=f"{region}simulate a part of the model",
    )
