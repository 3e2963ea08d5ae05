"""A placement problem and its answer, free of anything about neural networks.

Rectangles of flexible shape (each shape with the cycles it then takes) are to be put on a grid without overlap, so that
the slowest is fast and what talks is near. Light to import: no solver.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    from numpy.typing import NDArray


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
    """A rectangle to place; `name` is what messages call it."""

    name: str
    shapes: ShapeOptions


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
    """

    width: int
    height: int
    kernels: tuple[PlacementKernel, ...]
    nets: tuple[Net, ...] = ()
    reserved: tuple[Rectangle, ...] = ()
    wirelength_weight: float = 0.05


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
    """How hard to search. The answer depends on `effort` and `seed` alone, never on a clock.

    Attributes:
        effort: Scales iteration counts and deterministic solver time; 1.0 is a few seconds for 50-100 kernels and
            0 gives the first heuristic answer.
        seed: Of every random choice.
        stop: Polled; once true, the best legal placement so far is returned.
    """

    effort: float = 1.0
    seed: int = 0
    stop: Callable[[], bool] | None = None

    def stopped(self) -> bool:
        """Whether the caller asks to end the search."""
        return self.stop is not None and self.stop()


def rectangles(
    problem: PlacementProblem, option: Sequence[int], x: Sequence[int], y: Sequence[int]
) -> list[Rectangle]:
    """The rectangle of each kernel."""
    return [
        Rectangle(left, top, int(kernel.shapes.widths[chosen]), int(kernel.shapes.heights[chosen]))
        for kernel, chosen, left, top in zip(problem.kernels, option, x, y, strict=True)
    ]


def wirelength(nets: Sequence[Net], placed: Sequence[Rectangle]) -> float:
    """Word-hops per sample: sum over nets of weight times L1 distance of the centres."""
    return math.fsum(net.weight * centre_distance(placed[net.source], placed[net.target]) for net in nets)


def centre_distance(a: Rectangle, b: Rectangle) -> float:
    """L1 distance of the centres of two rectangles, in hops (a multiple of one half)."""
    return (abs(2 * a.x + a.width - 2 * b.x - b.width) + abs(2 * a.y + a.height - 2 * b.y - b.height)) / 2


def objective(problem: PlacementProblem, interval: int, interval_bound: int, word_hops: float) -> float:
    """Cycles to minimise: `interval + wirelength_weight * interval_bound * mean distance / (width + height)`.

    The mean distance is word-hops over words. So with a weight of 0.05, wires that shrink by a tenth of the grid's
    half perimeter are worth half a percent of the interval. The bound is a constant of the problem, so to minimise
    `interval + c * word-hops` set the weight to `c * words * (width + height) / bound`.
    """
    words = math.fsum(net.weight for net in problem.nets)
    if words <= 0:
        return float(interval)
    share = word_hops / words / (problem.width + problem.height)
    return interval + problem.wirelength_weight * interval_bound * share
