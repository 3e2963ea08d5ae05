"""Buffers for the samples under way, sized once the routes are known and with the memory that is left over.

A link that skips ahead holds several samples. The split was chosen with one for each stage and one more; where the
transfers on the way take longer than that, each link gets as many as its samples' lifetime needs, if they fit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.cost.pipeline import lifetime, schedule
from wsec.compiler.plan import HOST
from wsec.compiler.sharding import share_elements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Kernel, Link
    from wsec.compiler.target import Target


def size_buffers(
    kernels: Sequence[Kernel], links: Sequence[Link], target: Target, item_bytes: dict[str, int]
) -> tuple[tuple[Kernel, ...], tuple[Link, ...]]:
    """The same kernels and links with more slots where samples live longer than the slots allow.

    Args:
        kernels: In topological order.
        links: Between them.
        target: Gives the memory of a core.
        item_bytes: Bytes of an element of each tensor, by name.
    """
    timing = schedule(kernels, links)
    interval = max([kernel.cycles.total for kernel in kernels] + [link.interval for link in links])
    slots = {(link.target, link.role): -(-lifetime(link, timing) // interval) for link in links}
    sized = {kernel.name: _with_slots(kernel, slots, target, item_bytes) for kernel in kernels}
    held = {(kernel.name, item.role): item.slots for kernel in sized.values() for item in kernel.inputs}
    return (
        tuple(sized.values()),
        tuple(
            link if link.target == HOST else replace(link, slots=held[link.target, link.role])
            for link in links
        ),
    )


def _with_slots(
    kernel: Kernel, wanted: dict[tuple[str, str], int], target: Target, item_bytes: dict[str, int]
) -> Kernel:
    left = target.core.sram_bytes - kernel.memory.total
    inputs, added = [], 0
    for item in kernel.inputs:
        size = share_elements(item.sharding, kernel.mesh) * item_bytes[item.tensor]
        more = 0 if item.constant else wanted[kernel.name, item.role] - item.slots
        more = max(0, min(more, (left - added) // max(size, 1)))
        added += more * size
        inputs.append(replace(item, slots=item.slots + more))
    memory = replace(kernel.memory, activations=kernel.memory.activations + added)
    return replace(kernel, inputs=tuple(inputs), memory=memory)
