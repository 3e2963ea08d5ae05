"""A model whose kernels take turns, each on as much of the region as is fastest, all weights in place; over one wafer or several.

No search: ways of kernels, a program over layouts, and a price for memory where the fastest ways do not fit. Wafers have consecutive
turns each, cut so that the slowest is as fast as it can be.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.compiler.cost.collective_uses import AUTO
from wsec.compiler.cost.crossings import crossings_of, wafer_link_cycles, words_between
from wsec.compiler.cost.turns import sequential_cycles
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.kernels.graph import build_kernel_graph
from wsec.compiler.kernels.head_parts import in_pairs
from wsec.compiler.plan import PlacementSummary, Wafer
from wsec.compiler.schedule.division import WaferPlans
from wsec.compiler.schedule.sequential.beside import (
    parts_of,
    shared_records,
    ways_beside,
    with_moves,
)
from wsec.compiler.schedule.sequential.choice import edges_of
from wsec.compiler.schedule.sequential.fitting import PRICES, ChosenWays, Wafers, fitting
from wsec.compiler.schedule.sequential.options import ALONG_SIDES
from wsec.compiler.schedule.sequential.records import reshardings_of, turn_kernel, wafer_phases
from wsec.compiler.schedule.sequential.sharing import (
    SharedTurn,
    shared_turns,
    wafers_of_turns,
    without_links_to_host,
)
from wsec.compiler.schedule.sequential.siblings import chains_behind_siblings
from wsec.compiler.schedule.sequential.streaming import stream_weights
from wsec.compiler.schedule.sequential.turns import Demands, make_turns
from wsec.compiler.schedule.sequential.wafer_bound import least_memory, least_wafers, why_so_many
from wsec.compiler.schedule.wafers import no_wafer_link

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.plan import Kernel
    from wsec.compiler.planning import KernelSource, Planner
    from wsec.compiler.residents import Residents
    from wsec.compiler.schedule.sequential.choice import Edge
    from wsec.compiler.schedule.sequential.turns import Turn


def plan_sequential(
    planner: Planner, lowered: ir.Model, wafers: int | None, residents: Residents | None = None
) -> WaferPlans:
    """Plan a lowered model so that its kernels take turns; on the fewest wafers that hold the weights where none are said.

    With `residents` on the wafers of a decoder, whose weights it uses where they lie, or brings from there.

    Raises:
        WsecError: WSEC301 a kernel fits no core, WSEC363 no link between wafers, WSEC366 the weights do not fit, WSEC367 more
            wafers than turns.
    """
    if wafers is not None and wafers > 1 and planner.target.wafer_link is None:
        raise no_wafer_link(planner.target)
    return plan_in_turns(planner, turn_source(planner, lowered), wafers, residents)


def plan_streamed_turns(planner: Planner, lowered: ir.Model) -> WaferPlans:
    """Plan a lowered model so that its kernels take turns on one wafer, and weights that find no room there come in for every sample.

    Raises:
        WsecError: WSEC301 a kernel fits no core, WSEC392 a turn does not fit beside what stays.
    """
    with planner.stage("kernels"):
        graph, turns = _turns(planner, turn_source(planner, lowered), placed=True)
    with planner.stage("turns"):
        edges = edges_of(turns, graph, planner.target, {})
        chosen = stream_weights(turns, edges, graph, planner.target)
    with planner.stage("phases"):
        ways = ChosenWays(chosen.ways, ((0, len(turns)),))
        plans = _plans(turns, edges, ways, graph, planner)
        wafer = plans.wafers[0]
        phases = tuple(
            replace(phase, load=load) for phase, load in zip(wafer.phases, chosen.loads, strict=True)
        )
        wafer = replace(wafer, phases=phases)
        placement = replace(plans.placement, interval=sequential_cycles(wafer))
        stay = sum(load is None for load in chosen.loads)
        said = f"weights of {len(turns) - stay} of {len(turns)} turns come in for every sample"
        return replace(plans, wafers=(wafer,), placement=placement, notes=(said,))


def turn_source(planner: Planner, lowered: ir.Model) -> KernelSource:
    """What gives the kernels of a model that take turns: products of the same vector side by side, chains behind them."""

    def source(samples: int, unsplit: frozenset[str]) -> KernelGraph:
        with chains_behind_siblings(lowered):
            graph = build_kernel_graph(lowered, planner.target.fabric.word_bytes, samples, unsplit)
        return in_pairs(graph, lowered)

    return source


def plan_in_turns(
    planner: Planner, source: KernelSource, wafers: int | None, residents: Residents | None = None
) -> WaferPlans:
    """The same for the kernels of `source`, such as those of a part of a model."""
    if planner.collective != AUTO:
        return _planned(planner, source, wafers, residents)
    # ways along whole sides fit each other, so that few of each kernel reach far; of all ways others may be faster, or need less memory
    along_sides = _unless_too_large(replace(planner, collective=ALONG_SIDES), source, wafers, residents)
    if along_sides is None:
        return _planned(planner, source, wafers, residents)
    found = [along_sides, _unless_too_large(planner, source, wafers, residents, careful=False)]
    best = min((each for each in found if each is not None), key=_wafers_and_cycles)
    if best is along_sides:
        return along_sides
    return min(best, _planned(planner, source, wafers, residents), key=_wafers_and_cycles)


def _wafers_and_cycles(plans: WaferPlans) -> tuple[int, int]:
    return len(plans.wafers), plans.placement.interval


def _unless_too_large(
    planner: Planner,
    source: KernelSource,
    wafers: int | None,
    residents: Residents | None,
    *,
    careful: bool = True,
) -> WaferPlans | None:
    """The plan; None where these ways need more memory than there is."""
    try:
        return _planned(planner, source, wafers, residents, careful=careful)
    except WsecError as error:
        if error.exit_status is not ExitStatus.DOES_NOT_FIT:
            raise
        return None


def _planned(
    planner: Planner,
    source: KernelSource,
    wafers: int | None,
    residents: Residents | None,
    *,
    careful: bool = True,
) -> WaferPlans:
    with planner.stage("kernels"):
        graph, turns = _turns(planner, source, placed=residents is None)
    if residents is not None:
        return _beside(planner, graph, turns, residents)
    with planner.stage("turns"):
        known: dict[object, NDArray[np.float64]] = {}
        edges = edges_of(turns, graph, planner.target, known)
        least = least_memory(turns, planner.target)
        count = Wafers(wafers, least_wafers(least, planner.target.core.data_bytes))
        chosen = fitting(turns, edges, graph, planner.target, count, careful=careful)
    with planner.stage("phases"):
        plans = _plans(turns, edges, chosen, graph, planner)
        if len(plans.wafers) == 1:
            return plans
        return replace(plans, notes=(why_so_many(len(plans.wafers), least, graph, planner.target),))


def _beside(planner: Planner, graph: KernelGraph, turns: Sequence[Turn], residents: Residents) -> WaferPlans:
    """Turns that use what a decoder keeps."""
    target = planner.target
    with planner.stage("turns"):
        wafers = wafers_of_turns(turns, residents)
        shared = shared_turns(turns, wafers, residents, target, planner.collective)
        graph = without_links_to_host(graph, {name for turn in shared for _, name, _, _ in turn.caches})
        edges = edges_of(shared, graph, target, {})
        ways = ways_beside(shared, edges, graph, (target, PRICES[::3]), (residents, wafers))
    with planner.stage("phases"):
        return _plans(shared, edges, ChosenWays(ways, parts_of(wafers), residents), graph, planner)


def _turns(planner: Planner, source: KernelSource, *, placed: bool) -> tuple[KernelGraph, list[Turn]]:
    """The turns; where a kernel fits no core, batched operators are unsplit, and attention is its operators.

    `placed`: whether weights may be loaded where products by shifts need them first.
    """
    graph = source(1, frozenset())
    demands = Demands(planner.collective, planner.products, placed)
    try:
        return graph, make_turns(graph, planner.target, demands, {})
    except WsecError as error:
        unsplit = planner.oversized(source) if error.exit_status is ExitStatus.DOES_NOT_FIT else frozenset()
        if not unsplit:
            raise
    graph = source(1, unsplit)
    return graph, make_turns(graph, planner.target, demands, {})


def _plans(
    turns: Sequence[Turn], edges: Sequence[Edge], chosen: ChosenWays, graph: KernelGraph, planner: Planner
) -> WaferPlans:
    target, ways = planner.target, chosen.ways.tolist()
    kernels = _records(turns, ways, planner)
    reshardings = reshardings_of(turns, edges, ways, graph, target)
    shared = None
    beside = [turn for turn in turns if isinstance(turn, SharedTurn)]
    if chosen.residents is not None:
        kernels = with_moves(kernels, beside, ways)
        shared = shared_records(beside, ways, kernels, chosen.residents)
    wafers = tuple(
        Wafer(wafer_phases(turns[first:behind], kernels, graph, reshardings, target), mode="sequential")
        for first, behind in chosen.wafers
    )
    least = [int(turn.cycles.min()) for turn in turns]
    summaries = [
        PlacementSummary(
            interval=sequential_cycles(wafer),
            interval_bound=sum(least[slice(*part)]),
            wirelength=0.0,
            method="a program over layouts",
            interrupted=False,
        )
        for wafer, part in zip(wafers, chosen.wafers, strict=True)
    ]
    if len(wafers) == 1:
        return WaferPlans(wafers, (), summaries[0], graph.nests, shared=shared)
    across = words_between(crossings_of(wafers), len(wafers))
    interval = max(
        *(summary.interval for summary in summaries), math.ceil(wafer_link_cycles(max(across), target))
    )
    whole = replace(
        summaries[0], interval=interval, interval_bound=max(*least, -(-sum(least) // len(wafers)))
    )
    wafers = tuple(
        replace(wafer, placement=summary) for wafer, summary in zip(wafers, summaries, strict=True)
    )
    return WaferPlans(wafers, (), whole, graph.nests, shared=shared)


def _records(turns: Sequence[Turn], ways: Sequence[int], planner: Planner) -> dict[int, Kernel]:
    """The record of each kernel; equal ones in the same way differ in names only."""
    known: dict[object, Kernel] = {}
    found = {}
    for turn, way in zip(turns, ways, strict=True):
        for member, index in enumerate(turn.kernels):
            key = turn.signature, way, member
            if key not in known:
                known[key] = turn_kernel(turn, member, way, planner.target, planner.collective)
            found[index] = _named(known[key], turn, member)
    return found


def _named(kernel: Kernel, turn: Turn, member: int) -> Kernel:
    nest = turn.tables[member].splits.nest
    if kernel.name == nest.name:
        return kernel
    return replace(
        kernel,
        name=nest.name,
        operators=nest.operators,
        arguments=nest.arguments,
        inputs=tuple(
            replace(entry, tensor=operand.tensor, dtype=operand.dtype)
            for entry, operand in zip(kernel.inputs, nest.inputs, strict=True)
        ),
        outputs=tuple(
            replace(entry, tensor=operand.tensor, dtype=operand.dtype)
            for entry, operand in zip(kernel.outputs, nest.outputs, strict=True)
        ),
        chain=nest.chain,
        body=nest.body,
    )
