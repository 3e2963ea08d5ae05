"""The whole problem as one CP-SAT model: for small problems, and where no other stage finds any packing.

Bisection over the interval. A time that is proven impossible raises the lower bound above what areas say.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from wsec.compiler.placement.bounds import times_between
from wsec.compiler.placement.candidate import Candidate, Instance, candidate_from
from wsec.compiler.placement.packing.model import Outcome, Window, pack
from wsec.compiler.placement.regions import grid_of
from wsec.compiler.placement.shape_curves import staircase_corners

if TYPE_CHECKING:
    from wsec.compiler.placement.problem import Limits

_SMALL: Final = 8
_STEP_TIME: Final = 0.4
_FIRST_TIME: Final = 8.0


@dataclass(frozen=True, slots=True)
class ExactResult:
    """Placements found, best last, a lower bound on the interval, and whether it is proven that none exists."""

    candidates: list[Candidate]
    bound: int
    impossible: bool = False


def is_small(instance: Instance) -> bool:
    """Whether one model of the whole problem is worth its time."""
    return len(instance.tables) <= _SMALL


def solve(instance: Instance, incumbent: Candidate | None, limits: Limits) -> ExactResult:
    """Lower the interval below the incumbent's, or find a first placement if there is none."""
    found: list[Candidate] = []
    if incumbent is None:
        effort = _FIRST_TIME * max(1.0, limits.effort)
        outcome, first = _pack_within(instance, instance.slowest, effort, limits.seed)
        if first is None:
            return ExactResult([], instance.bound, impossible=outcome is Outcome.IMPOSSIBLE)
        found.append(first)
        incumbent = first
    times = times_between(instance.tables, instance.bound, incumbent.interval)
    bound, low, high = instance.bound, 0, len(times) - 1
    while low < high and not limits.stopped():
        middle = (low + high) // 2
        outcome, candidate = _pack_within(instance, times[middle], _STEP_TIME * limits.effort, limits.seed)
        if candidate is not None:
            found.append(candidate)
            high = middle
            continue
        low = middle + 1
        # Impossible times are a prefix, so the bound rises even past times that were only not decided.
        if outcome is Outcome.IMPOSSIBLE:
            bound = times[low]
    return ExactResult(found, bound)


def _pack_within(
    instance: Instance, time: int, deterministic_time: float, seed: int
) -> tuple[Outcome, Candidate | None]:
    problem = instance.problem
    grid = grid_of(problem)
    shapes = tuple(
        tuple(staircase_corners(table, time, problem.width, problem.height)) for table in instance.tables
    )
    if not all(shapes):
        return Outcome.IMPOSSIBLE, None
    window = Window(grid, shapes, instance.obstacles, demands=instance.demands)
    outcome, boxes = pack(window, deterministic_time, seed)
    if outcome is not Outcome.FOUND:
        return outcome, None
    return outcome, candidate_from(instance, boxes, "exact")
