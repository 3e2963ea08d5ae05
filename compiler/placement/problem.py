"""A placement problem and its answer, free of anything about neural networks.

Rectangles of flexible shape (each shape with the cycles it then takes) are to be put on a grid without overlap, so that
the slowest is fast and what talks is near. Light to import: no solver.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from wsec.compiler.placement.constraints import Constraint


_FEWEST_WORDS: Final = 1e-30
"""Of all nets together; fewer are as good as none, and their price would not be finite."""


@dataclass(frozen=True, slots=True)
class Rectangle:
    """`width` columns x `height` rows of cores, whose first column is `x` and first row is `y`."""

    x: int
    y: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column behind the rectangle."""
        return self.x + self.width

    @property
    def bottom(self) -> int:
        """First row below the rectangle."""
        return self.y + self.height

    @property
    def area(self) -> int:
        """Number of cores."""
        return self.width * self.height

    def overlaps(self, other: Rectangle) -> bool:
        """Whether the two have a core in common."""
        return (
            self.x < other.right and other.x < self.right and self.y < other.bottom and other.y < self.bottom
        )


@dataclass(frozen=True, slots=True, eq=False)
class ShapeOptions:
    """What a kernel may be: option `i` is `widths[i]` x `heights[i]` cores and then takes `cycles[i]` a sample.

    All three are int64 of one length. Compared by identity, so equal layers that share one object are prepared once.
    """

    widths: NDArray[np.int64]
    heights: NDArray[np.int64]
    cycles: NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class PlacementKernel:
    """A rectangle to place; `name` is what messages call it. If `rotatable`, the sides of its shapes may be swapped."""

    name: str
    shapes: ShapeOptions
    rotatable: bool = False


@dataclass(frozen=True, slots=True)
class Net:
    """`weight` words per sample go between two kernels, given by index."""

    source: int
    target: int
    weight: float


@dataclass(frozen=True, slots=True)
class PlacementProblem:
    """Kernels to place on a `width` x `height` grid.

    Attributes:
        width: Columns of the grid.
        height: Rows of the grid.
        kernels: In topological order; most nets are expected to join near neighbours in this order.
        nets: What talks to what.
        reserved: Rectangles on which no kernel may stand; they may overlap each other and the grid's edge.
        wirelength_weight: What short wires are worth; see `objective`. 0: the interval alone, wires break ties.
        hop_cycles: What a word-hop is worth, in cycles; given, it takes the place of `wirelength_weight`.
        constraints: What must hold of the placement; no answer breaks one.
    """

    width: int
    height: int
    kernels: tuple[PlacementKernel, ...]
    nets: tuple[Net, ...] = ()
    reserved: tuple[Rectangle, ...] = ()
    wirelength_weight: float = 0.05
    hop_cycles: float | None = None
    constraints: tuple[Constraint, ...] = ()

    @property
    def wires_matter(self) -> bool:
        """Whether the objective has a part for wires."""
        return (
            bool(self.nets) and (self.wirelength_weight if self.hop_cycles is None else self.hop_cycles) > 0
        )


