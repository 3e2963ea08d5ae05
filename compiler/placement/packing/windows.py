"""Large-neighbourhood search: a few neighbouring kernels at a time are packed anew by CP-SAT for shorter wires.

The interval never rises: within a window each kernel may take any shape that is fast enough, its present one always
among them. After Shaw, "Using constraint programming and local search methods" (1998).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Final

from wsec.compiler.placement.candidate import Candidate, Instance, better, make_candidate
from wsec.compiler.placement.packing.model import Outcome, Window, Wire, pack
from wsec.compiler.placement.problem import Net, Rectangle, centre_distance
from wsec.compiler.placement.regions import intersection
from wsec.compiler.placement.shape_curves import staircase_corners

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.placement.problem import Limits

_KERNELS: Final = 6
_WINDOWS: Final = 40
_SHAPES: Final = 16
_TIME: Final = 0.04


def search(instance: Instance, best: Candidate, limits: Limits) -> Iterator[Candidate]:
    """Improved placements, each starting from the one before."""
    nets = [net for net in instance.problem.nets if net.source != net.target and net.weight > 0]
    if not nets:
        return
    fixed = instance.demands.fixed
    shuffle = random.Random(limits.seed)  # noqa: S311 - a search order, not a secret
    queue: list[int] = []
    for _ in range(round(_WINDOWS * limits.effort)):
        if limits.stopped():
            return
        queue = queue or _by_wires(nets, best, fixed, shuffle)
        chosen = _around(queue.pop(0), nets, best)
        candidate = _repack(instance, nets, best, chosen, limits)
        if candidate is not None and better(candidate, best):
            best = candidate
            yield best


def _by_wires(
    nets: Sequence[Net], best: Candidate, fixed: Sequence[Rectangle], shuffle: random.Random
) -> list[int]:
    """Kernels to centre a window on: those with the most word-hops first, with some luck."""
    boxes = [*best.placed, *fixed]
    cost = [0.0] * len(boxes)
    for net in nets:
        hops = net.weight * centre_distance(boxes[net.source], boxes[net.target])
        cost[net.source] += hops
        cost[net.target] += hops
    luck = [each * (0.5 + shuffle.random()) for each in cost]
    movable = (index for index in range(len(best.placed)) if cost[index] > 0)
    return sorted(movable, key=lambda index: -luck[index])


def _around(centre: int, nets: Sequence[Net], best: Candidate) -> list[int]:
    """The kernel and its nearest, where kernels it talks to count as half as far; ascending."""
    talks = {net.target for net in nets if net.source == centre}
    talks |= {net.source for net in nets if net.target == centre}
    placed = best.placed

    def distance(other: int) -> tuple[float, int]:
        return centre_distance(placed[centre], placed[other]) * (0.5 if other in talks else 1.0), other

    others = sorted((other for other in range(len(placed)) if other != centre), key=distance)
    return sorted([centre, *others[: _KERNELS - 1]])


def _repack(
    instance: Instance, nets: Sequence[Net], best: Candidate, chosen: Sequence[int], limits: Limits
) -> Candidate | None:
    area = _bounding_box([best.placed[kernel] for kernel in chosen])
    inside = set(chosen)
    fixed = [box for kernel, box in enumerate(best.placed) if kernel not in inside]
    window = Window(
        area=area,
        shapes=tuple(_shapes(instance, best, kernel, area) for kernel in chosen),
        obstacles=tuple(
            intersection(area, block) for block in (*fixed, *instance.obstacles) if area.overlaps(block)
        ),
        wires=tuple(_wires(nets, [*best.placed, *instance.demands.fixed], chosen)),
        incumbent=tuple(best.placed[kernel] for kernel in chosen),
        demands=instance.demands.among(chosen, best.placed),
    )
    outcome, boxes = pack(window, _TIME, limits.seed)
    if outcome is not Outcome.FOUND:
        return None
    placed = list(best.placed)
    choice = list(best.choice)
    for kernel, box in zip(chosen, boxes, strict=True):
        if (box.width, box.height) != (placed[kernel].width, placed[kernel].height):
            at = instance.tables[kernel].fastest_inside(box.width, box.height)
            if at is None:
                return None
            choice[kernel] = at
            table = instance.tables[kernel]
            box = Rectangle(box.x, box.y, int(table.widths[at]), int(table.heights[at]))  # noqa: PLW2901
        placed[kernel] = box
    return make_candidate(instance, choice, placed, "windows")


def _bounding_box(boxes: Sequence[Rectangle]) -> Rectangle:
    x, y = min(box.x for box in boxes), min(box.y for box in boxes)
    return Rectangle(x, y, max(box.right for box in boxes) - x, max(box.bottom for box in boxes) - y)


def _shapes(instance: Instance, best: Candidate, kernel: int, area: Rectangle) -> tuple[tuple[int, int], ...]:
    """The present shape and the smallest others that are fast enough; ascending."""
    corners = staircase_corners(instance.tables[kernel], best.interval, area.width, area.height)
    smallest = sorted(corners, key=lambda sides: (sides[0] * sides[1], sides))[:_SHAPES]
    present = (best.placed[kernel].width, best.placed[kernel].height)
    return tuple(sorted({present, *smallest}))


def _wires(nets: Sequence[Net], boxes: Sequence[Rectangle], chosen: Sequence[int]) -> Iterator[Wire]:
    position = {kernel: at for at, kernel in enumerate(chosen)}
    for net in nets:
        ends = tuple(position[kernel] for kernel in (net.source, net.target) if kernel in position)
        if len(ends) == 2:
            yield Wire(ends, None, net.weight)
        elif ends:
            outer = boxes[net.target if net.source in position else net.source]
            yield Wire(ends, (2 * outer.x + outer.width, 2 * outer.y + outer.height), net.weight)
