"""What the positions of switches say: parsed, refused where they mean nothing, and as tables for compiled loops."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

PORTS = "NESWR"
RAMP = PORTS.index("R")
MOST_POSITIONS = 4

_POSITION = re.compile(rf"([{PORTS}])>([{PORTS}]+)")


@dataclass(frozen=True, slots=True, eq=False)
class Settings:
    """The different settings of a phase, one number each; ports are numbered as in `PORTS`.

    Attributes:
        positions: Of each setting, as the plan writes them.
        source: Port that words come from, by setting and position; -1 where there is no such position: int8 [n, 4].
        outputs: Ports that they go to, a bit each: uint8 [n, 4].
    """

    positions: tuple[tuple[str, ...], ...]
    source: NDArray[np.int8]
    outputs: NDArray[np.uint8]

    @property
    def takes(self) -> NDArray[np.uint8]:
        """Ports that any position takes words from, a bit each: uint8 [n]."""
        bits = np.where(self.source >= 0, 1 << np.maximum(self.source, 0), 0)
        return np.asarray(np.bitwise_or.reduce(bits, axis=1), np.uint8)

    @property
    def gives(self) -> NDArray[np.uint8]:
        """Ports that any position gives words to, a bit each: uint8 [n]."""
        return np.asarray(np.bitwise_or.reduce(self.outputs, axis=1), np.uint8)


def faults(positions: tuple[str, ...]) -> Iterator[tuple[str, str, str]]:
    """What is wrong with the positions of an area: the rule, what would be right and what is there."""
    if not 1 <= len(positions) <= MOST_POSITIONS:
        rule = "a switch has one to four positions"
        yield rule, f"1 to {MOST_POSITIONS} positions", f"{len(positions)} positions"
    for position in positions:
        match = _POSITION.fullmatch(position)
        if match is None:
            expected = f"a port of {PORTS}, `>` and the ports that words go to"
            yield "a position says where words come from and where they go", expected, repr(position)
        elif len(set(match[2])) < len(match[2]):
            yield "a position names each port that words go to once", "different ports", position
        elif match[1] in match[2]:
            rule = "no position sends words back to where they came from"
            yield rule, f"ports other than {match[1]}", position


def tabulate(positions: list[tuple[str, ...]]) -> Settings:
    """Tables of settings in which `faults` finds nothing."""
    source = np.full((len(positions), MOST_POSITIONS), -1, np.int8)
    outputs = np.zeros((len(positions), MOST_POSITIONS), np.uint8)
    for number, entries in enumerate(positions):
        for place, entry in enumerate(entries):
            source[number, place] = PORTS.index(entry[0])
            outputs[number, place] = sum(1 << PORTS.index(port) for port in entry[2:])
    return Settings(tuple(positions), source, outputs)
