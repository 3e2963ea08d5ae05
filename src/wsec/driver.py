"""The whole job in order: a model in, a plan out; and what a plan can then do.

Stages hand frozen results to each other and nothing else; every stage is timed and reported to the observer.
"""

from __future__ import annotations

import tempfile
import time
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import PLAN_FORMAT, Phase, PlacementSummary, Value, Wafer
from wsec.compiler.plan import Plan as PlanRecord
from wsec.compiler.target import Target, load_target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import numpy as np
    import onnx_ir as ir
    from numpy.typing import NDArray

    from wsec.compiler.kernels.graph import KernelGraph
    from wsec.compiler.kernels.splits import SplitTable
    from wsec.compiler.placement.problem import Placement
    from wsec.compiler.plan_checker import Finding
    from wsec.compiler.plan_io import LoadedPlan
    from wsec.passes import Pass
    from wsec.runtime.estimate import Estimate
    from wsec.runtime.oracle import Verification


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
        passes: The pipeline; None for the default one.
        dump_passes: Folder for the model before the first pass and after each; None for no dumps.
    """

    target: str | Path | Target = "wse2"
    region: tuple[int, int] | None = None
    dims: Mapping[str, int] | None = None
    effort: float = 1.0
    seed: int = 0
    passes: Sequence[Pass] | None = None
    dump_passes: Path | None = None


class Plan:
    """A compiled model: the record of every decision, and the folder that holds it.

    Attributes:
        record: What plan.json says.
        folder: Where the plan is.
    """

    def __init__(self, loaded: LoadedPlan, keep: object = None) -> None:
        self.record: PlanRecord = loaded.plan
        self.folder: Path = loaded.folder
        self._loaded = loaded
        self._keep = keep  # a temporary folder lives as long as its plan

    def run(self, inputs: Mapping[str, NDArray[np.generic]]) -> dict[str, NDArray[np.generic]]:
        """Execute the plan shard by shard on `inputs` by name; outputs by name.

        Raises:
            WsecError: WSEC5xx where an input is missing, unknown, or of another shape or type.
        """
        from wsec.runtime.executor import execute

        return execute(self._loaded, inputs)

    def verify(self, inputs: Mapping[str, NDArray[np.generic]] | None = None) -> Verification:
        """Execute the plan and compare with onnxruntime on the original model; seeded inputs where none are given."""
        from wsec.runtime.oracle import verify

        return verify(self._loaded, inputs)

    def estimate(self) -> Estimate:
        """Cycles by kernel and link, interval and latency of the pipeline, time at the target's clock."""
        from wsec.runtime.estimate import estimate

        return estimate(self.record)

    def check(self) -> tuple[Finding, ...]:
        """All findings of the plan checker; none for a legal plan."""
        from wsec.compiler.plan_checker import check_plan

        return check_plan(self.record, self.folder / "model.onnx")


