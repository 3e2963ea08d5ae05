"""The ways of a prefill's turns beside the decoder whose weights they use: the fastest for which both have room.

A core keeps what the decoder keeps, and copies of what is not in place. While the prefill runs, the decoder's blocks and buffers are
not there, nor those of the prefill while the decoder does.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import SharedResidents
from wsec.compiler.schedule.sequential.choice import choose_ways
from wsec.compiler.schedule.sequential.memory import TurnMemory, memory_of

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
    beside: tuple[Residents, Parts],
) -> Ways:
    """The way of each turn; memory dearer and dearer, by the prices of `machine`, until all fits.

    Raises:
        WsecError: WSEC366 prefill and decoder do not fit together.
    """
    target, prices = machine
    least: tuple[int, TurnMemory, int] | None = None
    for price in prices:
        ways, _ = choose_ways(turns, edges, price)
        memory = _memory(turns, ways, graph)
        over, wafer = max(
            (_over(memory, part, beside[0], number, target.core.data_bytes), number)
            for number, part in enumerate(beside[1])
        )
        if over <= 0:
            return ways
        if least is None or over < least[0]:
            least = over, memory, wafer
    assert least is not None  # noqa: S101 - there are prices
    raise _does_not_fit(least[1], beside, least[2], target)


def with_room(
    turns: Sequence[SharedTurn], wafers: Sequence[int], residents: Residents, room: int
) -> list[SharedTurn]:
    """The turns with those of their ways that a core has room for beside what the decoder keeps; all of them where none has."""
    found = []
    known: dict[object, NDArray[np.bool_]] = {}
    for turn, wafer in zip(turns, wafers, strict=True):
        key = turn.signature, wafer
        if key not in known:
            fits = turn.working + turn.resident <= room - residents.resident_bytes[wafer]
            known[key] = fits if fits.any() else np.ones_like(fits)
        found.append(turn.some(np.flatnonzero(known[key]), wafer) if not known[key].all() else turn)
    return found


def _memory(turns: Sequence[SharedTurn], ways: Ways, graph: KernelGraph) -> TurnMemory:
    chosen = ways.tolist()
    resident, working = (
        np.array([getattr(turn, name)[way] for turn, way in zip(turns, chosen, strict=True)]).astype(np.int64)
        for name in ("resident", "working")
    )
    return replace(memory_of(turns, chosen, graph), resident=resident, working=working)


def _needed(
    memory: TurnMemory, part: tuple[int, int], residents: Residents, wafer: int
) -> tuple[int, int, int]:
    """Bytes on the fullest core of what the decoder keeps, of copies, and of the model at work that needs more."""
    first, behind = part
    copied = int(memory.resident[first:behind].sum())
    working = int((memory.working + memory.held)[first:behind].max(initial=0))
    return residents.resident_bytes[wafer], copied, max(working, residents.working_bytes[wafer])


def _over(memory: TurnMemory, part: tuple[int, int], residents: Residents, wafer: int, room: int) -> int:
    return sum(_needed(memory, part, residents, wafer)) - room


def _does_not_fit(
    memory: TurnMemory, beside: tuple[Residents, Parts], wafer: int, target: Target
) -> WsecError:
    kept, copied, working = _needed(memory, beside[1][wafer], beside[0], wafer)
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
