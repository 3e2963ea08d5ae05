"""Search over packings in columns, for problems of many kernels: see `columns.walk`.

Several arrangements (columns or rows, narrower or wider, in few or many blocks) compete: all walk for a while, the
better half goes on for longer, until one is left. After Karnin, Koren and Somekh, "Almost optimal exploration in
multi-armed bandits" (2013). Each turn two threads walk from the same packing, one for a much lower time limit and one
for a little lower one.
"""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.placement.bounds import times_between
from wsec.compiler.placement.candidate import Candidate, Instance, candidate_from
from wsec.compiler.placement.columns.layout import (
    Arrangement,
    Kinds,
    arrange,
    at_time,
    first_packing,
    kinds_of,
    rectangles_of,
)
from wsec.compiler.placement.columns.walk import Packing, copy_of, walk
from wsec.compiler.placement.random_numbers import random_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.placement.problem import Limits

_MANY: Final = 150
_WORKERS: Final = 2
_SCALES: Final = (0.3, 0.45, 0.8)
_BLOCKS: Final = (1, 4, 10)
_TURNS: Final = 14
_MOVES: Final = 15
_GROWTH: Final = 1.5
_LONGEST: Final = 12
_TEMPERATURES: Final = 24
_HOT: Final = 0.05
_COOLING: Final = 50.0
_START: Final = 1.05
_AMBITION: Final = 0.7


@dataclass(frozen=True, slots=True)
class Lane:
    """One competitor.

    Attributes:
        kinds: The kernels.
        arrangement: The columns, at no time limit in particular.
        packing: Where the walks start.
        ambition: How far the next time limit is from the bound, as a share of where the best placement is.
        slow: The time limit as a multiple of the bound, for as long as nothing fits.
        best: The best placement, if there is any.
        number: Of its random streams.
    """

    kinds: Kinds
    arrangement: Arrangement
    packing: Packing
    ambition: float
    slow: float
    best: Candidate | None
    number: int


@dataclass(frozen=True, slots=True)
class Walk:
    """Where a walk ended: its packing, the cores beyond the columns' heights, and the placement if there are none."""

    packing: Packing
    beyond: int
    candidate: Candidate | None


def is_many(instance: Instance) -> bool:
    """Whether there are so many kernels that columns of them are worth a try; no constraint binds them to a place."""
    return len(instance.tables) >= _MANY and not instance.demands


def search(instance: Instance, limits: Limits) -> Iterator[Candidate]:
    """Placements in columns, each the best that its arrangement has found by then."""
    lanes = _lanes(instance)
    with ThreadPoolExecutor(_WORKERS) as threads:
        for turn in range(_turns(limits)):
            jobs = [
                (
                    lane,
                    [
                        threads.submit(_walk, instance, lane, time, (turn, at), limits)
                        for at, time in enumerate(_times(instance, lane))
                    ],
                )
                for lane in lanes
            ]
            after = []
            for lane, walks in jobs:
                after.append(_advance(lane, [walk.result() for walk in walks]))
                if after[-1].best is not None and after[-1].best is not lane.best:
                    yield after[-1].best
            lanes = sorted(after, key=_rank)[: max(1, len(after) // 2)]
            if limits.stopped() or _is_least(instance, lanes[0]):
                return


def _turns(limits: Limits) -> int:
    """Rounds of the competition: by the effort, or as many as there is time for."""
    return 1000 if limits.deadline is not None else max(1, round(_TURNS * limits.effort))


def _rank(lane: Lane) -> tuple[float, int]:
    return (math.inf if lane.best is None else lane.best.cost), lane.number


def _is_least(instance: Instance, lane: Lane) -> bool:
    done = lane.best is not None and lane.best.interval == instance.bound
    return done and not instance.problem.wires_matter


def _lanes(instance: Instance) -> list[Lane]:
    """All arrangements; where wires do not matter, only those of one block, which pack best."""
    time = int(instance.bound * _START)
    lanes: list[Lane] = []
    for transposed in (False, True):
        kinds = kinds_of(instance, transposed=transposed)
        for scale in _SCALES:
            for blocks in _BLOCKS if instance.problem.wires_matter else _BLOCKS[:1]:
                arrangement = arrange(kinds, time, scale, blocks)
                packing = first_packing(arrangement)
                lanes.append(Lane(kinds, arrangement, packing, _AMBITION, _START, None, len(lanes)))
    return lanes


def _times(instance: Instance, lane: Lane) -> list[int]:
    """A bold and a modest time limit to try; one if there is but one, none if no lower one is left."""
    if lane.best is None:
        slower = [int(instance.bound * (1 + share * (lane.slow - 1))) for share in (1, 2)]
        return sorted({min(instance.slowest, time) for time in slower})
    times = np.array(times_between(lane.kinds.tables, instance.bound, lane.best.interval - 1))
    if not len(times):
        return []
    shares = np.array([lane.ambition, (1 + lane.ambition) / 2])
    wanted = instance.bound + shares * (lane.best.interval - instance.bound)
    chosen = np.maximum(0, np.searchsorted(times, wanted, side="right") - 1)
    return [int(time) for time in np.unique(times[chosen])]


def _walk(instance: Instance, lane: Lane, time: int, seeds: tuple[int, int], limits: Limits) -> Walk:
    """Walk at falling temperatures, until all columns fit within a time limit or the end."""
    columns = at_time(lane.kinds, lane.arrangement.columns, time)
    packing = copy_of(lane.packing)
    random = random_state(limits.seed, lane.number, *seeds)
    count = round(_MOVES * len(instance.tables) * min(_LONGEST, _GROWTH ** seeds[0]))
    hot = _HOT * instance.free_area / len(instance.tables)
    for step in range(_TEMPERATURES):
        temperature = round(1024 * hot * _COOLING ** (-step / (_TEMPERATURES - 1))) / 1024
        beyond = walk(columns, packing, temperature, count, random)
        if beyond == 0 or limits.stopped():
            break
    if beyond:
        return Walk(packing, beyond, None)
    boxes = rectangles_of(lane.kinds, lane.arrangement, columns, packing)
    return Walk(packing, 0, candidate_from(instance, boxes, "columns"))


def _advance(lane: Lane, walks: Sequence[Walk]) -> Lane:
    """The lane after walks for ever higher time limits."""
    for result in walks:
        if result.candidate is not None:
            bolder = result is walks[0]
            ambition = max(_AMBITION, 2 * lane.ambition - 1) if bolder else lane.ambition
            return replace(lane, packing=result.packing, best=result.candidate, ambition=ambition)
    if not walks:
        return lane
    lane = replace(lane, packing=walks[-1].packing)
    if lane.best is None:
        return replace(lane, slow=1 + 4 * (lane.slow - 1))
    return replace(lane, ambition=(1 + lane.ambition) / 2)
