"""Search over slicing topologies: annealing from the best floorplans, in two threads.

Goes round by round. In each round every thread walks from one of the best trees so far, with a random stream of its
own; the results are taken in a fixed order, so that the answer depends on how many rounds there are and not on which
thread was faster. Rounds grow longer.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.placement.annealing import anneal
from wsec.compiler.placement.annealing.guillotine import tree_of
from wsec.compiler.placement.annealing.levels import choose_levels, make_leaves
from wsec.compiler.placement.annealing.penalties import demand_arrays
from wsec.compiler.placement.annealing.tree import realise
from wsec.compiler.placement.candidate import Candidate, Instance, better, make_candidate
from wsec.compiler.placement.demands import slide_to_edges
from wsec.compiler.placement.problem import Net, Rectangle, hop_cycles
from wsec.compiler.placement.random_numbers import random_state

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.placement.annealing.anneal import Room, Task
    from wsec.compiler.placement.problem import Limits

_WORKERS: Final = 2
_POOL: Final = 4
_ROUNDS: Final = 4
_MOVES: Final = 300
_MOVES_BY_CLOCK: Final = 1_500
_MANY: Final = 60
_GROWTH: Final = 1.6
_LONG_WALKS: Final = 2
_TEMPERATURES: Final = 60
_COOLING: Final = 50.0
_HOT: Final = (0.05, 0.02, 0.1, 0.005)
_HOT_NETS: Final = (3.0, 1.0, 0.5)
_HOT_INTERVAL: Final = 0.05
_COLD_NETS: Final = 0.05
_COLDEST: Final = 1 / 1024
_EXCESS: Final = 3.0
_DEMAND: Final = 3.0


@dataclass(frozen=True, slots=True)
class Walk:
    """A tree to start from, the time level and root's width it has, and the objective of its placement."""

    tree: NDArray[np.int64]
    place: NDArray[np.int64]
    cost: float


def search(instance: Instance, found: Sequence[Candidate], limits: Limits) -> Iterator[Candidate]:
    """Better placements than the best of those `found`, which may grow worse in between."""
    if len(instance.tilings[0]) > 1 or len(instance.tables) < 2:
        return
    space = instance.tilings[0][0]
    pool = _pool(instance, found)
    task = make_task(instance, pool[0], space)
    rooms = [anneal.make_room(task) for _ in range(_WORKERS)]
    pace = _Pace(limits, len(instance.tables))
    with ThreadPoolExecutor(_WORKERS) as threads:
        while (count := pace.moves()) > 0 and not _is_least(instance, pool[0]):
            best = pool[0]
            walks = _walks(task, pool)
            if not walks:
                return
            jobs = [
                threads.submit(
                    _walk,
                    task,
                    rooms[at],
                    walks[at * pace.rounds % len(walks)],
                    count,
                    seed,
                    limits=limits,
                )
                for at, seed in enumerate((limits.seed, pace.rounds, at) for at in range(_WORKERS))
            ]
            for result in [job.result() for job in jobs]:
                if result is not None:
                    candidate = _candidate(instance, task, rooms[0], result, space)
                    pool.append(candidate)
                    yield candidate
            pool = _pool(instance, pool)
            if better(pool[0], best):
                task = make_task(instance, pool[0], space)


def _pool(instance: Instance, found: Sequence[Candidate]) -> list[Candidate]:
    """The best few, and the best of those that break a constraint: it may lead to one that keeps all."""
    kept = [each for each in found if instance.demands.kept(each.placed)]
    astray = [each for each in found if not instance.demands.kept(each.placed)]
    return sorted(kept, key=_rank)[:_POOL] + sorted(astray, key=_rank)[:1]


def _rank(candidate: Candidate) -> tuple[float, int, float]:
    return candidate.cost, candidate.interval, candidate.wirelength


