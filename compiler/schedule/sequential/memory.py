"""Bytes on the fullest core where kernels take turns: weights and states of all, and what the turn with most needs besides.

Every rectangle has the core at the origin, which therefore is the fullest. What a later turn reads stays where its producer left it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.kernels.graph import HOST_INDEX
from wsec.compiler.kernels.splits import sharding_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.schedule.sequential.turns import Turn


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


def least_memory(turns: Sequence[Turn]) -> TurnMemory:
    """What no choice of ways goes below: the least that each turn leaves on its fullest core, and the least that it works with."""
    resident, working = [], []
    for turn in turns:
        resident.append(int(turn.resident.min()))
        costs = [table.splits.costs for table in turn.tables]
        each = [
            (cost.activations + cost.buffers)[turn.option[:, member]] for member, cost in enumerate(costs)
        ]
        working.append(int(np.sum(each, axis=0).min()))
    return TurnMemory(np.array(resident), np.array(working), np.zeros(len(turns), dtype=np.int64))


def stored_bytes(graph: KernelGraph) -> int:
    """Bytes of all weights and states, each once."""
    found = {
        item.tensor: float(item.item_bytes) * math.prod(dimension.extent for dimension in item.maps)
        for nest in graph.nests
        for item in nest.inputs
        if item.resident
    }
    return math.ceil(sum(found.values()))


def _held(turns: Sequence[Turn], ways: Sequence[int], graph: KernelGraph) -> NDArray[np.int64]:
    turn_of = {index: at for at, turn in enumerate(turns) for index in turn.kernels}
    last: dict[tuple[int, str], int] = {}
    for link in graph.links:
        if HOST_INDEX not in (link.source, link.target):
            key = link.source, link.tensor
            last[key] = max(last.get(key, 0), turn_of[link.target])
    change = np.zeros(len(turns) + 1, dtype=np.int64)
    for (kernel, tensor), at in last.items():
        first = turn_of[kernel]
        if at <= first + 1:
            continue
        turn, way = turns[first], ways[first]
        member = turn.kernels.index(kernel)
        operand = next(item for item in graph.nests[kernel].outputs if item.tensor == tensor)
        sharding = sharding_of(
            turn.tables[member].splits, int(turn.option[way, member]), operand, output=True
        )
        size = int(np.ceil(sharding.block_elements * operand.item_bytes))
        change[first + 1] += size
        change[at] -= size
    return change.cumsum()[:-1]
