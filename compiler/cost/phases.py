"""What phases cost that take turns on a wafer: their weights come in anew each time, and what crosses waits outside.

Both pass at the rate of the target's memory for weights, or at that of its host where it has none. Neither overlaps with work:
a phase whose weights were loaded reads what it needs of earlier phases, works, and writes what later ones need.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from wsec.compiler.plan import Kernel, KernelInput, Phase
    from wsec.compiler.target import Target


def words_between_phases(
    phases: Sequence[Phase], elsewhere: Sequence[Phase] = ()
) -> tuple[tuple[int, int], ...]:
    """Words of a sample that come to each phase of a wafer from others and leave it for others, each tensor once.

    Those of other wafers are `elsewhere`: what goes between them and a phase waits outside as well.
    """
    ways_in = []
    for phase in (*phases, *elsewhere):
        own = {HOST, *(kernel.name for kernel in phase.kernels)}
        ways_in.append({link.tensor: link.words for link in phase.links if link.source not in own})
    crossing = {tensor for tensors in ways_in for tensor in tensors}
    ways_out = [
        {link.tensor: link.words for link in phase.links if link.target == HOST and link.tensor in crossing}
        for phase in phases
    ]
    return tuple(
        (sum(into.values()), sum(out.values())) for into, out in zip(ways_in, ways_out, strict=False)
    )


def weight_bytes(kernels: Iterable[Kernel]) -> int:
    """Bytes of the weights of kernels, each tensor once, wherever its blocks go; those of four bits are packed."""
    return _bytes_of([entry for kernel in kernels for entry in kernel.inputs if entry.constant])


def state_bytes(kernels: Iterable[Kernel]) -> int:
    """Bytes of the states of kernels: where other phases use their cores in between, they go out and come in for each sample."""
    return _bytes_of([entry for kernel in kernels for entry in kernel.inputs if entry.state])


def _bytes_of(entries: Iterable[KernelInput]) -> int:
    each = {entry.tensor: entry for entry in entries}
    return sum(
        math.ceil(math.prod(entry.sharding.shape) * _element_bytes(entry.dtype)) for entry in each.values()
    )


def cycles_per_byte(target: Target) -> float:
    """Cycles in which a byte passes between the wafer and the memory outside of it, in one direction."""
    memory = target.host if target.external_memory is None else target.external_memory
    return 8 / memory.bits_per_second * target.clock_hz


def memory_cycles(size: int, target: Target) -> int:
    """Cycles in which so many bytes pass, in one direction."""
    return math.ceil(size * cycles_per_byte(target))


def exposed_loads(loads: Sequence[int], work: Sequence[int], *, overlapped: bool) -> tuple[int, ...]:
    """Cycles for which each phase of a round waits for its weights: all of the load, or what the phase before does not hide.

    Args:
        loads: Cycles of each phase's weights.
        work: Cycles of a batch in each phase that leave the memory outside free.
        overlapped: Whether weights come in while the phase before works; before the first, the last of the round before.
    """
    if not overlapped:
        return tuple(loads)
    return tuple(max(0, load - work[at - 1]) for at, load in enumerate(loads))


def _element_bytes(dtype: str) -> float:
    digits = "".join(character for character in dtype if character.isdigit())
    return max(4, int(digits)) / 8 if digits else 1.0
