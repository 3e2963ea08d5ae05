"""What a delivery takes of a kernel: cycles of its exchanges, bytes of its cores."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.fabric.holdings import item_bytes
from wsec.compiler.sharding import share_elements

if TYPE_CHECKING:
    from wsec.compiler.fabric.delivery import Delivery, ExchangeLoad
    from wsec.compiler.plan import Kernel, KernelInput
    from wsec.compiler.target import Target


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A delivery of one input of a kernel, in the units of the kernel's record.

    Attributes:
        delivery: What it is.
        kernel: The kernel as it was split.
        entry: The input.
        target: The machine.
        words_of_element: Words of 32 bits of an element.
        slot_bytes: Of a sample that waits; at least the share that the split counted, of blocks as if they were whole.
        at_work_bytes: Beside those of waiting samples, beyond what the split counted: a block where that is put together
            from what waits, and what a sample takes that arrives more than one that waits.
        early: Cycles of the exchanges of the link.
        early_words: Of these, for words one behind the other.
        late: Cycles of the exchanges of the kernel, less those that the split counted for passing the input on.
        transfer: Cycles of the words that a core takes as they come, less those that the split counted.
        lane: Cycles for the words of the busiest lane.
    """

    delivery: Delivery
    kernel: Kernel
    entry: KernelInput
    target: Target
    words_of_element: float
    slot_bytes: int
    at_work_bytes: int
    early: int
    early_words: int
    late: int
    transfer: int
    lane: int

    def measured(self, delivery: Delivery) -> Way:
        """Another delivery of the same input."""
        return measure(delivery, self.kernel, self.entry, self.target)


def measure(delivery: Delivery, kernel: Kernel, entry: KernelInput, target: Target) -> Way:
    """Cycles and bytes of a delivery.

    The split counted a share of the block as brought by the link, and where cores share blocks the words of a whole one as passed
    on. A kernel that works in turns passes a turn at a time: the way as often, the words once.
    """
    size, fabric = item_bytes(entry.dtype), target.fabric
    per_element = size / fabric.word_bytes
    block, share = entry.sharding.block_elements, share_elements(entry.sharding, kernel.mesh)
    turns = math.prod(kernel.turns.values())
    per_cycle = fabric.cycle_bytes / size  # elements through the ramp
    passed = math.ceil(block / per_cycle) if share < block else 0
    brought = int((delivery.taken + delivery.across).max())
    late_words = sum(_words(load, per_element, target) for load in delivery.late)
    late_way = sum(load.cycles(per_element, fabric) for load in delivery.late) - late_words
    block_at_work = -(-block // turns) * size if delivery.exchanges and share == block else 0
    return Way(
        delivery=delivery,
        kernel=kernel,
        entry=entry,
        target=target,
        words_of_element=per_element,
        slot_bytes=max(delivery.waiting, share) * size,
        at_work_bytes=block_at_work + max(0, delivery.landed - delivery.waiting) * size,
        early=sum(load.cycles(per_element, fabric) for load in delivery.early),
        early_words=sum(_words(load, per_element, target) for load in delivery.early),
        late=late_words + turns * late_way - passed,
        transfer=math.ceil(brought / per_cycle) - math.ceil(share / per_cycle),
        lane=_cycles(int(delivery.lanes.max()) * per_element, target),
    )


def more_bytes(way: Way, slots: int) -> int:
    """Bytes beyond those that the split counted for the input, with so many samples that wait."""
    share = share_elements(way.entry.sharding, way.kernel.mesh) * item_bytes(way.entry.dtype)
    return slots * way.slot_bytes - way.entry.slots * share + way.at_work_bytes


def _cycles(words: float, target: Target) -> int:
    return math.ceil(words / target.fabric.link_words_per_cycle)


def _words(load: ExchangeLoad, per_element: float, target: Target) -> int:
    return _cycles(load.elements * per_element, target)
