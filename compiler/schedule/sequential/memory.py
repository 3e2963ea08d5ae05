"""Bytes on the fullest core where kernels take turns: weights and states of all, and what the turn with most needs besides.

Every rectangle has the core at the origin, which therefore is the fullest. What a later turn reads stays where its producer left it.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.kernels.graph import HOST_INDEX
from wsec.compiler.kernels.splits import sharding_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.schedule.sequential.turns import Turn

_SHARES: Final = 8  # of all turns: few different ones, so that equal turns are weighed once


@dataclass(frozen=True, slots=True, eq=False)
class TurnMemory:
    """Bytes on the fullest core, [turns].

    Attributes:
        resident: Weights and states, which stay.
        working: Blocks and buffers of the turn itself.
        held: By turn, of tensors that an earlier turn made and a later one reads.
    """

    resident: NDArray[np.int64]
    working: NDArray[np.int64]
    held: NDArray[np.int64]

    def bytes(self, first: int, behind: int) -> int:
        """Of the turns `[first, behind)` on one wafer, without the code."""
        most = (self.working[first:behind] + self.held[first:behind]).max(initial=0)
        return int(self.resident[first:behind].sum() + most)


def memory_of(turns: Sequence[Turn], ways: Sequence[int], graph: KernelGraph) -> TurnMemory:
    """What each turn needs in the way that was chosen."""
    resident, working = (np.zeros(len(turns), dtype=np.int64) for _ in range(2))
    for at, (turn, way) in enumerate(zip(turns, ways, strict=True)):
        for member, table in enumerate(turn.tables):
            costs, option = table.splits.costs, turn.option[way, member]
            resident[at] += int(costs.weights[option] + costs.states[option])
            working[at] += int(costs.activations[option] + costs.buffers[option])
    return TurnMemory(resident, working, _held(turns, ways, graph))


def stored_bytes(graph: KernelGraph) -> int:
    """Bytes of all weights and states, each once."""
    found = {
        item.tensor: float(item.item_bytes) * math.prod(dimension.extent for dimension in item.maps)
        for nest in graph.nests
        for item in nest.inputs
        if item.resident
    }
    return math.ceil(sum(found.values()))


def bytes_of_ways(
    turns: Sequence[Turn], graph: KernelGraph, wafers: int, *, peaks: float = 1.0
) -> list[NDArray[np.float64]]:
    """By turn, bytes on the fullest core that each of its ways asks for, [ways], for a price that is the same for all turns.

    Weights and states count whole: they stay. A tensor that waits for later turns counts by the share of all turns for which it does, in
    eighths, on each of `wafers`. What a turn works with counts as far as it is more than some turn needs in any case; as only the most of a wafer
    matters, equal turns share it, and of what each kind of turn then asks for `peaks` counts.
    """
    floor = max((turn.working.min() for turn in turns), default=0.0)
    alike = Counter(turn.signature for turn in turns)
    found = []
    for turn in turns:
        peak = np.maximum(turn.working - floor, 0) * min(1.0, wafers / alike[turn.signature]) * peaks
        found.append(turn.resident + peak)
    known: dict[object, NDArray[np.float64]] = {}
    for (kernel, tensor), (first, last) in _waiting(turns, graph).items():
        turn = turns[first]
        share = round(_SHARES * (last - first - 1) / len(turns)) / _SHARES
        if not share:
            continue
        member = turn.kernels.index(kernel)
        position = [item.tensor for item in graph.nests[kernel].outputs].index(tensor)
        key = turn.signature, member, position
        if key not in known:
            known[key] = np.array(
                [_block_bytes(turn, way, member, position) for way in range(len(turn.option))],
                dtype=np.float64,
            )
        found[first] = found[first] + known[key] * (wafers * share)
    return found


def _block_bytes(turn: Turn, way: int, member: int, position: int) -> int:
    """Of a result on a core that has a block of it."""
    table = turn.tables[member]
    made = table.splits.nest.outputs[position]
    sharding = sharding_of(table.splits, int(turn.option[way, member]), made, output=True)
    return math.ceil(sharding.block_elements * made.item_bytes)


def _waiting(turns: Sequence[Turn], graph: KernelGraph) -> dict[tuple[int, str], tuple[int, int]]:
    """Tensors that turns after the next one read: the kernel and the name; the turn that makes each, and the last that reads it."""
    turn_of = {index: at for at, turn in enumerate(turns) for index in turn.kernels}
    last: dict[tuple[int, str], int] = {}
    for link in graph.links:
        if HOST_INDEX not in (link.source, link.target):
            key = link.source, link.tensor
            last[key] = max(last.get(key, 0), turn_of[link.target])
    return {key: (turn_of[key[0]], at) for key, at in last.items() if at > turn_of[key[0]] + 1}


def _held(turns: Sequence[Turn], ways: Sequence[int], graph: KernelGraph) -> NDArray[np.int64]:
    change = np.zeros(len(turns) + 1, dtype=np.int64)
    for (kernel, tensor), (first, last) in _waiting(turns, graph).items():
        member = turns[first].kernels.index(kernel)
        position = [item.tensor for item in graph.nests[kernel].outputs].index(tensor)
        size = _block_bytes(turns[first], ways[first], member, position)
        change[first + 1] += size
        change[last] -= size
    return change.cumsum()[:-1]
