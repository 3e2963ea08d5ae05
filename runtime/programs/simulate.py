"""Simulates a plan: every word of its links and collectives moves through the routers, every kernel's program runs.

Phases run one after the other; what goes from one to the next, or to another wafer, is kept on the host in between. Host
operators run on the host, as the executor has them, and take no cycles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import HOST
from wsec.runtime.executor import Executor
from wsec.runtime.inputs import as_held, check_inputs
from wsec.runtime.lowered_model import LoweredModel
from wsec.runtime.programs.naming import in_words_of_the_plan
from wsec.runtime.programs.phase import as_tensor, load, made_by_kernel, phase_programs, taken_by_host
from wsec.runtime.programs.results import PlanSimulation, compare, phase_result
from wsec.runtime.programs.settings import check_routers
from wsec.runtime.programs.size import check_plan_size
from wsec.runtime.programs.unsupported import check_no_states, not_simulated
from wsec.runtime.simulator.simulation import MAX_CYCLES
from wsec.runtime.simulator.size import MEMORY_LIMIT_BYTES
from wsec.runtime.weights import require_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from wsec.compiler.plan import HostOperator, Phase, Plan
    from wsec.compiler.plan_io import LoadedPlan
    from wsec.runtime.element_types import Array
    from wsec.runtime.programs.phase import PhasePrograms
    from wsec.runtime.programs.results import Comparison, PhaseResult
    from wsec.runtime.simulator.simulation import Simulation, SimulationResult

    Tensors = dict[tuple[str, str], Array]


def simulate_plan(
    loaded: LoadedPlan,
    inputs: Mapping[str, Array] | Sequence[Mapping[str, Array]],
    *,
    samples: int = 1,
    max_cycles: int = MAX_CYCLES,
    threads: int = 1,
    limit_bytes: int = MEMORY_LIMIT_BYTES,
    progress: Callable[[str], None] | None = None,
    holds: Mapping[str, int] | None = None,
) -> PlanSimulation:
    """What a plan takes and gives, by simulation.

    Args:
        loaded: The plan.
        inputs: Every input of the model by name; in a list those of each sample, so that samples that mix are seen.
        samples: How many go through the pipeline of each phase; each has the same inputs where there is no list of them.
        max_cycles: Of each phase.
        threads: Of the simulator.
        limit_bytes: Memory that a phase's simulation may take.
        progress: Is told what is being done.
        holds: By kernel, a cycle before which its cores do not begin with the first sample, though they have its words: so that
            all of them begin at once.

    Raises:
        WsecError: WSEC350 it is too large, WSEC560, WSEC561 the inputs do not fit, WSEC571 there are no weights, WSEC590 to WSEC597; WSEC596 also where the
            plan has no circuits.
    """
    require_weights(loaded.plan)
    plan, model = loaded.plan, LoweredModel(loaded.lowered_path)
    given = [inputs] if isinstance(inputs, Mapping) else list(inputs)
    for each in given:
        check_inputs(plan.inputs, each)
    _check_depth(plan)
    check_no_states(plan)
    for phase in (phase for wafer in plan.wafers for phase in wafer.phases):
        check_routers(
            phase.circuits,
            width=plan.region_width,
            height=plan.region_height,
            colours=plan.target.fabric.colours,
        )
    check_plan_size(plan, limit_bytes)
    tell = progress or (lambda _: None)
    tell("computing what is expected")
    expected = [_expected(loaded, each) for each in given]
    held: list[Tensors] = [
        {(HOST, value.name): as_held(value, each[value.name]) for value in plan.inputs} for each in given
    ]
    if isinstance(inputs, Mapping):
        expected, held = expected * samples, [dict(held[0]) for _ in range(samples)]
    results: list[PhaseResult] = []
    compared: list[Comparison] = []
    for step in _steps(plan):
        if isinstance(step, tuple):
            wafer, number, phase = step
            tell(f"phase {number} of wafer {wafer}: following its words")
            programs = phase_programs(plan, phase, model, samples=len(held), holds=holds)
            simulation = load(programs, plan, held, threads=threads, limit_bytes=limit_bytes)
            tell(f"phase {number} of wafer {wafer}: simulating")
            results.append(phase_result(programs, _run(simulation, programs, max_cycles), wafer, number))
            compared += _compare_kernels(programs, simulation, expected)
            for sample, brought in zip(held, _brought(programs, simulation, model), strict=True):
                sample.update(brought)
        else:
            for sample in held:
                sample.update(_run_on_host(step, sample, model))
    outputs = [{value.name: _on_host(value.name, each, model) for value in plan.outputs} for each in held]
    compared += _compare_outputs(outputs, expected)
    return PlanSimulation(outputs[-1], tuple(results), tuple(compared), len(held))


def _compare_outputs(
    outputs: Sequence[Mapping[str, Array]], expected: Sequence[_Expected]
) -> Iterator[Comparison]:
    for number, (found, wanted) in enumerate(zip(outputs, expected, strict=True)):
        of_sample = f", sample {number}" if len(outputs) > 1 else ""
        for name in wanted.outputs:
            yield compare(f"output {name}{of_sample}", found[name], wanted.outputs[name])


def _check_depth(plan: Plan) -> None:
    if any(wafer.mode == "sequential" for wafer in plan.wafers):
        raise not_simulated(
            "the plan",
            "kernels that take turns",
            "`Plan.simulate_turns` and `wsec simulate` simulate turn by turn",
        )
    if plan.fabric == "lanes":
        raise WsecError(
            code="WSEC596",
            what="the plan has something that cannot be simulated",
            where="the plan",
            expected="circuits, which carry words from core to core",
            found="lanes between the rectangles of kernels alone",
            hint="compile the model with --fabric full",
        )


@dataclass(frozen=True, slots=True, eq=False)
class _Expected:
    """What the executor gives for a sample: every tensor that a kernel makes, and the outputs of the model."""

    tensors: dict[str, Array]
    outputs: dict[str, Array]


def _expected(loaded: LoadedPlan, inputs: Mapping[str, Array]) -> _Expected:
    tensors: dict[str, Array] = {}
    outputs = Executor(loaded, "ordered").run(inputs, lambda name, value: tensors.update({name: value}))
    return _Expected(tensors, dict(outputs))


def _run(simulation: Simulation, programs: PhasePrograms, max_cycles: int) -> SimulationResult:
    try:
        return simulation.run_to_end(max_cycles)
    except WsecError as error:
        raise in_words_of_the_plan(error, programs) from error


def _steps(plan: Plan) -> list[tuple[int, int, Phase] | HostOperator]:
    """Phases and host operators, each after all that it reads."""
    phases = [
        (wafer, number, phase)
        for wafer, each in enumerate(plan.wafers)
        for number, phase in enumerate(each.phases)
        if phase.kernels
    ]
    made = {value.name for value in plan.inputs}
    made_on_host = {value.name for item in plan.host_operators for value in item.outputs}
    from_kernels = {item.tensor for kernel in plan.kernels() for item in kernel.outputs}
    steps: list[tuple[int, int, Phase] | HostOperator] = []
    waiting: list[tuple[int, int, Phase] | HostOperator] = [*plan.host_operators, *phases]
    while waiting:
        ready = [step for step in waiting if not (_reads(step) & (made_on_host | from_kernels)) - made]
        if not ready:
            raise ValueError("phases and host operators wait for each other")
        step = ready[0]
        waiting.remove(step)
        steps.append(step)
        if isinstance(step, tuple):
            made |= {item.tensor for kernel in step[2].kernels for item in kernel.outputs}
        else:
            made |= {value.name for value in step.outputs}
    return steps


def _reads(step: tuple[int, int, Phase] | HostOperator) -> set[str]:
    """Tensors that come from elsewhere."""
    if not isinstance(step, tuple):
        return set(step.inputs)
    names = {kernel.name for kernel in step[2].kernels}
    return {link.tensor for link in step[2].links if link.source not in names}


def _run_on_host(operator: HostOperator, held: Tensors, model: LoweredModel) -> Tensors:
    operands = {name: _on_host(name, held, model) for name in operator.inputs}
    return {(HOST, name): value for name, value in model.run_node(operator.name, operands).items()}


def _on_host(name: str, held: Tensors, model: LoweredModel) -> Array:
    for (_, tensor), value in held.items():
        if tensor == name:
            return value
    return model.constant(name)


def _brought(programs: PhasePrograms, simulation: Simulation, model: LoweredModel) -> list[Tensors]:
    """What left the phase, as tensors of each sample."""
    types = {
        (kernel.kernel.name, item.tensor): item.dtype
        for kernel in programs.kernels
        for item in kernel.kernel.outputs
    }
    taken = taken_by_host(programs, simulation)
    return [
        {
            key: as_tensor(values[sample], types[key], model.value_shape(key[1]))
            for key, values in taken.items()
        }
        for sample in range(programs.samples)
    ]


def _compare_kernels(
    programs: PhasePrograms, simulation: Simulation, expected: Sequence[_Expected]
) -> list[Comparison]:
    """What lies in the cores of each kernel, for all samples that are still there, against the executor."""
    found = []
    for kernel in programs.kernels:
        for (tensor, sample), words in made_by_kernel(kernel, simulation, programs.samples).items():
            wanted = expected[sample].tensors[tensor].reshape(-1)
            found.append(compare(f"kernel {kernel.kernel.name}, {tensor}", words, wanted))
    return found
