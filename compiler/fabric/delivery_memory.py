"""Kernels with what their inputs need of memory and cycles, as they come home; with fewer samples where memory is short."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.fabric.delivery_cost import more_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from wsec.compiler.fabric.delivery_cost import Way
    from wsec.compiler.plan import Kernel
    from wsec.compiler.target import Target

UNSPLIT: Final = "unsplit"


def fitted(kernel: Kernel, ways: Mapping[str, Way], sent: NDArray[np.int64], target: Target) -> Kernel:
    """The kernel's slots, ledger and cycles with these ways of its inputs; `sent`, [cores], are words that links take from it.

    Where memory is short, inputs wait in fewer slots, those of the most bytes first, down to one each.

    Raises:
        WsecError: WSEC344 where even that does not fit.
    """
    room = target.core.sram_bytes - kernel.memory.total
    slots = {role: way.entry.slots for role, way in ways.items()}
    while _more(ways, slots) > room:
        spare = [role for role in ways if slots[role] > 1]
        if not spare:
            raise _does_not_fit(kernel, ways, target)
        slots[max(spare, key=lambda role: ways[role].slot_bytes)] -= 1
    at_work = sum(way.at_work_bytes for way in ways.values())
    memory = replace(
        kernel.memory,
        activations=kernel.memory.activations + _more(ways, slots) - at_work,
        buffers=kernel.memory.buffers + at_work,
    )
    cycles = replace(
        kernel.cycles,
        communication=kernel.cycles.communication + sum(way.late for way in ways.values()),
        transfer=_transfer(kernel, ways, sent, target),
    )
    return replace(
        kernel,
        inputs=tuple(replace(item, slots=slots.get(item.role, item.slots)) for item in kernel.inputs),
        memory=memory,
        cycles=cycles,
    )


def _transfer(kernel: Kernel, ways: Mapping[str, Way], sent: NDArray[np.int64], target: Target) -> int:
    """Cycles of the words through the ramp of the busiest core, all links together: what it takes and sends.

    Those that it sends and takes in exchanges of the links are among them.

    A kernel that is not split counts these among the words that one core gathers.
    """
    if kernel.kind == UNSPLIT:
        return kernel.cycles.transfer + sum(way.transfer for way in ways.values())
    words = sent.copy()
    for way in ways.values():
        passed = way.delivery.taken + way.delivery.across
        words += np.ceil(passed * way.words_of_element).astype(np.int64)
    cycles = -(-int(words.max()) // target.fabric.link_words_per_cycle)
    return max(0, cycles - kernel.cycles.alone) if target.core.dma_engines else cycles


def fits(kernel: Kernel, ways: Mapping[str, Way], target: Target) -> bool:
    """Whether the kernel has memory for these ways of its inputs, with a sample of each at least."""
    return _more(ways, dict.fromkeys(ways, 1)) <= target.core.sram_bytes - kernel.memory.total


def _more(ways: Mapping[str, Way], slots: Mapping[str, int]) -> int:
    return sum(more_bytes(way, slots[role]) for role, way in ways.items())


def _does_not_fit(kernel: Kernel, ways: Mapping[str, Way], target: Target) -> WsecError:
    role, way = max(ways.items(), key=lambda each: each[1].slot_bytes + each[1].at_work_bytes)
    needed = kernel.memory.total + _more(ways, dict.fromkeys(ways, 1))
    return WsecError(
        "WSEC344",
        "the words that links bring to a kernel do not fit its cores",
        where=f"kernel {kernel.name!r}, {kernel.rectangle.width} x {kernel.rectangle.height} cores, input {role!r}",
        expected=f"at most {target.core.sram_bytes} bytes on a core",
        found=f"{needed} bytes with one sample of each input, {way.delivery.landed} elements of this one dealt to one core",
        hint="give a larger --region, or another --seed or --effort, with which rectangles and lanes lie elsewhere",
    )
