"""A slicing tree over exact shape curves, kept up to date while it changes; compiled.

Nodes 0 ... n - 1 are leaves, the kernel of that number each; the n - 1 others cut their box in two. A node's curve lists
the non-dominated (width, height) of its box, from narrow to wide. After Stockmeyer, "Optimal orientations of cells in
slicing floorplan designs" (1983): curves of a cut come from those of its parts by one merge.

Waste prunes: where the kernels' least areas leave S cores of the grid, no box of a tree that fits wastes more than S, so
points that waste more than a limit are left out, and a node without points means that the tree is no good. Each inner
node has room for two versions of its curve: a change writes the other one, and undoing it is a flip.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

LEFT: Final = 0
RIGHT: Final = 1
PARENT: Final = 2
AXIS: Final = 3
MIRRORED: Final = 4
BESIDE: Final = 0
ABOVE: Final = 1
LONGEST: Final = np.int32(1 << 30)


class Leaves(NamedTuple):
    """Curves of kernels. Equal kernels are of one kind; `kind[kernel]` is its index.

    At each of several times (`level`), for each kind: how many `points`, their `width` (ascending) and `height`
    (descending), int32 `[levels, kinds, points]`, and the least `area`, int64 `[levels, kinds]`.
    """

    kind: NDArray[np.int64]
    width: NDArray[np.int32]
    height: NDArray[np.int32]
    points: NDArray[np.int64]
    area: NDArray[np.int64]


class Curves(NamedTuple):
    """Curves of nodes, by `index` and version.

    Points `begin` ... `end` - 1 of `width` and `height`; `one` and `two` are the points of the left and right child
    behind each. Index n - 1 + k is that of kernels of kind k, which have a single version.
    """

    width: NDArray[np.int32]
    height: NDArray[np.int32]
    one: NDArray[np.int32]
    two: NDArray[np.int32]
    begin: NDArray[np.int64]
    end: NDArray[np.int64]
    area: NDArray[np.int64]
    version: NDArray[np.int64]


def make_curves(kernels: int, kinds: int, points: int) -> Curves:
    """Room for the curves of a tree of at least two kernels, none of which has more than `points` points."""
    nodes = kernels - 1 + kinds
    shape = (nodes, 2, points + 1)
    return Curves(
        np.zeros(shape, dtype=np.int32),
        np.zeros(shape, dtype=np.int32),
        np.zeros(shape, dtype=np.int32),
        np.zeros(shape, dtype=np.int32),
        np.zeros((nodes, 2), dtype=np.int64),
        np.zeros((nodes, 2), dtype=np.int64),
        np.zeros((nodes, 2), dtype=np.int64),
        np.zeros(nodes, dtype=np.int64),
    )


@compiled
def curve_of(kind: NDArray[np.int64], node: int) -> int:
    """Index into the curves of a node of the tree."""
    kernels = len(kind)
    return node - kernels if node >= kernels else kernels - 1 + kind[node]


@compiled
def load_leaves(curves: Curves, leaves: Leaves, level: int, limit: int) -> None:
    """Copy the curves of all kinds at a level, without points that waste more than `limit` cores."""
    first = len(leaves.kind) - 1
    for kind in range(leaves.points.shape[1]):
        index = first + kind
        area = leaves.area[level, kind]
        curves.version[index] = 0
        curves.area[index, 0] = area
        behind = 0
        for at in range(leaves.points[level, kind]):
            width, height = leaves.width[level, kind, at], leaves.height[level, kind, at]
            if np.int64(width) * height - area <= limit:
                curves.width[index, 0, behind] = width
                curves.height[index, 0, behind] = height
                behind += 1
        curves.begin[index, 0] = 0
        curves.end[index, 0] = behind


@compiled
def update_node(
    tree: NDArray[np.int64], kind: NDArray[np.int64], curves: Curves, node: int, most: NDArray[np.int64]
) -> bool:
    """Recompute a cut's curve into its other version, which becomes the present one; False if it has no point.

    `most` holds the limits of width, height and waste.
    """
    index = node - len(kind)
    now = 1 - curves.version[index]
    curves.version[index] = now
    one, two = curve_of(kind, tree[LEFT, node]), curve_of(kind, tree[RIGHT, node])
    area = curves.area[one, curves.version[one]] + curves.area[two, curves.version[two]]
    curves.area[index, now] = area
    if tree[AXIS, node] == ABOVE:
        begin, end = merge(
            curves, curves.width, curves.height, (one, two, index), 1, (most[0], most[1], area + most[2])
        )
    else:
        begin, end = merge(
            curves, curves.height, curves.width, (one, two, index), -1, (most[1], most[0], area + most[2])
        )
    curves.begin[index, now], curves.end[index, now] = begin, end
    return bool(begin < end)


@compiled
def merge(
    curves: Curves,
    along: NDArray[np.int32],
    across: NDArray[np.int32],
    nodes: tuple[int, int, int],
    step: int,
    most: tuple[int, int, int],
) -> tuple[np.int64, np.int64]:
    """The curve of two parts joined: their extents `across` add up at each extent `along`, of which the larger counts.

    Args:
        curves: Of all nodes.
        along: Widths for parts above each other, heights for parts beside each other.
        across: The other extents.
        nodes: Indices of the first part, of the second, and of their cut, whose present version is written.
        step: 1 if `along` rises from point to point, -1 if it falls.
        most: Limits of the extents along and across, and of the area.

    Returns:
        The first point written and the first behind.
    """
    one, two, index = nodes
    a, b, now = curves.version[one], curves.version[two], curves.version[index]
    first, second = along[one, a], along[two, b]
    first_across, second_across = across[one, a], across[two, b]
    out, out_across = along[index, now], across[index, now]
    out_1, out_2 = curves.one[index, now], curves.two[index, now]
    forward = step > 0
    # Unsigned, because compiled code asks of each signed index whether it counts from the end.
    ahead, none = np.uint64(step), np.uint64(0)
    i = np.uint64(curves.begin[one, a] if forward else curves.end[one, a] - 1)
    j = np.uint64(curves.begin[two, b] if forward else curves.end[two, b] - 1)
    last_i = np.uint64(curves.end[one, a] - 1 if forward else curves.begin[one, a])
    last_j = np.uint64(curves.end[two, b] - 1 if forward else curves.begin[two, b])
    while i != last_i and first[i + ahead] <= second[j]:
        i += ahead
    while j != last_j and second[j + ahead] <= first[i]:
        j += ahead
    start = np.uint64(0 if forward else len(out) - 1)
    behind = start
    while True:
        extent, other = max(first[i], second[j]), first_across[i] + second_across[j]
        if extent > most[0]:
            break
        out[behind], out_across[behind] = extent, other
        out_1[behind], out_2[behind] = np.int64(i), np.int64(j)
        # Whether a point stays is as good as random: the next one is written over it, which costs less than a branch.
        behind += ahead if (other <= most[1]) & (np.int64(extent) * other <= most[2]) else none
        next_one = first[i + ahead] if i != last_i else LONGEST
        next_two = second[j + ahead] if j != last_j else LONGEST
        if next_one < next_two:
            i += ahead
        elif next_two < next_one:
            j += ahead
        elif next_one == LONGEST:
            break
        else:
            i += ahead
            j += ahead
    if forward:
        return np.int64(start), np.int64(behind)
    return np.int64(behind) + 1, np.int64(start) + 1


@compiled
def update_all(
    tree: NDArray[np.int64],
    root: int,
    kind: NDArray[np.int64],
    curves: Curves,
    most: NDArray[np.int64],
    order: NDArray[np.int64],
) -> bool:
    """Recompute every cut, children before parents; False if one has no point. `order` is room for the nodes."""
    kernels = len(kind)
    count, behind = 0, len(order)
    order[0], top = root, 1
    # The front of the array is a stack of nodes to visit, its back fills with the cuts in reverse order.
    while top > 0:
        top -= 1
        node = order[top]
        if node < kernels:
            continue
        behind -= 1
        order[behind] = node
        order[top], order[top + 1] = tree[LEFT, node], tree[RIGHT, node]
        top += 2
        count += 1
    possible = True
    for at in range(behind, len(order)):
        node = order[at]
        if possible:
            possible = update_node(tree, kind, curves, node, most)
        else:
            curves.version[node - kernels] = 1 - curves.version[node - kernels]
    return possible


@compiled
def realise(
    tree: NDArray[np.int64],
    root: int,
    kind: NDArray[np.int64],
    curves: Curves,
    point: int,
    box: NDArray[np.int64],
    stack: NDArray[np.int64],
) -> None:
    """The rectangle of each kernel, `box[kernel]` = x, y, width, height, when the root takes one of its points."""
    kernels = len(kind)
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = root, point, 0, 0
    top = 1
    while top > 0:
        top -= 1
        node, at, x, y = stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3]
        index = curve_of(kind, node)
        now = curves.version[index]
        if node < kernels:
            box[node, 0], box[node, 1] = x, y
            box[node, 2], box[node, 3] = curves.width[index, now, at], curves.height[index, now, at]
            continue
        left, right = tree[LEFT, node], tree[RIGHT, node]
        one, two = curves.one[index, now, at], curves.two[index, now, at]
        if tree[MIRRORED, node]:
            left, right, one, two = right, left, two, one
        first = curve_of(kind, left)
        stack[top, 0], stack[top, 1], stack[top, 2], stack[top, 3] = left, one, x, y
        if tree[AXIS, node] == ABOVE:
            y += curves.height[first, curves.version[first], one]
        else:
            x += curves.width[first, curves.version[first], one]
        stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2], stack[top + 1, 3] = right, two, x, y
        top += 2
