"""Random changes of a slicing tree, each of which can be undone; compiled.

A change enters what it overwrites into a log, and names up to two nodes from which upwards curves have changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wsec.compiler.native import compiled
from wsec.compiler.placement.annealing.tree import AXIS, LEFT, MIRRORED, PARENT, RIGHT
from wsec.compiler.placement.random_numbers import draw

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

ROOT: Final = 0
ENTRIES: Final = 1
FIRST: Final = 2
SECOND: Final = 3
STAMP: Final = 4
DIRECT: Final = 5
JOINING: Final = 6
"""What `now` holds, int64: the root, the entries of the log, the changed nodes (-1: none), and of the nodes above them a
stamp of those seen, how many lie above the first one, and how many only above the second."""

NOTHING: Final = 0
TURNED: Final = 1
CHANGED: Final = 2
"""What a move did: nothing, a change of positions only, or of curves."""


@compiled
def put(
    tree: NDArray[np.int64], log: NDArray[np.int64], now: NDArray[np.int64], row: int, node: int, value: int
) -> None:
    """Write one number of the tree and enter the former one."""
    entry = now[ENTRIES]
    log[entry, 0], log[entry, 1], log[entry, 2] = row, node, tree[row, node]
    now[ENTRIES] = entry + 1
    tree[row, node] = value


@compiled
def undo(tree: NDArray[np.int64], log: NDArray[np.int64], now: NDArray[np.int64]) -> None:
    """Take back what the log holds."""
    for entry in range(now[ENTRIES] - 1, -1, -1):
        tree[log[entry, 0], log[entry, 1]] = log[entry, 2]
    now[ENTRIES] = 0


@compiled
def put_child(
    tree: NDArray[np.int64], log: NDArray[np.int64], now: NDArray[np.int64], parent: int, old: int, new: int
) -> None:
    """Replace a child of `parent`; no parent: the new one is the root."""
    if parent < 0:
        now[ROOT] = new
    elif tree[LEFT, parent] == old:
        put(tree, log, now, LEFT, parent, new)
    else:
        put(tree, log, now, RIGHT, parent, new)
    put(tree, log, now, PARENT, new, parent)


@compiled
def contains(tree: NDArray[np.int64], top: int, node: int) -> bool:
    """Whether `node` lies in the subtree of `top`."""
    while node >= 0:
        if node == top:
            return True
        node = tree[PARENT, node]
    return False


@compiled
def mirror(
    tree: NDArray[np.int64], log: NDArray[np.int64], now: NDArray[np.int64], random: NDArray[np.uint64]
) -> int:
    """Exchange the two sides of a cut."""
    kernels = (tree.shape[1] + 1) // 2
    node = kernels + draw(random, kernels - 1)
    put(tree, log, now, MIRRORED, node, 1 - tree[MIRRORED, node])
    return TURNED


@compiled
def exchange(tree: NDArray[np.int64], log: NDArray[np.int64], now: NDArray[np.int64], a: int, b: int) -> int:
    """Exchange two parts, none of which contains the other."""
    above_a, above_b = tree[PARENT, a], tree[PARENT, b]
    if above_a == above_b:
        put(tree, log, now, MIRRORED, above_a, 1 - tree[MIRRORED, above_a])
        return TURNED
    put_child(tree, log, now, above_a, a, b)
    put_child(tree, log, now, above_b, b, a)
    now[FIRST], now[SECOND] = above_a, above_b
    return CHANGED


@compiled
def swap_kernels(
    tree: NDArray[np.int64],
    log: NDArray[np.int64],
    now: NDArray[np.int64],
    random: NDArray[np.uint64],
    kind: NDArray[np.int64],
) -> int:
    """Exchange two kernels; equal ones change positions only."""
    a, b = draw(random, len(kind)), draw(random, len(kind))
    if a == b:
        return NOTHING
    done = exchange(tree, log, now, a, b)
    return TURNED if kind[a] == kind[b] else done


@compiled
def rotate(
    tree: NDArray[np.int64], log: NDArray[np.int64], now: NDArray[np.int64], random: NDArray[np.uint64]
) -> int:
    """Of three neighbours, of which two are cut off together, cut off the other two together; their order stays."""
    kernels = (tree.shape[1] + 1) // 2
    inner = kernels + draw(random, kernels - 1)
    outer = tree[PARENT, inner]
    if outer < 0:
        return NOTHING
    is_left = tree[LEFT, outer] == inner
    comes_first = is_left != (tree[MIRRORED, outer] == 1)
    third = tree[RIGHT, outer] if is_left else tree[LEFT, outer]
    near = RIGHT if comes_first else LEFT  # the child of `inner` beside `third`
    if tree[MIRRORED, inner]:
        near = RIGHT + LEFT - near
    second, first = tree[near, inner], tree[RIGHT + LEFT - near, inner]
    # outer = (inner = (first, second), third) becomes (first, inner = (second, third)), or the mirror image of that.
    put(tree, log, now, MIRRORED, outer, 0)
    put(tree, log, now, MIRRORED, inner, 0)
    put(tree, log, now, LEFT, outer, first if comes_first else inner)
    put(tree, log, now, RIGHT, outer, inner if comes_first else first)
    put(tree, log, now, LEFT, inner, second if comes_first else third)
    put(tree, log, now, RIGHT, inner, third if comes_first else second)
    put(tree, log, now, PARENT, first, outer)
    put(tree, log, now, PARENT, third, inner)
    axes = draw(random, 4)
    if axes == 0:
        put(tree, log, now, AXIS, inner, 1 - tree[AXIS, inner])
    elif axes == 1:
        put(tree, log, now, AXIS, outer, 1 - tree[AXIS, outer])
    elif axes == 2:
        axis = tree[AXIS, inner]
        put(tree, log, now, AXIS, inner, tree[AXIS, outer])
        put(tree, log, now, AXIS, outer, axis)
    now[FIRST] = inner
    return CHANGED


@compiled
def turn_cut(
    tree: NDArray[np.int64], log: NDArray[np.int64], now: NDArray[np.int64], random: NDArray[np.uint64]
) -> int:
    """Make a cut across of one along, or the other way round."""
    kernels = (tree.shape[1] + 1) // 2
    node = kernels + draw(random, kernels - 1)
    put(tree, log, now, AXIS, node, 1 - tree[AXIS, node])
    now[FIRST] = node
    return CHANGED


@compiled
def swap_subtrees(
    tree: NDArray[np.int64], log: NDArray[np.int64], now: NDArray[np.int64], random: NDArray[np.uint64]
) -> int:
    """Exchange two parts, none of which contains the other."""
    nodes = tree.shape[1]
    a, b = draw(random, nodes), draw(random, nodes)
    if tree[PARENT, a] == tree[PARENT, b] or contains(tree, a, b) or contains(tree, b, a):
        return NOTHING
    return exchange(tree, log, now, a, b)


@compiled
def target_near(tree: NDArray[np.int64], random: NDArray[np.uint64], node: int) -> int:
    """A node found by walking up a little and down again."""
    kernels = (tree.shape[1] + 1) // 2
    for _ in range(1 + draw(random, 3)):
        if tree[PARENT, node] >= 0:
            node = tree[PARENT, node]
    while node >= kernels and draw(random, 3) > 0:
        node = tree[draw(random, 2), node]
    return node


@compiled
def reinsert(
    tree: NDArray[np.int64], log: NDArray[np.int64], now: NDArray[np.int64], random: NDArray[np.uint64]
) -> int:
    """Take a part out and put it beside another one, near or anywhere."""
    nodes = tree.shape[1]
    part = draw(random, (nodes + 1) // 2) if draw(random, 2) == 0 else draw(random, nodes)
    if tree[PARENT, part] < 0:
        return NOTHING
    target = target_near(tree, random, tree[PARENT, part]) if draw(random, 2) == 0 else draw(random, nodes)
    return put_beside(tree, log, now, random, part, target)


@compiled
def follow_net(
    tree: NDArray[np.int64],
    log: NDArray[np.int64],
    now: NDArray[np.int64],
    random: NDArray[np.uint64],
    source: NDArray[np.int64],
    target: NDArray[np.int64],
) -> int:
    """Take one end of a net, alone or with what is around it, and put it beside the other end or what is around that."""
    net = draw(random, len(source))
    part, other = source[net], target[net]
    if max(part, other) > tree.shape[1] // 2:  # an end that is no leaf stands where it stands
        return NOTHING
    if draw(random, 2) == 0:
        part, other = other, part
    while draw(random, 3) == 0 and tree[PARENT, part] >= 0:
        part = tree[PARENT, part]
    while draw(random, 3) > 0 and tree[PARENT, other] >= 0:
        other = tree[PARENT, other]
    return put_beside(tree, log, now, random, part, other)


@compiled
def put_beside(
    tree: NDArray[np.int64],
    log: NDArray[np.int64],
    now: NDArray[np.int64],
    random: NDArray[np.uint64],
    part: int,
    target: int,
) -> int:
    """Take a part out and put it beside `target`, on a random side of it."""
    cut = tree[PARENT, part]
    if cut < 0 or target == cut or contains(tree, part, target):
        return NOTHING
    sibling = tree[LEFT, cut] + tree[RIGHT, cut] - part
    above = tree[PARENT, cut]
    put_child(tree, log, now, above, cut, sibling)
    put_child(tree, log, now, tree[PARENT, target], target, cut)
    put(tree, log, now, PARENT, target, cut)
    put(tree, log, now, LEFT, cut, part)
    put(tree, log, now, RIGHT, cut, target)
    put(tree, log, now, MIRRORED, cut, draw(random, 2))
    put(tree, log, now, AXIS, cut, draw(random, 2))
    now[FIRST], now[SECOND] = cut, above
    return CHANGED
