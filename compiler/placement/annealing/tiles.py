"""Annealing where reserved areas and pins leave several free rectangles: one after the other, all else held.

Kernels stay in the rectangle that slicing gave them. First each rectangle is made as fast as it gets, then wires are
shortened again in those that are faster than the slowest needs.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from wsec.compiler.placement import bounds
from wsec.compiler.placement.annealing import topologies
from wsec.compiler.placement.candidate import Candidate, Instance, candidate_from
from wsec.compiler.placement.problem import Net, Rectangle, hop_cycles
from wsec.compiler.placement.regions import intersection

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.placement.problem import Limits

_SHARE: Final = 0.5
"""Of the effort for each visit of a rectangle, as each is visited twice; a move costs less the fewer kernels there are."""


def search(instance: Instance, best: Candidate, limits: Limits) -> Iterator[Candidate]:
    """Placements from `best`, which may be worse than it in between."""
    tiling = _tiling_of(instance, best)
    if tiling is None:
        return
    left = 2 * len(tiling)
    for held in (False, True):
        for tile, kernels in tiling.items():
            share = limits.part(_SHARE if limits.deadline is None else 1 / left)
            left -= 1
            part = _part(instance, best, tile, kernels, held=held)
            start = candidate_from(part, [best.placed[at] for at in kernels], best.method)
            found = min(
                topologies.search(part, [start], share),
                key=lambda each: (each.cost, each.wirelength),
                default=start,
            )
            if (found.cost, found.wirelength) < (start.cost, start.wirelength):
                best = _with_part(instance, best, kernels, found)
                yield best


def _tiling_of(instance: Instance, best: Candidate) -> dict[Rectangle, list[int]] | None:
    """The kernels in each rectangle of the first tiling in which none lies across two; None if there is none."""
    for tiling in instance.tilings:
        inside: dict[Rectangle, list[int]] = {tile: [] for tile in tiling}
        for kernel, box in enumerate(best.placed):
            tile = next((tile for tile in tiling if intersection(tile, box) == box), None)
            if tile is None:
                break
            inside[tile].append(kernel)
        else:
            return {tile: kernels for tile, kernels in inside.items() if len(kernels) > 1}
    return None


def _part(
    instance: Instance, best: Candidate, tile: Rectangle, kernels: Sequence[int], *, held: bool
) -> Instance:
    """The kernels of one rectangle as a problem of its own, all others fixed; their interval counts if it is `held`."""
    problem = instance.problem
    others = [at for at in range(len(problem.kernels)) if at not in set(kernels)]
    new = {at: position for position, at in enumerate((*kernels, *others))}
    new |= {len(new) + at: len(new) + at for at in range(len(instance.demands.fixed))}
    inside = set(kernels)
    nets = tuple(
        Net(new[net.source], new[net.target], net.weight)
        for net in problem.nets
        if net.source in inside or net.target in inside
    )
    slowest = max((int(instance.tables[at].cycles[best.choice[at]]) for at in others), default=0)
    least = max(instance.movable.least, slowest if held else 0)
    fitting = {id(table): table.inside(tile.width, tile.height) for table in instance.tables}
    tables = tuple(fitting[id(instance.tables[at])] for at in kernels)
    placing = tuple(problem.kernels[at] for at in kernels)
    spaces = ((tile,),) * len(kernels)
    bound = bounds.area_bound(placing, spaces, tile.area) or 0
    bound = max(least, bound, *(int(table.cycles[0]) for table in tables))
    return replace(
        instance,
        problem=replace(
            problem,
            kernels=placing,
            nets=nets,
            hop_cycles=hop_cycles(problem, instance.bound),
        ),
        tables=tables,
        spaces=spaces,
        tilings=((tile,),),
        free_area=tile.area,
        bound=bound,
        movable=replace(instance.movable, demands=instance.demands.among(kernels, best.placed), least=least),
    )


def _with_part(instance: Instance, best: Candidate, kernels: Sequence[int], found: Candidate) -> Candidate:
    placed = list(best.placed)
    for kernel, box in zip(kernels, found.placed, strict=True):
        placed[kernel] = box
    return candidate_from(instance, placed, "annealing")
