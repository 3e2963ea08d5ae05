"""The whole job in order: a model in, a plan out.

Stages hand frozen results to each other and nothing else; every stage is timed and reported to the observer.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import weakref
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import PLAN_FORMAT, Products
from wsec.compiler.plan import Plan as PlanRecord
from wsec.compiler.target import Target, load_target
from wsec.loaded_plan import load_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import onnx_ir as ir

    from wsec.compiler.ledger import Fit
    from wsec.compiler.placement import Constraint, Progress
    from wsec.compiler.plan import DefectMap, FabricDepth, Objective, State, StatesChoice
    from wsec.compiler.schedule.division import WaferPlans
    from wsec.compiler.schedule.modes import Chosen, Execution
    from wsec.loaded_plan import Plan
    from wsec.pass_verification import PassNumbers
    from wsec.passes import Pass, PipelineStep, PlacedPass


DEFAULT_PASS_TIMEOUT = 600.0  # seconds; two orders above what the largest models need


@dataclass(frozen=True, slots=True)
class StageEvent:
    """What the observer hears: a stage that goes on (`seconds` is None, `detail` says where it stands) or has ended."""

    stage: str
    seconds: float | None = None
    detail: str = ""


def _ignore(_event: StageEvent) -> None:
    """The observer of those who do not watch."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to compile.

    Attributes:
        target: Name of a shipped target, path of a TOML file, or a loaded target.
        region: Columns and rows of the wafer to use; None for all of it.
        dims: Sizes of the model's open dimensions.
        effort: How hard placement searches; 1.0 is a few seconds for a network of 60 kernels.
        seed: Of the search.
        passes: Passes to add to the pipeline; a plain one runs before the last dead-code elimination.
        pipeline: The pipeline; None for the default one.
        dump_passes: Folder for the model before the first pass and after each; None for no dumps.
        verify_passes: Compare the numbers of the model with the original after each pass.
        pass_timeout: Seconds that one pass may take; None for any time.
        host: Operators that cores cannot run may run on the host; False makes them an error.
        defects: A TOML file that lists dead cores, docs/targets.md; None for a wafer without.
        constraints: What must hold of the placement, by operators: a TOML file, docs/constraints.md, or records of
            `wsec.compiler.placement`.
        mode: How kernels share the wafer (docs/modes.md): `pipelined`, `sequential`, `streaming`, or `auto` for the best by
            `objective` of those that fit.
        objective: `throughput` or `latency`, for `auto`.
        wafers: How many to divide the model over; None for the fewest that it fits on.
        phases: How many parts of the model take turns on the wafer; None for the fewest with which it fits.
        samples_per_phase: On how many samples a phase works before the next one's weights are loaded; None for as many as
            make loads and fills a small part of a round, one where the objective is latency.
        collective: The algorithm by which kernels combine partial results, docs/collectives.md; `auto` takes the cheapest
            for each use.
        fabric: `lanes` routes words between the rectangles of kernels; `full` also inside of them, from core to core
            (docs/fabric.md), and counts what that takes.
        states: `auto` keeps the KV cache of a decoder on the wafer between two runs (docs/states.md); with `none` its inputs
            and outputs come and go with each run.
        max_memory: The most resident bytes that this process may come to hold while it compiles; None for any number.
        products: Where kernels take turns: products of matrices by `shifts` of their operands, as measured programs compute them,
            by `sums` of parts, or whichever is faster (docs/modes.md).
    """

    target: str | Path | Target = "wse2"
    region: tuple[int, int] | None = None
    dims: Mapping[str, int] | None = None
    effort: float = 1.0
    seed: int = 0
    passes: Sequence[Pass | PlacedPass] = ()
    pipeline: Sequence[Pass] | None = None
    dump_passes: Path | None = None
    verify_passes: bool = False
    pass_timeout: float | None = DEFAULT_PASS_TIMEOUT
    host: bool = True
    defects: Path | None = None
    constraints: str | Path | Sequence[Constraint] = ()
    mode: str = "pipelined"
    objective: Objective = "throughput"
    wafers: int | None = 1
    phases: int | None = 1
    samples_per_phase: int | None = None
    collective: str = "auto"
    fabric: FabricDepth = "lanes"
    states: StatesChoice = "auto"
    max_memory: int | None = None
    products: Products = "auto"


@dataclass(frozen=True, slots=True)
class _Job:
    """What one compilation was asked for, beside the model itself."""

    model: Path
    options: Options
    target: Target
    defects: DefectMap | None
    constraints: tuple[Constraint, ...]
    observer: Callable[[StageEvent], None]
    stop: Callable[[], bool] | None

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        self.observer(StageEvent(name))
        yield
        self.observer(StageEvent(name, seconds=time.perf_counter() - started))


def compile_model(
    model: str | Path,
    options: Options,
    output: Path | None = None,
    observer: Callable[[StageEvent], None] = _ignore,
    stop: Callable[[], bool] | None = None,
) -> Plan:
    """Compile an ONNX file to a plan folder.

    Args:
        model: The file.
        options: How.
        output: The plan folder; None for a temporary one that lives as long as the plan.
        observer: Hears of every stage.
        stop: Polled by the search; once true, the best legal placement so far is taken.

    Raises:
        WsecError: whatever is wrong with model, target, fit or passes; WSEC376 `max_memory` does not do.
    """
    from wsec.memory_limit import either, memory_limit

    with memory_limit(options.max_memory) as memory:
        if memory is None:
            return _compile(model, options, output, observer, stop)

        def observe(event: StageEvent) -> None:
            memory.observe(event)
            observer(event)

        return _compile(model, options, output, observe, either(stop, memory.exceeded))


def _compile(
    model: str | Path,
    options: Options,
    output: Path | None,
    observer: Callable[[StageEvent], None],
    stop: Callable[[], bool] | None,
) -> Plan:
    """`compile_model` without its limit of memory."""
    from wsec.compiler.plan_io import check_output_folder, write_plan

    _check_phases(options)
    execution_of(options)
    _check_collective(options)
    _check_products(options)
    if output is not None:
        check_output_folder(output)
    job = _Job(Path(model), options, *_target(options), _constraints(options), observer, stop)
    lowered, notes = _lower(job)
    record = _decide(job, lowered, notes)
    with job.stage("check"):
        _assert_legal(record, lowered)
    with job.stage("write"):
        if output is not None:
            write_plan(output, record, lowered, job.model)
            return load_plan(output)
        folder = Path(tempfile.mkdtemp(prefix="wsec-"))
        write_plan(folder, record, lowered, job.model)
    plan = load_plan(folder)
    weakref.finalize(plan, shutil.rmtree, folder, ignore_errors=True)
    return plan


def _check_phases(options: Options) -> None:
    """Refuses what no model can be compiled for."""
    if options.samples_per_phase is not None and options.samples_per_phase < 1:
        raise WsecError(
            "WSEC365",
            "a phase works on no samples",
            expected="at least 1 sample a phase",
            found=str(options.samples_per_phase),
            hint="ask for another number: --samples-per-phase",
        )


def execution_of(options: Options) -> Execution:
    """How the model shall be executed; `phases` other than 1 stand for streaming.

    Raises:
        WsecError: WSEC364, WSEC368 to WSEC370 options that exclude each other.
    """
    from wsec.compiler.schedule.modes import Execution, check_execution

    mode = "streaming" if options.mode == "pipelined" and options.phases != 1 else options.mode
    execution = Execution(
        mode=mode,
        objective=options.objective,
        wafers=options.wafers,
        phases=options.phases if options.phases != 1 else None,
        samples=options.samples_per_phase,
    )
    check_execution(execution, options.fabric, constrained=bool(options.constraints))
    return execution


def _check_products(options: Options) -> None:
    """Refuses a way of products that nobody knows."""
    known = get_args(Products)
    if options.products not in known:
        raise WsecError(
            "WSEC383",
            "there is no such way of products",
            expected=f"one of {', '.join(known)}",
            found=options.products,
            hint="docs/modes.md says what each is good for; auto takes whichever is faster",
        )


def _check_collective(options: Options) -> None:
    """Refuses an algorithm that nobody knows."""
    from wsec.compiler.cost.collective_uses import ALGORITHMS, AUTO

    if options.collective not in (AUTO, *ALGORITHMS):
        raise WsecError(
            "WSEC343",
            "there is no such algorithm for collectives",
            expected=f"one of {', '.join((AUTO, *ALGORITHMS))}",
            found=options.collective,
            hint="docs/collectives.md says what each is good for; auto takes the cheapest for each use",
        )


def _target(options: Options) -> tuple[Target, DefectMap | None]:
    """The machine that the compiler is given, and the cores behind it where some are dead."""
    from wsec.compiler.defects import around_defects, map_defects, read_defects

    target = options.target if isinstance(options.target, Target) else load_target(str(options.target))
    defects = None
    if options.defects is not None:
        grid = target.grid
        dead = read_defects(options.defects, grid.width, grid.height)
        defects = map_defects(dead, grid.width, grid.height)
        target = around_defects(target, defects)
    return target if options.region is None else target.with_region(*options.region), defects


def _constraints(options: Options) -> tuple[Constraint, ...]:
    """What is demanded of the placement."""
    if not isinstance(options.constraints, str | Path):
        return tuple(options.constraints)
    from wsec.compiler.constraint_file import read_constraints

    return read_constraints(Path(options.constraints))


def _lower(job: _Job) -> tuple[ir.Model, tuple[str, ...]]:
    """Import the model and run the passes over it."""
    with job.stage("import"):
        from wsec.compiler.absent_weights import absent_notes, require_weights
        from wsec.compiler.importer import (
            check_operands,
            check_supported,
            import_model,
            infer_shapes,
            shape_oracle,
        )

        caches = job.options.states == "auto"
        imported = import_model(job.model, job.options.dims or {}, caches=caches)
        if job.options.verify_passes:
            require_weights(imported.model, "comparing numbers after each pass")
        absent = tuple(absent_notes(imported.model))
    with job.stage("passes"):
        from wsec.passes import run_pipeline

        pipeline = build_pipeline(job.options)
        changed: list[str] = []
        callback = _pass_callback(job, changed)
        limit = job.options.pass_timeout
        run_pipeline(imported.model, pipeline, callback=callback, limit_seconds=limit)
        while shape_oracle(imported.model):
            infer_shapes(imported.model)
        try:
            check_operands(imported.model)
            notes = check_supported(imported.model)
        except WsecError as error:
            for name in changed:
                error.add_note(
                    f"the custom pass {name} had changed the model; `wsec bisect` says whether it broke it"
                )
            raise
        from wsec.compiler.partition import check_no_host, partition_model

        if partition_model(imported.model) and not job.options.host:
            check_no_host(imported.model)
    said = tuple(f"custom pass {name} changed the model" for name in changed)
    return imported.model, (*absent, *imported.notes, *said, *notes)


def fit_model(model: str | Path, options: Options, batch: int | None, context: int | None) -> Fit:
    """The memory ledger of a model, without compiling it.

    Args:
        model: An ONNX file.
        options: Its `target`, `region`, `defects`, `dims` and `wafers` are used.
        batch: Sequences of the KV cache; None for those of the model.
        context: Positions of each; None for those of the model.

    Raises:
        WsecError: WSEC1xx the model cannot be read or has dimensions without a size, WSEC2xx the target, WSEC363, WSEC372, WSEC373.
    """
    from wsec.compiler.ledger import FitRequest, fit, read_structure

    target, _ = _target(options)
    structure = read_structure(Path(model), options.dims or {})
    return fit(structure, target, FitRequest(options.wafers, batch, context))


def build_pipeline(options: Options) -> tuple[Pass, ...]:
    """The passes that a compilation with these options runs, in order.

    Raises:
        WsecError: WSEC403, WSEC405, WSEC410 one that is added is not a pass or has no such place.
    """
    from wsec.passes import default_pipeline, insert_passes
    from wsec.passes.fuse_attention import FuseAttention

    pipeline = default_pipeline() if options.pipeline is None else options.pipeline
    if options.states == "none":
        pipeline = [
            replace(each, states=False) if isinstance(each, FuseAttention) else each for each in pipeline
        ]
    return insert_passes(pipeline, options.passes)


def _pass_callback(job: _Job, changed: list[str]) -> Callable[[PipelineStep], None]:
    """All that happens between passes; writes down into `changed` the custom ones that changed the model."""
    from wsec.pass_verification import PassVerifier, raise_at_difference
    from wsec.passes.dumping import dump_to
    from wsec.passes.failures import is_custom

    callbacks: list[Callable[[PipelineStep], None]] = []
    if job.options.dump_passes is not None:
        callbacks.append(dump_to(job.options.dump_passes))
    if job.options.verify_passes:
        callbacks.append(raise_at_difference(PassVerifier(job.model)))

    def callback(step: PipelineStep) -> None:
        if step.previous is not None and step.result is not None and step.result.modified:
            changed.extend([str(step.previous)] if is_custom(step.previous) else [])
        if step.following is not None:
            detail = f"{step.following} ({step.index + 1} of {step.total})"
            job.observer(StageEvent("passes", detail=detail))
        for each in callbacks:
            each(step)

    return callback


def bisect_model(
    model: str | Path, options: Options, seed: int = 0, observe: Callable[[PassNumbers], None] | None = None
) -> tuple[PassNumbers, ...]:
    """Run the passes until the numbers change; the last entry is the first step that changes them, if any does.

    Args:
        model: An ONNX file.
        options: Its `dims`, `passes`, `pipeline` and `pass_timeout` are used.
        seed: Of the inputs.
        observe: Called after each step.

    Raises:
        WsecError: WSEC131 there are no weights, WSEC409 onnxruntime cannot run the original, and whatever importing and the passes raise.
    """
    from wsec.compiler.absent_weights import require_weights
    from wsec.compiler.importer import import_model
    from wsec.pass_verification import PassVerifier
    from wsec.passes import run_pipeline

    pipeline = build_pipeline(options)
    imported = import_model(Path(model), options.dims or {}, caches=options.states == "auto")
    require_weights(imported.model, "comparing numbers after each pass")
    verifier = PassVerifier(Path(model), seed)
    steps: list[PassNumbers] = []

    def callback(step: PipelineStep) -> None:
        steps.append(verifier.check(step))
        if observe is not None:
            observe(steps[-1])
        if not steps[-1].passed:
            raise _NumbersChanged

    with contextlib.suppress(_NumbersChanged):
        run_pipeline(imported.model, pipeline, callback=callback, limit_seconds=options.pass_timeout)
    return tuple(steps)


class _NumbersChanged(Exception):  # noqa: N818 - ends a run of the pipeline whose rest does not matter
    """Raised by the callback of a bisection."""


def _decide(job: _Job, lowered: ir.Model, notes: tuple[str, ...]) -> PlanRecord:
    """Split, place and route the lowered model."""
    from wsec.compiler.defects import defect_notes
    from wsec.compiler.native import hear_of_compilation
    from wsec.compiler.notes import (
        attention_notes,
        buffer_notes,
        collective_notes,
        colour_notes,
        fabric_notes,
        host_notes,
        unsplit_notes,
    )
    from wsec.compiler.partition import host_operator_notes
    from wsec.compiler.placement import Limits
    from wsec.compiler.planning import Planner
    from wsec.compiler.schedule.modes import plan_in_mode

    def report(progress: Progress) -> None:
        standing = f"interval {progress.incumbent:,}, bound {progress.bound:,}, gap {progress.gap:.1%}"
        detail = f"{progress.stage}: {standing}"
        job.observer(StageEvent("placement", detail=detail))

    def report_compilation() -> None:
        job.observer(StageEvent("placement", detail="compiling the search (once after an installation)"))

    limits = Limits(effort=job.options.effort, seed=job.options.seed, stop=job.stop)
    planner = Planner(
        job.target,
        limits,
        job.stage,
        report,
        job.constraints,
        job.options.collective,
        job.options.fabric,
        job.options.products,
    )
    with hear_of_compilation(report_compilation):
        chosen = plan_in_mode(planner, lowered, execution_of(job.options))
    planned = chosen.plans
    nests = planned.nests
    found = (
        *host_operator_notes(lowered),
        *(() if job.defects is None else defect_notes(job.defects)),
        *unsplit_notes(nests),
        *attention_notes(lowered, nests),
        *chosen.notes,
        *buffer_notes(planned.decisions, "phase" if planned.wafers[0].mode == "streaming" else "wafer"),
        *colour_notes(planned.decisions),
        *collective_notes(planned.wafers, job.options.collective),
        *(fabric_notes(job.options.fabric) if planned.decisions else ()),
        *_state_notes(job, lowered, _states(lowered, planned)),
        *host_notes(planned.wafers, job.target, planned.placement.interval),
    )
    return _record(job, lowered, chosen, (*notes, *found))


def _record(job: _Job, lowered: ir.Model, chosen: Chosen, notes: tuple[str, ...]) -> PlanRecord:
    from wsec.compiler.absent_weights import absent_files
    from wsec.compiler.kernel_packages import versions_of_kinds
    from wsec.compiler.operator_constraints import recorded
    from wsec.compiler.partition import host_operators_of, plan_value
    from wsec.compiler.plan_io import sha256_of_file

    planned = chosen.plans
    kinds = [kernel.kind for wafer in planned.wafers for kernel in wafer.kernels()]
    return PlanRecord(
        format=PLAN_FORMAT,
        model=job.model.name,
        model_sha256=sha256_of_file(job.model),
        target=job.target,
        region_width=job.target.grid.width,
        region_height=job.target.grid.height,
        inputs=tuple(plan_value(value) for value in lowered.graph.inputs),
        outputs=tuple(plan_value(value) for value in lowered.graph.outputs),
        wafers=planned.wafers,
        host_operators=host_operators_of(lowered),
        placement=planned.placement,
        notes=notes,
        versions={
            **{name: version(name) for name in ("wsec", "onnx-ir", "onnxscript", "ortools", "numpy")},
            **versions_of_kinds(kinds),
        },
        defects=job.defects,
        constraints=tuple(map(recorded, job.constraints)),
        samples_per_phase=planned.samples,
        fabric=job.options.fabric,
        states=_states(lowered, planned),
        absent_weights=absent_files(lowered),
        alternatives=chosen.alternatives,
    )


def _state_notes(job: _Job, lowered: ir.Model, states: tuple[State, ...]) -> Iterator[str]:
    from wsec.compiler.kernels.states import state_notes
    from wsec.compiler.partition import plan_value

    if job.options.states == "auto":
        sides = (lowered.graph.inputs, lowered.graph.outputs)
        yield from state_notes(states, *([plan_value(value) for value in side] for side in sides))


def _states(lowered: ir.Model, planned: WaferPlans) -> tuple[State, ...]:
    """What the kernels keep between two runs."""
    from wsec.compiler.kernels.states import states_of
    from wsec.compiler.partition import plan_value

    return states_of(planned.nests, tuple(plan_value(value) for value in lowered.graph.inputs))


def _assert_legal(record: PlanRecord, lowered: ir.Model) -> None:
    """No plan leaves the compiler that its checker refuses; a kernel of another package is named."""
    from wsec.compiler.kernel_packages import COMPILER, is_custom_kind, kernel_failed
    from wsec.compiler.plan_checker import check_plan

    findings = check_plan(record, lowered)
    for kernel in record.kernels():
        places = (f"kernel {kernel.name}", f"kernel {kernel.name}, ")
        about = [item for item in findings if item.where == places[0] or item.where.startswith(places[1])]
        if about and is_custom_kind(kernel.kind):
            where = f"{about[0].where}: {about[0].rule}"
            raise kernel_failed(kernel.kind, COMPILER, where, about[0].expected, about[0].found)
    if findings:
        raise WsecError(
            "WSEC602",
            f"the compiler made a plan that its own checker refuses ({len(findings)} findings)",
            where=findings[0].where,
            expected=findings[0].expected,
            found=findings[0].found,
            hint="please report this with the model and the options",
        )
