"""Routes: rectangles of cores whose routers have equal settings of a colour."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

MAX_POSITIONS: Final = 4
"""Positions of a switch."""


class Port(enum.IntEnum):
    """The five ports of a router. North is the row above: y - 1."""

    NORTH = 0
    EAST = 1
    SOUTH = 2
    WEST = 3
    RAMP = 4


@dataclass(frozen=True, slots=True)
class SwitchPosition:
    """One position of a router's switch: words from `source` go to all of `outputs` at once."""

    source: Port
    outputs: tuple[Port, ...]

    def __str__(self) -> str:
        outputs = "".join(output.name[0] for output in self.outputs)
        return f"{self.source.name[0]}>{outputs}"


@dataclass(frozen=True, slots=True)
class Route:
    """The setting of one colour on the routers of a rectangle.

    The router is at the first position to begin with; with several, `SwitchTurns` say when it goes on.
    """

    x: int
    y: int
    width: int
    height: int
    colour: int
    positions: tuple[SwitchPosition, ...]
