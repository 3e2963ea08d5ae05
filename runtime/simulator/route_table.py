"""Routes expanded to the table of every router, and proved whole.

A table that comes out of here has no loose end: each output leads to a router that takes the colour from there, each
input is fed, and every stream starts at a core.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.native import compiled
from wsec.runtime.simulator.routes import MAX_POSITIONS, Port, SwitchPosition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.runtime.simulator.routes import Route

STEP_X: Final = np.array([0, 1, 0, -1, 0])
STEP_Y: Final = np.array([-1, 0, 1, 0, 0])
OPPOSITE: Final = np.array([Port.SOUTH, Port.WEST, Port.NORTH, Port.EAST, Port.RAMP])
_PORTS: Final = len(Port)


@dataclass(frozen=True, slots=True)
class RouteTable:
    """What every router holds: a setting for each core and colour in use, with its positions and its entries.

    Settings are by core and then colour, positions by setting and then in their order. An entry is what comes into a router
    from one port: by setting, then port.

    Attributes:
        width: Columns of the simulated grid.
        height: Rows of it.
        setting_core: int64 [settings], y * width + x.
        setting_colour: int64 [settings].
        first_position: int64 [settings + 1].
        position_entry: int64 [positions], where its words come from.
        outputs: bool [positions, 5], the ports they go to.
        next_entry: int64 [positions, 5], the entry that each output leads to; -1 where there is none, and for the ramp.
        setting: int64 [entries].
        source: int64 [entries], the port that words come from.
    """

    width: int
    height: int
    setting_core: NDArray[np.int64]
    setting_colour: NDArray[np.int64]
    first_position: NDArray[np.int64]
    position_entry: NDArray[np.int64]
    outputs: NDArray[np.bool_]
    next_entry: NDArray[np.int64]
    setting: NDArray[np.int64]
    source: NDArray[np.int64]

    @property
    def core(self) -> NDArray[np.int64]:
        """The core of each entry."""
        return self.setting_core[self.setting]

    @property
    def position_setting(self) -> NDArray[np.int64]:
        """The setting of each position."""
        return np.repeat(np.arange(self.setting_core.size), np.diff(self.first_position))

    def find(self, core: NDArray[np.int64], colour: NDArray[np.int64]) -> NDArray[np.int64]:
        """The settings of cores and colours, any shape; -1 where the colour has none there."""
        return _find(_keys(self.setting_core, self.setting_colour), _keys(core, colour))

    def find_entry(self, setting: NDArray[np.int64], port: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entries of settings and ports, any shape; -1 where the setting takes nothing from there."""
        wanted = np.where(setting < 0, -1, setting * _PORTS + port)
        return _find(self.setting * _PORTS + self.source, wanted)

    def place(self, setting: int) -> str:
        """The setting in words."""
        y, x = divmod(int(self.setting_core[setting]), self.width)
        return f"core ({x}, {y}), colour {self.setting_colour[setting]}"

    def position(self, number: int) -> SwitchPosition:
        """A position as it was given, its outputs by rising port."""
        outputs = tuple(Port(int(port)) for port in np.flatnonzero(self.outputs[number]))
        return SwitchPosition(Port(int(self.source[self.position_entry[number]])), outputs)


def expand_routes(routes: Sequence[Route], *, width: int, height: int, colours: int) -> RouteTable:
    """The table of a grid of `width` columns and `height` rows whose routers have `colours` colours.

    Raises:
        WsecError: WSEC590 a route leaves the grid or the colours, WSEC591 the routes do not fit together.
    """
    for route in routes:
        _check_inside(route, width, height, colours)
    route_of, core, colour = _sorted_settings(routes, width)
    counts = np.array([len(route.positions) for route in routes], np.int64)
    first = np.concatenate([[0], np.cumsum(counts[route_of])]).astype(np.int64)
    # Position i of a setting is position i of its route.
    of_route = np.cumsum(counts) - counts
    position_setting = np.repeat(np.arange(core.size), counts[route_of])
    at = of_route[route_of[position_setting]] + np.arange(first[-1]) - first[position_setting]
    source, outputs = (array[at] for array in _positions(routes))
    key = position_setting * _PORTS + source
    entries, position_entry = np.unique(key, return_inverse=True)
    table = RouteTable(
        width=width,
        height=height,
        setting_core=core,
        setting_colour=colour,
        first_position=first,
        position_entry=position_entry.reshape(-1).astype(np.int64),
        outputs=outputs,
        next_entry=np.full(outputs.shape, -1, np.int64),
        setting=entries // _PORTS,
        source=entries % _PORTS,
    )
    repeated = np.flatnonzero((core[1:] == core[:-1]) & (colour[1:] == colour[:-1]))
    if repeated.size:
        raise broken_routes(table, int(repeated[0]), "one setting of a colour on a core", "two routes set it")
    _join(table, position_setting)
    _check_fed(table)
    return table


