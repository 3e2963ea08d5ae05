"""A model in parts, each planned as a model of its own: wafers that work at once, or phases that take turns on one.

To a part, the others are outside of it as the host is: what it reads of them enters at column 0, and what they read
of it leaves at the last column. Planning a part therefore is planning a smaller model.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.kernels.graph import HOST_INDEX, KernelGraph, build_kernel_graph, with_links
from wsec.compiler.operator_constraints import on_kernels
from wsec.compiler.partition import host_operators_of
from wsec.compiler.placement.constraints import kernels_of, label
from wsec.compiler.plan import HOST, PlacementSummary, Wafer
from wsec.compiler.planning import SAMPLES, slow_attentions
from wsec.compiler.schedule.partition import interval_bound, partition_kernels
from wsec.compiler.schedule.problem import PartitionKernel, PartitionNet, PartitionProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import onnx_ir as ir

    from wsec.compiler.kernels.graph import GraphLink
    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.kernels.splits import SplitTable
    from wsec.compiler.placement import Constraint
    from wsec.compiler.placement.problem import ShapeOptions
    from wsec.compiler.plan import HostOperator, Link, Phase, SharedResidents
    from wsec.compiler.planning import Decision, KernelSource, Planner
    from wsec.compiler.schedule.problem import KernelPartition, Objective
    from wsec.compiler.target import Target

_OF_ONE_KERNEL = frozenset({"WSEC301", "WSEC320", "WSEC361", "WSEC363"})  # what no more parts mend
_OF_CONSTRAINTS = frozenset({"WSEC334", "WSEC335"})  # what the user has to mend, whatever fits


@dataclass(frozen=True, slots=True)
class Parts:
    """What a model is divided into.

    Attributes:
        name: What messages call a part.
        count: How many.
        cycles_per_word: In which a word goes from a part to the next.
        objective: Whether the longest interval of a part counts, or the sum of all.
    """

    name: str
    count: int
    cycles_per_word: float
    objective: Objective


@dataclass(frozen=True, slots=True)
class Division:
    """The kernels of a model and the part of each.

    Attributes:
        graph: The kernels.
        part: Of each.
        apart: Kernels of the whole model that are several here. Each part must take them for several too: they need not
            all be in one.
    """

    graph: KernelGraph
    part: tuple[int, ...]
    apart: frozenset[str]


@dataclass(frozen=True, slots=True)
class WaferPlans:
    """The wafers of a plan in the order of their links, what was decided on each part, and the figures of the whole.

    `turns` are the kernels of sequential wafers, on which no parts were placed; `notes` is what to say of the division.
    `samples` are those of a batch of phases that take turns; `shared` is what of a decoder's plan they use.
    """

    wafers: tuple[Wafer, ...]
    decisions: tuple[Decision, ...]
    placement: PlacementSummary
    turns: tuple[LoopNest, ...] = ()
    notes: tuple[str, ...] = ()
    samples: int = 1
    shared: SharedResidents | None = None

    @property
    def nests(self) -> tuple[LoopNest, ...]:
        """All kernels as they were cut."""
        return (*(nest for decision in self.decisions for nest in decision.graph.nests), *self.turns)


def fewest(plan: Callable[[int], WaferPlans], count: int | None, least: int = 1) -> WaferPlans:
    """What `plan` makes of so many parts, or of the fewest from `least` on that fit where none are said.

    Raises:
        WsecError: Of `plan`; where no number of parts fits, the last that more parts might have mended, and at once
            what is wrong with constraints.
    """
    if count is not None:
        return plan(count)
    count, refusal = least, None
    while True:
        try:
            return plan(count)
        except WsecError as error:
            if error.code in _OF_CONSTRAINTS:
                raise
            if error.exit_status is not ExitStatus.DOES_NOT_FIT or error.code in _OF_ONE_KERNEL:
                raise refusal or error from None
            refusal = error
        count += 1


def plan_whole(planner: Planner, lowered: ir.Model) -> WaferPlans:
    """Plan a lowered model for one wafer, all its kernels at once.

    Raises:
        WsecError: WSEC3xx where it does not fit.
    """
    decision = planner.plan(lowered)
    return WaferPlans((Wafer((decision.phase,)),), (decision,), summary_of(decision))


@dataclass(frozen=True, slots=True, eq=False)
class DividedPart:
    """A part before it is planned; all other kernels are outside, as the host is.

    Attributes:
        planner: Which plans it: with the constraints on its operators.
        kernels: Gives its kernels.
        within: Gives those of its kernels, out of what gives all of the model's.
        on_host: The host operators of the model.
    """

    planner: Planner
    kernels: KernelSource
    within: Callable[[KernelSource], KernelSource]
    on_host: Sequence[HostOperator]

    def plan(self) -> Decision:
        """All its kernels at once.

        Raises:
            WsecError: WSEC3xx where it does not fit.
        """
        return self.planner.plan_kernels(self.kernels, self.on_host)


def plan_parts(planner: Planner, lowered: ir.Model, parts: Parts) -> tuple[tuple[Decision, ...], int]:
    """Divide the kernels of a lowered model and plan each part; with the bound on the interval however they are divided.

    Raises:
        WsecError: WSEC3xx where it does not fit; WSEC361 no such number of parts.
    """
    decisions = tuple(part.plan() for part in divide(planner, lowered, parts))
    return decisions, bound_of(decisions, planner, parts)


def divide(planner: Planner, lowered: ir.Model, parts: Parts) -> tuple[DividedPart, ...]:
    """The parts of a lowered model.

    Raises:
        WsecError: WSEC3xx where it cannot be divided; WSEC361 no such number of parts.
    """
    on_host = host_operators_of(lowered)

    def source(samples: int, unsplit: frozenset[str]) -> KernelGraph:
        graph = build_kernel_graph(lowered, planner.target.fabric.word_bytes, samples, unsplit)
        return graph.with_collective(planner.collective)

    with planner.stage(f"{parts.name}s"):
        division = divide_kernels(planner, source, on_host, parts)
    nests = division.graph.nests
    part_of = {name: at for nest, at in zip(nests, division.part, strict=True) for name in nest.operators}
    on_kernels(planner.constraints, nests)  # names what no part has

    def part(number: int) -> DividedPart:
        def within(kernels: KernelSource) -> KernelSource:
            return _part_of(kernels, part_of, division.apart, number)

        own = _of_part(planner.constraints, part_of, number, parts.name)
        return DividedPart(replace(planner, constraints=own), within(source), within, on_host)

    return tuple(part(number) for number in range(parts.count))


def _of_part(
    constraints: Sequence[Constraint], part_of: dict[str, int], number: int, name: str
) -> tuple[Constraint, ...]:
    """The constraints on operators of a part; an area that is forbidden is so in all.

    Raises:
        WsecError: WSEC335 two operators that must be adjacent are in different parts.
    """
    kept = []
    for constraint in constraints:
        there = dict.fromkeys(part_of[operator] for operator in kernels_of(constraint))
        if len(there) > 1:
            raise WsecError(
                "WSEC335",
                "a constraint cannot be kept",
                where=label(constraint),
                expected=f"operators of one {name}",
                found=f"operators on {name}s {', '.join(map(str, there))}",
                hint=f"leave the constraint out, or ask for another number of {name}s",
            )
        if not there or number in there:
            kept.append(constraint)
    return tuple(kept)


def divide_kernels(
    planner: Planner, source: KernelSource, on_host: Sequence[HostOperator], parts: Parts
) -> Division:
    """The kernels split for as many buffers as all parts have room for, and divided.

    As on one wafer, what fits no core is unsplit or its operators, and so are attentions that alone keep the interval up,
    if that makes it shorter.

    Raises:
        WsecError: As `partition_kernels`.
    """
    apart: frozenset[str] = frozenset()
    try:
        graph, tables, found = _divide(planner, source, on_host, parts, apart)
    except WsecError as error:
        apart = planner.oversized(source) if error.exit_status is ExitStatus.DOES_NOT_FIT else frozenset()
        if not apart:
            raise
        graph, tables, found = _divide(planner, source, on_host, parts, apart)
    slow = slow_attentions(tables, max(found.part_intervals))
    if slow:
        try:
            several, _, other = _divide(planner, source, on_host, parts, apart | slow)
        except WsecError:
            return Division(graph, found.part, apart)  # its operators need more memory than there is
        if other.interval < found.interval:
            return Division(several, other.part, apart | slow)
    return Division(graph, found.part, apart)


def _divide(
    planner: Planner,
    source: KernelSource,
    on_host: Sequence[HostOperator],
    parts: Parts,
    apart: frozenset[str],
) -> tuple[KernelGraph, list[SplitTable], KernelPartition]:
    for samples in SAMPLES:
        try:
            graph = source(samples, apart)
            tables = planner.splits(graph)
            problem = partition_problem(graph, tables, on_host, planner.target, parts)
            return graph, tables, partition_kernels(problem, objective=parts.objective)
        except WsecError as error:
            if samples == SAMPLES[-1] or error.exit_status is not ExitStatus.DOES_NOT_FIT:
                raise
    raise AssertionError("the last number of buffers raises")


def bound_of(decisions: Sequence[Decision], planner: Planner, parts: Parts) -> int:
    """What no interval is below, by the cores that the kernels need as they were split in the end."""
    tables = [table for decision in decisions for table in planner.splits(decision.graph)]
    kernels = _curves(tables, [table.least for table in tables])
    problem = PartitionProblem(kernels, (), parts.count, planner.target.grid.cores)
    return interval_bound(problem, parts.objective)


def partition_problem(
    graph: KernelGraph,
    tables: Sequence[SplitTable],
    on_host: Sequence[HostOperator],
    target: Target,
    parts: Parts,
) -> PartitionProblem:
    """Kernels with the areas of their splits, and the tensors between them; ways over the host keep the order only.

    Args:
        graph: The kernels.
        tables: The splits of each.
        on_host: In topological order.
        target: Its grid is that of each part.
        parts: How many, and what between them costs.
    """
    return PartitionProblem(
        _curves(tables, [table.shapes for table in tables]),
        (*_nets(graph.links), *_over_the_host(graph, on_host)),
        parts.count,
        target.grid.cores,
        parts.cycles_per_word,
        parts.name,
    )


def _curves(tables: Sequence[SplitTable], shapes: Sequence[ShapeOptions]) -> tuple[PartitionKernel, ...]:
    """Cores against cycles of each kernel; kernels of equal shapes share theirs."""
    curves = {id(options): _curve(options) for options in {id(each): each for each in shapes}.values()}
    return tuple(
        replace(curves[id(options)], name=table.nest.name)
        for table, options in zip(tables, shapes, strict=True)
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


def _part_of(
    source: KernelSource, part_of: dict[str, int], apart: frozenset[str], number: int
) -> KernelSource:
    """The kernels of one part; all others are outside, as the host is. Those `apart` stay several."""

    def part(samples: int, unsplit: frozenset[str]) -> KernelGraph:
        graph = source(samples, apart | unsplit)
        inside = [max(part_of[name] for name in nest.operators) == number for nest in graph.nests]
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
    """The figures of the placement of one part."""
    placement = decision.placement
    return PlacementSummary(
        interval=placement.interval,
        interval_bound=placement.interval_bound,
        wirelength=placement.wirelength,
        method=placement.method,
        interrupted=placement.interrupted,
    )


def summary_of_parts(decisions: Sequence[Decision], interval: int, bound: int) -> PlacementSummary:
    """The figures of the placement of all parts, given the interval that they come to."""
    summaries = [summary_of(decision) for decision in decisions]
    return PlacementSummary(
        interval=interval,
        interval_bound=bound,
        wirelength=sum(summary.wirelength for summary in summaries),
        method=", ".join(dict.fromkeys(summary.method for summary in summaries)),
        interrupted=any(summary.interrupted for summary in summaries),
    )


def joined_phases(phases: Sequence[Phase]) -> tuple[Phase, ...]:
    """The phases of all parts; what came to them from outside now comes from its producer, where a part has it."""
    producer = {
        output.tensor: kernel.name
        for phase in phases
        for kernel in phase.kernels
        for output in kernel.outputs
    }
    return tuple(_with_producers(phase, producer) for phase in phases)


def _with_producers(phase: Phase, producer: dict[str, str]) -> Phase:
    links = tuple(_from_producer(link, producer) for link in phase.links)
    names = {old.name: new.name for old, new in zip(phase.links, links, strict=True)}
    circuits = tuple(
        replace(circuit, name=names[circuit.name]) if circuit.purpose == "link" else circuit
        for circuit in phase.circuits
    )
    return replace(phase, links=links, circuits=circuits)


def _from_producer(link: Link, producer: dict[str, str]) -> Link:
    if link.source != HOST or link.tensor not in producer:
        return link
    source = producer[link.tensor]
    return replace(link, source=source, name=f"{link.tensor}: {source} -> {link.target}.{link.role}")
