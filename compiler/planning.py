"""From the lowered model to a phase on the wafer: split, place, route, size buffers; and again where that falls short.

Kernels that do not fit are split for fewer buffers. Where routing finds no colour for a link, the kernels move: they are
placed again, with room for it. A placement whose plan is slower than its slowest kernel and the host, because transfers
are long and buffers few or many links pass one port, is compared with the one of a shorter search: the faster plan is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from wsec.compiler.assembly import assemble_kernels, assemble_links, routing_links
from wsec.compiler.buffer_sizing import size_buffers, slot_bytes
from wsec.compiler.cost.back_pressure import phase_interval
from wsec.compiler.cost.collective_uses import AUTO
from wsec.compiler.cost.host_clock import HostClock, host_link_cycles, host_words
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.fabric.circuits import phase_circuits
from wsec.compiler.fabric.delivery_choice import deliver
from wsec.compiler.fabric.link_times import timed
from wsec.compiler.fabric.queues import check_queues
from wsec.compiler.kernel_placement import (
    NO_RELIEF,
    Relief,
    kernels_bound,
    place_kernels,
    place_on_shelves,
)
from wsec.compiler.kernels.graph import FULL_PIPELINE, KernelGraph, build_kernel_graph
from wsec.compiler.kernels.layout_choice import share_layouts
from wsec.compiler.kernels.leads import LedSplits, choose_leads, led_splits
from wsec.compiler.kernels.splits import SplitTable, enumerate_splits, passing_of_kernels
from wsec.compiler.operator_constraints import on_kernels
from wsec.compiler.partition import host_operators_of
from wsec.compiler.plan import Phase
from wsec.compiler.routing import ColouringError, route

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    import onnx_ir as ir

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.placement import Constraint, Limits, Placement, Progress
    from wsec.compiler.plan import FabricDepth, HostOperator, Link, Products
    from wsec.compiler.target import Target

    _Fitted = tuple[KernelGraph, list[SplitTable], "_Placed"]

SAMPLES = (FULL_PIPELINE, 8, 4, 2, 1)  # buffers of a link at most, tried in this order until the kernels fit
_SINGLE_BYTES = 4
_TAKEN_APART = frozenset({"attention", "batched"})  # kinds that need some dimension whole on each core
_Result = TypeVar("_Result")
KernelSource = Callable[[int, frozenset[str]], KernelGraph]
"""The kernels of a model or of a part of it, given the most samples of a link and the nodes that are not cut."""
_WORTH_ANOTHER_PLACEMENT = 1.02  # cycles of the plan over those of its slowest kernel or host
_MOST_PLACEMENTS = 8  # until links find colours
_ROOM_FOR_LEADS = 8  # leads are chosen for an interval above the bound by one in so many
_SHELVES_FAIL = 2  # times the interval of the kernels that the plan takes: then a free placement is tried too


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about a model.

    Attributes:
        graph: Its kernels.
        placement: Where they are.
        phase: What they make up.
        relief: What room links needed.
        shelves: Whether kernels stand side by side in rows.
    """

    graph: KernelGraph
    placement: Placement
    phase: Phase
    relief: Relief = NO_RELIEF
    shelves: bool = False

    @property
    def scarce(self) -> bool:
        """Whether kernels wait for each other because there is no room for all buffers of a full pipeline."""
        return self.graph.samples != FULL_PIPELINE