def _sorted_settings(
    routes: Sequence[Route], width: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The route, core and colour of every setting, by core and colour."""
    cores, colours = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for route in routes:
        rows = np.arange(route.y, route.y + route.height)[:, None]
        cores.append((rows * width + np.arange(route.x, route.x + route.width)).reshape(-1))
        colours.append(np.full(route.width * route.height, route.colour))
    core, colour = np.concatenate(cores), np.concatenate(colours)
    order = np.argsort(_keys(core, colour), kind="stable")
    route_of = np.repeat(np.arange(len(routes)), [route.width * route.height for route in routes])
    return route_of[order], core[order], colour[order]


def _positions(routes: Sequence[Route]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Sources and outputs of the positions of all routes."""
    positions = [position for route in routes for position in route.positions]
    outputs = np.zeros((len(positions), _PORTS), np.bool_)
    for index, position in enumerate(positions):
        outputs[index, list(position.outputs)] = True
    return np.array([position.source for position in positions], np.int64), outputs


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
    where = f"the route of colour {route.colour} at ({route.x}, {route.y})"
    if not inside or route.width < 1 or route.height < 1 or not 0 <= route.colour < colours:
        raise WsecError(
            code="WSEC590",
            what="a route lies outside the machine",
            where=where,
            expected=f"a rectangle inside {width} x {height} cores, and a colour below {colours}",
            found=f"{route.width} x {route.height} cores from ({route.x}, {route.y}), colour {route.colour}",
            hint="the plan is broken: compile it again",
        )
    if not 1 <= len(route.positions) <= MAX_POSITIONS or not all(at.outputs for at in route.positions):
        raise WsecError(
            code="WSEC590",
            what="a route lies outside the machine",
            where=where,
            expected=f"1 to {MAX_POSITIONS} positions of the switch, each with an output",
            found=", ".join(map(str, route.positions)) or "none",
            hint="the plan is broken: compile it again",
        )


def _join(table: RouteTable, position_setting: NDArray[np.int64]) -> None:
    """Fill `next_entry`. Raises WSEC591 where an output is not taken at its other end."""
    for port in range(Port.RAMP):
        leaving = np.flatnonzero(table.outputs[:, port])
        setting = position_setting[leaving]
        beyond = _neighbour(table.setting_core[setting], port, table.width, table.height)
        entry = table.find_entry(
            table.find(beyond, table.setting_colour[setting]), np.full(beyond.shape, OPPOSITE[port])
        )
        lost = np.flatnonzero(entry < 0)
        if lost.size:
            raise broken_routes(
                table,
                int(setting[lost[0]]),
                "a neighbour that takes the colour from there",
                f"words leave to the {Port(port).name.lower()}, where no route takes them",
            )
        table.next_entry[leaving, port] = entry


def _check_fed(table: RouteTable) -> None:
    """Each input is fed, and streams that reach it start at a core: what is left goes round in a circle."""
    fed = table.source == Port.RAMP
    fed[table.next_entry[table.next_entry >= 0]] = True
    starving = np.flatnonzero(~fed)
    if starving.size:
        at = int(starving[0])
        side = Port(int(table.source[at])).name.lower()
        raise broken_routes(
            table, int(table.setting[at]), f"a neighbour in the {side} that sends it", "no route feeds it"
        )
    order = np.argsort(table.position_entry, kind="stable")
    first = np.searchsorted(table.position_entry[order], np.arange(table.source.size + 1))
    circle = np.flatnonzero(~_reached(table.source == Port.RAMP, first, order, table.next_entry))
    if circle.size:
        raise broken_routes(
            table,
            int(table.setting[circle[0]]),
            "a stream that starts at a core",
            "the route goes round in a circle",
        )


@compiled
def _reached(
    start: NDArray[np.bool_],
    first: NDArray[np.int64],
    positions: NDArray[np.int64],
    next_entry: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """The entries that words from those in `start` come to; the positions of an entry begin at `first` of `positions`."""
    reached = start.copy()
    waiting = np.empty(start.size, np.int64)
    count = 0
    for entry in range(start.size):
        if start[entry]:
            waiting[count] = entry
            count += 1
    while count:
        count -= 1
        entry = waiting[count]
        for at in range(first[entry], first[entry + 1]):
            for beyond in next_entry[positions[at]]:
                if beyond >= 0 and not reached[beyond]:
                    reached[beyond] = True
                    waiting[count] = beyond
                    count += 1
    return reached


def broken_routes(table: RouteTable, setting: int, expected: str, found: str) -> WsecError:
    """WSEC591 at a setting."""
    return WsecError(
        code="WSEC591",
        what="the routes do not fit together",
        where=table.place(setting),
        expected=expected,
        found=found,
        hint="the plan is broken: compile it again",
    )
