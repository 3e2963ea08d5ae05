"""What a simulation of kernels that take turns showed: cycles of every turn beside the plan's, and numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsec.runtime.element_types import Array
    from wsec.runtime.programs.results import Comparison


@dataclass(frozen=True, slots=True)
class ReshardingResult:
    """What brings a tensor to a turn.

    Attributes:
        tensor: Its name.
        source: The kernel that made it, or `host`.
        exchanges: By which it comes, in words; empty where it lies where it is needed.
        cycles: As simulated; -1 of what comes from outside the wafer, which is not.
        overheads: Cycles that the target says collectives take beside them.
        estimated_cycles: What the plan says.
    """

    tensor: str
    source: str
    exchanges: str
    cycles: int
    overheads: int
    estimated_cycles: int

    @property
    def total(self) -> int:
        """What it counts for: as simulated, or, from outside, as estimated."""
        return self.estimated_cycles if self.cycles < 0 else self.cycles + self.overheads


@dataclass(frozen=True, slots=True)
class TurnResult:
    """A turn in a simulation.

    Attributes:
        wafer: Number.
        turn: Number on the wafer.
        kernels: Their names.
        kinds: Of the kernels.
        cores: That they use.
        arriving: What comes to it, tensor by tensor.
        cycles: Of its kernels, from all blocks in place to their results in place.
        overheads: Cycles that the target says steps and collectives take beside them.
        estimated_cycles: What the plan says of its kernels.
        leaving_cycles: In which its results leave, as estimated: of the last turn of a wafer, else 0.
        equal_to: The turn of the same wafers that was simulated for it, as (wafer, turn); its own numbers where it was itself.
    """

    wafer: int
    turn: int
    kernels: tuple[str, ...]
    kinds: tuple[str, ...]
    cores: int
    arriving: tuple[ReshardingResult, ...]
    cycles: int
    overheads: int
    estimated_cycles: int
    leaving_cycles: int
    equal_to: tuple[int, int]

    @property
    def arriving_cycles(self) -> int:
        """Until its kernels have all that they read, one tensor after the other."""
        return sum(each.total for each in self.arriving)

    @property
    def total(self) -> int:
        """Cycles of the turn."""
        return self.arriving_cycles + self.cycles + self.overheads + self.leaving_cycles

    @property
    def estimated_total(self) -> int:
        """The same as the plan has it."""
        arriving = sum(each.estimated_cycles for each in self.arriving)
        return arriving + self.estimated_cycles + self.leaving_cycles


@dataclass(frozen=True, slots=True, eq=False)
class TurnsSimulation:
    """What a simulation of a sequential plan showed.

    Attributes:
        outputs: Of the model, by name: the executor's, whose numbers every simulated turn gave where all are equal.
        turns: By wafer, in order.
        comparisons: Tensors that simulated turns and reshardings made, in all cores, with the executor's.
    """

    outputs: dict[str, Array]
    turns: tuple[TurnResult, ...]
    comparisons: tuple[Comparison, ...]

    @property
    def cycles(self) -> int:
        """Of all turns, one after the other; messages between wafers are not among them."""
        return sum(turn.total for turn in self.turns)

    @property
    def estimated_cycles(self) -> int:
        """The same as the plan has it."""
        return sum(turn.estimated_total for turn in self.turns)

    @property
    def simulated_turns(self) -> int:
        """Turns of which no other is the model."""
        return sum(turn.equal_to == (turn.wafer, turn.turn) for turn in self.turns)

    @property
    def equal(self) -> bool:
        """Whether all numbers are those of the executor."""
        return all(each.equal for each in self.comparisons)