@dataclass(frozen=True, slots=True)
class Placement:
    """One option and position for each kernel, in the order of the problem's kernels.

    Attributes:
        option: Index into the kernel's `ShapeOptions`.
        x: First column of each kernel.
        y: First row of each kernel.
        interval: Cycles of the slowest kernel.
        interval_bound: No placement of this problem has a lower interval.
        wirelength: Word-hops per sample: sum over nets of weight times L1 distance of the rectangles' centres.
        method: The stage that found it: `slicing`, `exact`, `windows` ...
        proven_optimal: The interval equals its bound.
        interrupted: The search was stopped before its effort was spent.
        turned: Whether the sides of each kernel's option are swapped; empty: of none.
        cost: The objective, in cycles; see `objective`.
        cost_bound: No placement of this problem has a lower objective.
        front: The (interval, wirelength) of what the search saw that nothing else it saw beats, fastest first.
    """

    option: tuple[int, ...]
    x: tuple[int, ...]
    y: tuple[int, ...]
    interval: int
    interval_bound: int
    wirelength: float
    method: str
    proven_optimal: bool
    interrupted: bool
    turned: tuple[bool, ...] = ()
    cost: float = 0.0
    cost_bound: float = 0.0
    front: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the search stands: the stage, the bound, the best interval so far, their relative gap, the word-hops."""

    stage: str
    bound: int
    incumbent: int
    gap: float
    wirelength: float


@dataclass(frozen=True, slots=True)
class Limits:
    """How hard to search. Without `seconds` the answer depends on `effort` and `seed` alone, never on a clock.

    Attributes:
        effort: Scales iteration counts and deterministic solver time; 1.0 is a few seconds for 50-100 kernels and
            0 gives the first heuristic answer.
        seed: Of every random choice.
        stop: Polled; once true, the best legal placement so far is returned.
        seconds: Search for about as long by the clock, whatever the effort, at least until there is an answer.
        deadline: When that is over, by `time.monotonic`; set when the search starts.
    """

    effort: float = 1.0
    seed: int = 0
    stop: Callable[[], bool] | None = None
    seconds: float | None = None
    deadline: float | None = None

    def started(self) -> Limits:
        """These limits with the clock running, if they are limits of time."""
        return self if self.seconds is None else replace(self, deadline=time.monotonic() + self.seconds)

    def part(self, share: float) -> Limits:
        """Limits of a share of the effort, or of the time that is left."""
        if self.deadline is None:
            return replace(self, effort=share * self.effort)
        now = time.monotonic()
        return replace(self, deadline=now + share * max(0.0, self.deadline - now))

    def stopped(self) -> bool:
        """Whether the caller asks to end the search, or time is up."""
        if self.deadline is not None and time.monotonic() >= self.deadline:
            return True
        return self.stop is not None and self.stop()


def rectangles(problem: PlacementProblem, placement: Placement) -> list[Rectangle]:
    """The rectangle of each kernel."""
    turned = placement.turned or (False,) * len(problem.kernels)
    found = []
    for kernel, option, x, y, swap in zip(
        problem.kernels, placement.option, placement.x, placement.y, turned, strict=True
    ):
        width, height = int(kernel.shapes.widths[option]), int(kernel.shapes.heights[option])
        found.append(Rectangle(x, y, height, width) if swap else Rectangle(x, y, width, height))
    return found


def wirelength(nets: Sequence[Net], placed: Sequence[Rectangle]) -> float:
    """Word-hops per sample: sum over nets of weight times L1 distance of the centres."""
    return math.fsum(net.weight * centre_distance(placed[net.source], placed[net.target]) for net in nets)


def centre_distance(a: Rectangle, b: Rectangle) -> float:
    """L1 distance of the centres of two rectangles, in hops (a multiple of one half)."""
    return (abs(2 * a.x + a.width - 2 * b.x - b.width) + abs(2 * a.y + a.height - 2 * b.y - b.height)) / 2


def objective(problem: PlacementProblem, interval: int, interval_bound: int, word_hops: float) -> float:
    """Cycles to minimise: `interval + wirelength_weight * interval_bound * mean distance / (width + height)`.

    The bound is that of the areas (`interval_bound(problem)`), the mean distance is word-hops over words. So with a weight
    of 0.05, wires that shrink by a tenth of the grid's half perimeter are worth half a percent of the interval. With
    `hop_cycles` it is `interval + hop_cycles * word-hops`.
    """
    return interval + hop_cycles(problem, interval_bound) * word_hops


def hop_cycles(problem: PlacementProblem, interval_bound: int) -> float:
    """What the objective gives for a word-hop, in cycles."""
    if problem.hop_cycles is not None:
        return problem.hop_cycles
    words = math.fsum(net.weight for net in problem.nets)
    if words < _FEWEST_WORDS:
        return 0.0
    return problem.wirelength_weight * interval_bound / (words * (problem.width + problem.height))
