"""What changes on the way of a stream by the number of words that passed: positions of switches, filters at ramps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class SwitchTurns:
    """How long each router stays at a position of a setting; int64 arrays of one length.

    For each core and colour its turns in order: the router stays at `position` until `words` words have passed; behind the last
    turn it begins again. Turns of 0 words are left out. Settings of one position need none.

    Attributes:
        core: y * width + x.
        colour: Of the setting.
        position: 0 is the first of the setting.
        words: That pass before the next turn begins.
    """

    core: NDArray[np.int64]
    colour: NDArray[np.int64]
    position: NDArray[np.int64]
    words: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class RampFilters:
    """Which words of a stream a core takes; int64 arrays of one length.

    For each core and colour in order: `skip` words are dropped at the ramp, then `take` are taken; behind the last it begins
    again. A dropped word needs no room and costs the engine nothing. Without a filter a core takes all.

    Attributes:
        core: y * width + x.
        colour: Of the words.
        skip: Words to drop.
        take: Words to take after them.
    """

    core: NDArray[np.int64]
    colour: NDArray[np.int64]
    skip: NDArray[np.int64]
    take: NDArray[np.int64]
