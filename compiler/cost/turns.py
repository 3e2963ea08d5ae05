"""Cycles of the turns of a sequential wafer, from the records of its kernels and links.

Nothing overlaps within a turn: what its kernels need comes, each tensor once, then they compute, one after the other where they share
cores. Results leave for the host, or for another wafer, while later turns work; those of the last turn are waited for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.plan import HOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.plan import Phase, Wafer


@dataclass(frozen=True, slots=True)
class TurnCycles:
    """Of one turn.

    Attributes:
        arriving: Cycles in which what its kernels read comes to where they need it.
        work: Cycles of its kernels.
        leaving: Cycles in which results leave the wafer, where nothing is left to do meanwhile.
    """

    arriving: int
    work: int
    leaving: int

    @property
    def total(self) -> int:
        """Of the turn."""
        return self.arriving + self.work + self.leaving


def turns_of(phases: Sequence[Phase]) -> tuple[TurnCycles, ...]:
    """Of every phase of a sequential wafer."""
    return tuple(_turn(phase, last=number == len(phases) - 1) for number, phase in enumerate(phases))


def sequential_cycles(wafer: Wafer) -> int:
    """Cycles of one sample on a sequential wafer."""
    return sum(turn.total for turn in turns_of(wafer.phases))


def _turn(phase: Phase, *, last: bool) -> TurnCycles:
    arriving: dict[str, int] = {}
    leaving = 0
    for link in phase.links:
        if link.target == HOST:
            leaving = max(leaving, link.cycles)
        else:
            arriving[link.tensor] = max(arriving.get(link.tensor, 0), link.cycles)
    work = sum(kernel.cycles.work for kernel in phase.kernels)
    return TurnCycles(sum(arriving.values()), work, leaving if last else 0)
