"""The turns of a graph: kernels one after the other, those that read the same vector together.

Products of one vector with several matrices (query, key and value; gate and up) share a turn on the same cores: these compute one
product after the other, and all partial results go through one all-reduce.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from functools import cached_property
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
    turn_mesh,
    turn_options,
)
from wsec.compiler.schedule.sequential.rotations import rotated_ways
from wsec.compiler.sharding import Mesh

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import GraphLink, KernelGraph
    from wsec.compiler.kernels.loop_nest import LoopNest, Operand
    from wsec.compiler.plan import Products
    from wsec.compiler.target import Target

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


def make_turns(
    graph: KernelGraph,
    target: Target,
    algorithm: str,
    known: dict[object, _Ways],
    products: Products = "auto",
) -> list[Turn]:
    """The turns of a graph in order; equal kernels share their tables, which go into `known`.

    Raises:
        WsecError: WSEC301 a kernel fits no core.
    """
    turns = []
    repeats = _repeats(graph, target)
    for members in groups_of(graph):
        nests = [graph.nests[index] for index in members]
        key = (algorithm, *(nest.cost_key() for nest in nests))
        if key not in known:
            known[key] = _ways(nests, target, (algorithm, products), repeats)
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
        key = _shared_vector(nest)
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
    free = [loop for loop in nest.loops if loop.role is LoopRole.PARALLEL and loop.extent > 1]
    if len(reduced) != 1 or len(free) != 1:
        return None
    return factors["a"].tensor, reduced[0]


def _ways(
    nests: Sequence[LoopNest], target: Target, demanded: tuple[str, Products], repeats: Repeats
) -> _Ways:
    algorithm, _ = demanded
    if len(nests) == 1:
        table = _table(nests[0], target, demanded, repeats)
        option = np.arange(len(table.cycles))[:, None]
        return (table,), option, np.zeros_like(option), np.zeros_like(option)
    tables = _together(nests, target, algorithm, repeats)
    option = np.repeat(np.arange(len(tables[0].cycles))[:, None], len(nests), axis=1)
    return tables, option, np.zeros_like(option), np.zeros_like(option)


def _table(nest: LoopNest, target: Target, demanded: tuple[str, Products], repeats: Repeats) -> TurnTable:
    """The ways of a kernel that takes a turn alone; where its operands shall shift, only those in which they do, if there are any."""
    algorithm, products = demanded
    rotated = None if products == "sums" else rotated_ways(nest, target, published=products == "shifts")
    if rotated is not None and products == "shifts":
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
    grid = target.grid
    deep = [_deep(nest) for nest in nests]
    free = [
        next(at for at, loop in enumerate(nest.loops) if loop.role is LoopRole.PARALLEL and loop.extent > 1)
        for nest in nests
    ]
    joint = [
        (across, row_sides, lines)
        for row_sides, side, other in ((True, grid.height, grid.width), (False, grid.width, grid.height))
        for across in parts_of(nests[0].loops[deep[0]], side_lengths(side)).tolist()
        for lines in dict.fromkeys(
            _lines(nests, free, length, even=even) for even in (False, True) for length in side_lengths(other)
        )
    ]
    ways = []
    fits = np.ones(len(joint), dtype=np.bool_)
    total = np.zeros(len(joint))
    for member, nest in enumerate(nests):
        parts = np.ones((len(joint), len(nest.loops)))
        on_rows = np.zeros((len(joint), len(nest.loops)), dtype=np.bool_)
        for at, (across, row_sides, lines) in enumerate(joint):
            parts[at, deep[member]], parts[at, free[member]] = across, lines[member]
            on_rows[at, deep[member]], on_rows[at, free[member]] = row_sides, not row_sides
        costs = split_costs(nest, parts, target)
        total = total + costs.bytes
        fits &= costs.bytes <= target.core.data_bytes
        ways.append(((parts, np.ones(len(joint), dtype=np.int64), on_rows), costs))
    if not fits.any():  # the error of the first that does not fit a core says by how much
        for nest in nests:
            turn_options(nest, target, algorithm, repeats)
    sums = joint_all_reduces(nests, [way for way, _ in ways], target, algorithm)
    tables = [
        priced(nest, way, costs, target, algorithm, communication=share)
        for nest, (way, costs), share in zip(nests, ways, sums, strict=True)
    ]
    keep = np.flatnonzero(fits)
    if algorithm != AUTO:
        wide = np.max([table.shapes.widths for table in tables], axis=0)
        high = np.max([table.shapes.heights for table in tables], axis=0)
        keep = keep[along_whole_sides(wide[keep], high[keep], target)]
    cycles = np.sum([table.shapes.cycles for table in tables], axis=0)
    size = np.round(2 * np.log2([[across, max(lines)] for across, _, lines in joint]))
    kinds = np.column_stack([[rows for _, rows, _ in joint], size])
    small = keep[np.argsort(total[keep], kind="stable")][:_SMALLEST]
    chosen = np.union1d(fastest_of_kinds(cycles, kinds, keep), small)
    ones = np.ones((len(chosen), 2), dtype=np.int64)
    return tuple(TurnTable(select_splits(table, chosen), ones) for table in tables)


def _lines(nests: Sequence[LoopNest], free: Sequence[int], length: int, *, even: bool) -> tuple[int, ...]:
    """The parts next below `length` in which the columns of each matrix are cut, in blocks of one size where `even`."""
    found = []
    for nest, at in zip(nests, free, strict=True):
        extent = nest.loops[at].extent
        useful = loop_parts(extent)
        useful = useful[extent % useful == 0] if even else useful
        found.append(int(useful[useful <= length].max()))
    return tuple(found)


def _deep(nest: LoopNest) -> int:
    return next(at for at, loop in enumerate(nest.loops) if loop.role is LoopRole.REDUCTION)
