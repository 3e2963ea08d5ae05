"""Turns whose weights come in from outside for every sample, while the turn before works, where they find no room to stay.

A byte of weights on a core has a price again: not for the room that it takes, but for the time in which it passes the core's ramp. Prices
are tried, and the ways with the fewest cycles in all are taken. Then weights of turns that wait for them stay where there is room, those
first that spare most cycles a byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.phases import cycles_per_byte
from wsec.compiler.errors import WsecError
from wsec.compiler.plan import TurnLoad
from wsec.compiler.schedule.sequential.choice import choose_ways, ways_left
from wsec.compiler.schedule.sequential.memory import memory_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.schedule.sequential.choice import Edge
    from wsec.compiler.schedule.sequential.turns import Turn
    from wsec.compiler.target import Target

    Integers = NDArray[np.int64]

_PRICES: Final = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Of a byte of weights on a core, in the cycles in which it passes the ramp."""

_SHARES: Final = (1.0, 0.75, 0.6, 0.5)
"""Of a core's memory, for what a turn works with and its weights: what the next one's find room beside."""


@dataclass(frozen=True, slots=True, eq=False)
class StreamedWays:
    """The way of each turn, and how its weights come in; None where they stay.

    Attributes:
        ways: int64 [turns].
        loads: Of each turn.
        cycles: Of a sample: turns, what goes from one to the next, and waiting for weights.
    """

    ways: Integers
    loads: tuple[TurnLoad | None, ...]
    cycles: int


@dataclass(frozen=True, slots=True, eq=False)
class _Turns:
    """Bytes on the fullest core and cycles of each turn in its way, int64 [turns].

    Attributes:
        weights: Bytes of its weights.
        states: Bytes of its states, which stay.
        working: Bytes that it works with, and of tensors that wait meanwhile.
        load: Cycles in which its weights come in.
        alone: Cycles of its arithmetic, in which ramps are free.
        total: All its cycles, and those of what comes to it.
    """

    weights: Integers
    states: Integers
    working: Integers
    load: Integers
    alone: Integers
    total: Integers


def stream_weights(
    turns: Sequence[Turn], edges: Sequence[Edge], graph: KernelGraph, target: Target
) -> StreamedWays:
    """The ways with the fewest cycles of a sample in all.

    Raises:
        WsecError: WSEC392 no choice of ways leaves room for a turn beside the weights of the next.
    """
    sizes = [_weights(turn) for turn in turns]
    left = ways_left(turns, edges, [turn.resident + turn.working for turn in turns])  # lean ones stay
    best: StreamedWays | None = None
    least = 0
    for share, price in product(_SHARES, _PRICES):
        small = [
            _small(turn, some, share * target.core.data_bytes) for turn, some in zip(turns, left, strict=True)
        ]
        ways, _ = choose_ways(turns, edges, price / target.fabric.cycle_bytes, small, sizes)
        facts = _facts(turns, edges, ways, graph, target)
        needed = _bytes(facts, np.zeros(len(turns), np.bool_))
        least = min(least or needed, needed)
        if needed > target.core.data_bytes:
            continue
        stays = _staying(facts, target.core.data_bytes)
        cycles = int(facts.total.sum() + _waiting(facts, stays, target.core.data_bytes).sum())
        if best is None or cycles < best.cycles:
            best = StreamedWays(ways, _loads(facts, stays, target.core.data_bytes), cycles)
    if best is None:
        raise _no_room(least, target)
    return best


def _small(turn: Turn, ways: Integers, room: float) -> Integers:
    """Ways that need no more than so many bytes on a core, or the one that needs least."""
    needed = turn.working[ways] + turn.resident[ways]
    return ways[needed <= max(room, float(needed.min()))]


def _weights(turn: Turn) -> NDArray[np.float64]:
    """Bytes of its weights on the fullest core, [ways]."""
    each = [table.splits.costs.weights[turn.option[:, at]] for at, table in enumerate(turn.tables)]
    total: NDArray[np.float64] = np.sum(each, axis=0)
    return total


