"""The areas of a phase's circuits as arrays, and what is wrong with each by itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan import Rectangle
from wsec.compiler.plan_checker.fabric.settings import Settings, faults, tabulate
from wsec.compiler.plan_checker.findings import CIRCUIT, Finding
from wsec.compiler.plan_checker.placement import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from wsec.compiler.plan import Circuit, Phase

    Integers = NDArray[np.int64]
    Numbers = NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Areas:
    """All areas of a phase, by circuit; arrays have an entry for each.

    Attributes:
        circuits: Of the phase.
        first: Number of the first area of each circuit, and of all areas: int64 [circuits + 1].
        bounds: First column and row, columns and rows: int64 [n, 4].
        setting: int32 [n].
        circuit: int32 [n].
        settings: What the numbers of settings mean.
        region: Its rows and columns.
    """

    circuits: tuple[Circuit, ...]
    first: Integers
    bounds: Integers
    setting: Numbers
    circuit: Numbers
    settings: Settings
    region: tuple[int, int]

    def of_colour(self, colour: int) -> Integers:
        """Numbers of the areas of a colour."""
        ranges = [
            np.arange(self.first[number], self.first[number + 1])
            for number, circuit in enumerate(self.circuits)
            if circuit.colour == colour
        ]
        return np.concatenate([*ranges, np.zeros(0, np.int64)])

    def shown(self, area: int) -> str:
        """An area for a message."""
        x, y, width, height = self.bounds[area].tolist()
        positions = " ".join(self.settings.positions[self.setting[area]])
        return f"{positions} on {shown(Rectangle(x, y, width, height))}"


def circuit_name(circuit: Circuit) -> str:
    """A circuit for a message."""
    if circuit.purpose == "link":
        return f"circuit of link {circuit.name}, colour {circuit.colour}"
    segments = f" by {circuit.segment}" if circuit.segment else ""
    offset = f" from {circuit.offset}" if circuit.offset else ""
    axis = f" along {circuit.axis}{segments}{offset}"
    return f"circuit of kernel {circuit.name}, {circuit.purpose}{axis}, colour {circuit.colour}"


def check_areas(phase: Phase, width: int, height: int) -> Iterator[Finding]:
    """Findings on areas, each by itself: it lies in the region, and its positions mean something."""
    region = f"inside {width}x{height} cores"
    known: dict[tuple[str, ...], tuple[tuple[str, str, str], ...]] = {}
    for circuit in phase.circuits:
        for area in circuit.areas:
            right, bottom = area.x + area.width, area.y + area.height
            if not (0 <= area.x < right <= width and 0 <= area.y < bottom <= height):
                rule = "routers lie inside the region"
                place = shown(Rectangle(area.x, area.y, area.width, area.height))
                yield Finding(CIRCUIT, rule, circuit_name(circuit), region, place)
            if area.positions not in known:
                known[area.positions] = tuple(faults(area.positions))
            for rule, expected, found in known[area.positions]:
                yield Finding(CIRCUIT, rule, circuit_name(circuit), expected, found)


def flatten(phase: Phase, region: tuple[int, int]) -> Areas:
    """The arrays of a phase in which `check_areas` finds nothing, on a region of so many rows and columns."""
    numbers: dict[tuple[str, ...], int] = {}
    areas = [area for circuit in phase.circuits for area in circuit.areas]
    sizes = np.array([len(circuit.areas) for circuit in phase.circuits], np.int64)
    bounds = [(area.x, area.y, area.width, area.height) for area in areas]
    setting = [numbers.setdefault(area.positions, len(numbers)) for area in areas]
    return Areas(
        phase.circuits,
        np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)]),
        np.array(bounds, np.int64).reshape(-1, 4),
        np.array(setting, np.int32),
        np.repeat(np.arange(len(sizes), dtype=np.int32), sizes),
        tabulate(list(numbers)),
        region,
    )
