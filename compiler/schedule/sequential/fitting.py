"""The ways of all turns within the memory of their wafers: a byte on a core has a price, and the price rises until all fits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.compiler.schedule.sequential.choice import choose_ways, ways_left
from wsec.compiler.schedule.sequential.memory import bytes_of_ways, memory_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.residents import Residents
    from wsec.compiler.schedule.sequential.choice import Edge
    from wsec.compiler.schedule.sequential.memory import TurnMemory
    from wsec.compiler.schedule.sequential.turns import Turn
    from wsec.compiler.target import Target

PRICES: Final = (0.0, *(0.01 * 4.0**step for step in range(12)))
"""Cycles for each byte on a core: the dearer, the less memory is taken."""

_HALVINGS: Final = 5  # of the step between two prices


@dataclass(frozen=True, slots=True)
class Wafers:
    """How many were asked for, None for the fewest that do, and how many there are at least."""

    asked: int | None
    least: int


@dataclass(frozen=True, slots=True, eq=False)
class ChosenWays:
    """The way of each turn, the turns of each wafer as (first, behind the last), and what a decoder keeps there."""

    ways: NDArray[np.int64]
    wafers: tuple[tuple[int, int], ...]
    residents: Residents | None = None


def fitting(
    turns: Sequence[Turn],
    edges: Sequence[Edge],
    graph: KernelGraph,
    target: Target,
    wafers: Wafers,
    *,
    careful: bool = True,
) -> ChosenWays:
    """The fastest ways that fit, memory dearer and dearer; without a number of wafers, on the fewest.

    Prices are tried in haste, and ways chosen with care at the one that is taken, if they shall be. Fewer than `wafers.least` are not looked for.
    Only the turn that works with most matters: where each kind of turn pays for all that it works with, and no price is high enough, they share it.

    Raises:
        WsecError: WSEC366 the weights do not fit, WSEC367 more wafers than turns.
    """
    room = target.core.data_bytes
    wanted = wafers.asked or wafers.least
    taken: _Priced | None = None
    for peaks in (1.0, 1 / max(1, len({turn.signature for turn in turns}))):
        sizes = bytes_of_ways(turns, graph, wanted, peaks=peaks)
        found = _at_lowest_price(turns, edges, graph, room, (wanted, sizes), careful=careful)
        if taken is None or 0 < found.wafers < (taken.wafers or math.inf):
            taken = found
        if 0 < taken.wafers <= wanted:
            break
    assert taken is not None  # noqa: S101 - peaks are weighed in some way
    count, ways, memory = taken.wafers, taken.ways, taken.memory
    if not count:
        raise _does_not_fit(memory, target, None)
    if wafers.asked is not None and count > wafers.asked:
        raise _does_not_fit(memory, target, count)
    if (wafers.asked or 1) > len(turns):
        raise _too_many(wafers.asked or 1, len(turns))
    if count > 1 and target.wafer_link is None:
        raise _does_not_fit(memory, target, None)
    cycles = [int(turn.cycles[way]) for turn, way in zip(turns, ways.tolist(), strict=True)]
    return ChosenWays(ways, _balanced(cycles, memory, room, wafers.asked or count))


@dataclass(frozen=True, slots=True, eq=False)
class _Priced:
    """The ways that are best at a price of memory, and the wafers that they need; 0 where some turn fits none."""

    price: float
    wafers: int
    ways: NDArray[np.int64]
    memory: TurnMemory


def _at_lowest_price(
    turns: Sequence[Turn],
    edges: Sequence[Edge],
    graph: KernelGraph,
    room: int,
    wanted: tuple[int, Sequence[NDArray[np.float64]]],
    *,
    careful: bool,
) -> _Priced:
    """The ways at the lowest price with which all fits so many wafers, or the fewest; by the bytes of each way that count."""
    wafers, sizes = wanted
    left = ways_left(turns, edges, sizes)

    def at(price: float, ways_to_weigh: Sequence[NDArray[np.int64]] | None) -> _Priced:
        ways, _ = choose_ways(turns, edges, price, ways_to_weigh, sizes)
        memory = memory_of(turns, ways.tolist(), graph)
        return _Priced(price, len(packed(memory, room)), ways, memory)

    hasty = _lowest_price(lambda price: at(price, left), wafers)
    better = at(hasty.price, None) if careful else hasty
    return better if 0 < better.wafers <= hasty.wafers else hasty


def _lowest_price(at: Callable[[float], _Priced], wafers: int) -> _Priced:
    """About the lowest price at which no more than so many wafers are needed, or no more than at the highest price."""
    free = at(PRICES[0])
    if 0 < free.wafers <= wafers:
        return free
    dear = at(PRICES[-1])
    if not dear.wafers:
        return max(dear, free, key=lambda each: each.wafers)
    count = max(wafers, dear.wafers)
    below, above = 0, len(PRICES) - 1
    while above - below > 1:
        middle = (below + above) // 2
        tried = at(PRICES[middle])
        if 0 < tried.wafers <= count:
            above, dear = middle, tried
        else:
            below = middle
    cheap = PRICES[below]
    for _ in range(_HALVINGS):
        tried = at(math.sqrt(cheap * dear.price) if cheap else dear.price / 2)
        if 0 < tried.wafers <= count:
            dear = tried
        else:
            cheap = tried.price
    return dear


def packed(
    memory: TurnMemory, room: int, cycles: Sequence[int] | None = None, limit: int = 0
) -> list[tuple[int, int]]:
    """Consecutive turns on each wafer, as many as fit its memory, and `limit` where cycles count; empty where a turn fits none."""
    found, first = [], 0
    count = len(memory.resident)
    while first < count:
        resident = working = spent = 0
        behind = first
        while behind < count:
            resident += int(memory.resident[behind])
            working = max(working, int(memory.working[behind] + memory.held[behind]))
            spent += 0 if cycles is None else cycles[behind]
            if resident + working > room or (cycles is not None and spent > limit):
                break
            behind += 1
        if behind == first:
            return []
        found.append((first, behind))
        first = behind
    return found


def _balanced(
    cycles: Sequence[int], memory: TurnMemory, room: int, wafers: int
) -> tuple[tuple[int, int], ...]:
    """So many wafers, the slowest as fast as it can be; none without turns."""
    if wafers == 1:
        return ((0, len(cycles)),)
    low, high = max(cycles), sum(cycles)
    while low < high:
        middle = (low + high) // 2
        parts = packed(memory, room, cycles, middle)
        if parts and len(parts) <= wafers:
            high = middle
        else:
            low = middle + 1
    parts = packed(memory, room, cycles, high)
    while len(parts) < wafers:  # fewer would do: those with most cycles are cut in two
        at = max(
            (number for number, (first, behind) in enumerate(parts) if behind - first > 1),
            key=lambda number: sum(cycles[slice(*parts[number])]),
        )
        first, behind = parts[at]
        middle = min(
            range(first + 1, behind),
            key=lambda cut: max(sum(cycles[first:cut]), sum(cycles[cut:behind])),
        )
        parts[at : at + 1] = [(first, middle), (middle, behind)]
    return tuple(parts)


def _does_not_fit(memory: TurnMemory, target: Target, count: int | None) -> WsecError:
    grid, room = target.grid, target.core.data_bytes
    resident, working = int(memory.resident.sum()), int((memory.working + memory.held).max(initial=0))
    several = "" if count is None else f"--wafers {count}, on which they fit, "
    return WsecError(
        "WSEC366",
        "the weights of all kernels do not fit the cores on which they take turns",
        where=f"{grid.width} x {grid.height} cores of target {target.name}",
        expected=f"at most {room:,} bytes on a core, without code",
        found=f"{resident + working:,} bytes on the fullest core: {resident:,} of weights and states, "
        f"{working:,} of the turn that needs most",
        hint=f"use {several or 'more wafers (--wafers auto), '}a larger region, or `--mode streaming`, which loads weights for each phase",
    )


def _too_many(wafers: int, turns: int) -> WsecError:
    return WsecError(
        "WSEC367",
        "there are more wafers than turns",
        expected=f"at most {turns} wafers, one turn on each",
        found=f"{wafers} wafers",
        hint="use fewer wafers, or `--wafers auto`",
    )
