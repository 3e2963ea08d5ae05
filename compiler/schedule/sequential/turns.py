"""The turns of a graph: kernels one after the other, those that read the same vector together.

Products of one vector with several matrices (query, key and value; gate and up) share a turn on the same cores: these compute one
product after the other, and all partial results go through one all-reduce.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.collective_uses import AUTO
from wsec.compiler.cost.kernel_cost import split_costs
from wsec.compiler.cost.reshardings import LaidTensor
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.kernels.loop_nest import LoopRole
from wsec.compiler.kernels.splits import loop_parts, rotating_loop, sharding_of
from wsec.compiler.plan import Rectangle
from wsec.compiler.schedule.sequential.joining import joined
from wsec.compiler.schedule.sequential.key_turns import ways_in_turns_of_keys
from wsec.compiler.schedule.sequential.options import (
    Repeats,
    TurnTable,
    along_whole_sides,
    fastest_of_kinds,
    joint_all_reduces,
    parts_of,
    priced,
    select_splits,
    side_lengths,
    stretched,
    turn_mesh,
    turn_options,
)
from wsec.compiler.schedule.sequential.rotary_turns import rotations_together, shared_tables
from wsec.compiler.schedule.sequential.rotations import rotated_ways
from wsec.compiler.sharding import Mesh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import GraphLink, KernelGraph
    from wsec.compiler.kernels.loop_nest import Loop, LoopNest, Operand
    from wsec.compiler.plan import Products
    from wsec.compiler.target import Target

    _Cuts = tuple[NDArray[np.float64], NDArray[np.bool_]]
    _Ways = tuple[tuple[TurnTable, ...], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]

_REPEATED_LENGTHS: Final = 2
_REPEATED_LOOPS: Final = 1
_SMALLEST: Final = 4  # ways with the least memory, for regions that it is scarce on


@dataclass(frozen=True)
class Turn:
    """Kernels that take one turn, and the ways in which they may.

    Attributes:
        kernels: Indices in the graph.
        tables: The ways of each kernel.
        option: int64 [ways, kernels], the row of each kernel's table.
        x: int64 [ways, kernels], the first column of each kernel's rectangle.
        y: int64 [ways, kernels], its first row.
        signature: Equal for turns with equal ways.
    """

    kernels: tuple[int, ...]
    tables: tuple[TurnTable, ...]
    option: NDArray[np.int64]
    x: NDArray[np.int64]
    y: NDArray[np.int64]
    signature: object

    @cached_property
    def cycles(self) -> NDArray[np.int64]:
        """Cycles of all kernels, which share their cores, [ways]."""
        each = [table.cycles[self.option[:, at]] for at, table in enumerate(self.tables)]
        total: NDArray[np.int64] = np.sum(each, axis=0)
        return total

    @cached_property
    def resident(self) -> NDArray[np.float64]:
        """Bytes of weights and states on the fullest core, [ways]."""
        every = [table.splits.costs for table in self.tables]
        each = [(costs.weights + costs.states)[self.option[:, at]] for at, costs in enumerate(every)]
        total: NDArray[np.float64] = np.sum(each, axis=0)
        return total

    @cached_property
    def working(self) -> NDArray[np.float64]:
        """Bytes that it works with on the fullest core, beside what stays, [ways]."""
        every = [table.splits.costs for table in self.tables]
        each = [(costs.activations + costs.buffers)[self.option[:, at]] for at, costs in enumerate(every)]
        total: NDArray[np.float64] = np.sum(each, axis=0)
        return total

    def laid(self, member: int, way: int, operand: Operand, *, output: bool) -> LaidTensor:
        """How an operand of a kernel lies in one of the ways."""
        table, option = self.tables[member], int(self.option[way, member])
        sharding = sharding_of(table.splits, option, operand, output=output)
        laid = LaidTensor(sharding, turn_mesh(table, option), self.rectangle(member, way))
        if rotating_loop(table.splits, option):
            return _without_empty_blocks(laid)
        return laid if output or operand.role[:1] != "e" else _at_root(laid, table, option)

    def rectangle(self, member: int, way: int) -> Rectangle:
        """Where a kernel sits in one of the ways."""
        table, option = self.tables[member], self.option[way, member]
        return Rectangle(
            int(self.x[way, member]),
            int(self.y[way, member]),
            int(table.widths[option]),
            int(table.heights[option]),
        )


def _at_root(laid: LaidTensor, table: TurnTable, option: int) -> LaidTensor:
    """An operand of a chain where the chain is computed: on the lines in whose middle reductions come together.

    Where other axes lie on the same side as a reduction, on all cores.
    """
    splits, mesh, place = table.splits, laid.mesh, laid.rectangle
    reduced = {
        loop.name
        for loop, count in zip(splits.nest.loops, splits.parts[option], strict=True)
        if loop.role is LoopRole.REDUCTION and count > 1
    }
    for axis in mesh.axes:
        if axis.name not in reduced or sum(other.side == axis.side for other in mesh.axes) > 1:
            continue
        if axis.side == "rows":
            place = Rectangle(place.x, place.y + axis.size // 2, place.width, 1)
        else:
            place = Rectangle(place.x + axis.size // 2, place.y, 1, place.height)
        mesh = Mesh(tuple(other for other in mesh.axes if other != axis))
    return LaidTensor(laid.sharding, mesh, place)


def _without_empty_blocks(laid: LaidTensor) -> LaidTensor:
    """The cores that have some of the tensor: squares of a product may be larger than it has elements along a side."""
    axes, place = laid.mesh.axes, laid.rectangle
    width, height = place.width, place.height
    for dimension in laid.sharding.dimensions:
        for axis in axes:
            alone = sum(other.side == axis.side for other in axes) == 1
            if dimension.axes != (axis.name,) or not alone:
                continue
            size = -(-dimension.extent // dimension.block)
            axes = tuple(replace(other, size=size) if other == axis else other for other in axes)
            width, height = (width, size) if axis.side == "rows" else (size, height)
    return LaidTensor(laid.sharding, Mesh(axes), replace(place, width=width, height=height))


@dataclass(frozen=True, slots=True)
class Demands:
    """What is demanded of all turns.

    Attributes:
        algorithm: Of all-reduces.
        products: Of matrices: by shifts of operands, by sums of parts, or whichever is faster.
        placed: Whether weights may be loaded where products by shifts need them first: no other plan uses them.
    """

    algorithm: str
    products: Products = "auto"
    placed: bool = True


def make_turns(
    graph: KernelGraph, target: Target, demands: Demands, known: dict[object, _Ways]
) -> list[Turn]:
    """The turns of a graph in order; equal kernels share their tables, which go into `known`.

    Raises:
        WsecError: WSEC301 a kernel fits no core.
    """
    turns = []
    repeats = _repeats(graph, target)
    for members in groups_of(graph):
        nests = [graph.nests[index] for index in members]
        key = (demands, *(nest.cost_key() for nest in nests))
        if key not in known:
            known[key] = _ways(nests, target, demands, repeats)
        tables, option, x, y = known[key]
        named = tuple(
            replace(table, splits=replace(table.splits, nest=nest))
            for table, nest in zip(tables, nests, strict=True)
        )
        turns.append(Turn(tuple(members), named, option, x, y, key))
    return turns


def _repeats(graph: KernelGraph, target: Target) -> Repeats:
    """How often kernels may be repeated: as many lines as other kernels of the graph lie on, or all."""
    common = Counter(
        loop
        for nest in graph.nests
        for loop in nest.loops
        if loop.role is LoopRole.REDUCTION and loop.cuttable
    )

    def counts(longest: int) -> tuple[int, ...]:
        lengths = side_lengths(longest)[:_REPEATED_LENGTHS]
        found = {longest}
        for loop, _ in common.most_common(_REPEATED_LOOPS):
            found.update(count for count in parts_of(loop, lengths).tolist() if count > 1)
        return tuple(sorted(found))

    return Repeats(counts(target.grid.height), counts(target.grid.width))


def groups_of(graph: KernelGraph) -> list[list[int]]:
    """Kernels that share a turn, by the first of them; all that they read was there before it."""
    incoming: dict[int, list[GraphLink]] = {}
    for link in graph.links:
        incoming.setdefault(link.target, []).append(link)
    groups: list[list[int]] = []
    open_groups: dict[object, list[int]] = {}
    for index, nest in enumerate(graph.nests):
        key = _shared_vector(nest) or shared_tables(nest)
        group = None if key is None else open_groups.get(key)
        if group is not None and all(link.source < group[0] for link in incoming.get(index, ())):
            group.append(index)
            continue
        groups.append([index])
        if key is not None:
            open_groups[key] = groups[-1]
    return groups


def _shared_vector(nest: LoopNest) -> object | None:
    """What products of the same vector have in common; None for any other kernel."""
    if nest.kind != "matmul":
        return None
    factors = {item.role: item for item in nest.inputs}
    if factors["a"].constant or not factors["b"].constant:
        return None
    reduced = [loop.extent for loop in nest.loops if loop.role is LoopRole.REDUCTION]
    free = {at for at, loop in enumerate(nest.loops) if loop.role is LoopRole.PARALLEL and loop.extent > 1}
    if len(reduced) != 1 or not free or free - set(_columns(nest)):
        return None
    return factors["a"].tensor, reduced[0]


def _ways(nests: Sequence[LoopNest], target: Target, demands: Demands, repeats: Repeats) -> _Ways:
    if len(nests) == 1:
        table = _table(nests[0], target, demands, repeats)
        option = np.arange(len(table.cycles))[:, None]
        return (table,), option, np.zeros_like(option), np.zeros_like(option)
    if shared_tables(nests[0]) is not None:
        tables, option = rotations_together(nests, target, demands.algorithm, repeats)
        return tables, option, np.zeros_like(option), np.zeros_like(option)
    tables = _together(nests, target, demands.algorithm, repeats)
    option = np.repeat(np.arange(len(tables[0].cycles))[:, None], len(nests), axis=1)
    return tables, option, np.zeros_like(option), np.zeros_like(option)


def _table(nest: LoopNest, target: Target, demands: Demands, repeats: Repeats) -> TurnTable:
    """The ways of a kernel that takes a turn alone; where its operands shall shift, only those in which they do, if there are any."""
    algorithm, rotated, shifts = demands.algorithm, None, demands.products == "shifts"
    if demands.products != "sums":
        rotated = rotated_ways(nest, target, published=shifts, placed=demands.placed)
    if rotated is not None and shifts:
        return rotated
    others = [rotated, ways_in_turns_of_keys(nest, target, algorithm, repeats)]
    known = [table for table in others if table is not None]
    try:
        return joined([turn_options(nest, target, algorithm, repeats), *known])
    except WsecError as error:  # the others need less memory
        if not known or error.exit_status is not ExitStatus.DOES_NOT_FIT:
            raise
    return joined(known)


def _together(
    nests: Sequence[LoopNest], target: Target, algorithm: str, repeats: Repeats
) -> tuple[TurnTable, ...]:
    """Products of one vector on the same cores: the same parts of the vector, each matrix over as many lines as it can be."""
    ways = _joint_ways(nests, target)
    if algorithm != AUTO:
        longer = [stretched(nest, *way, target) for nest, way in zip(nests, ways, strict=True)]
        pairs = list(zip(longer, ways, strict=True))
        again = np.flatnonzero(np.any([(new != old).any(axis=1) for new, (old, _) in pairs], axis=0))
        ways = [
            (np.concatenate([old, new[again]]), np.concatenate([sides, sides[again]]))
            for new, (old, sides) in pairs
        ]
    ones = np.ones(len(ways[0][0]), dtype=np.int64)
    costs = [split_costs(nest, parts, target) for nest, (parts, _) in zip(nests, ways, strict=True)]
    fits = np.all([each.bytes <= target.core.data_bytes for each in costs], axis=0)
    if not fits.any():  # the error of the first that does not fit a core says by how much
        for nest in nests:
            turn_options(nest, target, algorithm, repeats)
    whole = [(parts, ones, on_rows) for parts, on_rows in ways]
    sums = joint_all_reduces(nests, whole, target, algorithm)
    tables = [
        priced(nest, way, cost, target, algorithm, communication=share)
        for nest, way, cost, share in zip(nests, whole, costs, sums, strict=True)
    ]
    keep = np.flatnonzero(fits)
    wide = np.max([table.shapes.widths for table in tables], axis=0)
    high = np.max([table.shapes.heights for table in tables], axis=0)
    if algorithm != AUTO:
        keep = keep[along_whole_sides(wide[keep], high[keep], target)]
    cycles = np.sum([table.shapes.cycles for table in tables], axis=0)
    parts, on_rows = ways[0]
    size = np.round(2 * np.log2(parts))
    kinds = np.column_stack([on_rows[:, _deep(nests[0])], size, np.maximum(wide, high)])
    total = np.sum([each.bytes for each in costs], axis=0)
    small = keep[np.argsort(total[keep], kind="stable")][:_SMALLEST]
    chosen = np.union1d(fastest_of_kinds(cycles, kinds, keep), small)
    alone = np.ones((len(chosen), 2), dtype=np.int64)
    return tuple(TurnTable(select_splits(table, chosen), alone) for table in tables)


def _joint_ways(nests: Sequence[LoopNest], target: Target) -> list[_Cuts]:
    """Parts [ways, loops] of each product, and which of its loops lie on rows: the vector on one side, columns on the other."""
    grid = target.grid
    found: list[tuple[list[list[int]], list[list[bool]]]] = [([], []) for _ in nests]
    for row_sides, side, other in ((True, grid.height, grid.width), (False, grid.width, grid.height)):
        vector = parts_of(nests[0].loops[_deep(nests[0])], side_lengths(side)).tolist()
        for across, lines in product(vector, _lines(nests, other)):
            for nest, cut, (parts, on_rows) in zip(nests, lines, found, strict=True):
                counts = dict(zip(_columns(nest), cut, strict=True))
                deep = _deep(nest)
                parts.append([across if at == deep else counts.get(at, 1) for at in range(len(nest.loops))])
                on_rows.append(
                    [
                        (at == deep) == row_sides and (at == deep or at in counts)
                        for at in range(len(nest.loops))
                    ]
                )
    return [(np.array(parts, np.float64), np.array(on_rows, np.bool_)) for parts, on_rows in found]


def _lines(nests: Sequence[LoopNest], side: int) -> list[tuple[tuple[int, ...], ...]]:
    """Ways to cut the columns of all matrices over lines of a side: for each matrix, the parts of each loop over its columns.

    Columns that are one loop: next below each length of the series, in any and in equal blocks. Of heads and features: as many parts
    of the heads of each as there are, up to one number for all, and the same parts of features.
    """
    lengths = side_lengths(side)
    columns = [[nest.loops[at] for at in _columns(nest)] for nest in nests]
    found: dict[tuple[tuple[int, ...], ...], None] = {}
    for length, even in product(lengths, (False, True)):
        if all(len(loops) == 1 for loops in columns):
            found[tuple((_most(loops[0], length, even=even),) for loops in columns)] = None
    inner = next((loops for loops in columns if len(loops) > 1), None)
    outer = sorted(
        {each for loops in columns if len(loops) > 1 for each in parts_of(loops[0], lengths).tolist()}
    )
    for heads, features in product(outer, parts_of(inner[-1], lengths).tolist() if inner else ()):
        lines = tuple(_heads_and_features(loops, heads, features) for loops in columns)
        if max(map(math.prod, lines)) <= side:
            found[lines] = None
    return list(found)


def _heads_and_features(loops: Sequence[Loop], heads: int, features: int) -> tuple[int, ...]:
    if len(loops) == 1:
        return (_most(loops[0], heads * features, even=False),)
    return (
        _most(loops[0], heads, even=False),
        *(1,) * (len(loops) - 2),
        _most(loops[-1], features, even=False),
    )


def _most(loop: Loop, length: int, *, even: bool) -> int:
    """Parts of a loop next below a length, of one size where `even`."""
    useful = loop_parts(loop.extent)
    useful = useful[loop.extent % useful == 0] if even else useful
    return int(useful[useful <= length].max())


def _columns(nest: LoopNest) -> tuple[int, ...]:
    """Indices of the loops over columns of a matrix: one, or its parts."""
    return tuple(at for at, loop in enumerate(nest.loops) if loop.name == "n" or loop.name[:2] == "n_")


def _deep(nest: LoopNest) -> int:
    return next(at for at, loop in enumerate(nest.loops) if loop.role is LoopRole.REDUCTION)