def load_plan(folder: str | Path) -> Plan:
    """Read a plan folder.

    Raises:
        WsecError: WSEC5xx where it is no plan, of another format, or broken.
    """
    from wsec.compiler.plan_io import load_plan as load

    return Plan(load(Path(folder)))


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
        WsecError: whatever is wrong with model, target, fit or passes.
    """
    from wsec.compiler.plan_io import load_plan as load
    from wsec.compiler.plan_io import write_plan

    target = options.target if isinstance(options.target, Target) else load_target(str(options.target))
    if options.region is not None:
        target = target.with_region(*options.region)
    keep = None
    if output is None:
        keep = tempfile.TemporaryDirectory(prefix="wsec-")
        output = Path(keep.name) / "plan"
    lowered, notes = _lower(Path(model), options, observer)
    record = _plan(Path(model), lowered, notes, target, options, observer, stop)
    _assert_legal(record, lowered, observer)
    with _stage("write", observer):
        write_plan(output, record, lowered, Path(model))
    return Plan(load(output), keep)


@contextmanager
def _stage(name: str, observer: Callable[[StageEvent], None]) -> Iterator[None]:
    started = time.perf_counter()
    observer(StageEvent(name))
    yield
    observer(StageEvent(name, seconds=time.perf_counter() - started))


def _lower(
    path: Path, options: Options, observer: Callable[[StageEvent], None]
) -> tuple[ir.Model, tuple[str, ...]]:
    """Import and run the passes."""
    with _stage("import", observer):
        from wsec.compiler.importer import check_supported, import_model, resolve_shapes

        imported = import_model(path, options.dims or {})
    with _stage("passes", observer):
        from wsec.passes import default_pipeline, run_pipeline
        from wsec.passes.dumps import dump_passes

        dump = None if options.dump_passes is None else dump_passes(options.dump_passes)
        pipeline = default_pipeline() if options.passes is None else options.passes
        run_pipeline(imported.model, pipeline, callback=dump)
        check_supported(imported.model)
        resolve_shapes(imported.model)
    return imported.model, imported.notes


def _plan(
    path: Path,
    lowered: ir.Model,
    notes: tuple[str, ...],
    target: Target,
    options: Options,
    observer: Callable[[StageEvent], None],
    stop: Callable[[], bool] | None,
) -> PlanRecord:
    from wsec.compiler.assembly import assemble_kernels, assemble_links, routing_links
    from wsec.compiler.buffer_sizing import size_buffers
    from wsec.compiler.kernels.graph import build_kernel_graph
    from wsec.compiler.plan_io import sha256_of_file
    from wsec.compiler.routing import route

    with _stage("kernels", observer):
        graph = build_kernel_graph(lowered, target.fabric.word_bytes)
        tables = split_tables(graph, target)
    with _stage("placement", observer):
        placement = _place(graph, tables, target, options, observer, stop)
        kernels = assemble_kernels(tables, placement, target)
    with _stage("routing", observer):
        wanted = routing_links(graph, kernels)
        routed, _ = route(
            wanted,
            width=target.grid.width,
            height=target.grid.height,
            target=target,
            interval=placement.interval,
        )
        links = assemble_links(graph, kernels, routed)
        sizes = {item.tensor: item.item_bytes for nest in graph.nests for item in nest.inputs}
        kernels, links = size_buffers(kernels, links, target, sizes)
    unsplit = tuple(
        f"operator {nest.name!r} is unsplit, its arithmetic runs on one core: {nest.reason}"
        for nest in graph.nests
        if nest.reason
    )
    return PlanRecord(
        format=PLAN_FORMAT,
        model=path.name,
        model_sha256=sha256_of_file(path),
        target=target,
        region_width=target.grid.width,
        region_height=target.grid.height,
        inputs=tuple(_value(value) for value in lowered.graph.inputs),
        outputs=tuple(_value(value) for value in lowered.graph.outputs),
        wafers=(Wafer((Phase(kernels, links),)),),
        host_operators=(),
        placement=PlacementSummary(
            interval=placement.interval,
            interval_bound=placement.interval_bound,
            wirelength=placement.wirelength,
            method=placement.method,
            interrupted=placement.interrupted,
        ),
        notes=(*notes, *unsplit),
        versions={name: version(name) for name in ("wsec", "onnx-ir", "onnxscript", "ortools", "numpy")},
    )


def split_tables(graph: KernelGraph, target: Target) -> list[SplitTable]:
    """The splits of every kernel; equal kernels share one table of shapes and costs."""
    from dataclasses import replace

    from wsec.compiler.kernels.splits import enumerate_splits

    known: dict[object, SplitTable] = {}
    tables = []
    for nest in graph.nests:
        key = nest.cost_key()
        if key not in known:
            known[key] = enumerate_splits(nest, target, target.grid.width, target.grid.height)
        tables.append(replace(known[key], nest=nest))
    return tables


def _place(
    graph: KernelGraph,
    tables: Sequence[SplitTable],
    target: Target,
    options: Options,
    observer: Callable[[StageEvent], None],
    stop: Callable[[], bool] | None,
) -> Placement:
    from wsec.compiler.kernels.graph import HOST_INDEX
    from wsec.compiler.placement.problem import Limits, Net, PlacementKernel, PlacementProblem
    from wsec.compiler.placement.solver import place

    problem = PlacementProblem(
        width=target.grid.width,
        height=target.grid.height,
        kernels=tuple(PlacementKernel(table.nest.name, table.shapes) for table in tables),
        nets=tuple(
            Net(link.source, link.target, float(link.words))
            for link in graph.links
            if HOST_INDEX not in (link.source, link.target)
        ),
    )
    return place(
        problem,
        Limits(effort=options.effort, seed=options.seed, stop=stop),
        lambda progress: observer(
            StageEvent(
                "placement",
                detail=f"{progress.stage}: interval {progress.incumbent:,}, {progress.gap:.1%} above the bound",
            )
        ),
    )


def _value(value: ir.Value) -> Value:
    from wsec.compiler.kernels.operator_view import dtype_of, shape_of

    return Value(value.name or "", dtype_of(value), shape_of(value))


def _assert_legal(record: PlanRecord, lowered: ir.Model, observer: Callable[[StageEvent], None]) -> None:
    """No plan leaves the compiler that its checker refuses."""
    from wsec.compiler.plan_checker import check_plan

    with _stage("check", observer):
        findings = check_plan(record, lowered)
    if findings:
        raise WsecError(
            "WSEC602",
            f"the compiler made a plan that its own checker refuses ({len(findings)} findings)",
            where=findings[0].where,
            expected=findings[0].expected,
            found=findings[0].found,
            hint="please report this with the model and the options",
        )
