"""Whether the constraints that a plan records hold of its rectangles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.plan_checker.findings import CONSTRAINT, Finding, count
from wsec.compiler.plan_checker.placement import inside, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.plan import PlacementConstraint, Plan, Rectangle


@dataclass(frozen=True, slots=True)
class _Site:
    """Where an operator is: wafer, phase, the kernel that computes it and its rectangle."""

    phase: tuple[int, int]
    kernel: str
    rectangle: Rectangle


def check_constraints(plan: Plan) -> list[Finding]:
    """Findings on constraints that are broken, or that say too little."""
    sites: dict[str, _Site] = {}
    for i, wafer in enumerate(plan.wafers):
        for j, phase in enumerate(wafer.phases):
            for kernel in phase.kernels:
                sites |= dict.fromkeys(kernel.operators, _Site((i, j), kernel.name, kernel.rectangle))
    findings: list[Finding] = []
    for index, constraint in enumerate(plan.constraints):
        name = f"constraint {constraint.name or index}"
        unknown = [operator for operator in constraint.operators if operator not in sites]
        if unknown:
            rule = "a constraint is on operators of the wafer"
            findings.append(Finding(CONSTRAINT, rule, name, "operators of kernels", ", ".join(unknown)))
        elif not _is_whole(constraint):
            wants = "operators, area and sides as its kind needs them"
            found = f"{count(len(constraint.operators), 'operator')} in a {constraint.kind}"
            findings.append(Finding(CONSTRAINT, "a constraint is whole", name, wants, found))
        else:
            findings += _check(plan, constraint, name, [sites[each] for each in constraint.operators])
    return findings


def _is_whole(constraint: PlacementConstraint) -> bool:
    operators = {"forbid": 0, "adjacent": 2}.get(constraint.kind, 1)
    area = constraint.kind in {"pin", "region", "forbid"}
    return (
        len(constraint.operators) == operators
        and (constraint.area is not None) == area
        and bool(constraint.sides) == (constraint.kind == "edge")
    )


def _check(plan: Plan, constraint: PlacementConstraint, name: str, sites: list[_Site]) -> Iterator[Finding]:
    if constraint.area is None:
        yield from (
            _check_border(name, *sites)
            if constraint.kind == "adjacent"
            else _check_edge(plan, constraint, name, sites[0])
        )
    elif constraint.kind == "forbid":
        for kernel in plan.kernels():
            if _overlap(kernel.rectangle, constraint.area):
                rule = "no kernel has a core in a forbidden area"
                wants, found = f"no core in {shown(constraint.area)}", shown(kernel.rectangle)
                yield Finding(CONSTRAINT, rule, f"{name}, kernel {kernel.name}", wants, found)
    else:
        yield from _check_area(constraint.kind, constraint.area, name, sites[0])


def _check_area(kind: str, area: Rectangle, name: str, site: _Site) -> Iterator[Finding]:
    place, where = site.rectangle, f"{name}, kernel {site.kernel}"
    if kind == "pin" and place != area:
        yield Finding(CONSTRAINT, "a pinned kernel is where it is pinned", where, shown(area), shown(place))
    if kind == "region" and not inside(place, area):
        rule = "a kernel lies inside its region"
        yield Finding(CONSTRAINT, rule, where, f"inside {shown(area)}", shown(place))


def _check_edge(plan: Plan, constraint: PlacementConstraint, name: str, site: _Site) -> Iterator[Finding]:
    if _touched(plan, site.rectangle).isdisjoint(constraint.sides):
        rule, where = "a kernel touches the edge of the grid", f"{name}, kernel {site.kernel}"
        yield Finding(
            CONSTRAINT, rule, where, f"at the {' or '.join(constraint.sides)}", shown(site.rectangle)
        )


def _check_border(name: str, one: _Site, other: _Site) -> Iterator[Finding]:
    if one.phase != other.phase or not _meet(one.rectangle, other.rectangle):
        where = f"{name}, kernels {one.kernel} and {other.kernel}"
        found = f"{shown(one.rectangle)} and {shown(other.rectangle)}"
        yield Finding(CONSTRAINT, "adjacent kernels share a border", where, "a common side of a core", found)


def _touched(plan: Plan, place: Rectangle) -> set[str]:
    """The sides of the grid at which a rectangle lies."""
    sides = {
        "left": place.x == 0,
        "top": place.y == 0,
        "right": place.x + place.width == plan.region_width,
        "bottom": place.y + place.height == plan.region_height,
    }
    return {side for side, there in sides.items() if there}


def _gaps(one: Rectangle, other: Rectangle) -> tuple[int, int]:
    """Columns and rows between two rectangles, below 0 where they have some in common."""
    columns = max(one.x, other.x) - min(one.x + one.width, other.x + other.width)
    rows = max(one.y, other.y) - min(one.y + one.height, other.y + other.height)
    return columns, rows


def _meet(one: Rectangle, other: Rectangle) -> bool:
    """Whether a core of one rectangle is beside a core of another that does not overlap it."""
    gaps = _gaps(one, other)
    return max(gaps) == 0 and min(gaps) < 0


def _overlap(one: Rectangle, other: Rectangle) -> bool:
    return max(_gaps(one, other)) < 0