class _Pace:
    """How many moves the next round makes at each temperature.

    By effort, more each time. By the clock, a round that tells how many moves there is time for, then two that share it:
    one long walk finds more than several short ones.
    """

    def __init__(self, limits: Limits, kernels: int) -> None:
        self.rounds = 0
        self._limits = limits
        self._before = time.monotonic()
        self._moves = 0
        first = _MOVES if limits.deadline is None else _MOVES_BY_CLOCK
        # A move costs more in a higher tree, so that a large problem makes fewer.
        self._first = max(10, first * _MANY // max(_MANY, kernels))

    def moves(self) -> int:
        """The number for the next round; 0 when the search is over."""
        self.rounds += 1
        if self._limits.stopped():
            return 0
        if self._limits.deadline is None:
            if self.rounds > round(_ROUNDS * self._limits.effort):
                return 0
            return round(self._first * _GROWTH ** (self.rounds - 1))
        now = time.monotonic()
        left, took, self._before = self._limits.deadline - now, now - self._before, now
        wanted = self._first
        if self._moves:
            affordable = 0.95 * self._moves * left / max(1e-6, took)
            wanted = round(affordable / max(1, _LONG_WALKS + 2 - self.rounds))
        self._moves = max(1, wanted)
        return self._moves


def _is_least(instance: Instance, best: Candidate) -> bool:
    return not instance.problem.wires_matter and best.interval == instance.bound


def make_task(instance: Instance, best: Candidate, space: Rectangle) -> Task:
    """What to anneal, now that the best placement is known: times worth trying, and what wires are worth."""
    wired = instance.problem.wires_matter
    price = hop_cycles(instance.problem, instance.bound) if wired else 0.0
    nets = (
        [net for net in instance.problem.nets if net.source != net.target and net.weight > 0] if wired else []
    )
    # Kernels that must be neighbours follow each other like the ends of a net that costs nothing; and only where
    # there are nets, boxes are looked at.
    nets += [Net(*pair, 0.0) for pair in instance.demands.pairs]
    if not nets:
        nets = [Net(kernel, kernel, 0.0) for kernel in instance.demands.asked(len(instance.tables))]
    high = max(best.interval, int(best.cost)) if wired else best.interval
    times = choose_levels(
        instance.tables, instance.bound, min(high, instance.slowest), (space.width, space.height)
    )
    leaves = make_leaves(instance.tables, times, space.width, space.height)
    least = leaves.area[:, leaves.kind].sum(axis=1)
    area = space.width * space.height
    return anneal.Task(
        leaves,
        times.astype(np.float64),
        area - least,
        space.width,
        space.height,
        np.array([net.source for net in nets], dtype=np.int64),
        np.array([net.target for net in nets], dtype=np.int64),
        np.array([net.weight * price for net in nets], dtype=np.float64),
        _EXCESS * max(1.0, best.cost) / area if nets else 1.0,
        np.array(
            [(box.x - space.x, box.y - space.y, box.width, box.height) for box in instance.demands.fixed],
            dtype=np.int64,
        ).reshape(-1, 4),
        demand_arrays(instance.demands, space),
        _DEMAND * best.interval / (space.width + space.height),
    )


def _walks(task: Task, pool: Sequence[Candidate]) -> list[Walk]:
    """The trees of the pool, best first, each at the last level that is not above its interval; without nets the next lower."""
    walks = []
    for each in pool:
        sliced = tree_of(each.placed)
        if sliced is None:
            continue
        tree, root = sliced
        level = int(np.searchsorted(task.times, each.interval, side="right")) - 1
        if not len(task.source):
            level = int(np.searchsorted(task.times, pool[0].interval)) - 1
        walks.append(Walk(tree, np.array([root, max(0, level), task.width], dtype=np.int64), each.cost))
    return walks


def _temperatures(task: Task, walk: Walk, seed: tuple[int, ...]) -> NDArray[np.float64]:
    """From where a typical change is accepted to where hardly any is; rounded, to be the same on every machine.

    Typical is a kernel of average size beyond the grid or, with nets, a few nets of average length. Rounds take turns in
    how hot they begin: one heat leaves the floorplan it is given, another improves it, and which is of more use depends
    on the problem.
    """
    turn = sum(seed[1:])
    kernel = task.excess_weight * task.width * task.height / len(task.leaves.kind)
    hot = _HOT[turn % len(_HOT)] * kernel
    cold = hot / _COOLING
    if task.weight.any():
        wires = walk.cost - float(task.times[walk.place[anneal.LEVEL]])
        net = wires / len(task.source)
        heats = (*(share * net for share in _HOT_NETS), _HOT_INTERVAL * kernel)
        hot, cold = heats[turn % len(heats)], _COLD_NETS * net
    steps = np.geomspace(max(hot, cold, _COLDEST), max(cold, _COLDEST), _TEMPERATURES)
    return np.maximum(1, np.round(steps / _COLDEST)) * _COLDEST


def _walk(
    task: Task, room: Room, walk: Walk, count: int, seed: tuple[int, ...], *, limits: Limits
) -> Walk | None:
    """Anneal from a tree, `count` moves at each temperature or what time is left for; the best that fits, or nothing."""
    tree, place, random = walk.tree.copy(), walk.place.copy(), random_state(*seed)
    best = Walk(tree.copy(), place.copy(), walk.cost)
    temperatures = _temperatures(task, walk, seed)
    energy, moves, done, started = anneal.IMPOSSIBLE, count, 0, time.monotonic()
    for step in range(len(temperatures)):
        if done and limits.deadline is not None:
            # Other work on the machine slows a walk down: to cool faster is better than to end before it is cold.
            now = time.monotonic()
            left = limits.deadline - now
            if left <= 0:
                break
            moves = min(count, 1 + int(done / max(1e-6, now - started) * left / (len(temperatures) - step)))
        at = temperatures[step : step + 1]
        energy = anneal.anneal(task, room, tree, place, at, moves, random, energy, best.tree, best.place)
        done += moves
    return best if energy < anneal.IMPOSSIBLE else None


def _candidate(instance: Instance, task: Task, room: Room, walk: Walk, space: Rectangle) -> Candidate:
    """The rectangles of a tree that fits."""
    anneal.settle(task, room, walk.tree, walk.place, 1.0)
    point = anneal.root_point(task, room, walk.place)
    realise(walk.tree, walk.place[anneal.ROOT], task.leaves.kind, room.curves, point, room.box, room.stack)
    choice, placed = [], []
    boxes = room.box[: len(instance.tables)].tolist()
    for table, (x, y, width, height) in zip(instance.tables, boxes, strict=True):
        at = table.fastest_inside(width, height)
        assert at is not None  # noqa: S101 - the box is one of the kernel's own shapes
        choice.append(at)
        placed.append(Rectangle(space.x + x, space.y + y, width, height))
    placed = slide_to_edges(instance.demands, placed, space)
    return make_candidate(instance, choice, placed, "annealing")
