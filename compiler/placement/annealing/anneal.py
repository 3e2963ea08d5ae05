"""Simulated annealing of slicing trees; compiled.

Two ways to use it. Without nets: the cores by which the tree exceeds the grid are to fall to none, and whenever they
do, the time limit falls to the next level, so that the walk is always about to fit into a shorter interval. With nets:
interval plus weighted wirelength, where the time limit is part of what changes, and exceeding the grid costs.

After Kirkpatrick, Gelatt and Vecchi, "Optimization by simulated annealing" (1983), and Wong and Liu, "A new algorithm
for floorplan design" (1986).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from wsec.compiler.native import compiled
from wsec.compiler.placement.annealing import moves
from wsec.compiler.placement.annealing.penalties import DemandArrays, penalty
from wsec.compiler.placement.annealing.tree import (
    PARENT,
    Curves,
    Leaves,
    load_leaves,
    make_curves,
    realise,
    update_all,
    update_node,
)
from wsec.compiler.placement.random_numbers import draw, draw_exponential

if TYPE_CHECKING:
    from numpy.typing import NDArray

IMPOSSIBLE: Final = 1e300
_PATIENCE: Final = 6.0
"""Boxes are pruned that waste what only a walk would accept that is this many temperatures lucky."""

ROOT: Final = 0
LEVEL: Final = 1
REACH: Final = 2
"""What a position holds beside its tree, int64: the root, the time level, and the width the root may take."""


class Task(NamedTuple):
    """What is annealed.

    Attributes:
        leaves: Curves of the kernels at each level.
        times: Cycles of each level, ascending.
        spare: Cores of the grid beyond the kernels' least areas, at each level.
        width: Of the grid.
        height: Of the grid.
        source: Kernel, or fixed rectangle behind the last kernel, at one end of each net.
        target: The same at its other end.
        weight: What a hop of the net is worth, in cycles. No nets: only the interval matters.
        excess_weight: What a core beyond the grid is worth, in cycles.
        fixed: Rectangles that stand, int64 `[fixed, 4]` of x, y, width, height.
        demands: What must hold of the boxes; counts where there are nets.
        demand_weight: What a column or row that is missing is worth, in cycles.
    """

    leaves: Leaves
    times: NDArray[np.float64]
    spare: NDArray[np.int64]
    width: int
    height: int
    source: NDArray[np.int64]
    target: NDArray[np.int64]
    weight: NDArray[np.float64]
    excess_weight: float
    fixed: NDArray[np.int64]
    demands: DemandArrays
    demand_weight: float


class Room(NamedTuple):
    """Memory that one walk works in."""

    curves: Curves
    log: NDArray[np.int64]
    box: NDArray[np.int64]
    stack: NDArray[np.int64]
    order: NDArray[np.int64]
    mark: NDArray[np.int64]
    most: NDArray[np.int64]
    now: NDArray[np.int64]


def make_room(task: Task) -> Room:
    """Memory for one walk at a time."""
    kernels = len(task.leaves.kind)
    nodes = 2 * kernels
    margin = max(4, min(task.width, task.height) // 2)
    return Room(
        make_curves(kernels, task.leaves.points.shape[1], min(task.width, task.height) + margin + 1),
        np.zeros((32, 3), dtype=np.int64),
        np.concatenate([np.zeros((kernels, 4), dtype=np.int64), task.fixed]),
        np.zeros((nodes + 2, 4), dtype=np.int64),
        np.zeros(nodes + 4, dtype=np.int64),
        np.zeros(nodes, dtype=np.int64),
        np.array([task.width + margin, task.height + margin, 0], dtype=np.int64),
        np.zeros(8, dtype=np.int64),
    )


@compiled
def wire_cost(task: Task, box: NDArray[np.int64]) -> float:
    """Weighted L1 distances of centres, in cycles."""
    total = 0.0
    for net in range(len(task.source)):
        a, b = task.source[net], task.target[net]
        across = abs(2 * box[a, 0] + box[a, 2] - 2 * box[b, 0] - box[b, 2])
        down = abs(2 * box[a, 1] + box[a, 3] - 2 * box[b, 1] - box[b, 3])
        total += task.weight[net] * (across + down)
    return 0.5 * total


@compiled
def excess(task: Task, width: int, height: int) -> int:
    """Cores by which the smallest grid-like box around a rectangle exceeds the grid."""
    return max(width, task.width) * max(height, task.height) - task.width * task.height


@compiled
def root_point(task: Task, room: Room, place: NDArray[np.int64]) -> int:
    """The root's point that exceeds the grid least, or with nets the widest within reach; -1 if there is none."""
    curves = room.curves
    index = place[ROOT] - len(task.leaves.kind)
    now = curves.version[index]
    best, least = -1, 1 << 60
    for at in range(curves.begin[index, now], curves.end[index, now]):
        width = int(curves.width[index, now, at])
        if len(task.source):
            if width > place[REACH]:
                break
            best = at
        else:
            value = excess(task, width, int(curves.height[index, now, at]))
            if value < least:
                best, least = at, value
    return best


