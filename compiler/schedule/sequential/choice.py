"""One way for every turn, so that all turns and the reshardings between them take the fewest cycles together.

Ways that cannot help are left out (`dominance`). A tree of edges is solved exactly, and the others at the ways that were chosen last,
until nothing changes; from there on turns are eliminated one after the other (`elimination`), which is exact but for what many turns
read. Linear in turns; equal turns share their tables of costs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.reshardings import LaidTensor, resharding_table
from wsec.compiler.kernels.graph import HOST_INDEX
from wsec.compiler.schedule.sequential.dominance import Table, undominated
from wsec.compiler.schedule.sequential.elimination import cycles_of, least_ways
from wsec.compiler.schedule.sequential.layers import ways_by_class

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.schedule.sequential.turns import Turn
    from wsec.compiler.target import Target

_ROUNDS: Final = 6


@dataclass(frozen=True, slots=True, eq=False)
class Edge:
    """A tensor from one turn to a later one.

    Attributes:
        source: Number of the first turn.
        target: Number of the second.
        kernel: Index of the kernel that makes it.
        tensor: Its name.
        cycles: [ways of the first, ways of the second].
    """

    source: int
    target: int
    kernel: int
    tensor: str
    cycles: NDArray[np.float64]


def edges_of(
    turns: Sequence[Turn], graph: KernelGraph, target: Target, known: dict[object, NDArray[np.float64]]
) -> list[Edge]:
    """All tensors between turns; one that several kernels of a turn read comes to all of them at once."""
    turn_of = {index: at for at, turn in enumerate(turns) for index in turn.kernels}
    readers: dict[tuple[int, str, int], list[tuple[int, str]]] = {}
    words: dict[str, int] = {}
    for link in graph.links:
        if HOST_INDEX in (link.source, link.target):
            continue
        words[link.tensor] = link.words
        reader = turns[turn_of[link.target]].kernels.index(link.target), link.role
        readers.setdefault((link.source, link.tensor, turn_of[link.target]), []).append(reader)
    found = []
    for (kernel, tensor, at), reading in readers.items():
        before, after = turns[turn_of[kernel]], turns[at]
        member = before.kernels.index(kernel)
        position = [item.tensor for item in graph.nests[kernel].outputs].index(tensor)
        key = before.signature, member, position, after.signature, tuple(reading), words[tensor]
        if key not in known:
            known[key] = _cycles((before, member, position), after, reading, words[tensor], target)
        found.append(Edge(turn_of[kernel], at, kernel, tensor, known[key]))
    return found


def _cycles(
    made: tuple[Turn, int, int], after: Turn, reading: Sequence[tuple[int, str]], words: int, target: Target
) -> NDArray[np.float64]:
    """Cycles by way and way; equal layouts are compared once."""
    before, member, position = made
    output = before.tables[member].splits.nest.outputs[position]
    given = [before.laid(member, way, output, output=True) for way in range(len(before.option))]
    total = np.zeros((len(before.option), len(after.option)))
    of_given, distinct = _numbered(given)
    for reader, role in reading:
        operand = next(item for item in after.tables[reader].splits.nest.inputs if item.role == role)
        needed = [after.laid(reader, way, operand, output=False) for way in range(len(after.option))]
        of_needed, wanted = _numbered(needed)
        pairs = resharding_table(distinct, wanted, words, target)
        total = np.maximum(total, pairs[of_given][:, of_needed])
    return total


def _numbered(laid: Sequence[LaidTensor]) -> tuple[NDArray[np.int64], list[LaidTensor]]:
    """The number of each layout among the different ones. Axes that a tensor is the same along count by their place alone."""
    numbers: dict[object, int] = {}
    kept: list[LaidTensor] = []
    found = []
    for each in laid:
        cutting = {name for dimension in each.sharding.dimensions for name in dimension.axes}
        axes = tuple(
            (axis.name if axis.name in cutting else "", axis.size, axis.side)
            for axis in each.mesh.axes
            if axis.size > 1
        )
        key = each.sharding.dimensions, _without_ends(axes), each.rectangle
        if key not in numbers:
            numbers[key] = len(kept)
            kept.append(each)
        found.append(numbers[key])
    return np.array(found), kept


def _without_ends(axes: tuple[tuple[str, int, str], ...]) -> tuple[tuple[str, int, str], ...]:
    """Axes of each side, those along which nothing changes joined where they follow each other."""
    kept: list[tuple[str, int, str]] = []
    for side in ("rows", "columns"):
        for name, size, own in axes:
            if own != side:
                continue
            if not name and kept and kept[-1][0] == "" and kept[-1][2] == side:
                kept[-1] = ("", kept[-1][1] * size, side)
            else:
                kept.append((name, size, side))
    return tuple(kept)


def ways_left(
    turns: Sequence[Turn], edges: Sequence[Edge], sizes: Sequence[NDArray[np.float64]]
) -> list[NDArray[np.int64]]:
    """The ways of each turn of which no other one takes as few cycles and as few bytes, whatever a byte is worth."""
    own = [
        np.stack([turn.cycles, size], axis=1).astype(np.float64)
        for turn, size in zip(turns, sizes, strict=True)
    ]
    return undominated(own, _tables(edges), _alike(turns, sizes))


def _alike(turns: Sequence[Turn], sizes: Sequence[NDArray[np.float64]] | None) -> list[object]:
    """By turn, equal where ways, their cycles and their bytes are."""
    if sizes is None:
        return [turn.signature for turn in turns]
    return [(turn.signature, size.tobytes()) for turn, size in zip(turns, sizes, strict=True)]


def choose_ways(
    turns: Sequence[Turn],
    edges: Sequence[Edge],
    price: float = 0.0,
    left: Sequence[NDArray[np.int64]] | None = None,
    sizes: Sequence[NDArray[np.float64]] | None = None,
) -> tuple[NDArray[np.int64], float]:
    """The way of each turn, and cycles of all turns and reshardings.

    Args:
        turns: In order.
        edges: Between them.
        price: Cycles for each byte on a core, so that less memory is taken.
        left: The ways that count, by turn; with them the choice is one in haste.
        sizes: By turn, bytes of each way that the price is for, [ways]; without them weights and states.
    """
    priced = sizes if sizes is not None else [turn.resident for turn in turns]
    own = [turn.cycles + price * size for turn, size in zip(turns, priced, strict=True)]
    tables = _tables(edges)
    alike = _alike(turns, sizes)
    kept = left if left is not None else undominated([each[:, None] for each in own], tables, alike)
    few = [cycles[ways] for cycles, ways in zip(own, kept, strict=True)]
    between = [
        replace(each, cycles=each.cycles[np.ix_(kept[each.source], kept[each.target])]) for each in tables
    ]
    hasty = left is not None
    starts = [_nearly_best(few, between), _by_layers(own, tables, (kept, alike), hasty=hasty)]
    start = min(starts, key=lambda ways: cycles_of(ways, few, between))
    chosen = least_ways(few, between, start, hasty=hasty)
    best = np.array([ways[way] for ways, way in zip(kept, chosen, strict=True)], dtype=np.int64)
    alone = [turn.cycles.astype(np.float64) for turn in turns]
    return best, cycles_of(best, alone, tables)


def _by_layers(
    own: Sequence[NDArray[np.float64]],
    tables: Sequence[Table],
    ways: tuple[Sequence[NDArray[np.int64]], Sequence[object]],
    *,
    hasty: bool,
) -> NDArray[np.int64]:
    """Ways that are equal in equal layers, as numbers of those that are kept."""
    kept, alike = ways
    keys = [(each, left.tobytes()) for each, left in zip(alike, kept, strict=True)]
    known: dict[object, NDArray[np.float64]] = {}
    few: list[Table] = []
    for table in tables:  # equal pairs share their arrays, and so they shall
        rows, columns = kept[table.source], kept[table.target]
        key = id(table.cycles), rows.tobytes(), columns.tobytes()
        if key not in known:
            known[key] = table.cycles[np.ix_(rows, columns)]
        few.append(Table(table.source, table.target, known[key]))
    left = [cycles[each] for cycles, each in zip(own, kept, strict=True)]
    return ways_by_class(left, few, keys, _nearly_best, hasty=hasty)


def _tables(edges: Sequence[Edge]) -> list[Table]:
    return [Table(edge.source, edge.target, edge.cycles) for edge in edges]


def _nearly_best(own: Sequence[NDArray[np.float64]], edges: Sequence[Table]) -> NDArray[np.int64]:
    """A tree of edges exactly, the others at the ways that were chosen last; then one turn after the other."""
    parent: dict[int, Table] = {}
    for edge in edges:
        if edge.target not in parent or edge.source > parent[edge.target].source:
            parent[edge.target] = edge
    tree = {id(edge) for edge in parent.values()}
    others = [edge for edge in edges if id(edge) not in tree]
    best = _over_tree(own, parent)
    least = cycles_of(best, own, edges)
    current = best
    for _ in range(_ROUNDS):
        priced = [cycles.astype(np.float64) for cycles in own]
        for edge in others:
            priced[edge.target] += edge.cycles[current[edge.source]]
            priced[edge.source] += edge.cycles[:, current[edge.target]]
        again = _over_tree(priced, parent)
        total = cycles_of(again, own, edges)
        if total < least:
            best, least = again, total
        if (again == current).all():
            break
        current = again
    return _improved(best, own, edges)


def _over_tree(own: Sequence[NDArray[np.float64]], parent: dict[int, Table]) -> NDArray[np.int64]:
    below = [cycles.astype(np.float64) for cycles in own]
    choice: dict[int, NDArray[np.int64]] = {}
    for at in range(len(own) - 1, -1, -1):
        if at not in parent:
            continue
        edge = parent[at]
        total = edge.cycles + below[at][None, :]
        choice[at] = total.argmin(axis=1)
        below[edge.source] = below[edge.source] + total.min(axis=1)
    ways = np.zeros(len(own), dtype=np.int64)
    for at in range(len(own)):
        ways[at] = choice[at][ways[parent[at].source]] if at in parent else below[at].argmin()
    return ways


def _improved(
    ways: NDArray[np.int64], own: Sequence[NDArray[np.float64]], edges: Sequence[Table]
) -> NDArray[np.int64]:
    """Each turn in the way that is best while all others stay, as long as that helps."""
    into: dict[int, list[Table]] = {}
    for edge in edges:
        into.setdefault(edge.source, []).append(edge)
        into.setdefault(edge.target, []).append(edge)
    ways = ways.copy()
    for _ in range(_ROUNDS):
        before = ways.copy()
        for at, cycles in enumerate(own):
            total = cycles.astype(np.float64)
            for edge in into.get(at, ()):
                total = total + (
                    edge.cycles[:, ways[edge.target]] if edge.source == at else edge.cycles[ways[edge.source]]
                )
            if total.min() < total[ways[at]]:
                ways[at] = total.argmin()
        if (before == ways).all():
            break
    return ways