@dataclass(frozen=True, slots=True)
class _Placed:
    """Kernels where they are.

    Attributes:
        tables: The splits to which the options of the placement belong.
        placement: Where they are.
        ordered: Of each link, whether rows follow the same order at both ends; empty where nothing is known of it.
    """

    tables: Sequence[SplitTable]
    placement: Placement
    ordered: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Planner:
    """How to plan: the machine, how hard to search, and whom to tell.

    Attributes:
        target: Its grid is all that may be used.
        limits: Of the placement search.
        stage: Entered for each stage with its name.
        report: Hears of the search's progress.
        constraints: What users demand of the placement, by operators.
        collective: The algorithm of collectives inside kernels; `auto`: the cheapest of each.
        fabric: `full` follows words inside kernels; with `lanes`, links begin and end at the rectangles.
        products: Where kernels take turns, how products of matrices are cut: `shifts` of their operands, `sums`, or whichever is faster.
        tables: The splits of kernels planned before, which equal ones share.
        led: The same by what leads on their rows.
    """

    target: Target
    limits: Limits
    stage: Callable[[str], AbstractContextManager[None]]
    report: Callable[[Progress], None]
    constraints: tuple[Constraint, ...] = ()
    collective: str = AUTO
    fabric: FabricDepth = "lanes"
    products: Products = "auto"
    tables: dict[object, SplitTable] = field(default_factory=dict, repr=False, compare=False)
    led: dict[object, LedSplits] = field(default_factory=dict, repr=False, compare=False)

    def plan(self, lowered: ir.Model) -> Decision:
        """Split, place and route a lowered model.

        Raises:
            WsecError: WSEC3xx where it does not fit however few buffers it is split for.
        """
        source = partial(build_kernel_graph, lowered, self.target.fabric.word_bytes)
        return self.plan_kernels(source, host_operators_of(lowered))

    def plan_kernels(self, source: KernelSource, on_host: Sequence[HostOperator]) -> Decision:
        """Split, place and route the kernels of `source`; as `plan` for a part of a model."""
        graph, tables, placed = self._fit(source)
        decision = self._routable(graph, tables, placed, on_host)
        if decision.shelves:
            return self._or_freely(decision, tables, on_host)
        return self._faster(decision, tables, on_host)

    def _routable(
        self,
        graph: KernelGraph,
        tables: Sequence[SplitTable],
        placed: _Placed,
        on_host: Sequence[HostOperator],
    ) -> Decision:
        """Routes for the placement, or for the first of some others in which every link finds a colour.

        Raises:
            ColouringError: What lacked colours where the fewest links did.
        """
        failures: list[ColouringError] = []
        relief = NO_RELIEF
        while True:
            try:
                return self._realise(graph, placed, on_host, relief)
            except ColouringError as failure:
                failures.append(failure)
            except WsecError as error:
                if not placed.ordered or error.exit_status is not ExitStatus.DOES_NOT_FIT:
                    raise
                placed = self._place_freely(graph, tables, self.limits)
                continue
            if placed.placement.interrupted or len(failures) == _MOST_PLACEMENTS:
                break
            relief = relief.after(failures[-1].crowded)
            try:
                placed = self._place(graph, tables, self.limits, relief)
            except WsecError:
                break  # no room for longer edges
        least = min(failures, key=lambda failure: len(failure.uncoloured))
        tried = f"{len(failures)} placement{'s' if len(failures) > 1 else ''} tried"
        raise replace(least, found=f"{least.found}; {tried}")

    def _or_freely(
        self, decision: Decision, tables: Sequence[SplitTable], on_host: Sequence[HostOperator]
    ) -> Decision:
        """The decision on shelves; where links take far longer than its kernels, that of a free placement if it is faster."""
        interval = self._interval(decision, on_host)
        if interval <= _SHELVES_FAIL * decision.placement.interval or self.limits.stopped():
            return decision
        try:
            placed = self._place_freely(decision.graph, tables, self.limits)
            other = self._realise(decision.graph, placed, on_host, decision.relief)
        except WsecError as error:
            if error.exit_status is not ExitStatus.DOES_NOT_FIT and not isinstance(error, ColouringError):
                raise
            return decision
        return other if self._interval(other, on_host) < interval else decision

    def _faster(
        self, decision: Decision, tables: Sequence[SplitTable], on_host: Sequence[HostOperator]
    ) -> Decision:
        """The decision, or that of a shorter search if kernels of the first wait for buffers or ports, and the other is faster.

        Inside kernels words take as long wherever these are: there, ports are no reason for another placement.
        """
        phase = decision.phase
        slowest = max(
            [
                host_link_cycles(max(host_words(phase.links)), self.target),
                *(kernel.cycles.total for kernel in phase.kernels),
                *(link.interval for link in phase.links if self.fabric == "full"),
            ]
        )
        interval = self._interval(decision, on_host)
        if interval <= _WORTH_ANOTHER_PLACEMENT * slowest or decision.placement.interrupted:
            return decision
        shorter = replace(self.limits, effort=self.limits.effort / 3)
        placed = self._place(decision.graph, tables, shorter, decision.relief)
        try:
            other = self._realise(decision.graph, placed, on_host, decision.relief)
        except ColouringError:
            return decision
        return other if self._interval(other, on_host) < interval else decision

    def _interval(self, decision: Decision, on_host: Sequence[HostOperator]) -> int:
        kernels, links = decision.phase.kernels, decision.phase.links
        return phase_interval(kernels, links, partial(self._clock, on_host, links))

    def _clock(self, on_host: Sequence[HostOperator], links: Sequence[Link]) -> HostClock:
        return HostClock(on_host, links, self.target)

    def _fit(self, source: KernelSource) -> _Fitted:
        """Kernels and their placement.

        Where nothing fits, batched operators whose parts fit no core are unsplit, and attention is its operators.
        """
        try:
            return self._with_attention_apart(source)
        except WsecError as error:
            unsplit = self.oversized(source) if error.exit_status is ExitStatus.DOES_NOT_FIT else frozenset()
            if not unsplit:
                raise
        return self._fit_kernels(source, unsplit)

    def _with_attention_apart(self, source: KernelSource) -> _Fitted:
        """With attentions apart that alone keep the interval where no more cores shorten it, if that makes it shorter.

        One kernel works on one sample at a time; its operators apart work on several, and need more cores and time for
        each. They are placed first: only if that is no faster than the kernels may be, these are placed too.
        """
        whole: frozenset[str] = frozenset()

        def place_unless_slow(
            graph: KernelGraph, tables: list[SplitTable]
        ) -> tuple[int, frozenset[str], _Fitted | None]:
            bound = self._bound(graph, tables)
            slow = slow_attentions(tables, bound)
            return bound, slow, None if slow else (graph, tables, self._place(graph, tables, self.limits))

        bound, slow, fitted = self._with_most_buffers(source, whole, place_unless_slow)
        if fitted is not None:
            return fitted
        try:
            faster = self._with_most_buffers(source, slow, self._bound) < bound
            apart = self._fit_kernels(source, slow) if faster else None
        except WsecError:
            apart = None  # its operators need more memory than there is
        if apart is not None and (apart[2].placement.interval < bound or apart[2].placement.interrupted):
            return apart
        fitted = self._fit_kernels(source, whole)
        return (
            fitted if apart is None or fitted[2].placement.interval <= apart[2].placement.interval else apart
        )

    def _bound(self, graph: KernelGraph, tables: list[SplitTable]) -> int:
        """The interval that no placement goes below."""
        constraints = on_kernels(self.constraints, graph.nests)
        return kernels_bound(graph, tables, self.target, constraints) if tables else 0

    def oversized(self, source: KernelSource) -> frozenset[str]:
        """Kernels of these kinds that, with the fewest buffers, fit no core."""
        graph = source(SAMPLES[-1], frozenset())
        names = []
        for nest in graph.nests:
            try:
                if nest.kind in _TAKEN_APART and not keeps_states(nest):
                    enumerate_splits(nest, self.target)
            except WsecError:
                names.append(nest.name)
        return frozenset(names)

    def _fit_kernels(self, source: KernelSource, unsplit: frozenset[str]) -> _Fitted:
        """Kernels split for as many buffers as the region has room for, and their placement."""

        def place(graph: KernelGraph, tables: list[SplitTable]) -> _Fitted:
            return graph, tables, self._place(graph, tables, self.limits)

        return self._with_most_buffers(source, unsplit, place)

    def _with_most_buffers(
        self,
        source: KernelSource,
        unsplit: frozenset[str],
        decide: Callable[[KernelGraph, list[SplitTable]], _Result],
    ) -> _Result:
        """What `decide` says of the kernels split for the most buffers that it finds room for."""
        for samples in SAMPLES:
            try:
                with self.stage("kernels"):
                    graph = source(samples, unsplit).with_collective(self.collective)
                    if self.fabric == "full":
                        check_queues(graph, self.target.fabric)
                    tables = self.splits(graph)
                return decide(graph, tables)
            except WsecError as error:
                if samples == SAMPLES[-1] or error.exit_status is not ExitStatus.DOES_NOT_FIT:
                    raise
        raise AssertionError("the last number of buffers raises")

    def _place(
        self, graph: KernelGraph, tables: Sequence[SplitTable], limits: Limits, relief: Relief = NO_RELIEF
    ) -> _Placed:
        if self.fabric == "full" and not self.constraints and not relief.crowded:
            with self.stage("placement"):
                on_shelves = self._place_on_shelves(graph, tables)
            if on_shelves is not None:
                return on_shelves
        return self._place_freely(graph, tables, limits, relief)

    def _place_freely(
        self, graph: KernelGraph, tables: Sequence[SplitTable], limits: Limits, relief: Relief = NO_RELIEF
    ) -> _Placed:
        constraints = on_kernels(self.constraints, graph.nests)
        with self.stage("placement"):
            placement = place_kernels(
                graph,
                tables,
                self.target,
                limits=limits,
                report=self.report,
                constraints=constraints,
                relief=relief,
            )
            return _Placed(tables, placement)

    def _place_on_shelves(self, graph: KernelGraph, tables: Sequence[SplitTable]) -> _Placed | None:
        """Kernels whose rows begin with the same dimensions as their neighbours', side by side."""
        led = []
        for nest in graph.nests:
            key = nest.cost_key()
            if key not in self.led:
                self.led[key] = led_splits(nest, self.target)
            led.append(self.led[key])
        bound = kernels_bound(graph, tables, self.target, ()) if tables else 0
        chosen, ordered = choose_leads(graph, led, bound + bound // _ROOM_FOR_LEADS)
        placement = place_on_shelves(graph, chosen, self.target)
        return None if placement is None else _Placed(chosen, placement, tuple(ordered))

    def _realise(
        self,
        graph: KernelGraph,
        placed: _Placed,
        on_host: Sequence[HostOperator],
        relief: Relief,
    ) -> Decision:
        """Routes and buffers for a placement."""
        with self.stage("routing"):
            tables, placement = placed.tables, placed.placement
            if not placed.ordered:
                tables, placement = share_layouts(graph, tables, placement, self.target)
            kernels = assemble_kernels(tables, placement, self.target)
            full = self.fabric == "full"
            wanted = routing_links(
                graph, kernels, self.target.fabric.word_bytes, inside=full, ordered=placed.ordered
            )
            routed = route(
                wanted,
                width=self.target.grid.width,
                height=self.target.grid.height,
                target=self.target,
                interval=placement.interval,
            )
            links = assemble_links(graph, kernels, routed)
            if not full:
                clock = self._clock(on_host, links)
                phase = Phase(*size_buffers(kernels, links, self.target, slot_bytes(kernels), clock))
                return Decision(graph, placement, phase, relief)
            arrivals = [(link, each.fans) for link, each in zip(links, routed, strict=True) if each.fans]
            passing = passing_of_kernels(tables, placement.option, self.target)
            home = deliver(kernels, arrivals, passing, self.target, placement.interval)
            links = timed(home, wanted, self.target)
            clock = self._clock(on_host, links)
            sized = size_buffers(home.kernels, links, self.target, home.slot_bytes, clock)
            phase = Phase(*sized, circuits=phase_circuits(*sized, home.fans, self.target.fabric))
            return Decision(graph, placement, phase, relief, shelves=bool(placed.ordered))

    def splits(self, graph: KernelGraph) -> list[SplitTable]:
        """The splits of every kernel, as the fabric counts them."""
        return split_tables(graph, self.target, self.tables, inside=self.fabric == "full")


def slow_attentions(tables: Sequence[SplitTable], interval: int) -> frozenset[str]:
    """Attentions that no number of cores makes faster than the interval, in cycles.

    One that keeps states is none: its operators apart would send them through the fabric, whole, in each run. Narrow floats are none: their kernel keeps scores and probabilities in single precision.
    """
    return frozenset(
        table.nest.name
        for table in tables
        if table.nest.kind == "attention"
        and not keeps_states(table.nest)
        and table.nest.outputs[0].item_bytes >= _SINGLE_BYTES
        and table.shapes.cycles.min() >= interval
    )


def keeps_states(nest: LoopNest) -> bool:
    """Whether something stays on the cores of the kernel from one run to the next."""
    return any(operand.state for operand in nest.inputs)


def split_tables(
    graph: KernelGraph, target: Target, known: dict[object, SplitTable], *, inside: bool
) -> list[SplitTable]:
    """The splits of every kernel; equal kernels share one table of shapes and costs, which goes into `known`."""
    tables = []
    for nest in graph.nests:
        key = nest.cost_key()
        if key not in known:
            known[key] = enumerate_splits(nest, target, inside=inside)
        tables.append(replace(known[key], nest=nest))
    return tables
