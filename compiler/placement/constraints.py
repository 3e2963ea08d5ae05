"""What a user demands of a placement, as records that name kernels, and what messages call them.

Light to import: no solver. Rectangles are in columns and rows of the problem's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from wsec.compiler.placement.problem import Rectangle

Side = Literal["left", "right", "top", "bottom"]
SIDES: Final[tuple[Side, ...]] = ("left", "right", "top", "bottom")


@dataclass(frozen=True, slots=True)
class Pin:
    """The rectangle of `kernel` is `rectangle`, of which it must have the shape."""

    kernel: str
    rectangle: Rectangle
    name: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Within:
    """`kernel` lies in `area`."""

    kernel: str
    area: Rectangle
    name: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Forbid:
    """No kernel has a core in `area`."""

    area: Rectangle
    name: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Adjacent:
    """Two kernels share a border that is at least one core long; corners that touch are no border."""

    kernel: str
    other: str
    name: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class TouchEdge:
    """`kernel` touches at least one of the `sides` of the grid."""

    kernel: str
    sides: tuple[Side, ...]
    name: str = ""
    origin: str = ""


Constraint = Pin | Within | Forbid | Adjacent | TouchEdge
"""In each, `name` and `origin` (the file and line it was read from) are what messages call it."""


def kernels_of(constraint: Constraint) -> tuple[str, ...]:
    """The kernels that a constraint names."""
    if isinstance(constraint, Forbid):
        return ()
    if isinstance(constraint, Adjacent):
        return constraint.kernel, constraint.other
    return (constraint.kernel,)


def label(constraint: Constraint) -> str:
    """What messages call a constraint: its name or else what it says, and where it was written."""
    if constraint.name:
        called = f"constraint {constraint.name!r}"
    elif isinstance(constraint, Pin):
        called = f"the pin of {constraint.kernel!r}"
    elif isinstance(constraint, Within):
        called = f"the region {shown(constraint.area)} of {constraint.kernel!r}"
    elif isinstance(constraint, Forbid):
        called = f"the forbidden area of {shown(constraint.area)}"
    elif isinstance(constraint, Adjacent):
        called = f"the adjacency of {constraint.kernel!r} and {constraint.other!r}"
    else:
        called = f"the {' or '.join(map(str, constraint.sides)) or 'missing'} edge of {constraint.kernel!r}"
    return f"{called} ({constraint.origin})" if constraint.origin else called


def shown(box: Rectangle) -> str:
    """A rectangle for a message."""
    return f"{box.width} x {box.height} at column {box.x}, row {box.y}"
