"""From the splits of kernels to their placement, as a problem of `wsec.compiler.placement`.

Routing gives a colour to each route through a core, and the routes of a kernel's links start and end on the boundary of its
rectangle. So shapes whose boundary has fewer colours than the kernel has links are left out; and where routing finds no
colours all the same, `Relief` says how the next placement is to differ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.kernels.graph import HOST_INDEX
from wsec.compiler.kernels.loop_nest import LoopRole
from wsec.compiler.placement import (
    Net,
    Placement,
    PlacementKernel,
    PlacementProblem,
    ShapeOptions,
    interval_bound,
    place,
    shelves,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.kernels.splits import SplitTable
    from wsec.compiler.placement import Constraint, Limits, Progress
    from wsec.compiler.target import Target

_NOTHING_TO_PLACE = Placement((), (), (), 0, 0, 0.0, "none", proven_optimal=True, interrupted=False)
_WIRES_OF_RELIEF = 8  # times what short wires are worth; far more shrinks kernels, and with them their edges


@dataclass(frozen=True, slots=True)
class Relief:
    """How a placement makes room for links that found no colour in the placements before: other luck, shorter wires.

    Attributes:
        crowded: For each placement in which routing failed, the links without a colour and those through the core that most
            routes cross. Each time, their kernels get a boundary for as many links more as they have.
    """

    crowded: tuple[frozenset[int], ...] = ()

    def failures(self, link: int) -> int:
        """In how many placements the link was crowded."""
        return sum(link in links for links in self.crowded)

    def after(self, crowded: frozenset[int]) -> Relief:
        """The relief after one more failure."""
        return Relief((*self.crowded, crowded))


NO_RELIEF = Relief()


def place_kernels(
    graph: KernelGraph,
    tables: Sequence[SplitTable],
    target: Target,
    *,
    limits: Limits,
    report: Callable[[Progress], None],
    constraints: tuple[Constraint, ...] = (),
    relief: Relief = NO_RELIEF,
) -> Placement:
    """The best placement found; its bound on the interval is what no placement of these splits goes below.

    Cost, its bound and the front are of the shapes that were searched, with the cycles to expect of them. Options of the
    placement are those of `tables`.

    Raises:
        WsecError: WSEC320 to WSEC323 where the kernels do not fit, WSEC335 where constraints cannot be kept.
    """
    if not tables:
        return _NOTHING_TO_PLACE
    kept, shapes = _shapes(tables, _boundary_cores(graph, target, relief))
    expected = _problem(graph, tables, shapes, target, constraints)
    bound = kernels_bound(graph, tables, target, constraints)
    if relief.crowded:
        expected = replace(expected, wirelength_weight=_WIRES_OF_RELIEF * expected.wirelength_weight)
        limits = replace(limits, seed=(limits.seed + len(relief.crowded)) % 2**31)
    placement = place(expected, limits, report)
    option = tuple(int(indices[at]) for indices, at in zip(kept, placement.option, strict=True))
    proven = placement.interval == bound
    return replace(placement, option=option, interval_bound=bound, proven_optimal=proven)


def place_on_shelves(graph: KernelGraph, tables: Sequence[SplitTable], target: Target) -> Placement | None:
    """The kernels in rows of about equal height, so that words keep their order between them; None where that is not possible."""
    if not tables:
        return _NOTHING_TO_PLACE
    problem = _problem(graph, tables, [table.shapes for table in tables], target, ())
    coming = [table.nest.words_in for table in tables]
    leaving = [table.nest.words_out for table in tables]
    return shelves.place_on_shelves(
        problem, shelves.Loads(coming, leaving, [_holding(table) for table in tables])
    )


def _holding(table: SplitTable) -> NDArray[np.int64]:
    """Columns of each option that hold a part of the result: not those of partial results that are added up elsewhere."""
    reduced = [at for at, loop in enumerate(table.nest.loops) if loop.role is LoopRole.REDUCTION]
    added = np.where(table.on_rows[:, reduced], 1, table.parts[:, reduced]).prod(axis=1)
    return np.asarray(table.shapes.widths // added)


def kernels_bound(
    graph: KernelGraph, tables: Sequence[SplitTable], target: Target, constraints: tuple[Constraint, ...]
) -> int:
    """Cycles of the interval that no placement of these splits goes below; raises as `place_kernels` for their areas."""
    least = [table.least for table in tables]
    return interval_bound(_problem(graph, tables, least, target, constraints))


def _problem(
    graph: KernelGraph,
    tables: Sequence[SplitTable],
    shapes: Sequence[ShapeOptions],
    target: Target,
    constraints: tuple[Constraint, ...],
) -> PlacementProblem:
    kernels = [
        PlacementKernel(table.nest.name, options) for table, options in zip(tables, shapes, strict=True)
    ]
    return PlacementProblem(
        width=target.grid.width,
        height=target.grid.height,
        kernels=tuple(kernels),
        nets=_nets(graph),
        constraints=constraints,
    )


def _nets(graph: KernelGraph) -> tuple[Net, ...]:
    return tuple(
        Net(link.source, link.target, float(link.words))
        for link in graph.links
        if HOST_INDEX not in {link.source, link.target}
    )


def _boundary_cores(graph: KernelGraph, target: Target, relief: Relief) -> list[int]:
    """Cores that each kernel's boundary needs for its links: a core has one colour for each; more of them for relief."""
    links = [0] * len(graph.nests)
    failures = [0] * len(graph.nests)
    for number, link in enumerate(graph.links):
        for kernel in {link.source, link.target} - {HOST_INDEX}:
            links[kernel] += 1
            failures[kernel] = max(failures[kernel], relief.failures(number))
    colours = target.fabric.link_colours
    return [-(-count * (1 + times) // colours) for count, times in zip(links, failures, strict=True)]


def _shapes(
    tables: Sequence[SplitTable], cores: Sequence[int]
) -> tuple[list[NDArray[np.intp]], list[ShapeOptions]]:
    """Which options each kernel keeps, and these; equal kernels that need equally many cores share both."""
    known: dict[tuple[int, int], tuple[NDArray[np.intp], ShapeOptions]] = {}
    for table, needed in zip(tables, cores, strict=True):
        key = id(table.shapes), needed
        if key not in known:
            known[key] = _options(table.shapes, needed)
    found = [known[id(table.shapes), needed] for table, needed in zip(tables, cores, strict=True)]
    return [kept for kept, _ in found], [shapes for _, shapes in found]


def _options(shapes: ShapeOptions, needed: int) -> tuple[NDArray[np.intp], ShapeOptions]:
    """Those with so many cores on the boundary, or with the most where none has as many."""
    widths, heights = shapes.widths, shapes.heights
    thin = np.minimum(widths, heights) == 1
    boundary = np.where(thin, widths * heights, 2 * (widths + heights) - 4)
    kept = np.flatnonzero(boundary >= min(needed, int(boundary.max())))
    if len(kept) == len(widths):
        return kept, shapes
    return kept, ShapeOptions(widths[kept], heights[kept], shapes.cycles[kept])
