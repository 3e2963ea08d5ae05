"""A problem prepared for searching, and a full placement on the way to an answer.

Every stage takes and gives `Candidate`s, which are legal by construction; `better` is the one order among them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.placement.problem import Rectangle, objective, wirelength

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.placement.demands import Demands, Movable
    from wsec.compiler.placement.problem import PlacementProblem
    from wsec.compiler.placement.shape_curves import ShapeTable


@dataclass(frozen=True, slots=True)
class Instance:
    """A problem whose kernels each fit the grid.

    Attributes:
        problem: What is left to place: the kernels without a pin.
        tables: The options of each kernel that are of use from the bound on; kernels that share `ShapeOptions` share the table.
        spaces: The free rectangles in one of which each kernel must be.
        tilings: Ways to cover the free cores by disjoint rectangles, in packing order.
        free_area: Number of free cores.
        obstacles: The reserved rectangles, as far as they lie on the grid.
        bound: Lower bound on the interval, in cycles.
        slowest: No option takes more cycles.
        whole: The problem as it was given.
        pinned: The one option of each pinned kernel.
        movable: How `problem` comes from it, and what constraints ask of the kernels.
    """

    problem: PlacementProblem
    tables: tuple[ShapeTable, ...]
    spaces: tuple[tuple[Rectangle, ...], ...]
    tilings: tuple[tuple[Rectangle, ...], ...]
    free_area: int
    obstacles: tuple[Rectangle, ...]
    bound: int
    slowest: int
    whole: PlacementProblem
    pinned: tuple[ShapeTable, ...]
    movable: Movable

    @property
    def demands(self) -> Demands:
        """What constraints ask of the kernels."""
        return self.movable.demands

    @property
    def all_tables(self) -> tuple[ShapeTable, ...]:
        """The options of each kernel, then the one of each pinned kernel: what ends of nets count on."""
        return self.tables + self.pinned


@dataclass(frozen=True, slots=True)
class Candidate:
    """A legal placement: a position in the kernel's shape table and a rectangle for each kernel.

    `cost` is the objective; see `wsec.compiler.placement.problem.objective`.
    """

    choice: tuple[int, ...]
    placed: tuple[Rectangle, ...]
    interval: int
    wirelength: float
    cost: float
    method: str


def make_candidate(
    instance: Instance, choice: Sequence[int], placed: Sequence[Rectangle], method: str
) -> Candidate:
    """Measure a placement."""
    cycles = (int(table.cycles[at]) for table, at in zip(instance.tables, choice, strict=True))
    interval = max(instance.movable.least, *cycles) if choice else instance.movable.least
    word_hops = wirelength(instance.problem.nets, [*placed, *instance.demands.fixed])
    cost = objective(instance.problem, interval, instance.bound, word_hops)
    return Candidate(tuple(choice), tuple(placed), interval, word_hops, cost, method)


def candidate_from(instance: Instance, boxes: Sequence[Rectangle], method: str) -> Candidate:
    """Give each kernel the fastest, then smallest, option that fits its box."""
    choice: list[int] = []
    placed: list[Rectangle] = []
    for table, box in zip(instance.tables, boxes, strict=True):
        at = table.fastest_inside(box.width, box.height)
        if at is None:
            msg = f"a box of {box.width} x {box.height} is too small for every option of its kernel"
            raise AssertionError(msg)
        choice.append(at)
        placed.append(Rectangle(box.x, box.y, int(table.widths[at]), int(table.heights[at])))
    return make_candidate(instance, choice, placed, method)


def better(one: Candidate, other: Candidate | None) -> bool:
    """Whether `one` is strictly better: lower cost, then lower interval, then shorter wires."""
    if other is None:
        return True
    return (one.cost, one.interval, one.wirelength) < (other.cost, other.interval, other.wirelength)