@compiled
def energy(
    task: Task, room: Room, tree: NDArray[np.int64], place: NDArray[np.int64]
) -> tuple[float, int | np.int64]:
    """What is minimised, in cycles, and the cores beyond the grid."""
    point = root_point(task, room, place)
    if point < 0:
        return IMPOSSIBLE, 1
    index = place[ROOT] - len(task.leaves.kind)
    now = room.curves.version[index]
    width, height = int(room.curves.width[index, now, point]), int(room.curves.height[index, now, point])
    beyond = excess(task, width, height)
    value = task.excess_weight * beyond
    if len(task.source):
        realise(tree, place[ROOT], task.leaves.kind, room.curves, point, room.box, room.stack)
        value += task.times[place[LEVEL]] + wire_cost(task, room.box)
        value += task.demand_weight * penalty(task.demands, room.box, width, height)
    return value, beyond


@compiled
def reload(
    task: Task, room: Room, tree: NDArray[np.int64], place: NDArray[np.int64], slack: float
) -> tuple[float, int | np.int64]:
    """Recompute all curves at the present level, for walks that exceed the grid by up to `slack` cycles' worth."""
    waste = task.spare[place[LEVEL]] + np.int64(slack / task.excess_weight)
    room.most[2] = max(0, waste)
    load_leaves(room.curves, task.leaves, place[LEVEL], room.most[2])
    if not update_all(tree, place[ROOT], task.leaves.kind, room.curves, room.most, room.order):
        return IMPOSSIBLE, 1
    return energy(task, room, tree, place)


@compiled
def move_once(
    task: Task, room: Room, tree: NDArray[np.int64], place: NDArray[np.int64], random: NDArray[np.uint64]
) -> int:
    """Make one random change of the tree or of the root's width."""
    now, log, kind = room.now, room.log, task.leaves.kind
    now[moves.ROOT], now[moves.ENTRIES], now[moves.FIRST], now[moves.SECOND] = place[ROOT], 0, -1, -1
    choice = draw(random, 100)
    if len(task.source) and choice < 36:
        if choice < 15:
            return moves.mirror(tree, log, now, random)
        if choice < 33:
            done = moves.follow_net(tree, log, now, random, task.source, task.target)
            place[ROOT] = now[moves.ROOT]
            return done
        step = 1 + draw(random, 1 + draw(random, 64))
        reach = place[REACH] + (step if draw(random, 2) else -step)
        if reach < 1 or reach > task.width:
            return moves.NOTHING
        place[REACH] = reach
        return moves.TURNED
    choice = draw(random, 100)
    if choice < 22:
        done = moves.swap_kernels(tree, log, now, random, kind)
    elif choice < 36:
        done = moves.turn_cut(tree, log, now, random)
    elif choice < 60:
        done = moves.rotate(tree, log, now, random)
    elif choice < 74:
        done = moves.swap_subtrees(tree, log, now, random)
    else:
        done = moves.reinsert(tree, log, now, random)
    place[ROOT] = now[moves.ROOT]
    return moves.NOTHING if done == moves.TURNED and not len(task.source) else done


@compiled
def changed_node(now: NDArray[np.int64], order: NDArray[np.int64], at: int) -> int:
    """The nodes to recompute, in turn: the way up from the second change joins that from the first, so it comes first."""
    joining = now[moves.JOINING]
    node: int = order[now[moves.DIRECT] + at] if at < joining else order[at - joining]
    return node


@compiled
def update_changed(task: Task, room: Room, tree: NDArray[np.int64]) -> tuple[int, bool]:
    """Recompute curves from the changed nodes up to the root.

    Returns:
        How many nodes were recomputed, and whether each has a point.
    """
    now, mark, order = room.now, room.mark, room.order
    now[moves.STAMP] += 1
    count, node = 0, now[moves.FIRST]
    while node >= 0:
        mark[node] = now[moves.STAMP]
        order[count] = node
        count += 1
        node = tree[PARENT, node]
    now[moves.DIRECT], node = count, now[moves.SECOND]
    while node >= 0 and mark[node] != now[moves.STAMP]:
        order[count] = node
        count += 1
        node = tree[PARENT, node]
    now[moves.JOINING] = count - now[moves.DIRECT]
    for at in range(count):
        if not update_node(tree, task.leaves.kind, room.curves, changed_node(now, order, at), room.most):
            return at + 1, False
    return count, True


@compiled
def take_back(
    task: Task,
    room: Room,
    tree: NDArray[np.int64],
    place: NDArray[np.int64],
    old: NDArray[np.int64],
    updated: int,
) -> None:
    """Undo a move, of which `updated` nodes were recomputed."""
    moves.undo(tree, room.log, room.now)
    for at in range(updated):
        index = changed_node(room.now, room.order, at) - len(task.leaves.kind)
        room.curves.version[index] = 1 - room.curves.version[index]
    place[:] = old


