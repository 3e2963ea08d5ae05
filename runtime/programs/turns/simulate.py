"""Simulates a sequential plan: every turn's kernels and every resharding by itself, equal ones once.

A turn begins when the one before has ended on all cores, with the executor's tensors in place; what it leaves is compared with the
executor's, bit for bit. So all turns one after the other give the executor's numbers if each of them does.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import HOST
from wsec.runtime.blocks import scatter
from wsec.runtime.executor import Executor, block_fill
from wsec.runtime.inputs import as_held, check_inputs
from wsec.runtime.lowered_model import LoweredModel
from wsec.runtime.programs.phase import as_words, check_kernel
from wsec.runtime.programs.results import compare
from wsec.runtime.programs.settings import routes
from wsec.runtime.programs.turns.equality import resharding_signature, turn_signature
from wsec.runtime.programs.turns.kernels import turn_programs
from wsec.runtime.programs.turns.lines import reduced_first
from wsec.runtime.programs.turns.reshardings import make_grid, resharding_programs
from wsec.runtime.programs.turns.results import ReshardingResult, TurnResult, TurnsSimulation
from wsec.runtime.programs.turns.size import check_resharding_size, check_turn_size
from wsec.runtime.programs.words import block_words
from wsec.runtime.simulator.simulation import MAX_CYCLES, Simulation
from wsec.runtime.simulator.size import MEMORY_LIMIT_BYTES
from wsec.runtime.simulator.timing import engine_timing, fabric_timing
from wsec.runtime.states import StateStore
from wsec.runtime.weights import require_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, KernelInput, Link, Phase, Plan
    from wsec.compiler.plan_io import LoadedPlan
    from wsec.runtime.element_types import Array
    from wsec.runtime.programs.events import Transfers
    from wsec.runtime.programs.kernel_program import Compute
    from wsec.runtime.programs.results import Comparison
    from wsec.runtime.programs.settings import Settings
    from wsec.runtime.simulator.instructions import ProgramArea

    Words = NDArray[np.float32]

_STEPS = frozenset({"MatMul", "Softmax"})


def simulate_turns(
    loaded: LoadedPlan,
    inputs: Mapping[str, Array],
    *,
    max_cycles: int = MAX_CYCLES,
    threads: int = 1,
    limit_bytes: int = MEMORY_LIMIT_BYTES,
    progress: Callable[[str], None] | None = None,
) -> TurnsSimulation:
    """What the turns of a plan take and give, by simulation.

    Args:
        loaded: The plan; all its wafers are sequential.
        inputs: Every input of the model by name; states that are not among them are zeros.
        max_cycles: Of each turn and each resharding.
        threads: Of the simulator.
        limit_bytes: Memory that a simulation may take.
        progress: Is told what is being done.

    Raises:
        WsecError: WSEC350 it is too large, WSEC387 a turn needs more colours than there
            are, WSEC388 another wafer is no sequential one, WSEC560, WSEC561 the inputs do not fit, WSEC571 there are no weights,
            WSEC590 to WSEC597.
    """
    require_weights(loaded.plan)
    plan, model = loaded.plan, LoweredModel(loaded.lowered_path)
    _check_modes(plan)
    inputs = StateStore(plan).completed(inputs)
    check_inputs(plan.inputs, inputs)
    programs = {kernel.name: check_kernel(kernel, model) for kernel in plan.kernels()}
    tell = progress or (lambda _: None)
    tell("computing what is expected")
    tensors = {value.name: as_held(value, inputs[value.name]) for value in plan.inputs}
    outputs = Executor(loaded, "ordered").run(inputs, lambda name, value: tensors.update({name: value}))
    for operator in plan.host_operators:
        operands = {
            name: tensors[name] if name in tensors else model.constant(name) for name in operator.inputs
        }
        tensors.update(model.run_node(operator.name, operands))
    machine = _Machine(plan, model, (tensors, programs), (max_cycles, threads, limit_bytes))
    turns = []
    for number, wafer in enumerate(plan.wafers):
        for at, phase in enumerate(wafer.phases):
            tell(f"turn {at} of wafer {number}")
            turns.append(machine.turn(phase, (number, at), last=at == len(wafer.phases) - 1))
    return TurnsSimulation(dict(outputs), tuple(turns), tuple(machine.comparisons))


def check_one_sample(samples: int) -> None:
    """Refuses more samples than one.

    Raises:
        WsecError: WSEC388.
    """
    if samples > 1:
        raise _not_so(f"{samples} samples", "one sample: turns work on one at a time", "leave out --samples")


def _check_modes(plan: Plan) -> None:
    coming = sum(phase.load is not None for wafer in plan.wafers for phase in wafer.phases)
    if coming:
        raise _not_so(
            f"{coming} turns whose weights come in for every sample",
            "weights that stay",
            "compile with `--mode sequential` for more cores or wafers",
        )
    other = next((wafer.mode for wafer in plan.wafers if wafer.mode != "sequential"), None)
    if other is not None:
        raise _not_so(
            f"{len(plan.wafers)} wafers, of modes sequential and {other}",
            "kernels that take turns on all wafers, or on none",
            "compile with `--mode sequential`, or with `--mode pipelined --fabric full`",
        )


def _not_so(found: str, expected: str, hint: str) -> WsecError:
    return WsecError(
        code="WSEC388",
        what="turns cannot be simulated in this way",
        where="the plan",
        expected=expected,
        found=found,
        hint=hint,
    )


class _Machine:
    """Simulates turns; keeps what equal ones took, and the comparisons of those that were simulated."""

    def __init__(
        self,
        plan: Plan,
        model: LoweredModel,
        of_names: tuple[Mapping[str, Array], Mapping[str, Compute]],
        limits: tuple[int, int, int],
    ) -> None:
        self.plan, self.model = plan, model
        self.tensors, self.programs = of_names
        self.max_cycles, self.threads, self.limit_bytes = limits
        self.region = plan.region_width, plan.region_height
        self.kernels = {kernel.name: kernel for kernel in plan.kernels()}
        self.comparisons: list[Comparison] = []
        self.turns: dict[object, tuple[int, int, tuple[int, int]]] = {}
        self.reshardings: dict[object, int] = {}

    def turn(self, phase: Phase, number: tuple[int, int], *, last: bool) -> TurnResult:
        """A turn of a wafer; `number` is that of the wafer and its own."""
        here = {kernel.name for kernel in self.plan.wafers[number[0]].kernels()}
        arriving: dict[str, ReshardingResult] = {}
        leaving = 0
        for link in phase.links:
            if link.target == HOST:
                leaving = max(leaving, link.cycles)
                continue
            found = self.resharding(link, outside=link.source not in here)
            before = arriving.get(link.tensor)
            if before is None or found.total > before.total:
                arriving[link.tensor] = found
        kernels = phase.kernels
        cycles, overheads, equal_to = self.work(kernels, number)
        return TurnResult(
            wafer=number[0],
            turn=number[1],
            kernels=tuple(kernel.name for kernel in kernels),
            kinds=tuple(kernel.kind for kernel in kernels),
            cores=max(kernel.mesh.width for kernel in kernels)
            * max(kernel.mesh.height for kernel in kernels),
            arriving=tuple(arriving.values()),
            cycles=cycles,
            overheads=overheads,
            estimated_cycles=sum(kernel.cycles.work for kernel in kernels),
            leaving_cycles=leaving if last else 0,
            equal_to=equal_to,
        )

    def resharding(self, link: Link, *, outside: bool) -> ReshardingResult:
        """What brings a tensor to a kernel; of one from outside the wafer the cycles of the plan stand."""
        said = ", ".join(_in_words(exchange) for exchange in link.exchanges)
        if outside:
            return ReshardingResult(link.tensor, link.source, "", -1, 0, link.cycles)
        source, target = self.kernels[link.source], self.kernels[link.target]
        key = resharding_signature(link, source, target)
        if key not in self.reshardings:
            self.reshardings[key] = self._reshard(link, source, target)
        cycles = self.reshardings[key]
        overheads = round(self._start_of_exchange() * len(link.exchanges)) if cycles else 0
        return ReshardingResult(link.tensor, link.source, said, cycles, overheads, link.cycles)

    def _start_of_exchange(self) -> float:
        """Cycles that an exchange takes to begin, beside the task that its program sets off."""
        target = self.plan.target
        if target.overheads is None:
            return 0.0
        return max(0.0, target.overheads.collective_start_cycles - target.core.task_switch_cycles)

    def _reshard(self, link: Link, source: Kernel, target: Kernel) -> int:
        check_resharding_size(link, source, target, self.limit_bytes)
        grid = make_grid(link, source, target)
        name = f"link {link.name}"
        if not (grid.needed & ~grid.held).any():
            return 0
        programs = resharding_programs(link, grid, self.region)
        simulation = self._simulation(programs.settings, [programs.area], programs.transfers)
        tensor = as_words(self.tensors[link.tensor], link.tensor)
        memory = np.full((grid.width * grid.height, programs.area.memory_words), np.nan, np.float32)
        row, column, element = np.nonzero(grid.held)
        memory[row * grid.width + column, grid.places_held] = tensor[element]
        self._fill(simulation, programs.area, memory)
        cycles = simulation.run_to_end(self.max_cycles).cycles
        row, column, element = np.nonzero(grid.needed)
        found = simulation.memories(0)[row * grid.width + column, grid.words[0] + grid.places_needed]
        self.comparisons.append(compare(name, found, tensor[element]))
        return cycles

    def work(self, kernels: Sequence[Kernel], number: tuple[int, int]) -> tuple[int, int, tuple[int, int]]:
        """Cycles of the kernels of a turn, those of the target's overheads, and the turn that was simulated for it."""
        key = turn_signature(kernels)
        if key not in self.turns:
            self.turns[key] = (*self._work(kernels), number)
        return self.turns[key]

    def _work(self, kernels: Sequence[Kernel]) -> tuple[int, int]:
        check_turn_size(kernels, self.limit_bytes)
        if len(kernels) == 1 and self._is_view(kernels[0]):
            return 0, 0
        blocks = [{item.role: self._blocks(kernel, item) for item in kernel.inputs} for kernel in kernels]
        fabric = self.plan.target.fabric
        computing = [self.programs[kernel.name] for kernel in kernels]
        programs = turn_programs(
            kernels, computing, blocks, (self.region, fabric.colours - fabric.reserved_colours)
        )
        simulation = self._simulation(programs.settings, programs.areas, programs.transfers)
        for area, rows in zip(programs.areas, programs.rows, strict=True):
            self._fill(simulation, area, programs.memory[rows])
        cycles = simulation.run_to_end(self.max_cycles).cycles
        memory = np.empty_like(programs.memory)
        for at, rows in enumerate(programs.rows):
            memory[rows] = simulation.memories(at)
        for kernel in kernels:
            self.comparisons += self._compare(kernel, memory, programs.outputs, programs.width)
        return cycles, round(self._overheads(kernels, programs.all_reduces))

    def _is_view(self, kernel: Kernel) -> bool:
        """Whether what comes to each core is its result as it lies: a Reshape without arithmetic."""
        if kernel.kind != "reshape" or kernel.chain:
            return False
        given, made = (
            block_words(replace(item.sharding, root=()), kernel.mesh)
            for item in (kernel.inputs[0], kernel.outputs[0])
        )
        same = (given.elements, made.elements), (given.places, made.places)
        return all(
            np.array_equal(one.starts, other.starts) and np.array_equal(one.values, other.values)
            for one, other in same
        )

    def _blocks(self, kernel: Kernel, item: KernelInput) -> Words:
        """Every core's block of an input, with what stands outside the extents; [cores by row and column, elements]."""
        fill: Any = block_fill(kernel, item)
        value = self.model.constant(item.tensor) if item.constant else self.tensors[item.tensor]
        blocks = scatter(as_words(value, item.tensor), item.sharding, kernel.mesh, np.float32(fill))
        mesh = kernel.mesh
        full = np.broadcast_to(blocks, (*mesh.shape, *item.sharding.block_shape))
        order = [
            *(index for index, axis in enumerate(mesh.axes) if axis.side == "rows"),
            *(index for index, axis in enumerate(mesh.axes) if axis.side == "columns"),
        ]
        return full.transpose(*order, *range(len(order), full.ndim)).reshape(mesh.height * mesh.width, -1)

    def _compare(
        self, kernel: Kernel, memory: Words, outputs: Mapping[str, int], wide: int
    ) -> Iterator[Comparison]:
        """The blocks of all cores of a kernel; those off the root too, where the result is on all cores."""
        mesh = kernel.mesh
        numbers = np.arange(memory.shape[0]).reshape(-1, wide)[: mesh.height, : mesh.width].reshape(-1)
        for item in kernel.outputs:
            if item.sharding.root and not item.everywhere and reduced_first(kernel):
                continue
            held = block_words(replace(item.sharding, root=()), mesh)
            address = outputs[item.tensor]
            found = memory[numbers[held.elements.rows], address + held.places.values]
            wanted = as_words(self.tensors[item.tensor], item.tensor)[held.elements.values]
            yield compare(f"kernel {kernel.name}, {item.tensor}", found, wanted)

    def _overheads(self, kernels: Sequence[Kernel], all_reduces: int) -> float:
        """What the target was measured to take beside its instructions: between walks over data, and where collectives begin."""
        overheads = self.plan.target.overheads
        steps = sum(
            (max(1, sum(step.operator in _STEPS for step in kernel.body)) if number == 0 else 0)
            + (bool(kernel.chain) and kernel.kind != "elementwise")
            for number, kernel in enumerate(kernels)
        )
        if overheads is None:
            return float(steps * self.plan.target.core.task_switch_cycles)
        return steps * overheads.step_cycles + all_reduces * overheads.collective_start_cycles

    def _simulation(
        self, settings: Sequence[Settings], areas: Sequence[ProgramArea], transfers: Transfers
    ) -> Simulation:
        return Simulation(
            [route for each in settings for route in routes(each)],
            areas,
            width=self.region[0] + 2,
            height=self.region[1],
            fabric=fabric_timing(self.plan.target),
            engines=engine_timing(self.plan.target),
            turns=transfers.switch_turns(settings),
            filters=transfers.ramp_filters(),
            threads=self.threads,
            limit_bytes=self.limit_bytes,
        )

    @staticmethod
    def _fill(simulation: Simulation, area: ProgramArea, memory: Words) -> None:
        for number, words in enumerate(memory):
            y, x = divmod(number, area.width)
            simulation.memory(area.x + x, area.y + y)[:] = words


def _in_words(exchange: Any) -> str:
    offset = f" from {exchange.offset}" if exchange.offset else ""
    return f"{exchange.along} by {exchange.segment}{offset}"
