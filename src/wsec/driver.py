"""The whole job in order: a model in, a plan out.

Stages hand frozen results to each other and nothing else; every stage is timed and reported to the observer.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import time
import weakref
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.plan import PLAN_FORMAT
from wsec.compiler.plan import Plan as PlanRecord
from wsec.compiler.target import Target, load_target
from wsec.loaded_plan import load_plan
from wsec.options import DEFAULT_PASS_TIMEOUT, Options, PrefillRequest, check_options, execution_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import onnx_ir as ir

    from wsec.compiler.ledger import Fit
    from wsec.compiler.placement import Constraint, Progress
    from wsec.compiler.plan import DefectMap, State
    from wsec.compiler.plan_checker import Finding
    from wsec.compiler.residents import Residents
    from wsec.compiler.schedule.division import WaferPlans
    from wsec.compiler.schedule.modes import Chosen
    from wsec.loaded_plan import Plan
    from wsec.pass_verification import PassNumbers
    from wsec.passes import Pass, PipelineStep

    PlanParts = tuple[PlanRecord, ir.Model, Path]


__all__ = (
    "DEFAULT_PASS_TIMEOUT",
    "Options",
    "PrefillRequest",
    "StageEvent",
    "bisect_model",
    "build_pipeline",
    "compile_model",
    "execution_of",
    "fit_model",
    "ignore",
)


@dataclass(frozen=True, slots=True)
class StageEvent:
    """What the observer hears: a stage that goes on (`seconds` is None, `detail` says where it stands) or has ended."""

    stage: str
    seconds: float | None = None
    detail: str = ""


def ignore(_event: StageEvent) -> None:
    """The observer of those who do not watch."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """What a compilation shares weights with: the prefill that comes with it, or a plan of a decoder that there is."""

    prefill: PrefillRequest | None
    weights_of: Path | None


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
    beside: str = ""  # what the names of stages begin with, of a model that is compiled beside another
    abandoned: list[StageEvent] = field(default_factory=list)  # ends that are told if another try follows

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """A stage from its beginning to its end; one that finds no plan ends when another way to plan is tried."""
        while self.abandoned:
            self.observer(self.abandoned.pop(0))
        name = f"{self.beside}{name}"
        started = time.perf_counter()
        self.observer(StageEvent(name))
        try:
            yield
        except WsecError:
            self.abandoned.append(StageEvent(name, seconds=time.perf_counter() - started))
            raise
        self.observer(StageEvent(name, seconds=time.perf_counter() - started))

    def say(self, stage: str, detail: str) -> None:
        """Tell the observer where a stage stands."""
        self.observer(StageEvent(f"{self.beside}{stage}", detail=detail))


def compile_model(
    model: str | Path,
    options: Options,
    output: Path | None = None,
    observer: Callable[[StageEvent], None] = ignore,
    stop: Callable[[], bool] | None = None,
    *,
    prefill: PrefillRequest | None = None,
    weights_of: str | Path | None = None,
) -> Plan:
    """Compile an ONNX file to a plan folder.

    Args:
        model: The file.
        options: How.
        output: The plan folder; None for a temporary one that lives as long as the plan.
        observer: Hears of every stage.
        stop: Polled by the search; once true, the best legal placement so far is taken.
        prefill: The model of the prefill of this decoder: its plan goes into the same folder, and uses the weights of the
            decoder where they lie (docs/pairs.md).
        weights_of: The plan folder of a decoder whose weights this model, its prefill, uses where they lie.

    Raises:
        WsecError: whatever is wrong with model, target, fit or passes; WSEC376 `max_memory` does not do.
    """
    from wsec.memory_limit import either, memory_limit

    pair = _Pair(prefill, None if weights_of is None else Path(weights_of))
    with memory_limit(options.max_memory) as memory:
        if memory is None:
            return _compile(model, options, output, (observer, stop), pair)

        def observe(event: StageEvent) -> None:
            memory.observe(event)
            observer(event)

        return _compile(model, options, output, (observe, either(stop, memory.exceeded)), pair)


def _compile(
    model: str | Path,
    options: Options,
    output: Path | None,
    watchers: tuple[Callable[[StageEvent], None], Callable[[], bool] | None],
    pair: _Pair,
) -> Plan:
    """`compile_model` without its limit of memory; `watchers` are its observer and what stops it."""
    from wsec.compiler.plan_io import PREFILL_FOLDER, check_output_folder, write_plan

    check_options(options)
    if output is not None:
        check_output_folder(output)
    job = _Job(Path(model), options, *_target(options), _constraints(options), *watchers)
    parts = {}
    whole = _planned(job) if pair.weights_of is None else _beside_plan(job, pair.weights_of)
    if pair.prefill is not None:
        parts[PREFILL_FOLDER] = _beside(_job_of_prefill(job, pair.prefill), whole)
    with job.stage("write"):
        if output is not None:
            write_plan(output, *whole, parts=parts)
            return load_plan(output)
        folder = Path(tempfile.mkdtemp(prefix="wsec-"))
        write_plan(folder, *whole, parts=parts)
    plan = load_plan(folder)
    weakref.finalize(plan, shutil.rmtree, folder, ignore_errors=True)
    return plan


def _planned(job: _Job) -> PlanParts:
    """Plan a model alone."""
    from wsec.throughput import check_throughput

    lowered, notes = _lower(job)
    try:
        record = _decide(job, lowered, notes)
    except WsecError as error:
        raise _named_by_the_ledger(error, job) from None
    with job.stage("check"):
        _assert_legal(record, lowered)
        if job.options.min_throughput is not None:
            check_throughput(record, job.options.min_throughput)
    return record, lowered, job.model


def _named_by_the_ledger(error: WsecError, job: _Job) -> WsecError:
    """What to raise of a model that does not fit: that its context is too long, where that is why; else the error itself."""
    options = job.options
    if (
        error.exit_status is not ExitStatus.DOES_NOT_FIT
        or options.wafers is None
        or "streaming" in options.mode
    ):
        return error
    try:
        found = fit_model(job.model, options, None, None)
    except WsecError:  # the ledger has nothing to say of such a model
        return error
    if found.unmet is None or found.unmet.code != "WSEC371":
        return error
    ways = (
        [f"make the model for a context of at most {found.longest_context:,}"]
        if found.longest_context
        else []
    )
    ways += [f"use --wafers {found.least_wafers} or more"] if job.target.wafer_link is not None else []
    named = replace(found.unmet, hint=" or ".join([*ways, "let weights come in with --mode streaming"]))
    named.add_note(f"planning ended with {error.code}: {error.what}")
    return named


def _job_of_prefill(job: _Job, prefill: PrefillRequest) -> _Job:
    """The same compilation of another model: its kernels take turns, on the wafers of the decoder."""
    options = replace(
        job.options,
        dims={**(job.options.dims or {}), **(prefill.dims or {})},
        mode="sequential",
        wafers=None,
        phases=1,
        samples_per_phase=1,
        fabric="lanes",
        constraints=(),
    )
    return replace(job, model=Path(prefill.model), options=options, constraints=(), beside="prefill ")


def _beside_plan(job: _Job, folder: Path) -> PlanParts:
    """Plan a model as the prefill of a decoder whose plan exists."""
    from wsec.compiler.lowered_model_file import read_lowered_model
    from wsec.compiler.plan_io import load_plan as read

    decoder = read(folder)
    options = replace(job.options, mode="sequential", wafers=None)
    same = replace(job, options=options, target=decoder.plan.target, defects=decoder.plan.defects)
    return _beside(same, (decoder.plan, read_lowered_model(decoder.lowered_path), decoder.original_path))


def _beside(job: _Job, decoder: PlanParts) -> PlanParts:
    """Plan a model as the prefill of a decoder, whose weights it uses where they lie."""
    from wsec.compiler.plan_checker import check_pair
    from wsec.compiler.plan_io import digest_of
    from wsec.compiler.residents import residents_of

    lowered, notes = _lower(job)
    with job.stage("weights"):
        residents = residents_of(decoder[0], digest_of(decoder[0]), (decoder[1], lowered), job.model.name)
    record = _decide(job, lowered, notes, residents)
    with job.stage("check"):
        _assert_legal(record, lowered)
        _assert_none(check_pair(decoder[0], record, digest_of(decoder[0])))
    return record, lowered, job.model


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
            job.say("passes", detail)
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


def _decide(
    job: _Job, lowered: ir.Model, notes: tuple[str, ...], residents: Residents | None = None
) -> PlanRecord:
    """Split, place and route the lowered model; with `residents` as the prefill of the decoder that has them."""
    from wsec.compiler.defects import defect_notes
    from wsec.compiler.native import hear_of_compilation
    from wsec.compiler.notes import (
        attention_notes,
        buffer_notes,
        collective_notes,
        colour_notes,
        fabric_notes,
        host_notes,
        product_notes,
        shared_notes,
        stream_notes,
        unsplit_notes,
    )
    from wsec.compiler.partition import host_operator_notes
    from wsec.compiler.placement import Limits
    from wsec.compiler.planning import Planner
    from wsec.compiler.schedule.modes import plan_in_mode

    def report(progress: Progress) -> None:
        standing = f"interval {progress.incumbent:,}, bound {progress.bound:,}, gap {progress.gap:.1%}"
        detail = f"{progress.stage}: {standing}"
        job.say("placement", detail)

    def report_compilation() -> None:
        job.say("placement", "compiling the search (once after an installation)")

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
        chosen = plan_in_mode(planner, lowered, execution_of(job.options), residents)
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
        *product_notes(planned.wafers, job.options.products),
        *(fabric_notes(job.options.fabric) if planned.decisions else ()),
        *_state_notes(job, lowered, _states(lowered, planned)),
        *stream_notes(planned.wafers, job.target),
        *host_notes(planned.wafers, job.target, planned.placement.interval),
        *(() if planned.shared is None else shared_notes(planned.shared)),
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
        shared=planned.shared,
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
    _assert_none(findings)


def _assert_none(findings: tuple[Finding, ...]) -> None:
    if findings:
        raise WsecError(
            "WSEC602",
            f"the compiler made a plan that its own checker refuses ({len(findings)} findings)",
            where=findings[0].where,
            expected=findings[0].expected,
            found=findings[0].found,
            hint="please report this with the model and the options",
        )
