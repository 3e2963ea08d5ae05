"""What goes from wafer to wafer, and how long that takes.

Wafers form a chain: a tensor passes every link between the wafer of its producer and the furthest one that reads it,
once. Each passage takes the time of a message and that of its words at the rate of the link.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Wafer
    from wsec.compiler.target import Target


@dataclass(frozen=True, slots=True)
class Crossing:
    """A tensor that kernels of later wafers read: its words, where it is made and the furthest wafer that reads it."""

    tensor: str
    words: int
    source: int
    last: int


def crossings_of(wafers: Sequence[Wafer]) -> tuple[Crossing, ...]:
    """The tensors between wafers, in the order of their readers."""
    wafer_of = {kernel.name: number for number, wafer in enumerate(wafers) for kernel in wafer.kernels()}
    found: dict[str, Crossing] = {}
    for number, wafer in enumerate(wafers):
        for link in wafer.links():
            source = wafer_of.get(link.source, number)
            if source != number and link.target != HOST:
                found[link.tensor] = Crossing(link.tensor, link.words, source, number)
    return tuple(found.values())


def words_between(crossings: Sequence[Crossing], wafers: int) -> tuple[int, ...]:
    """Words of a sample between each wafer and the next."""
    return tuple(
        sum(item.words for item in crossings if item.source <= border < item.last)
        for border in range(wafers - 1)
    )


def words_outside(wafer: Wafer) -> tuple[int, int]:
    """Words of a sample into a wafer and out of it, from and to host and other wafers: each tensor once."""
    inside = {kernel.name for kernel in wafer.kernels()}
    ways_in = {link.tensor: link.words for link in wafer.links() if link.source not in inside}
    ways_out = {link.tensor: link.words for link in wafer.links() if link.target not in inside}
    return sum(ways_in.values()), sum(ways_out.values())


def wafer_link_cycles(words: int, target: Target) -> float:
    """Cycles in which so many words pass the link between two wafers, at its rate."""
    if target.wafer_link is None:
        return 0.0
    bits = 8 * target.fabric.word_bytes * words
    return bits / target.wafer_link.bits_per_second * target.clock_hz


def passage_cycles(words: int, wafers: int, target: Target) -> int:
    """Cycles of a tensor over so many links between wafers, one after the other."""
    if target.wafer_link is None or not wafers:
        return 0
    message = target.wafer_link.seconds_per_hop * target.clock_hz
    return wafers * math.ceil(message + wafer_link_cycles(words, target))
