"""Buffers for the samples under way, sized once the routes are known and with the memory that is left over.

The split was chosen with two buffers for each result, and for each link one for every stage it skips and one more.
Where transfers take so long that samples live longer, results and links get as many as the lifetime needs, if they fit.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.cost.pipeline import lifetime, result_cycles, timing_of
from wsec.compiler.fabric.holdings import item_bytes
from wsec.compiler.plan import HOST
from wsec.compiler.sharding import share_elements

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wsec.compiler.cost.host_clock import HostClock
    from wsec.compiler.plan import Kernel, Link
    from wsec.compiler.target import Target


def size_buffers(
    kernels: Sequence[Kernel],
    links: Sequence[Link],
    target: Target,
    slot_bytes: Mapping[tuple[str, str], int],
    clock: HostClock | None = None,
) -> tuple[tuple[Kernel, ...], tuple[Link, ...]]:
    """The same kernels and links with more slots where samples live longer than the slots allow.

    Args:
        kernels: In topological order.
        links: Between them.
        target: Gives the memory of a core.
        slot_bytes: Of a sample on the fullest core: of an input that waits, by kernel and role; of a kernel's result, by kernel and
            name of the tensor.
        clock: Of the host, where it has operators.
    """
    wanted = _wanted_slots(kernels, links, clock)
    sized = {kernel.name: _with_slots(kernel, wanted, target, slot_bytes) for kernel in kernels}
    held = {(kernel.name, item.role): item.slots for kernel in sized.values() for item in kernel.inputs}
    return tuple(sized.values()), tuple(
        link if link.target == HOST else replace(link, slots=held[link.target, link.role]) for link in links
    )


def slot_bytes(kernels: Sequence[Kernel]) -> dict[tuple[str, str], int]:
    """Bytes of a sample on a core, as `size_buffers` takes them, where equal shares of blocks wait."""
    found = {}
    for kernel in kernels:
        for item in kernel.inputs:
            if not item.resident:
                elements = share_elements(item.sharding, kernel.mesh)
                found[kernel.name, item.role] = elements * item_bytes(item.dtype)
        for made in kernel.outputs:
            if made.state:
                continue
            found[kernel.name, made.tensor] = made.sharding.block_elements * item_bytes(made.dtype)
    return found


def _wanted_slots(
    kernels: Sequence[Kernel], links: Sequence[Link], clock: HostClock | None
) -> dict[tuple[str, str], int]:
    """Slots with which no sample waits for a buffer: by (kernel, role) of inputs and (kernel, "") of results."""
    timing = timing_of(kernels, links, clock=clock)
    interval = max([kernel.cycles.total for kernel in kernels] + [link.interval for link in links], default=1)
    sent: dict[str, list[Link]] = {}
    for link in links:
        sent.setdefault(link.source, []).append(link)
    lives = {(link.target, link.role): lifetime(link, timing) for link in links}
    lives |= {(kernel.name, ""): result_cycles(kernel, sent.get(kernel.name, ())) for kernel in kernels}
    return {key: -(-cycles // interval) for key, cycles in lives.items()}


def _with_slots(
    kernel: Kernel,
    wanted: Mapping[tuple[str, str], int],
    target: Target,
    slot_bytes: Mapping[tuple[str, str], int],
) -> Kernel:
    left, added = target.core.sram_bytes - kernel.memory.total, 0

    def more(slots: int, key: str, size: int) -> int:
        """Slots for one tensor: as many as are wanted and fit beside those given before."""
        nonlocal added
        extra = max(0, min(wanted[kernel.name, key] - slots, (left - added) // max(size, 1)))
        added += extra * size
        return slots + extra

    outputs = tuple(
        item
        if item.state
        else replace(item, slots=more(item.slots, "", slot_bytes[kernel.name, item.tensor]))
        for item in kernel.outputs
    )
    inputs = tuple(
        item
        if item.resident
        else replace(item, slots=more(item.slots, item.role, slot_bytes[kernel.name, item.role]))
        for item in kernel.inputs
    )
    memory = replace(kernel.memory, activations=kernel.memory.activations + added)
    return replace(kernel, inputs=inputs, outputs=outputs, memory=memory)
