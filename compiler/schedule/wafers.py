"""A model over several wafers: its kernels divided, those of each wafer planned on a grid of its own, the plans joined.

To a wafer, the others are outside of it as the host is: what it reads of them enters at column 0, and what they read
of it leaves at the last column. Planning a wafer therefore is planning a smaller model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.crossings import crossings_of, wafer_link_cycles, words_between
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.kernels.graph import HOST_INDEX, KernelGraph, build_kernel_graph, with_links
from wsec.compiler.operator_constraints import on_kernels
from wsec.compiler.partition import host_operators_of
from wsec.compiler.placement.constraints import kernels_of, label
from wsec.compiler.plan import HOST, PlacementSummary, Wafer
from wsec.compiler.planning import SAMPLES, split_tables
from wsec.compiler.schedule.partition import interval_bound, partition_kernels
from wsec.compiler.schedule.problem import PartitionKernel, PartitionNet, PartitionProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from wsec.compiler.kernels.graph import GraphLink
    from wsec.compiler.kernels.splits import SplitTable
    from wsec.compiler.placement import Constraint
    from wsec.compiler.placement.problem import ShapeOptions
    from wsec.compiler.plan import HostOperator, Link
    from wsec.compiler.planning import Decision, KernelSource, Planner
    from wsec.compiler.target import Target

_OF_ONE_KERNEL = frozenset(
    {"WSEC301", "WSEC320", "WSEC361", "WSEC363", "WSEC334"}
)  # what no more wafers mend


@dataclass(frozen=True, slots=True)
class WaferPlans:
    """The wafers of a plan in the order of their links, what was decided on each, and the figures of the whole."""

    wafers: tuple[Wafer, ...]
    decisions: tuple[Decision, ...]
    placement: PlacementSummary


def plan_wafers(planner: Planner, lowered: ir.Model, wafers: int | None) -> WaferPlans:
    """Plan a lowered model for so many wafers, or for the fewest that it fits on where none are said.

    Raises:
        WsecError: WSEC3xx where it does not fit; WSEC361 no such number of wafers, WSEC363 the target has no link
            between wafers.
    """
    if wafers is not None:
        return _plan_exactly(planner, lowered, wafers)
    count, refusal = 1, None
    while True:
        try:
            return _plan_exactly(planner, lowered, count)
        except WsecError as error:
            if error.exit_status is not ExitStatus.DOES_NOT_FIT or error.code in _OF_ONE_KERNEL:
                raise refusal or error from None
            refusal = error
        count += 1


def _plan_exactly(planner: Planner, lowered: ir.Model, wafers: int) -> WaferPlans:
    if wafers == 1:
        decision = planner.plan(lowered)
        summary = summary_of(decision)
        return WaferPlans((Wafer((decision.phase,)),), (decision,), summary)
    if planner.target.wafer_link is None:
        raise _no_wafer_link(planner.target)
    on_host = host_operators_of(lowered)

    def source(samples: int, unsplit: frozenset[str]) -> KernelGraph:
        return build_kernel_graph(lowered, planner.target.fabric.word_bytes, samples, unsplit)

    with planner.stage("wafers"):
        graph, part, bound = divide_kernels(planner, source, on_host, wafers)
    wafer_of = {name: at for nest, at in zip(graph.nests, part, strict=True) for name in nest.operators}
    on_kernels(planner.constraints, graph.nests)  # names what no wafer has
    decisions = tuple(
        replace(planner, constraints=_of_wafer(planner.constraints, wafer_of, number)).plan_kernels(
            _part_of(source, wafer_of, number), on_host
        )
        for number in range(wafers)
    )
    return _joined(decisions, bound, planner.target)


def _of_wafer(
    constraints: Sequence[Constraint], wafer_of: dict[str, int], number: int
) -> tuple[Constraint, ...]:
    """The constraints on operators of a wafer; an area that is forbidden is so on all.

    Raises:
        WsecError: WSEC335 two operators that must be adjacent are on different wafers.
    """
    kept = []
    for constraint in constraints:
        wafers = dict.fromkeys(wafer_of[operator] for operator in kernels_of(constraint))
        if len(wafers) > 1:
            raise WsecError(
                "WSEC335",
                "a constraint cannot be kept",
                where=label(constraint),
                expected="operators of one wafer",
                found=f"operators on wafers {', '.join(map(str, wafers))}",
                hint="leave the constraint out, or ask for another number of wafers",
            )
        if not wafers or number in wafers:
            kept.append(constraint)
    return tuple(kept)


def divide_kernels(
    planner: Planner, source: KernelSource, on_host: Sequence[HostOperator], wafers: int
) -> tuple[KernelGraph, tuple[int, ...], int]:
    """The kernels split for as many buffers as all wafers have room for, the wafer of each, and the bound on the interval.

    Raises:
        WsecError: As `partition_kernels`.
    """
    try:
        return _divide(planner, source, on_host, wafers, frozenset())
    except WsecError as error:
        unsplit = planner.oversized(source) if error.exit_status is ExitStatus.DOES_NOT_FIT else frozenset()
        if not unsplit:
            raise
    return _divide(planner, source, on_host, wafers, unsplit)


def _divide(
    planner: Planner,
    source: KernelSource,
    on_host: Sequence[HostOperator],
    wafers: int,
    unsplit: frozenset[str],
) -> tuple[KernelGraph, tuple[int, ...], int]:
    for samples in SAMPLES:
        try:
            graph = source(samples, unsplit)
            tables = split_tables(graph, planner.target, planner.tables)
            problem, least = (
                partition_problem(graph, tables, on_host, planner.target, wafers, shapes=shapes)
                for shapes in (attrgetter("shapes"), attrgetter("least"))
            )
            return graph, partition_kernels(problem).part, interval_bound(least)
        except WsecError as error:
            if samples == SAMPLES[-1] or error.exit_status is not ExitStatus.DOES_NOT_FIT:
                raise
    raise AssertionError("the last number of buffers raises")


def partition_problem(
    graph: KernelGraph,
    tables: Sequence[SplitTable],
    on_host: Sequence[HostOperator],
    target: Target,
    wafers: int,
    *,
    shapes: Callable[[SplitTable], ShapeOptions],
) -> PartitionProblem:
    """Kernels with the areas of their splits, and the tensors between them; ways over the host keep the order only.

    Args:
        graph: The kernels.
        tables: The splits of each.
        on_host: In topological order.
        target: Its grid is that of each wafer.
        wafers: How many.
        shapes: Of a table: those with the cycles to expect, or with the least, for bounds.
    """
    curves: dict[int, PartitionKernel] = {}
    kernels = []
    for table in tables:
        options = shapes(table)
        if id(options) not in curves:
            curves[id(options)] = _curve(options)
        kernels.append(replace(curves[id(options)], name=table.nest.name))
    return PartitionProblem(
        tuple(kernels),
        (*_nets(graph.links), *_over_the_host(graph, on_host)),
        wafers,
        target.grid.cores,
        wafer_link_cycles(1, target),
    )


def _curve(shapes: ShapeOptions) -> PartitionKernel:
    areas = np.asarray(shapes.widths, dtype=np.int64) * np.asarray(shapes.heights, dtype=np.int64)
    order = np.lexsort((areas, shapes.cycles))
    cycles = np.asarray(shapes.cycles, dtype=np.int64)[order]
    return PartitionKernel("", cycles, np.minimum.accumulate(areas[order]))


def _nets(links: Sequence[GraphLink]) -> list[PartitionNet]:
    """One for each tensor between kernels."""
    found: dict[tuple[int, str], tuple[list[int], int]] = {}
    for link in links:
        if HOST_INDEX not in (link.source, link.target):
            found.setdefault((link.source, link.tensor), ([], link.words))[0].append(link.target)
    return [
        PartitionNet(source, tuple(dict.fromkeys(targets)), words)
        for (source, _), (targets, words) in found.items()
    ]


def _over_the_host(graph: KernelGraph, on_host: Sequence[HostOperator]) -> list[PartitionNet]:
    """The order of kernels between which host operators run, without words."""
    behind: dict[str, dict[int, None]] = {}
    for link in graph.links:
        if link.target == HOST_INDEX:
            behind[link.tensor] = {link.source: None}
    for operator in on_host:
        before = {kernel: None for name in operator.inputs for kernel in behind.get(name, ())}
        for value in operator.outputs:
            behind[value.name] = before
    return [
        PartitionNet(kernel, (link.target,), 0)
        for link in graph.links
        if link.source == HOST_INDEX
        for kernel in behind.get(link.tensor, ())
    ]


def _part_of(source: KernelSource, wafer_of: dict[str, int], number: int) -> KernelSource:
    """The kernels of one wafer; all others are outside, as the host is."""

    def part(samples: int, unsplit: frozenset[str]) -> KernelGraph:
        graph = source(samples, unsplit)
        inside = [max(wafer_of[name] for name in nest.operators) == number for nest in graph.nests]
        return kernels_inside(graph, inside)

    return part


def kernels_inside(graph: KernelGraph, inside: Sequence[bool]) -> KernelGraph:
    """Some kernels of a graph, and the links from and to them; a tensor that several outside read leaves once."""
    kept = [index for index, is_inside in enumerate(inside) if is_inside]
    place = {index: number for number, index in enumerate(kept)}
    links: dict[tuple[str, int, str], GraphLink] = {}
    for link in sorted(graph.links, key=lambda link: link.target not in place):
        source, target = place.get(link.source, HOST_INDEX), place.get(link.target, HOST_INDEX)
        if (source, target) != (HOST_INDEX, HOST_INDEX):
            role = "" if target == HOST_INDEX else link.role
            moved = replace(link, source=source, target=target, role=role)
            links.setdefault((link.tensor, target, role), moved)
    stages = tuple(graph.stages[index] for index in kept)
    found = tuple(links.values())
    nests = with_links([graph.nests[index] for index in kept], found, stages, graph.samples)
    return KernelGraph(nests, found, stages, graph.samples)


def summary_of(decision: Decision) -> PlacementSummary:
    """The figures of the placement of one wafer."""
    placement = decision.placement
    return PlacementSummary(
        interval=placement.interval,
        interval_bound=placement.interval_bound,
        wirelength=placement.wirelength,
        method=placement.method,
        interrupted=placement.interrupted,
    )


def _joined(decisions: tuple[Decision, ...], bound: int, target: Target) -> WaferPlans:
    """The plans of the wafers as one; what came from outside now comes from its producer."""
    producer = {
        output.tensor: kernel.name
        for decision in decisions
        for kernel in decision.phase.kernels
        for output in kernel.outputs
    }
    summaries = tuple(summary_of(decision) for decision in decisions)
    wafers = tuple(
        Wafer(
            (
                replace(
                    decision.phase,
                    links=tuple(_from_producer(link, producer) for link in decision.phase.links),
                ),
            ),
            summary,
        )
        for decision, summary in zip(decisions, summaries, strict=True)
    )
    across = words_between(crossings_of(wafers), len(wafers))
    interval = max(
        *(summary.interval for summary in summaries), math.ceil(wafer_link_cycles(max(across), target))
    )
    return WaferPlans(
        wafers,
        decisions,
        PlacementSummary(
            interval=interval,
            interval_bound=bound,
            wirelength=sum(summary.wirelength for summary in summaries),
            method=", ".join(dict.fromkeys(summary.method for summary in summaries)),
            interrupted=any(summary.interrupted for summary in summaries),
        ),
    )


def _from_producer(link: Link, producer: dict[str, str]) -> Link:
    if link.source != HOST or link.tensor not in producer:
        return link
    source = producer[link.tensor]
    return replace(link, source=source, name=f"{link.tensor}: {source} -> {link.target}.{link.role}")


def _no_wafer_link(target: Target) -> WsecError:
    return WsecError(
        "WSEC363",
        "the target has no link between wafers",
        where=f"target {target.name}",
        expected="a table [wafer_link] with seconds_per_hop and bits_per_second",
        found="none",
        hint="use one wafer, or a target with such a link; docs/targets.md describes the table",
    )
