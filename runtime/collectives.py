"""Sums and maxima over the cores along a mesh axis, in the order in which the fabric combines them.

Which core adds whose value, and when, is in the kernel's record: an algorithm for each axis (docs/fabric.md). Without a
record the cores form a chain. Several axes are combined one after the other, the last of the mesh first: its cores are
nearest to each other. A core's own value stands on the left of the operation, the received one on the right.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from wsec.compiler.plan import Collective
    from wsec.compiler.sharding import Mesh
    from wsec.runtime.element_types import Array

    Operation: TypeAlias = "Callable[[Array, Array], Array]"
    Children: TypeAlias = "tuple[tuple[int, ...], ...]"
    Root: TypeAlias = 'Literal["first", "middle"]'

CHAIN = "chain"
_GROUPED = frozenset({"two_phase", "two_level"})
_TREES = _GROUPED | {"star", CHAIN, "tree"}


def combine(
    blocks: Array,
    mesh: Mesh,
    axes: Iterable[str],
    operation: Operation,
    collectives: Iterable[Collective] = (),
) -> Array:
    """The blocks combined along the mesh axes `axes`, which then have size 1: what the cores at the root hold.

    Args:
        blocks: [mesh axes, block dimensions].
        mesh: The cores.
        axes: Names of mesh axes, in any order.
        operation: Combines a core's own value, on the left, with the one that another sent.
        collectives: Those of the kernel, which name the algorithm of each axis; a chain along axes that they do not name.

    Raises:
        ValueError: A record has no such algorithm.
    """
    chosen = {item.axis: item for item in collectives}
    for position in sorted((mesh.index(name) for name in axes), reverse=True):
        item = chosen.get(mesh.axes[position].name)
        partials = _partials_of(blocks, position, mesh.shape[position])
        if item is not None and item.algorithm == "ring":
            result = _around_a_ring(partials, len(mesh.axes), operation)
        else:
            tree = tree_of(item, len(partials))
            result = fold(partials.__getitem__, tree, operation)
        blocks = np.expand_dims(result, position)
    return blocks


def tree_of(item: Collective | None, cores: int) -> Children:
    """Whose values each core along an axis adds, by a record, or as a chain without one."""
    if item is None:
        return children(CHAIN, 0, cores)
    return children(item.algorithm, item.group, cores, item.root)


def root_of(algorithm: str, group: int, cores: int, root: Root) -> int:
    """The core along an axis that has the result first: 0, or the middle of the group in the middle."""
    if root == "first":
        return 0
    size = group if algorithm in _GROUPED else cores
    first = -(-cores // size) // 2 * size
    return first + min(size, cores - first) // 2


def parents(algorithm: str, group: int, cores: int, root: Root = "first") -> tuple[int, ...]:
    """The core to which each core along an axis sends, -1 for the root (docs/fabric.md).

    Raises:
        ValueError: The algorithm is no tree, has groups of no core, or has no root in the middle.
    """
    if algorithm not in _TREES or (algorithm in _GROUPED and group < 1):
        raise ValueError(f"no tree of cores is called {algorithm} with groups of {group}")
    if root == "middle" and algorithm == "tree":
        raise ValueError("a tree has its root at the first core")
    size = group if algorithm in _GROUPED else cores
    middle = root_of(algorithm, group, cores, root)
    match algorithm:
        case "star":
            above = [middle] * cores
        case "tree":
            above = [core & (core - 1) for core in range(cores)]
        case _ if root == "middle":
            above = [_towards_the_middle(core, size, cores, middle) for core in range(cores)]
        case _:
            above = [core - 1 if core % size else core - size for core in range(cores)]
    above[middle] = -1
    return tuple(above)


def _towards_the_middle(core: int, size: int, cores: int, root: int) -> int:
    """Each group sends to its middle, and the middles to the one of the group of the root."""

    def middle(group: int) -> int:
        return group * size + min(size, cores - group * size) // 2

    own = middle(core // size)
    if core != own:
        return core + 1 if core < own else core - 1
    return middle(core // size + 1) if core < root else middle(core // size - 1)


def children(algorithm: str, group: int, cores: int, root: Root = "first") -> Children:
    """For each core along an axis those whose values it adds, in that order; all go to the root in the end.

    With the root at the first core by rising index; else the nearest first, of two as near the lower one.

    Raises:
        ValueError: As of `parents`.
    """
    found: list[list[int]] = [[] for _ in range(cores)]
    for core, above in enumerate(parents(algorithm, group, cores, root)):
        if above >= 0:
            found[above].append(core)
    if root == "middle":
        for core, those in enumerate(found):
            those.sort(key=lambda other: (abs(other - core), other))
    return tuple(map(tuple, found))


@dataclass(slots=True)
class _Waiting:
    """A core whose children send one after the other; `held` is None while nothing was asked of it."""

    core: int
    done: int = 0
    held: Array | None = None


def fold(partial: Callable[[int], Array], tree: Sequence[Sequence[int]], operation: Operation) -> Array:
    """What the root holds in the end. A core's own value is asked for as late as possible, so that few exist at a time.

    Args:
        partial: The value of a core, asked for once.
        tree: As of `children`.
        operation: Own and received value to the new one.
    """
    added = {child for those in tree for child in those}
    waiting = [_Waiting(next(core for core in range(len(tree)) if core not in added))]
    while True:
        top = waiting[-1]
        if top.done < len(tree[top.core]):
            if len(tree[top.core]) > 1 and top.held is None:
                top.held = partial(top.core)
            waiting.append(_Waiting(tree[top.core][top.done]))
            top.done += 1
            continue
        sent = partial(top.core) if top.held is None else top.held
        waiting.pop()
        if not waiting:
            return sent
        above = waiting[-1]
        above.held = operation(partial(above.core) if above.held is None else above.held, sent)


def _around_a_ring(partials: Array, axes: int, operation: Operation) -> Array:
    """Each core owns a part of the block's words: it starts at the core behind its owner and goes once around, to it."""
    cores = len(partials)
    words = partials.reshape(*partials.shape[:axes], -1)
    part = -(-words.shape[-1] // cores)
    parts = []
    for owner in range(min(cores, -(-words.shape[-1] // max(part, 1)))):
        of_owner = words[..., owner * part : (owner + 1) * part]
        held = of_owner[(owner + 1) % cores]
        for step in range(2, cores + 1):
            held = operation(of_owner[(owner + step) % cores], held)
        parts.append(held)
    return np.concatenate(parts, axis=-1).reshape(partials.shape[1:]) if parts else partials[0]


def _partials_of(blocks: Array, position: int, size: int) -> Array:
    """The partial results along one mesh axis, that axis first; equal ones are counted as often as there are cores."""
    first = np.moveaxis(blocks, position, 0)
    partials: Array = np.broadcast_to(first, (size, *first.shape[1:]))
    return partials
