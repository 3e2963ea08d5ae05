"""Contradictions of constraints that can be told before any search; each refusal names the constraint at fault."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.placement.constraints import (
    SIDES,
    Adjacent,
    Forbid,
    Pin,
    TouchEdge,
    Within,
    kernels_of,
    label,
    shown,
)
from wsec.compiler.placement.demands import fastest_option, share_border, touches
from wsec.compiler.placement.regions import grid_of, intersection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsec.compiler.placement.constraints import Constraint
    from wsec.compiler.placement.problem import PlacementKernel, PlacementProblem, Rectangle

_NEAREST: Final = 3
_HINT: Final = "change one of them, or leave one out"


def check_constraints(problem: PlacementProblem) -> None:
    """Raise WSEC334 or WSEC335 for the first constraint that names no kernel or that contradicts something."""
    kernels = {kernel.name: kernel for kernel in problem.kernels}
    for each in problem.constraints:
        _check_names(each, kernels)
        _check_form(each, problem)
    pins = _check_pins(problem, kernels)
    for each in problem.constraints:
        _check_against_pins(each, pins, problem)


def refusal(constraint: Constraint, expected: str, found: str, hint: str = _HINT) -> WsecError:
    """The error for a constraint that cannot be kept."""
    return WsecError(
        "WSEC335", "a constraint cannot be kept", label(constraint), expected=expected, found=found, hint=hint
    )


def _check_names(constraint: Constraint, kernels: Mapping[str, PlacementKernel]) -> None:
    for name in kernels_of(constraint):
        if name not in kernels:
            nearest = difflib.get_close_matches(str(name), kernels, n=_NEAREST)
            raise WsecError(
                "WSEC334",
                "a constraint names something that is not placed",
                where=label(constraint),
                expected="the name of something to place"
                + (f"; nearest: {', '.join(map(repr, nearest))}" if nearest else ""),
                found=repr(name),
            )


def _check_form(constraint: Constraint, problem: PlacementProblem) -> None:
    """What is wrong with a constraint by itself."""
    if isinstance(constraint, TouchEdge):
        if not constraint.sides or not set(constraint.sides) <= set(SIDES):
            found = ", ".join(map(str, constraint.sides)) or "none"
            raise refusal(constraint, f"at least one of the sides {', '.join(SIDES)}", found)
        return
    if isinstance(constraint, Adjacent):
        if constraint.kernel == constraint.other:
            raise refusal(constraint, "two different kernels", f"{constraint.kernel!r} twice")
        return
    box = constraint.rectangle if isinstance(constraint, Pin) else constraint.area
    if box.width < 1 or box.height < 1:
        raise refusal(constraint, "width and height of at least 1", f"{box.width} x {box.height}")
    if intersection(grid_of(problem), box) != box:
        expected = f"cores of the grid, columns 0 ... {problem.width - 1} and rows 0 ... {problem.height - 1}"
        found = f"columns {box.x} ... {box.right - 1} and rows {box.y} ... {box.bottom - 1}"
        raise refusal(constraint, expected, found)


def _check_pins(problem: PlacementProblem, kernels: Mapping[str, PlacementKernel]) -> dict[str, Pin]:
    """The pin of each kernel that has one, none of which meets another, or what is reserved or forbidden."""
    pins: dict[str, Pin] = {}
    forbidden = [each for each in problem.constraints if isinstance(each, Forbid)]
    for pin in problem.constraints:
        if not isinstance(pin, Pin):
            continue
        if pin.kernel in pins:
            raise refusal(
                pin,
                f"one pin for each kernel; {label(pins[pin.kernel])} pins {pin.kernel!r} too",
                "a second pin",
            )
        _check_shape(pin, kernels[pin.kernel])
        for other in pins.values():
            if other.rectangle.overlaps(pin.rectangle):
                found = f"{label(other)} takes {shown(other.rectangle)}"
                raise refusal(pin, f"no other pin in {shown(pin.rectangle)}", found)
        for area in forbidden:
            if area.area.overlaps(pin.rectangle):
                found = f"{label(area)} forbids {shown(area.area)}"
                raise refusal(pin, f"no forbidden core in {shown(pin.rectangle)}", found)
        for block in problem.reserved:
            if block.overlaps(pin.rectangle):
                raise refusal(
                    pin, f"no reserved core in {shown(pin.rectangle)}", f"{shown(block)} is reserved"
                )
        pins[pin.kernel] = pin
    return pins


def _check_shape(pin: Pin, kernel: PlacementKernel) -> None:
    try:
        fastest_option(kernel, pin.rectangle)
    except ValueError:
        nearest = ", ".join(f"{width} x {height}" for width, height in _nearest_shapes(pin, kernel))
        expected = f"a shape of kernel {kernel.name!r}; nearest: {nearest}"
        found = f"{pin.rectangle.width} x {pin.rectangle.height}"
        raise refusal(pin, expected, found, "take one of the nearest shapes") from None


def _nearest_shapes(pin: Pin, kernel: PlacementKernel) -> list[tuple[int, int]]:
    """The few shapes that differ from the pin by the fewest columns and rows."""
    widths, heights = kernel.shapes.widths, kernel.shapes.heights
    if kernel.rotatable:
        widths, heights = np.concatenate([widths, heights]), np.concatenate([heights, widths])
    off = np.abs(widths - pin.rectangle.width) + np.abs(heights - pin.rectangle.height)
    order = np.lexsort((heights, widths, off)).tolist()
    return list(dict.fromkeys((int(widths[at]), int(heights[at])) for at in order[:64]))[:_NEAREST]


def _check_against_pins(constraint: Constraint, pins: Mapping[str, Pin], problem: PlacementProblem) -> None:
    """What a pin leaves no way to keep."""
    named = [pins[name] for name in kernels_of(constraint) if name in pins]
    if not named or isinstance(constraint, Pin):
        return
    box = named[0].rectangle
    stands = f"{label(named[0])} puts it at {shown(box)}"
    if isinstance(constraint, Within) and intersection(box, constraint.area) != box:
        raise refusal(constraint, f"{constraint.kernel!r} inside {shown(constraint.area)}", stands)
    if isinstance(constraint, TouchEdge) and not touches(box, grid_of(problem), constraint.sides):
        raise refusal(constraint, f"{constraint.kernel!r} at the {' or '.join(constraint.sides)}", stands)
    if isinstance(constraint, Adjacent) and len(named) > 1:
        other = named[1].rectangle
        if not share_border(box, other):
            found = f"{label(named[0])} is {shown(box)}, {label(named[1])} is {shown(other)}"
            raise refusal(constraint, "two pins that share a border", found)


def narrow_spaces(
    constraint: Within | TouchEdge,
    kernel: PlacementKernel,
    spaces: Sequence[Rectangle],
    problem: PlacementProblem,
) -> list[Rectangle]:
    """The parts of free rectangles that a constraint leaves to its kernel; WSEC335 if no shape fits into one."""
    left = _spaces_of(constraint, spaces, problem)
    misses = [_miss(kernel, space) for space in left]
    if all(misses):
        found = min(miss for miss in misses if miss)[1] if misses else "no free core there"
        others = "".join(f"\n{label(each)}" for each in _opponents(constraint, kernel, problem))
        because = f"; against it stand:{others}" if others else ""
        raise refusal(constraint, f"room for a shape of kernel {kernel.name!r}", f"{found}{because}")
    return left


def _opponents(
    constraint: Within | TouchEdge, kernel: PlacementKernel, problem: PlacementProblem
) -> list[Constraint]:
    """What else the kernel must keep to, and what takes room where it should be; nothing if it has no room anyhow."""
    if isinstance(constraint, Within) and _miss(kernel, constraint.area):
        return []
    return [
        each
        for each in problem.constraints
        if (
            _is_there(constraint, _taken(each), problem)
            if isinstance(each, Pin | Forbid)
            else isinstance(each, Within | TouchEdge)
            and each.kernel == kernel.name
            and each is not constraint
        )
    ]


def _taken(constraint: Pin | Forbid) -> Rectangle:
    return constraint.rectangle if isinstance(constraint, Pin) else constraint.area


def _is_there(constraint: Within | TouchEdge, box: Rectangle, problem: PlacementProblem) -> bool:
    """Whether a rectangle is where a constraint wants its kernel."""
    if isinstance(constraint, Within):
        return box.overlaps(constraint.area)
    return touches(box, grid_of(problem), constraint.sides)


def check_areas(problem: PlacementProblem, least: Mapping[str, int], tiles: Sequence[Rectangle]) -> None:
    """Raise WSEC335 if kernels that must share an area need more cores than are free in it.

    Args:
        problem: With the constraints.
        least: The least area of each kernel without a pin, in cores.
        tiles: Disjoint rectangles that cover the free cores.
    """
    regions = [each for each in problem.constraints if isinstance(each, Within) and each.kernel in least]
    for area in dict.fromkeys(each.area for each in regions):
        inside = [each for each in regions if intersection(each.area, area) == each.area]
        need = sum(least[name] for name in dict.fromkeys(each.kernel for each in inside))
        common = (intersection(tile, area) for tile in tiles)
        free = sum(part.area for part in common if part.width > 0 and part.height > 0)
        if need > free:
            expected = f"sum of least areas <= free cores of {shown(area)}, {need:,} <= {free:,}"
            raise refusal(inside[-1], expected, "in it too:\n" + "\n".join(map(label, inside[:-1])))


def _spaces_of(
    constraint: Within | TouchEdge, spaces: Sequence[Rectangle], problem: PlacementProblem
) -> list[Rectangle]:
    """The parts of free spaces that a constraint leaves to its kernel."""
    if isinstance(constraint, TouchEdge):
        return [space for space in spaces if touches(space, grid_of(problem), constraint.sides)]
    parts = (intersection(space, constraint.area) for space in spaces)
    return [part for part in parts if part.width > 0 and part.height > 0]


def _miss(kernel: PlacementKernel, space: Rectangle) -> tuple[int, str] | None:
    """By how much the nearest shape is too large for a space, in columns and rows; None if one fits."""
    widths, heights = kernel.shapes.widths, kernel.shapes.heights
    if kernel.rotatable:
        widths, heights = np.concatenate([widths, heights]), np.concatenate([heights, widths])
    out = np.maximum(widths - space.width, 0) + np.maximum(heights - space.height, 0)
    at = int(out.argmin())
    if out[at] == 0:
        return None
    size = f"{int(widths[at])} x {int(heights[at])}"
    return int(out[at]), f"{shown(space)} is free there, and the nearest shape is {size}"