def _facts(
    turns: Sequence[Turn], edges: Sequence[Edge], ways: Integers, graph: KernelGraph, target: Target
) -> _Turns:
    memory = memory_of(turns, ways.tolist(), graph)
    weights = np.array([int(_weights(turn)[way]) for turn, way in zip(turns, ways, strict=True)], np.int64)
    alone, load = np.zeros(len(turns), np.int64), np.zeros(len(turns), np.int64)
    total = np.array([int(turn.cycles[way]) for turn, way in zip(turns, ways, strict=True)], np.int64)
    for at, (turn, way) in enumerate(zip(turns, ways, strict=True)):
        for member, table in enumerate(turn.tables):
            costs, option = table.splits.costs, turn.option[way, member]
            alone[at] += int(max(costs.compute[option], costs.memory[option]))
        load[at] = load_cycles(
            sum(stored_weights(graph, index) for index in turn.kernels), int(weights[at]), target
        )
    for edge in edges:
        total[edge.target] += int(edge.cycles[ways[edge.source], ways[edge.target]])
    return _Turns(weights, memory.resident - weights, memory.working + memory.held, load, alone, total)


def stored_weights(graph: KernelGraph, index: int) -> int:
    """Bytes of the weights of a kernel, each tensor once."""
    sizes = {
        item.tensor: float(item.item_bytes) * np.prod([dimension.extent for dimension in item.maps])
        for item in graph.nests[index].inputs
        if item.constant
    }
    return int(np.ceil(sum(sizes.values())))


def load_cycles(stored: int, on_a_core: int, target: Target) -> int:
    """Cycles in which weights come in: each tensor once from outside, and what the fullest core keeps of them through its ramp."""
    outside = stored * cycles_per_byte(target)
    return int(np.ceil(max(outside, on_a_core / target.fabric.cycle_bytes)))


def _ahead(facts: _Turns, stays: NDArray[np.bool_], room: int) -> NDArray[np.bool_]:
    """Turns whose weights find room beside all that the turn before has on the fullest core; before the first, the last."""
    coming = np.where(stays, 0, facts.weights)
    before = np.roll(facts.working + coming, 1)
    return ~stays & (_resident(facts, stays) + before + coming <= room)


def _waiting(facts: _Turns, stays: NDArray[np.bool_], room: int) -> Integers:
    """Cycles for which each turn waits for its weights: all in which they come in, or what arithmetic of the turn before leaves."""
    hidden = np.where(_ahead(facts, stays, room), np.roll(facts.alone, 1), 0)
    return np.where(stays, 0, np.maximum(0, facts.load - hidden))


def _resident(facts: _Turns, stays: NDArray[np.bool_]) -> int:
    return int(facts.states.sum() + facts.weights[stays].sum())


def _bytes(facts: _Turns, stays: NDArray[np.bool_]) -> int:
    """On the fullest core at least: what stays, and the most of what a turn works with and its weights."""
    own = facts.working + np.where(stays, 0, facts.weights)
    return _resident(facts, stays) + int(own.max(initial=0))


def _staying(facts: _Turns, room: int) -> NDArray[np.bool_]:
    """Turns whose weights stay: of those that would wait, the ones that spare most cycles for each byte, while that is faster."""
    stays = np.zeros(len(facts.weights), np.bool_)
    waiting = _waiting(facts, stays, room)
    least = int(waiting.sum())
    for at in np.argsort(-waiting / np.maximum(facts.weights, 1), kind="stable").tolist():
        if not waiting[at]:
            break
        stays[at] = True
        found = int(_waiting(facts, stays, room).sum())
        stays[at] = _bytes(facts, stays) <= room and found < least
        least = found if stays[at] else least
    return stays


def _loads(facts: _Turns, stays: NDArray[np.bool_], room: int) -> tuple[TurnLoad | None, ...]:
    """By turn; without weights there is none."""
    ahead = _ahead(facts, stays, room)
    return tuple(
        TurnLoad(int(facts.load[at]), bool(ahead[at])) if facts.weights[at] and not stays[at] else None
        for at in range(len(stays))
    )


def _no_room(least: int, target: Target) -> WsecError:
    grid = target.grid
    return WsecError(
        "WSEC392",
        "a turn does not fit a core, though weights come in for each",
        where=f"{grid.width} x {grid.height} cores of target {target.name}",
        expected=f"at most {target.core.data_bytes:,} bytes on a core, without code",
        found=f"{least:,} bytes on the fullest core: states, what a turn works with, and its weights",
        hint="use a larger region, or `--mode streaming`, whose phases hold parts of the model",
    )
