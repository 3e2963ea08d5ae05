"""Topological orders whose contiguous parts are candidates: as given, depth first, and with few words under way."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from wsec.compiler.schedule.problem import PartitionNet, PartitionProblem


def topological_orders(problem: PartitionProblem) -> list[list[int]]:
    """Different orders of the kernels, each after all that it reads from; the given one first."""
    count = len(problem.kernels)
    nets_from: list[list[PartitionNet]] = [[] for _ in range(count)]
    nets_into: list[list[PartitionNet]] = [[] for _ in range(count)]
    for net in problem.nets:
        nets_from[net.source].append(net)
        for target in dict.fromkeys(net.targets):
            nets_into[target].append(net)
    unread = {id(net): len(set(net.targets)) for net in problem.nets}

    def words_added(kernel: int) -> int:
        """Words under way after the kernel less those before it, if it came next."""
        ended = sum(net.words for net in nets_into[kernel] if unread[id(net)] == 1)
        return sum(net.words for net in nets_from[kernel]) - ended

    def read(kernel: int) -> None:
        for net in nets_into[kernel]:
            unread[id(net)] -= 1

    depth_first = _in_order(nets_from, nets_into, lambda _kernel, step: -step)
    few_words = _greedy(nets_from, nets_into, words_added, read)
    orders = [list(range(count)), depth_first, few_words]
    return [order for position, order in enumerate(orders) if order not in orders[:position]]


def _waiting(nets_into: Sequence[Sequence[PartitionNet]]) -> list[int]:
    """For each kernel, the nets that it waits for."""
    return [len(nets) for nets in nets_into]


def _in_order(
    nets_from: Sequence[Sequence[PartitionNet]],
    nets_into: Sequence[Sequence[PartitionNet]],
    key: Callable[[int, int], int],
) -> list[int]:
    """Kahn's algorithm, taking the ready kernel of the least key of (kernel, step in which it became ready)."""
    waiting = _waiting(nets_into)
    ready = [(key(kernel, 0), kernel) for kernel, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, current = heapq.heappop(ready)
        order.append(current)
        for target in _freed(current, nets_from, waiting):
            heapq.heappush(ready, (key(target, len(order)), target))
    return order


def _greedy(
    nets_from: Sequence[Sequence[PartitionNet]],
    nets_into: Sequence[Sequence[PartitionNet]],
    cost: Callable[[int], int],
    take: Callable[[int], None],
) -> list[int]:
    """Kahn's algorithm, taking the ready kernel that costs least at that moment."""
    waiting = _waiting(nets_into)
    ready = [kernel for kernel, count in enumerate(waiting) if not count]
    order: list[int] = []
    while ready:
        current = min(ready, key=lambda kernel: (cost(kernel), kernel))
        ready.remove(current)
        take(current)
        order.append(current)
        ready += _freed(current, nets_from, waiting)
    return order


def _freed(kernel: int, nets_from: Sequence[Sequence[PartitionNet]], waiting: list[int]) -> list[int]:
    """Kernels that wait for nothing any more once `kernel` is taken."""
    freed = []
    for net in nets_from[kernel]:
        for target in dict.fromkeys(net.targets):
            waiting[target] -= 1
            if not waiting[target]:
                freed.append(target)
    return freed
