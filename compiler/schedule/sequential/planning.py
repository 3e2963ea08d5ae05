"""A model whose kernels take turns, each on as much of the region as is fastest, all weights in place; over one wafer or several.

No search: ways of kernels, a program over layouts, and a price for memory where the fastest ways do not fit. Wafers have consecutive
turns each, cut so that the slowest is as fast as it can be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from wsec.compiler.cost.collective_uses import AUTO
from wsec.compiler.cost.crossings import crossings_of, wafer_link_cycles, words_between
from wsec.compiler.cost.turns import sequential_cycles
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.kernels.graph import build_kernel_graph
from wsec.compiler.plan import PlacementSummary, Wafer
from wsec.compiler.schedule.division import WaferPlans
from wsec.compiler.schedule.sequential.choice import choose_ways, edges_of, ways_left
from wsec.compiler.schedule.sequential.memory import least_memory, memory_of, stored_bytes
from wsec.compiler.schedule.sequential.records import reshardings_of, turn_kernel, wafer_phases
from wsec.compiler.schedule.sequential.siblings import chains_behind_siblings
from wsec.compiler.schedule.sequential.turns import make_turns
from wsec.compiler.schedule.wafers import no_wafer_link

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.plan import Kernel
    from wsec.compiler.planning import Planner
    from wsec.compiler.schedule.sequential.choice import Edge
    from wsec.compiler.schedule.sequential.memory import TurnMemory
    from wsec.compiler.schedule.sequential.turns import Turn
    from wsec.compiler.target import Target

_ALONG_SIDES: Final = "two_level"
_PRICES: Final = (0.0, *(0.01 * 4.0**step for step in range(9)))
"""Cycles for each byte of weights on a core, tried in this order until all fits."""

_HALVINGS: Final = 5  # of the step between two prices


@dataclass(frozen=True, slots=True, eq=False)
class _Chosen:
    """The way of each turn, and the turns of each wafer as (first, behind the last)."""

    ways: NDArray[np.int64]
    wafers: tuple[tuple[int, int], ...]


def plan_sequential(planner: Planner, lowered: ir.Model, wafers: int | None) -> WaferPlans:
    """Plan a lowered model so that its kernels take turns; on the fewest wafers that hold the weights where none are said.

    Raises:
        WsecError: WSEC301 a kernel fits no core, WSEC363 no link between wafers, WSEC366 the weights do not fit, WSEC367 more
            wafers than turns.
    """
    if wafers is not None and wafers > 1 and planner.target.wafer_link is None:
        raise no_wafer_link(planner.target)
    found = _planned(planner, lowered, wafers)
    if planner.collective != AUTO:
        return found
    # few ways of each kernel are weighed together: those along whole sides, which fit each other, may be faster
    try:
        along_sides = _planned(replace(planner, collective=_ALONG_SIDES), lowered, wafers)
    except WsecError as error:  # they may need more memory
        if error.exit_status is not ExitStatus.DOES_NOT_FIT:
            raise
        return found
    return min(found, along_sides, key=lambda plans: (len(plans.wafers), plans.placement.interval))


def _planned(planner: Planner, lowered: ir.Model, wafers: int | None) -> WaferPlans:
    with planner.stage("kernels"):
        graph, turns = _turns(planner, lowered)
    with planner.stage("turns"):
        known: dict[object, NDArray[np.float64]] = {}
        edges = edges_of(turns, graph, planner.target, known)
        chosen = _fitting(turns, edges, graph, planner, wafers)
    with planner.stage("phases"):
        return _plans(turns, edges, chosen, graph, planner)


def _turns(planner: Planner, lowered: ir.Model) -> tuple[KernelGraph, list[Turn]]:
    """The turns; where a kernel fits no core, batched operators are unsplit, and attention is its operators."""

    def source(samples: int, unsplit: frozenset[str]) -> KernelGraph:
        with chains_behind_siblings(lowered):
            return build_kernel_graph(lowered, planner.target.fabric.word_bytes, samples, unsplit)

    graph = source(1, frozenset())
    try:
        return graph, make_turns(graph, planner.target, planner.collective, {}, planner.products)
    except WsecError as error:
        unsplit = planner.oversized(source) if error.exit_status is ExitStatus.DOES_NOT_FIT else frozenset()
        if not unsplit:
            raise
    graph = source(1, unsplit)
    return graph, make_turns(graph, planner.target, planner.collective, {}, planner.products)


def _fitting(
    turns: Sequence[Turn], edges: Sequence[Edge], graph: KernelGraph, planner: Planner, wafers: int | None
) -> _Chosen:
    """The fastest ways that fit, memory dearer and dearer; without a number of wafers, on the fewest.

    Prices are tried in haste, and ways chosen with care at the one that is taken.
    """
    room = planner.target.core.data_bytes
    left = ways_left(turns, edges)

    def at(price: float, ways_to_weigh: Sequence[NDArray[np.int64]] | None) -> _Priced:
        ways, _ = choose_ways(turns, edges, price, ways_to_weigh)
        memory = memory_of(turns, ways.tolist(), graph)
        return _Priced(price, len(_fewest(memory, room)), ways, memory)

    taken = _lowest_price(lambda price: at(price, left), wafers or 1)
    careful = at(taken.price, None)
    if 0 < careful.wafers <= taken.wafers:
        taken = careful
    count, ways, memory = taken.wafers, taken.ways, taken.memory
    if not count:
        raise _does_not_fit(memory, planner, None)
    if wafers is not None and count > wafers:
        raise _does_not_fit(memory, planner, count)
    if (wafers or 1) > len(turns):
        raise _too_many(wafers or 1, len(turns))
    if count > 1 and planner.target.wafer_link is None:
        raise _does_not_fit(memory, planner, None)
    cycles = [int(turn.cycles[way]) for turn, way in zip(turns, ways.tolist(), strict=True)]
    return _Chosen(ways, _balanced(cycles, memory, room, wafers or count))


@dataclass(frozen=True, slots=True, eq=False)
class _Priced:
    """The ways that are best at a price of memory, and the wafers that they need; 0 where some turn fits none."""

    price: float
    wafers: int
    ways: NDArray[np.int64]
    memory: TurnMemory


def _lowest_price(at: Callable[[float], _Priced], wafers: int) -> _Priced:
    """Of prices that need the fewest wafers, or no more than so many, about the lowest; else the highest price."""
    tried: list[_Priced] = []
    for price in _PRICES:
        tried.append(at(price))
        if 0 < tried[-1].wafers <= wafers:
            break
    count = min((each.wafers for each in tried if each.wafers), default=0)
    if not count:
        return tried[-1]
    dear = next(each for each in tried if each.wafers == count)
    cheap = max((each.price for each in tried if each.price < dear.price), default=dear.price)
    for _ in range(_HALVINGS if cheap < dear.price else 0):
        middle = at(math.sqrt(cheap * dear.price) if cheap else dear.price / 2)
        if 0 < middle.wafers <= count:
            dear = middle
        else:
            cheap = middle.price
    return dear


def _why_so_many(wafers: int, turns: Sequence[Turn], graph: KernelGraph, target: Target) -> str:
    """How many wafers weights and states need at least: by their bytes, and with every turn in its leanest way."""
    room = target.core.data_bytes
    stored = stored_bytes(graph)
    by_bytes = -(-stored // (room * target.grid.cores))
    least = least_memory(turns)
    by_ways = len(_fewest(least, room))
    return (
        f"{wafers} wafers: {stored:,} bytes of weights and states need at least {by_bytes} of {room:,} bytes a core, without code; "
        f"with every kernel cut in the leanest way, {int(least.resident.sum()):,} bytes on the fullest core, at least {by_ways}"
    )


def _fewest(memory: TurnMemory, room: int) -> list[tuple[int, int]]:
    """Consecutive turns on each wafer, as many as fit; empty where a turn fits none."""
    return _packed(memory, room, None, 0)


def _packed(memory: TurnMemory, room: int, cycles: Sequence[int] | None, limit: int) -> list[tuple[int, int]]:
    """Consecutive turns on each wafer, as many as fit its memory, and `limit` where cycles count."""
    found, first = [], 0
    count = len(memory.resident)
    while first < count:
        resident = working = spent = 0
        behind = first
        while behind < count:
            resident += int(memory.resident[behind])
            working = max(working, int(memory.working[behind] + memory.held[behind]))
            spent += 0 if cycles is None else cycles[behind]
            if resident + working > room or (cycles is not None and spent > limit):
                break
            behind += 1
        if behind == first:
            return []
        found.append((first, behind))
        first = behind
    return found


def _balanced(
    cycles: Sequence[int], memory: TurnMemory, room: int, wafers: int
) -> tuple[tuple[int, int], ...]:
    """So many wafers, the slowest as fast as it can be; none without turns."""
    if wafers == 1:
        return ((0, len(cycles)),)
    low, high = max(cycles), sum(cycles)
    while low < high:
        middle = (low + high) // 2
        parts = _packed(memory, room, cycles, middle)
        if parts and len(parts) <= wafers:
            high = middle
        else:
            low = middle + 1
    parts = _packed(memory, room, cycles, high)
    while len(parts) < wafers:  # fewer would do: those with most cycles are cut in two
        at = max(
            (number for number, (first, behind) in enumerate(parts) if behind - first > 1),
            key=lambda number: sum(cycles[slice(*parts[number])]),
        )
        first, behind = parts[at]
        middle = min(
            range(first + 1, behind),
            key=lambda cut: max(sum(cycles[first:cut]), sum(cycles[cut:behind])),
        )
        parts[at : at + 1] = [(first, middle), (middle, behind)]
    return tuple(parts)


def _plans(
    turns: Sequence[Turn], edges: Sequence[Edge], chosen: _Chosen, graph: KernelGraph, planner: Planner
) -> WaferPlans:
    target, ways = planner.target, chosen.ways.tolist()
    kernels = _records(turns, ways, planner)
    reshardings = reshardings_of(turns, edges, ways, graph, target)
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
        return WaferPlans(wafers, (), summaries[0], graph.nests)
    said = _why_so_many(len(wafers), turns, graph, target)
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
    return WaferPlans(wafers, (), whole, graph.nests, (said,))


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


def _does_not_fit(memory: TurnMemory, planner: Planner, count: int | None) -> WsecError:
    grid, room = planner.target.grid, planner.target.core.data_bytes
    resident, working = int(memory.resident.sum()), int((memory.working + memory.held).max(initial=0))
    several = "" if count is None else f"--wafers {count}, on which they fit, "
    return WsecError(
        "WSEC366",
        "the weights of all kernels do not fit the cores on which they take turns",
        where=f"{grid.width} x {grid.height} cores of target {planner.target.name}",
        expected=f"at most {room:,} bytes on a core, without code",
        found=f"{resident + working:,} bytes on the fullest core: {resident:,} of weights and states, "
        f"{working:,} of the turn that needs most",
        hint=f"use {several or 'more wafers (--wafers auto), '}a larger region, or `--mode streaming`, which loads weights for each phase",
    )


def _too_many(wafers: int, turns: int) -> WsecError:
    return WsecError(
        "WSEC367",
        "there are more wafers than turns",
        expected=f"at most {turns} wafers, one turn on each",
        found=f"{wafers} wafers",
        hint="use fewer wafers, or `--wafers auto`",
    )