@compiled
def try_level(
    task: Task,
    room: Room,
    tree: NDArray[np.int64],
    place: NDArray[np.int64],
    value: float,
    bar: float,
    slack: float,
    random: NDArray[np.uint64],
) -> tuple[float, int | np.int64, bool]:
    """Change the time limit a little, if the energy then is at most `bar`; the curves are left as they must be."""
    old = place[LEVEL]
    step = 1 + draw(random, 3)
    place[LEVEL] = old + (step if draw(random, 2) else -step)
    if place[LEVEL] < 0 or place[LEVEL] >= len(task.times):
        place[LEVEL] = old
        return value, 1, False
    found, beyond = reload(task, room, tree, place, slack)
    if found <= bar:
        return found, beyond, True
    place[LEVEL] = old
    reload(task, room, tree, place, slack)
    return value, 1, False


@compiled
def settle(
    task: Task, room: Room, tree: NDArray[np.int64], place: NDArray[np.int64], temperature: float
) -> tuple[float, int | np.int64, float]:
    """Recompute all curves with as much slack as the tree needs and the temperature tolerates beyond that.

    Returns:
        Energy, cores beyond the grid, and the slack in cycles.
    """
    slack = _PATIENCE * temperature
    value, beyond = reload(task, room, tree, place, slack)
    while value == IMPOSSIBLE and slack < 4 * task.width * task.height * task.excess_weight:
        slack *= 4
        value, beyond = reload(task, room, tree, place, slack)
    if value == IMPOSSIBLE or beyond == 0:
        return value, beyond, slack
    slack = task.excess_weight * beyond + _PATIENCE * temperature
    value, beyond = reload(task, room, tree, place, slack)
    return value, beyond, slack


@compiled
def stand(
    task: Task, room: Room, tree: NDArray[np.int64], place: NDArray[np.int64], temperature: float
) -> tuple[float, int | np.int64, float]:
    """Settle at the time limit of `place`, or at the next longer one at which the tree is anywhere near the grid.

    In less time kernels are larger. Where they exceed even what curves have room for, cuts are left without points or
    with those of another tree, and no change may be tried from there.

    Returns:
        Energy, cores beyond the grid, and the slack in cycles; energy `IMPOSSIBLE` if no time limit will do.
    """
    value, beyond, slack = settle(task, room, tree, place, temperature)
    while value == IMPOSSIBLE and place[LEVEL] + 1 < len(task.times):
        place[LEVEL] += 1
        value, beyond, slack = settle(task, room, tree, place, temperature)
    return value, beyond, slack


@compiled
def try_move(
    task: Task,
    room: Room,
    tree: NDArray[np.int64],
    place: NDArray[np.int64],
    old: NDArray[np.int64],
    value: float,
    bar: float,
    random: NDArray[np.uint64],
) -> tuple[float, int | np.int64, bool]:
    """Make one random change, if the energy then is at most `bar`."""
    old[:] = place
    done = move_once(task, room, tree, place, random)
    if done == moves.NOTHING:
        take_back(task, room, tree, place, old, 0)
        return value, 1, False
    updated, possible = 0, True
    if done == moves.CHANGED:
        updated, possible = update_changed(task, room, tree)
    if possible:
        found, beyond = energy(task, room, tree, place)
        if found <= bar:
            return found, beyond, True
    take_back(task, room, tree, place, old, updated)
    return value, 1, False


@compiled
def anneal(
    task: Task,
    room: Room,
    tree: NDArray[np.int64],
    place: NDArray[np.int64],
    temperatures: NDArray[np.float64],
    count: int,
    random: NDArray[np.uint64],
    best: float,
    best_tree: NDArray[np.int64],
    best_place: NDArray[np.int64],
) -> float:
    """Walk `count` moves at each temperature from a tree, which is changed; what fits and is below `best` is written out.

    Changes are tried, and taken back, only where every cut has a point: of a walk that ends, too, the curves are whole.

    Returns:
        The energy of the best tree that fits the grid, in cycles; `best` if none was below.
    """
    wired = len(task.source) > 0
    old = place.copy()
    for temperature in temperatures:
        value, beyond, slack = stand(task, room, tree, place, temperature)
        if value == IMPOSSIBLE:
            return best
        accepted = True
        for _ in range(count):
            if accepted and beyond == 0:
                reached = value if wired else task.times[place[LEVEL]]
                if reached < best:
                    best = reached
                    best_tree[:] = tree
                    best_place[:] = place
                if not wired:
                    level = place[LEVEL]
                    if level == 0:
                        return best
                    place[LEVEL] = level - 1
                    value, beyond, slack = stand(task, room, tree, place, temperature)
                    accepted = place[LEVEL] < level
                    continue
            bar = value + temperature * draw_exponential(random)
            if wired and draw(random, max(40, 2 * len(task.leaves.kind))) == 0:
                value, beyond, accepted = try_level(task, room, tree, place, value, bar, slack, random)
            else:
                value, beyond, accepted = try_move(task, room, tree, place, old, value, bar, random)
    return best
