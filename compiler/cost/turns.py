"""Cycles of the turns of a sequential wafer, from the records of its kernels and links.

Nothing overlaps within a turn: what its kernels need comes, each tensor once, then they compute, one after the other where they share
cores. Weights that do not stay come in while the turn before does arithmetic, or before the turn begins. Results leave for the host, or for another wafer, while later turns work; those of the last turn are waited for.
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
        waiting: Cycles of its weights that nothing hides, where these come in for each sample.
        arriving: Cycles in which what its kernels read comes to where they need it.
        work: Cycles of its kernels.
        leaving: Cycles in which results leave the wafer, where nothing is left to do meanwhile.
    """

    arriving: int
    work: int
    leaving: int
    waiting: int = 0

    @property
    def total(self) -> int:
        """Of the turn."""
        return self.waiting + self.arriving + self.work + self.leaving


def turns_of(phases: Sequence[Phase]) -> tuple[TurnCycles, ...]:
    """Of every phase of a sequential wafer."""
    return tuple(
        _turn(phase, phases[number - 1], last=number == len(phases) - 1)
        for number, phase in enumerate(phases)
    )


def sequential_cycles(wafer: Wafer) -> int:
    """Cycles of one sample on a sequential wafer."""
    return sum(turn.total for turn in turns_of(wafer.phases))


def _turn(phase: Phase, before: Phase, *, last: bool) -> TurnCycles:
    arriving: dict[str, int] = {}
    leaving = 0
    for link in phase.links:
        if link.target == HOST:
            leaving = max(leaving, link.cycles)
        else:
            arriving[link.tensor] = max(arriving.get(link.tensor, 0), link.cycles)
    work = sum(kernel.cycles.work for kernel in phase.kernels)
    return TurnCycles(sum(arriving.values()), work, leaving if last else 0, _waiting(phase, before))


def _waiting(phase: Phase, before: Phase) -> int:
    """For weights that come in: while the turn before does arithmetic ramps are free; else nothing overlaps."""
    if phase.load is None:
        return 0
    hidden = sum(kernel.cycles.alone for kernel in before.kernels) if phase.load.ahead else 0
    return max(0, phase.load.cycles - hidden)
