"""The routers of a circuit, one entry for each, and how words flow from one to the next.

Coordinates are those of the simulated grid: the region with a column of the host west of it and one east of it.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.routes import Port, Route, SwitchPosition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Circuit, RouterArea

POSITIONS: Final = 4
PORTS: Final = {
    "N": Port.NORTH,
    "E": Port.EAST,
    "S": Port.SOUTH,
    "W": Port.WEST,
    "R": Port.RAMP,
}
_POSITION: Final = re.compile("[NESWR]>[NESWR]+")
OPPOSITE: Final = np.array([Port.SOUTH, Port.WEST, Port.NORTH, Port.EAST, Port.RAMP])
_NONE: Final = -1
_HINT: Final = "`wsec check-plan` lists what is wrong with the plan; compile the model again"
_STEP_X: Final = np.array([0, 1, 0, -1, 0])
_STEP_Y: Final = np.array([-1, 0, 1, 0, 0])


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """What the routers of one circuit hold, an entry for each core, by rising core.

    Attributes:
        name: Of the circuit, for messages.
        colour: Of the circuit.
        width: Columns of the simulated grid.
        height: Rows of it.
        core: int64 [entries], y * width + x.
        source: int8 [entries, 4], the port of each position; -1 where there is none.
        outputs: bool [entries, 4, 5].
    """

    name: str
    colour: int
    width: int
    height: int
    core: NDArray[np.int64]
    source: NDArray[np.int8]
    outputs: NDArray[np.bool_]

    def find(self, cores: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entry of each core, -1 where it has none."""
        if not self.core.size:
            return np.full(cores.shape, _NONE, np.int64)
        place = np.minimum(np.searchsorted(self.core, cores), self.core.size - 1)
        return np.where(self.core[place] == cores, place, _NONE)

    def neighbours(self, entries: NDArray[np.int64], ports: NDArray[np.int64]) -> NDArray[np.int64]:
        """The entry behind a port of each entry; -1 where the circuit has none there, or the grid ends."""
        x = self.core[entries] % self.width + _STEP_X[ports]
        y = self.core[entries] // self.width + _STEP_Y[ports]
        inside = (x >= 0) & (x < self.width) & (y >= 0) & (y < self.height)
        return np.where(inside, self.find(np.where(inside, y * self.width + x, 0)), _NONE)

    @property
    def several(self) -> NDArray[np.bool_]:
        """True for entries with more than one position."""
        return self.source[:, 1] >= 0

    def place(self, entry: int) -> str:
        """An entry in words, in the coordinates of the region."""
        y, x = divmod(int(self.core[entry]), self.width)
        return f"{self.name}, core ({x - 1}, {y}), colour {self.colour}"


def check_routers(circuits: Sequence[Circuit], *, width: int, height: int, colours: int) -> None:
    """Nothing, where all routers lie inside the region and have the colours that they are given.

    Raises:
        WsecError: WSEC590 an area is empty or reaches out of the region, or a colour is none of 0 to `colours` - 1.
    """
    for circuit in circuits:
        if not 0 <= circuit.colour < colours:
            raise _outside(_name(circuit), f"a colour from 0 to {colours - 1}", f"colour {circuit.colour}")
        for area in circuit.areas:
            _check_rectangle(f"{_name(circuit)}, colour {circuit.colour}", area, width, height)


def _name(circuit: Circuit) -> str:
    if circuit.purpose == "link":
        return circuit.name
    return f"{circuit.purpose} along {circuit.axis} of {circuit.name}"


def expand(circuit: Circuit, *, width: int, height: int, edges: bool) -> Settings:
    """The entries of a circuit of a region of `width` x `height` cores.

    Its areas lie inside the region (`check_routers`). With `edges`, words that come over the west edge of the region start at the ramps of the host's column there, and those
    that leave over the east edge end in the other.

    Raises:
        WsecError: WSEC591 two areas set one core, or a position is none.
    """
    wide = width + 2
    name = _name(circuit)
    for area in circuit.areas:
        _check_positions(name, area)
    pieces = [(_cores(area, wide), *_positions(area.positions)) for area in circuit.areas]
    core = np.concatenate([cores for cores, _, _ in pieces] or [np.zeros(0, np.int64)])
    source = np.concatenate(
        [np.repeat(s[None], c.size, 0) for c, s, _ in pieces] or [np.zeros((0, 4), np.int8)]
    )
    outputs = np.concatenate(
        [np.repeat(o[None], c.size, 0) for c, _, o in pieces] or [np.zeros((0, 4, 5), np.bool_)]
    )
    if edges:
        core, source, outputs = _with_host(core, source, outputs, wide)
    order = np.argsort(core, kind="stable")
    settings = Settings(name, circuit.colour, wide, height, core[order], source[order], outputs[order])
    repeated = np.flatnonzero(np.diff(settings.core) == 0)
    if repeated.size:
        raise broken(
            settings.place(int(repeated[0])), "one setting of a colour on a core", "two areas set it"
        )
    return settings


