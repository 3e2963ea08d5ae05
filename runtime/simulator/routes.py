"""Static routes: rectangles of cores with equal settings, expanded to the table of every router and proved whole.

A table that comes out of here has no loose end: each output leads to a router that takes the colour from there, each
input is fed, and every stream starts at a core.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray


class Port(enum.IntEnum):
    """The five ports of a router. North is the row above: y - 1."""

    NORTH = 0
    EAST = 1
    SOUTH = 2
    WEST = 3
    RAMP = 4


STEP_X: Final = np.array([0, 1, 0, -1, 0])
STEP_Y: Final = np.array([-1, 0, 1, 0, 0])
_OPPOSITE: Final = np.array([Port.SOUTH, Port.WEST, Port.NORTH, Port.EAST, Port.RAMP])


@dataclass(frozen=True, slots=True)
class SwitchPosition:
    """One position of a router's switch: words from `source` go to all of `outputs` at once."""

    source: Port
    outputs: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class Route:
    """The setting of one colour on the routers of a rectangle: words from `source` go to all of `outputs` at once."""

    x: int
    y: int
    width: int
    height: int
    colour: int
    source: Port
    outputs: tuple[Port, ...]


@dataclass(frozen=True, slots=True)
class RouteTable:
    """The settings of every router, one entry for each core and colour in use, by core and then colour.

    Attributes:
        width: Columns of the simulated grid.
        height: Rows of it.
        core: int64 [entries], y * width + x.
        colour: int64 [entries].
        source: int8 [entries], the port that words come from.
        outputs: bool [entries, 5], the ports they go to.
        next_entry: int64 [entries, 5], the entry that each output leads to; -1 where there is none, and for the ramp.
        origin: int64 [entries], the entry where the stream leaves its core.
    """

    width: int
    height: int
    core: NDArray[np.int64]
    colour: NDArray[np.int64]
    source: NDArray[np.int8]
    outputs: NDArray[np.bool_]
    next_entry: NDArray[np.int64]
    origin: NDArray[np.int64]

    def find(self, core: NDArray[np.int64], colour: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entries of cores and colours, any shape; -1 where the colour has no route there."""
        return _find(_keys(self.core, self.colour), _keys(core, colour))

    def place(self, entry: int) -> str:
        """The entry in words."""
        y, x = divmod(int(self.core[entry]), self.width)
        return f"core ({x}, {y}), colour {self.colour[entry]}"


def expand_routes(routes: Sequence[Route], *, width: int, height: int, colours: int) -> RouteTable:
    """The table of a grid of `width` columns and `height` rows whose routers have `colours` colours.

    Raises:
        WsecError: WSEC590 a route leaves the grid or the colours, WSEC591 the routes do not fit together.
    """
    for route in routes:
        _check_inside(route, width, height, colours)
    order, core, colour = _sorted_entries(routes, width)
    key = _keys(core, colour)
    repeated = np.flatnonzero(key[1:] == key[:-1])
    sizes = [route.width * route.height for route in routes]
    source = np.repeat(np.array([route.source for route in routes], np.int8), sizes)[order]
    masks = np.zeros((len(routes), len(Port)), np.bool_)
    for index, route in enumerate(routes):
        masks[index, list(route.outputs)] = True
    outputs = np.repeat(masks, sizes, axis=0)[order]
    next_entry = np.full(outputs.shape, -1, np.int64)
    for port in range(Port.RAMP):
        leaving = np.flatnonzero(outputs[:, port])
        next_entry[leaving, port] = _find(
            key, _keys(_neighbour(core[leaving], port, width, height), colour[leaving])
        )
    table = RouteTable(width, height, core, colour, source, outputs, next_entry, np.arange(core.size))
    if repeated.size:
        raise _broken(table, int(repeated[0]), "one setting of a colour on a core", "two routes set it")
    _check_joined(table)
    return _with_origins(table)


def _sorted_entries(
    routes: Sequence[Route], width: int
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.int64]]:
    """The order of all cores of all routes by core and colour, and both in that order."""
    cores, colours = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for route in routes:
        rows = np.arange(route.y, route.y + route.height)[:, None]
        cores.append((rows * width + np.arange(route.x, route.x + route.width)).reshape(-1))
        colours.append(np.full(route.width * route.height, route.colour))
    core, colour = np.concatenate(cores), np.concatenate(colours)
    order = np.argsort(_keys(core, colour), kind="stable")
    return order, core[order], colour[order]


def _keys(core: NDArray[np.int64], colour: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.where(core < 0, -1, core * 256 + colour)


def _find(keys: NDArray[np.int64], wanted: NDArray[np.int64]) -> NDArray[np.int64]:
    if not keys.size:
        return np.full(wanted.shape, -1)
    at = np.minimum(np.searchsorted(keys, wanted), keys.size - 1)
    return np.where(keys[at] == wanted, at, -1)


def _neighbour(core: NDArray[np.int64], port: int, width: int, height: int) -> NDArray[np.int64]:
    """The core beyond a port; -1 beyond the edge."""
    x, y = core % width + STEP_X[port], core // width + STEP_Y[port]
    return np.where((x >= 0) & (x < width) & (y >= 0) & (y < height), y * width + x, -1)


def _check_inside(route: Route, width: int, height: int, colours: int) -> None:
    inside = (
        route.x >= 0 and route.y >= 0 and route.x + route.width <= width and route.y + route.height <= height
    )
    if inside and route.width > 0 and route.height > 0 and 0 <= route.colour < colours:
        return
    raise WsecError(
        code="WSEC590",
        what="a route lies outside the machine",
        where=f"the route of colour {route.colour} at ({route.x}, {route.y})",
        expected=f"a rectangle inside {width} x {height} cores, and a colour below {colours}",
        found=f"{route.width} x {route.height} cores from ({route.x}, {route.y}), colour {route.colour}",
        hint="the plan is broken: compile it again",
    )


def _check_joined(table: RouteTable) -> None:
    """Each output is taken at its other end, and each input is fed."""
    if not table.core.size:
        return
    fed = table.source == Port.RAMP
    for port in range(Port.RAMP):
        leaving = np.flatnonzero(table.outputs[:, port])
        entry = table.next_entry[leaving, port]
        lost = np.flatnonzero((entry < 0) | (table.source[entry] != _OPPOSITE[port]))
        if lost.size:
            raise _broken(
                table,
                int(leaving[lost[0]]),
                "a neighbour that takes the colour from there",
                f"words leave to the {Port(port).name.lower()}, where no route takes them",
            )
        fed[entry] = True
    starving = np.flatnonzero(~fed)
    if starving.size:
        at = int(starving[0])
        side = Port(int(table.source[at])).name.lower()
        raise _broken(table, at, f"a neighbour in the {side} that sends it", "no route feeds it")


def _with_origins(table: RouteTable) -> RouteTable:
    """Follow every stream back to its core by doubling; a stream without one goes round in a circle."""
    before = np.arange(table.core.size)
    for port in range(Port.RAMP):
        leaving = np.flatnonzero(table.outputs[:, port])
        before[table.next_entry[leaving, port]] = leaving
    before[table.source == Port.RAMP] = np.flatnonzero(table.source == Port.RAMP)
    for _ in range(max(1, int(table.core.size).bit_length())):
        before = before[before]
    circle = np.flatnonzero(table.source[before] != Port.RAMP)
    if circle.size:
        raise _broken(
            table, int(circle[0]), "a stream that starts at a core", "the route goes round in a circle"
        )
    table.origin[:] = before
    return table


def _broken(table: RouteTable, entry: int, expected: str, found: str) -> WsecError:
    return WsecError(
        code="WSEC591",
        what="the routes do not fit together",
        where=table.place(entry),
        expected=expected,
        found=found,
        hint="the plan is broken: compile it again",
    )
