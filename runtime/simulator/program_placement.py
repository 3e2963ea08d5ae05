"""Where programs are: which core runs which, and as which of its area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.runtime.simulator.instructions import ProgramArea


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the programs are.

    Attributes:
        cores: int64 [engines], ascending.
        area: int64 [engines], the program area of each.
        rank: int64 [engines], its number in the area, by row and then column.
        engine: int32 [cores], the engine of a core; -1 for a core without a program.
    """

    cores: NDArray[np.int64]
    area: NDArray[np.int64]
    rank: NDArray[np.int64]
    engine: NDArray[np.int32]


def place_programs(areas: Sequence[ProgramArea], *, width: int, height: int) -> Placement:
    """The cores of the areas.

    Raises:
        WsecError: WSEC593 an area leaves the grid or shares a core with another.
    """
    area_of = np.full((height, width), -1, np.int64)
    for index, area in enumerate(areas):
        inside = (
            area.x >= 0 and area.y >= 0 and area.x + area.width <= width and area.y + area.height <= height
        )
        found = f"{area.width} x {area.height} cores from ({area.x}, {area.y})"
        if not inside or area.width < 1 or area.height < 1:
            raise bad_program(f"program {index}", f"a rectangle inside {width} x {height} cores", found)
        place = area_of[area.y : area.y + area.height, area.x : area.x + area.width]
        if (place >= 0).any():
            raise bad_program(
                f"program {index}", "one program a core", f"{found}, where program {place.max()} is"
            )
        place[:] = index
    flat = area_of.reshape(-1)
    cores = np.flatnonzero(flat >= 0)
    engine = np.full(flat.size, -1, np.int32)
    engine[cores] = np.arange(cores.size)
    by_area = np.argsort(flat[cores], kind="stable")
    sizes = np.array([area.width * area.height for area in areas], np.int64)
    rank = np.empty_like(cores)
    rank[by_area] = np.arange(cores.size) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return Placement(cores, flat[cores], rank, engine)


def bad_program(where: str, expected: str, found: str) -> WsecError:
    """WSEC593."""
    return WsecError(
        code="WSEC593",
        what="a core program does not fit its place",
        where=where,
        expected=expected,
        found=found,
        hint="the plan is broken: compile it again",
    )
