"""The ways of a prefill's turns beside the decoder whose weights they use: the fastest for which both have room.

A core keeps what the decoder keeps, and copies of what is not in place. While the prefill runs, the decoder's blocks and buffers are
not there, nor those of the prefill while the decoder does.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import SharedResidents
from wsec.compiler.schedule.sequential.choice import choose_ways, ways_left
from wsec.compiler.schedule.sequential.memory import TurnMemory, memory_of

_ATTEMPTS: Final = 6  # at ways that need less and less while their turn works

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.plan import Kernel, SharedCache, SharedWeight
    from wsec.compiler.residents import Residents
    from wsec.compiler.schedule.sequential.choice import Edge
    from wsec.compiler.schedule.sequential.sharing import SharedTurn
    from wsec.compiler.target import Target

    Ways = NDArray[np.int64]
    Parts = tuple[tuple[int, int], ...]


def parts_of(wafers: Sequence[int]) -> Parts:
    """The turns of each wafer as (first, behind the last), from the wafer of each turn."""
    edges = [0, *(at for at in range(1, len(wafers)) if wafers[at] != wafers[at - 1]), len(wafers)]
    return tuple(itertools.pairwise(edges))


def ways_beside(
    turns: Sequence[SharedTurn],
    edges: Sequence[Edge],
    graph: KernelGraph,
    machine: tuple[Target, Sequence[float]],
    beside: tuple[Residents, Sequence[int]],
) -> Ways:
    """The way of each turn: those that need more than there is left out, and copies dearer and dearer until all fits.

    Args:
        turns: In order.
        edges: Between them.
        graph: Of their kernels.
        machine: The target, and prices of a byte in cycles, the lowest first.
        beside: What the decoder keeps, and the wafer of each turn.

    Raises:
        WsecError: WSEC366 prefill and decoder do not fit together.
    """
    target, prices = machine
    residents, wafers = beside
    room = target.core.data_bytes
    kept = np.array([residents.resident_bytes[on] for on in wafers], dtype=np.int64)
    caps = room - kept
    least: tuple[int, TurnMemory] | None = None
    for _ in range(_ATTEMPTS):
        left = [_barred(turn, cap) for turn, cap in zip(turns, _alike(turns, caps), strict=True)]
        sizes = [turn.resident for turn in left]
        weighed = ways_left(left, edges, sizes)
        for price in prices:
            ways, _ = choose_ways(left, edges, price, weighed, sizes)
            memory = _memory(turns, ways, graph)
            over = _most(memory, beside) - room
            if over <= 0:  # found in haste; the same with care, where that fits too
                careful, _ = choose_ways(left, edges, price)
                return careful if _most(_memory(turns, careful, graph), beside) <= room else ways
            if least is None or over < least[0]:
                least = over, memory
            if (kept + memory.working + memory.held).max() > room:  # without any copies: no price helps
                break
        copied = np.array([copies for _, copies, _ in _needed(memory, beside)], dtype=np.int64)[list(wafers)]
        beyond = kept + copied + memory.working + memory.held - room
        caps = np.where(beyond > 0, memory.working - beyond, caps)
    assert least is not None  # noqa: S101 - there are prices
    raise _does_not_fit(least[1], beside, target)


def _alike(turns: Sequence[SharedTurn], caps: NDArray[np.int64]) -> list[int]:
    """The least cap of all turns with equal ways: equal layers are judged alike, and once."""
    least: dict[object, int] = {}
    for turn, cap in zip(turns, caps.tolist(), strict=True):
        least[turn.signature] = min(cap, least.get(turn.signature, cap))
    return [least[turn.signature] for turn in turns]


def _barred(turn: SharedTurn, room: int) -> SharedTurn:
    """The turn without the ways for which so many bytes are too few, but for the one that needs least."""
    needed = turn.working + turn.resident
    return turn.without(needed > max(room, int(needed.min())))


def _memory(turns: Sequence[SharedTurn], ways: Ways, graph: KernelGraph) -> TurnMemory:
    chosen = ways.tolist()
    resident, working = (
        np.array([getattr(turn, name)[way] for turn, way in zip(turns, chosen, strict=True)]).astype(np.int64)
        for name in ("resident", "working")
    )
    return replace(memory_of(turns, chosen, graph), resident=resident, working=working)


def _needed(memory: TurnMemory, beside: tuple[Residents, Sequence[int]]) -> list[tuple[int, int, int]]:
    """Bytes on the fullest core of each wafer: of what the decoder keeps, of copies, and of the model at work that needs more."""
    residents, wafers = beside
    found = []
    for wafer, (first, behind) in enumerate(parts_of(wafers)):
        working = int((memory.working + memory.held)[first:behind].max(initial=0))
        copied = int(memory.resident[first:behind].sum())
        at_work = max(working, residents.working_bytes[wafer])
        found.append((residents.resident_bytes[wafer], copied, at_work))
    return found


def _most(memory: TurnMemory, beside: tuple[Residents, Sequence[int]]) -> int:
    """Bytes on the fullest core of all wafers."""
    return max(sum(needed) for needed in _needed(memory, beside))


def _does_not_fit(memory: TurnMemory, beside: tuple[Residents, Sequence[int]], target: Target) -> WsecError:
    every = _needed(memory, beside)
    wafer = max(range(len(every)), key=lambda number: sum(every[number]))
    kept, copied, working = every[wafer]
    return WsecError(
        "WSEC366",
        "the prefill does not fit the cores beside the decoder whose weights it shares",
        where=f"wafer {wafer}, {target.grid.width} x {target.grid.height} cores of target {target.name}",
        expected=f"at most {target.core.data_bytes:,} bytes on a core, without code",
        found=f"{kept + copied + working:,} bytes on the fullest core: {kept:,} that the decoder keeps, {copied:,} of what the "
        f"prefill has besides, {working:,} of the turn that needs most",
        hint="compile the decoder on more wafers or a larger region, export the prefill for fewer tokens, or compile the two apart",
    )


def with_moves(
    kernels: dict[int, Kernel], turns: Sequence[SharedTurn], ways: Sequence[int]
) -> dict[int, Kernel]:
    """The records of kernels, with the cycles in which what they share is brought."""
    found = dict(kernels)
    for turn, way in zip(turns, ways, strict=True):
        for member, index in enumerate(turn.kernels):
            added = int(turn.added(member)[way])
            if added:
                cycles = found[index].cycles
                found[index] = replace(
                    found[index], cycles=replace(cycles, communication=cycles.communication + added)
                )
    return found


def shared_records(
    turns: Sequence[SharedTurn], ways: Sequence[int], kernels: dict[int, Kernel], residents: Residents
) -> SharedResidents:
    """What the plan says of all that it shares."""
    weights: list[SharedWeight] = []
    caches: list[SharedCache] = []
    for turn, way in zip(turns, ways, strict=True):
        names = [kernels[index].name for index in turn.kernels]
        weights += turn.shared_weights(way, names)
        caches += turn.shared_caches(way, names)
    return SharedResidents(residents.plan_sha256, tuple(weights), tuple(caches))
