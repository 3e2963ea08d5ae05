"""Compiled: the words of a sample through every port of every router."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]
    Bits = NDArray[np.uint8]
    Loads = NDArray[np.float64]


@compiled
def add_ways(loads: Loads, cells: Integers, ends: Integers, given: Bits, words: Loads) -> None:
    """Add what routers that all words of a lane pass give to their neighbours.

    Args:
        loads: Words by port (N, E, S, W) and core: [4, cores].
        cells: Cores, lane by lane.
        ends: Where each lane's end: [lanes + 1].
        given: Ports that each of them gives to, a bit each.
        words: Of each lane.
    """
    for lane in range(len(words)):
        for at in range(ends[lane], ends[lane + 1]):
            for port in range(4):
                if given[at] >> port & 1:
                    loads[port, cells[at]] += words[lane]


@compiled
def add_gathered(loads: Loads, cells: Integers, parents: Integers, given: Bits, words: Loads) -> None:
    """Add what routers of gather trees give towards the lane: their own words and those behind them.

    Args:
        loads: As in `add_ways`.
        cells: Cores, each after the one that it gives its words to.
        parents: Place of that one, -1 for a root.
        given: The one port that each gives to, as a bit.
        words: Of each core itself; those behind it are added.
    """
    for at in range(len(cells) - 1, -1, -1):
        for port in range(4):
            if given[at] >> port & 1:
                loads[port, cells[at]] += words[at]
        if parents[at] >= 0:
            words[parents[at]] += words[at]


def exchange_loads(sends: Loads, low: Integers, high: Integers) -> tuple[Loads, Loads]:
    """Words that cores of each line give forwards and backwards, as all cores of a segment see all words.

    Args:
        sends: Words that each core sends: [lines, places].
        low: Where the segment of each place begins.
        high: Where it ends.
    """
    before = np.concatenate([np.zeros((len(sends), 1)), np.cumsum(sends, axis=1)], axis=1)
    places = np.arange(sends.shape[1])
    forwards = np.where(places + 1 < high, before[:, places + 1] - before[:, low], 0)
    backwards = np.where(places > low, before[:, high] - before[:, places], 0)
    return forwards, backwards
