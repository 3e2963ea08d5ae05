"""Two pictures of the fabric of a phase: words that pass each core for a sample, and colours that its router holds."""

from __future__ import annotations

import base64
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.runtime.report.lanes import colours_of_lanes, sum_over_lanes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from wsec.compiler.plan import Circuit, Phase, Plan, Route, RouterArea
    from wsec.compiler.plan_checker.fabric.traffic import Traffic

_TILES = 160_000  # of all pictures together: what a page can hold without being large
_LEAST_SIDE = 16


@dataclass(frozen=True, slots=True)
class FabricMap:
    """One number for each tile of a region, the greatest of its cores; rows from the top.

    Attributes:
        columns: Tiles side by side.
        rows: Tiles on top of each other.
        width: Cores that they cover, at least those of the region.
        height: Likewise.
        most: The greatest number.
        levels: The numbers, `most` as 255 and 0 as 0, in bytes of base 64; between them linear.
    """

    columns: int
    rows: int
    width: int
    height: int
    most: float
    levels: str


def tile_side(plan: Plan) -> int:
    """Cores along a side of a tile, so that the pictures of all phases together have a bounded size."""
    phases = sum(len(wafer.phases) for wafer in plan.wafers)
    cores = plan.region_width * plan.region_height
    longest = max(plan.region_width, plan.region_height)
    side = math.ceil(math.sqrt(cores * max(phases, 1) / _TILES))
    return max(min(side, longest // _LEAST_SIDE), 1)


def followed_traffic(phase: Phase, plan: Plan) -> Traffic | None:
    """The words of a sample through every port of a router, where circuits tell of them all and have no fault."""
    if not phase.circuits:
        return None
    from wsec.compiler.plan_checker.fabric.following import measure_traffic

    return measure_traffic(phase, plan)


def traffic_of(phase: Phase, plan: Plan, followed: Traffic | None) -> NDArray[np.float64]:
    """Words of a sample at each core, [rows, columns].

    Where words were followed along circuits, those that leave the router by its busiest port for a neighbour, inside kernels
    too. Else those of links on all lanes that pass the core; words of a link are spread evenly over its lanes.
    """
    if followed is not None:
        busiest: NDArray[np.float64] = (followed.links + followed.inner).max(axis=0)
        return busiest.reshape(plan.region_height, plan.region_width)
    routes: list[Route] = []
    amounts: list[float] = []
    for link in phase.links:
        lanes = sum(route.lanes for route in link.routes)
        routes += link.routes
        amounts += [link.words / lanes if lanes else 0.0] * len(link.routes)
    return sum_over_lanes(routes, amounts, (plan.region_height, plan.region_width))


def colours_of(phase: Phase, plan: Plan) -> NDArray[np.int64]:
    """Colours that each router holds, [rows, columns]: of circuits where the plan has them, else of lanes alone."""
    shape = (plan.region_height, plan.region_width)
    if not phase.circuits:
        return colours_of_lanes((route for link in phase.links for route in link.routes), shape)
    held = np.zeros(shape, np.int64)
    for areas in _areas_by_colour(phase.circuits):
        held += _covered(areas, shape)
    return held


def fabric_map(numbers: NDArray[np.float64] | NDArray[np.int64], side: int) -> FabricMap:
    """The picture of one number for each core, in tiles of `side` times `side` cores."""
    rows, columns = (-(-extent // side) for extent in numbers.shape)
    padded = np.zeros((rows * side, columns * side))
    padded[: numbers.shape[0], : numbers.shape[1]] = numbers
    tiles = padded.reshape(rows, side, columns, side).max(axis=(1, 3))
    most = float(tiles.max(initial=0.0))
    levels = np.ceil(tiles * (255.0 / most) if most else tiles).astype(np.uint8)
    return FabricMap(
        columns, rows, columns * side, rows * side, most, base64.b64encode(levels.tobytes()).decode()
    )


def _areas_by_colour(circuits: Iterable[Circuit]) -> Iterable[list[RouterArea]]:
    found: dict[int, list[RouterArea]] = {}
    for circuit in circuits:
        found.setdefault(circuit.colour, []).extend(circuit.areas)
    return found.values()


def _covered(areas: list[RouterArea], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether each core lies in one of the areas: their corners are marked, and summed up along both sides."""
    x, y, width, height = np.array([(area.x, area.y, area.width, area.height) for area in areas]).T
    corners = np.zeros((shape[0] + 1, shape[1] + 1), np.int64)
    for rows, columns, sign in (
        (y, x, 1),
        (y + height, x, -1),
        (y, x + width, -1),
        (y + height, x + width, 1),
    ):
        np.add.at(corners, (rows, columns), sign)
    return corners.cumsum(axis=0).cumsum(axis=1)[:-1, :-1] > 0