def _cores(area: RouterArea, wide: int) -> NDArray[np.int64]:
    x = np.arange(area.x + 1, area.x + 1 + area.width)
    return (np.arange(area.y, area.y + area.height)[:, None] * wide + x).reshape(-1)


def _check_rectangle(where: str, area: RouterArea, width: int, height: int) -> None:
    """Routers outside of the region would be taken for others: a core is a single number here."""
    inside = area.x >= 0 and area.y >= 0 and area.x + area.width <= width and area.y + area.height <= height
    if not inside or min(area.width, area.height) < 1:
        raise _outside(
            where,
            f"a rectangle inside the region of {width} x {height} cores",
            f"{area.width} x {area.height} cores from ({area.x}, {area.y})",
        )


def _outside(where: str, expected: str, found: str) -> WsecError:
    return WsecError(
        code="WSEC590",
        what="a route lies outside the machine",
        where=where,
        expected=expected,
        found=found,
        hint=_HINT,
    )


def _check_positions(name: str, area: RouterArea) -> None:
    wrong = [text for text in area.positions if not _POSITION.fullmatch(text)]
    if wrong or len(area.positions) > POSITIONS:
        raise broken(
            f"{name}, area at core ({area.x}, {area.y})",
            f"at most {POSITIONS} positions such as W>ER, of the ports {', '.join(PORTS)}",
            repr(wrong[0]) if wrong else f"{len(area.positions)} positions",
        )


def _positions(texts: Sequence[str]) -> tuple[NDArray[np.int8], NDArray[np.bool_]]:
    source = np.full(POSITIONS, _NONE, np.int8)
    outputs = np.zeros((POSITIONS, len(Port)), np.bool_)
    for number, text in enumerate(texts):
        first, _, rest = text.partition(">")
        source[number] = PORTS[first]
        outputs[number, [PORTS[letter] for letter in rest]] = True
    return source, outputs


def _with_host(
    core: NDArray[np.int64], source: NDArray[np.int8], outputs: NDArray[np.bool_], wide: int
) -> tuple[NDArray[np.int64], NDArray[np.int8], NDArray[np.bool_]]:
    x = core % wide
    entering = core[(x == 1) & (source == Port.WEST).any(axis=1)] - 1
    leaving = core[(x == wide - 2) & outputs[:, :, Port.EAST].any(axis=1)] + 1
    sends, takes = _positions(["R>E"]), _positions(["W>R"])
    return (
        np.concatenate([core, entering, leaving]),
        np.concatenate(
            [source, *(np.repeat(s[None], c.size, 0) for (s, _), c in ((sends, entering), (takes, leaving)))]
        ),
        np.concatenate(
            [outputs, *(np.repeat(o[None], c.size, 0) for (_, o), c in ((sends, entering), (takes, leaving)))]
        ),
    )


def routes(settings: Settings) -> list[Route]:
    """The entries as rectangles for the simulator: runs of a row with equal settings, merged with equal ones below."""
    kinds, kind = np.unique(
        np.concatenate([settings.source[:, :, None], settings.outputs], axis=2).reshape(
            settings.core.size, -1
        ),
        axis=0,
        return_inverse=True,
    )
    grid = np.full(settings.width * settings.height, _NONE, np.int64)
    grid[settings.core] = kind
    positions = [_switch(row.reshape(POSITIONS, 1 + len(Port))) for row in kinds]
    return [
        Route(x, y, width, height, settings.colour, positions=positions[value])
        for x, y, width, height, value in rectangles(grid.reshape(settings.height, settings.width))
    ]


def _switch(row: NDArray[np.int8]) -> tuple[SwitchPosition, ...]:
    return tuple(
        SwitchPosition(Port(int(source)), tuple(Port(int(port)) for port in np.flatnonzero(outputs)))
        for source, *outputs in row.tolist()
        if source >= 0
    )


def rectangles(grid: NDArray[np.int64]) -> list[tuple[int, int, int, int, int]]:
    """Rectangles of equal numbers that cover all of a grid but what is negative: (x, y, width, height, number)."""
    done: list[tuple[int, int, int, int, int]] = []
    open_runs: dict[tuple[int, int, int], int] = {}
    height, width = grid.shape
    for y in range(height + 1):
        runs: dict[tuple[int, int, int], int] = {}
        if y < height:
            cuts = [0, *(np.flatnonzero(np.diff(grid[y])) + 1).tolist(), width]
            for left, right in itertools.pairwise(cuts):
                value = int(grid[y, left])
                if value >= 0:
                    runs[left, right, value] = open_runs.pop((left, right, value), y)
        done += [(left, top, right - left, y - top, value) for (left, right, value), top in open_runs.items()]
        open_runs = runs
    return done


def broken(where: str, expected: str, found: str) -> WsecError:
    """WSEC591 for settings that do not fit together."""
    return WsecError(
        code="WSEC591",
        what="the routes do not fit together",
        where=where,
        expected=expected,
        found=found,
        hint=_HINT,
    )
