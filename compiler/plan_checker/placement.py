"""Where kernels sit: rectangles as large as their mesh, inside the region, no two of a phase on one core.

Overlaps are found in closed form, each rectangle against all later ones of its phase.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.findings import PLACEMENT, Finding, count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import Kernel, Phase, Plan, Rectangle


def check_placement(plan: Plan) -> list[Finding]:
    """Findings on the rectangles of all kernels."""
    findings: list[Finding] = []
    for wafer in plan.wafers:
        for phase in wafer.phases:
            for kernel in phase.kernels:
                findings += _check_rectangle(kernel, plan)
            findings += _overlaps(phase, share=wafer.mode == "sequential")
    return findings


def inside(inner: Rectangle, outer: Rectangle) -> bool:
    """Whether all cores of `inner`, of which there is at least one, are in `outer`."""
    return (
        inner.width > 0
        and inner.height > 0
        and inner.x >= outer.x
        and inner.y >= outer.y
        and inner.x + inner.width <= outer.x + outer.width
        and inner.y + inner.height <= outer.y + outer.height
    )


def shown(rectangle: Rectangle) -> str:
    """A rectangle for a message."""
    return f"{rectangle.width}x{rectangle.height} cores at x={rectangle.x}, y={rectangle.y}"


def _joined(first: Kernel, second: Kernel) -> bool:
    """Whether two kernels begin at one core: what they compute there follows one another."""
    here, there = first.rectangle, second.rectangle
    return (here.x, here.y) == (there.x, there.y)


def _check_rectangle(kernel: Kernel, plan: Plan) -> Iterator[Finding]:
    where = f"kernel {kernel.name}"
    place, mesh = kernel.rectangle, kernel.mesh
    if (place.width, place.height) != (mesh.width, mesh.height):
        rule = "a rectangle is as large as its mesh"
        yield Finding(PLACEMENT, rule, where, f"{mesh.width}x{mesh.height} cores", shown(place))
    region = type(place)(0, 0, plan.region_width, plan.region_height)
    if not inside(place, region):
        rule = "a rectangle lies inside the region"
        yield Finding(PLACEMENT, rule, where, f"inside {region.width}x{region.height} cores", shown(place))


def _overlaps(phase: Phase, *, share: bool) -> Iterator[Finding]:
    """Kernels that take a turn together may `share` a rectangle: all of it or nothing."""
    places = [kernel.rectangle for kernel in phase.kernels]
    left = np.array([place.x for place in places], dtype=np.int64)
    top = np.array([place.y for place in places], dtype=np.int64)
    right = left + np.array([place.width for place in places], dtype=np.int64)
    bottom = top + np.array([place.height for place in places], dtype=np.int64)
    for i, kernel in enumerate(phase.kernels):
        wide = np.minimum(right[i], right[i + 1 :]) - np.maximum(left[i], left[i + 1 :])
        high = np.minimum(bottom[i], bottom[i + 1 :]) - np.maximum(top[i], top[i + 1 :])
        shared = np.maximum(wide, 0) * np.maximum(high, 0)
        for j in np.flatnonzero(shared).tolist():
            if share and _joined(kernel, phase.kernels[i + 1 + j]):
                continue
            where = f"kernels {kernel.name} and {phase.kernels[i + 1 + j].name}"
            rule = "kernels of a phase share no core"
            yield Finding(
                PLACEMENT, rule, where, "no core in both", f"{count(int(shared[j]), 'core')} in both"
            )
