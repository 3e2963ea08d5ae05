"""A first placement that keeps all constraints: kernels of which something is asked come first, the others around them.

CP-SAT puts the kernels with demands near a corner of the grid. They are then held as if they were pinned, and slicing
floorplans fill what is free.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from wsec.compiler.errors import WsecError
from wsec.compiler.placement.candidate import Candidate, Instance, candidate_from
from wsec.compiler.placement.constraints import Forbid, Pin
from wsec.compiler.placement.packing.model import Outcome, Window, pack
from wsec.compiler.placement.preparation import prepare
from wsec.compiler.placement.regions import grid_of
from wsec.compiler.placement.shape_curves import staircase_corners
from wsec.compiler.placement.slicing import search as slicing_search

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.placement.problem import Limits, Rectangle

_CORNERS: Final = ((-1, -1), (1, -1), (-1, 1), (1, 1))
_LADDER: Final = (1.0, 1.02, 1.06, 1.2, 1.5, 2.0, 4.0)
_SHAPES: Final = 32
_TIME: Final = 0.5


def search(instance: Instance, limits: Limits) -> Iterator[Candidate]:
    """Placements that keep all constraints, from each corner, at the first time limit at which there are any."""
    times = {min(instance.slowest, int(instance.bound * factor)) for factor in _LADDER}
    for time in sorted({*times, instance.slowest}):
        found = False
        for candidate in search_within(instance, time, limits):
            found = True
            yield candidate
        if found:
            return


def search_within(instance: Instance, time: int, limits: Limits) -> Iterator[Candidate]:
    """Placements, from each corner, in which kernels with demands take at most `time` cycles; others may take more."""
    for corner in _CORNERS:
        anchors = _place_asked(instance, time, corner, limits.seed)
        if anchors is not None:
            yield from _around(instance, anchors, limits)


def _place_asked(
    instance: Instance, time: int, corner: tuple[int, int], seed: int
) -> dict[int, Rectangle] | None:
    """Rectangles for the kernels of which something is asked, within `time` cycles each, as if they were alone."""
    problem = instance.problem
    asked = instance.demands.asked(len(problem.kernels))
    shapes = []
    for kernel in asked:
        corners = staircase_corners(instance.tables[kernel], time, problem.width, problem.height)
        shapes.append(tuple(sorted(corners, key=lambda sides: (sides[0] * sides[1], sides))[:_SHAPES]))
    if not all(shapes):
        return None
    window = Window(
        area=grid_of(problem),
        shapes=tuple(shapes),
        obstacles=instance.obstacles,
        demands=instance.demands.among(asked, [grid_of(problem)] * len(problem.kernels)),
        pull=corner,
    )
    outcome, boxes = pack(window, _TIME, seed)
    return dict(zip(asked, boxes, strict=True)) if outcome is Outcome.FOUND else None


def _around(instance: Instance, anchors: dict[int, Rectangle], limits: Limits) -> Iterator[Candidate]:
    """The other kernels in slicing floorplans of what the anchors leave free."""
    pins = tuple(Pin(instance.problem.kernels[at].name, box) for at, box in anchors.items())
    standing = tuple(each for each in instance.whole.constraints if isinstance(each, Pin | Forbid))
    try:
        rest = prepare(replace(instance.whole, constraints=(*standing, *pins)))
    except WsecError:  # what is left has no room for the others
        return
    position = {at: new for new, at in enumerate(instance.movable.index)}
    order = list(range(len(rest.tables)))
    for candidate in slicing_search.search(rest, order, limits) if order else [candidate_from(rest, [], "")]:
        boxes = dict(anchors)
        boxes |= {position[at]: box for at, box in zip(rest.movable.index, candidate.placed, strict=True)}
        yield candidate_from(instance, [boxes[at] for at in range(len(instance.tables))], "anchors")
