"""The records of kernels and links that take turns."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.assembly import kernel_record
from wsec.compiler.cost.collectives import flight_cycles
from wsec.compiler.cost.host_clock import host_link_cycles
from wsec.compiler.cost.middle_collectives import MIDDLE
from wsec.compiler.cost.resharding_ways import resharding_way
from wsec.compiler.kernels.graph import HOST_INDEX, GraphLink
from wsec.compiler.kernels.splits import nest_of, rotating_loop
from wsec.compiler.plan import HOST, REPLICAS, Collective, Link, Phase
from wsec.compiler.schedule.sequential.options import FREE, joint_cost, turn_collectives, turn_mesh
from wsec.compiler.schedule.sequential.shared_chain import shared_chain
from wsec.compiler.sharding import Sharding, whole

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.cost.reshardings import LaidTensor
    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.plan import CollectiveAlgorithm, Exchange, Kernel, Rectangle
    from wsec.compiler.schedule.sequential.choice import Edge
    from wsec.compiler.schedule.sequential.options import TurnTable
    from wsec.compiler.schedule.sequential.turns import Turn
    from wsec.compiler.target import Target


@dataclass(frozen=True, slots=True)
class Reshardings:
    """How tensors come from the kernels of one turn to those of another.

    Attributes:
        cycles: By the kernel that makes it, the tensor, and the first kernel of the turn that reads it: until all its kernels have it.
        exchanges: By the kernel that makes it, the tensor, the kernel that reads it, and the role.
    """

    cycles: dict[tuple[int, str, int], int]
    exchanges: dict[tuple[int, str, int, str], tuple[Exchange, ...]]


def reshardings_of(
    turns: Sequence[Turn], edges: Sequence[Edge], ways: Sequence[int], graph: KernelGraph, target: Target
) -> Reshardings:
    """Cycles and exchanges of all tensors between turns; those of equal pairs are looked for once."""
    cycles = {
        (edge.kernel, edge.tensor, turns[edge.target].kernels[0]): int(
            edge.cycles[ways[edge.source], ways[edge.target]]
        )
        for edge in edges
    }
    turn_of = {index: at for at, turn in enumerate(turns) for index in turn.kernels}
    known: dict[object, tuple[Exchange, ...]] = {}
    exchanges = {}
    for link in graph.links:
        if HOST_INDEX in {link.source, link.target}:
            continue
        made, read = turn_of[link.source], turn_of[link.target]
        laid = (
            _laid_output(turns[made], ways[made], link.source, link.tensor),
            _laid_input(turns[read], ways[read], link.target, link.role),
        )
        key = (*laid, link.words)
        if key not in known:
            known[key] = resharding_way(*laid, link.words, target)[1]
        exchanges[link.source, link.tensor, link.target, link.role] = known[key]
    return Reshardings(cycles, exchanges)


def _laid_output(turn: Turn, way: int, kernel: int, tensor: str) -> LaidTensor:
    member = turn.kernels.index(kernel)
    outputs = turn.tables[member].splits.nest.outputs
    return turn.laid(member, way, next(item for item in outputs if item.tensor == tensor), output=True)


def _laid_input(turn: Turn, way: int, kernel: int, role: str) -> LaidTensor:
    member = turn.kernels.index(kernel)
    inputs = turn.tables[member].splits.nest.inputs
    return turn.laid(member, way, next(item for item in inputs if item.role == role), output=False)


def turn_kernel(turn: Turn, member: int, way: int, target: Target, algorithm: str) -> Kernel:
    """The record of one kernel of a turn."""
    table, option = turn.tables[member], int(turn.option[way, member])
    record = kernel_record(table.splits, option, 0, 0, target)
    mesh = turn_mesh(table, option)
    repeated = {axis.name: axis.size for axis in mesh.axes if axis.name in REPLICAS}
    costs = table.splits.costs
    shared = shared_chain(table.splits.nest, table.splits.parts[option : option + 1].astype(float), target)
    return replace(
        record,
        split={**record.split, **repeated},
        rectangle=turn.rectangle(member, way),
        mesh=mesh,
        outputs=tuple(replace(item, everywhere=bool(item.sharding.root)) for item in record.outputs),
        cycles=replace(record.cycles, communication=int(costs.communication[option]), transfer=0),
        collectives=_collectives(turn, member, way, target, algorithm),
        chain_cores=1 if record.rotation else int(shared.cores[0]),
    )


def _collectives(turn: Turn, member: int, way: int, target: Target, algorithm: str) -> tuple[Collective, ...]:
    """All-reduces of one option, in order; kernels that share a turn have one together."""
    if rotating_loop(turn.tables[member].splits, int(turn.option[way, member])):
        return ()
    ways = [_one_way(table, int(at)) for table, at in zip(turn.tables, turn.option[way], strict=True)]
    nests = [nest_of(table.splits, int(at)) for table, at in zip(turn.tables, turn.option[way], strict=True)]
    names: tuple[CollectiveAlgorithm, ...] = MIDDLE if algorithm in FREE else (algorithm,)  # type: ignore[assignment]
    products = len(nests) > 1 and all(nest.kind == "matmul" for nest in nests)
    joint = joint_cost(nests, ways, target, algorithm) if products else None
    mesh = turn_mesh(turn.tables[member], int(turn.option[way, member]))
    cut = {axis.name: axis.size for axis in mesh.axes}
    found = []
    for use, own, times in turn_collectives(nests[member], ways[member], target, algorithm):
        axis, cost = nests[member].loops[use.loop].name, joint or own
        if cut.get(axis, 1) == 1:
            continue
        name = names[int(cost.algorithm[0])]
        grouped = name in {"two_level", "two_phase"}
        found.append(
            Collective(
                kind="all_reduce",
                axis=axis,
                algorithm=name,
                group=int(cost.group[0]) if grouped else 0,
                words=int(use.words[0]),
                times=int(times[0]),
                root="middle" if name in MIDDLE else "first",
            )
        )
    return tuple(found)


def _one_way(
    table: TurnTable, option: int
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.bool_]]:
    splits, one = table.splits, slice(option, option + 1)
    return splits.parts[one].astype(np.float64), splits.turns[one], splits.on_rows[one]


def wafer_phases(
    turns: Sequence[Turn],
    kernels: Mapping[int, Kernel],
    graph: KernelGraph,
    reshardings: Reshardings,
    target: Target,
) -> tuple[Phase, ...]:
    """The phases of one wafer, a turn each.

    Args:
        turns: Of the wafer, in order.
        kernels: The records of all kernels of the graph, of other wafers too.
        graph: All kernels and links.
        reshardings: How tensors come from turn to turn.
        target: The machine.
    """
    here = {index for turn in turns for index in turn.kernels}
    turn_of = {index: turn.kernels[0] for turn in turns for index in turn.kernels}
    incoming: dict[int, list[Link]] = {}
    leaving: dict[tuple[int, str], GraphLink] = {}
    for link in graph.links:
        if link.source in here and link.target not in here:
            leaving.setdefault((link.source, link.tensor), replace(link, target=HOST_INDEX, role=""))
        if link.target not in here:
            continue
        exchanges: tuple[Exchange, ...] = ()
        if link.source in here:
            cycles = reshardings.cycles[link.source, link.tensor, turn_of[link.target]]
            exchanges = reshardings.exchanges[link.source, link.tensor, link.target, link.role]
        else:
            cycles = _outside_cycles(link.words, kernels[link.target].rectangle, target)
        incoming.setdefault(link.target, []).append(_link(link, kernels, cycles, exchanges))
    for (source, _), link in leaving.items():
        cycles = _outside_cycles(link.words, kernels[source].rectangle, target)
        incoming.setdefault(source, []).append(_link(link, kernels, cycles))
    return tuple(
        Phase(
            tuple(kernels[index] for index in turn.kernels),
            tuple(link for index in turn.kernels for link in incoming.get(index, ())),
        )
        for turn in turns
    )


def _outside_cycles(words: int, rectangle: Rectangle, target: Target) -> int:
    """From the host or another wafer to the farthest core of a rectangle, or back, over the host's link."""
    hops = rectangle.x + rectangle.width + rectangle.y + rectangle.height
    return host_link_cycles(words, target) + flight_cycles(hops, target.fabric)


def _link(
    link: GraphLink, kernels: Mapping[int, Kernel], cycles: float, exchanges: tuple[Exchange, ...] = ()
) -> Link:
    source = HOST if link.source == HOST_INDEX else kernels[link.source].name
    if link.target == HOST_INDEX:
        output = next(item for item in kernels[link.source].outputs if item.tensor == link.tensor)
        name, target = f"{link.tensor}: {source} -> {HOST}", HOST
        sharding, slots = Sharding(tuple(whole(extent) for extent in output.sharding.shape)), 1
    else:
        reader = kernels[link.target]
        entry = next(item for item in reader.inputs if item.role == link.role)
        name, target = f"{link.tensor}: {source} -> {reader.name}.{link.role}", reader.name
        sharding, slots = entry.sharding, entry.slots
    return Link(
        name=name,
        tensor=link.tensor,
        source=source,
        target=target,
        role=link.role,
        sharding=sharding,
        words=link.words,
        slots=slots,
        routes=(),
        cycles=math.ceil(cycles),
        interval=math.ceil(cycles),
        exchanges=exchanges,
    )
