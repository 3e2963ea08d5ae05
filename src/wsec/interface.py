"""The functions of `import wsec`: compile a model, ask whether it fits, check models, report on a plan."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wsec.checking.check import CheckRequest, check_models
from wsec.checking.limits import Limits, parse_cycles, parse_share
from wsec.driver import DEFAULT_PASS_TIMEOUT, Options, PrefillRequest, compile_model, fit_model, ignore
from wsec.loaded_plan import Plan, load_plan

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from wsec.checking.records import CheckResult
    from wsec.compiler.ledger import Fit
    from wsec.compiler.placement import Constraint
    from wsec.compiler.plan import FabricDepth, Objective, Products, StatesChoice
    from wsec.compiler.target import Target
    from wsec.driver import StageEvent
    from wsec.passes import Pass, PlacedPass


def compile(  # noqa: A001 - the name users expect; the builtin is not used here
    model: str | Path,
    *,
    target: str | Path | Target = "wse2",
    region: tuple[int, int] | None = None,
    dims: Mapping[str, int] | None = None,
    output: str | Path | None = None,
    effort: float = 1.0,
    seed: int = 0,
    passes: Sequence[Pass | PlacedPass] = (),
    pipeline: Sequence[Pass] | None = None,
    verify_passes: bool = False,
    dump_passes: str | Path | None = None,
    pass_timeout: float | None = DEFAULT_PASS_TIMEOUT,
    host: bool = True,
    defects: str | Path | None = None,
    constraints: str | Path | Sequence[Constraint] = (),
    mode: str = "pipelined",
    objective: Objective = "throughput",
    wafers: int | None = 1,
    phases: int | None = 1,
    samples_per_phase: int | None = None,
    collective: str = "auto",
    fabric: FabricDepth = "lanes",
    states: StatesChoice = "auto",
    min_throughput: float | None = None,
    max_memory: int | None = None,
    products: Products = "auto",
    prefill: str | Path | None = None,
    weights_of: str | Path | None = None,
    observer: Callable[[StageEvent], None] | None = None,
) -> Plan:
    """Compile an ONNX file onto the grid of a wafer-scale engine.

    Args:
        model: Path of the ONNX file.
        target: Name of a shipped target, path of a target file, or a loaded target.
        region: Columns and rows of the grid to use; all of it by default.
        dims: Sizes of the model's open dimensions, by name or `input:axis`.
        output: Folder of the plan; by default a temporary one that lives as long as the plan object.
        effort: How hard placement searches; the same effort gives the same plan on any machine.
        seed: Of that search.
        passes: Passes of your own, run beside those of the pipeline; `wsec.api.passes.PlacedPass` gives one a place.
        pipeline: The lowering pipeline; the default one if None.
        verify_passes: Compare the numbers with the original model after each pass.
        dump_passes: Folder for the model before the first pass and after each.
        pass_timeout: Seconds that one pass may take; None for any time.
        host: Operators that cores cannot run may run on the host; False makes them an error.
        defects: A TOML file that lists dead cores of the wafer.
        constraints: What must hold of the placement: a TOML file, or records of `wsec.compiler.placement` that name
            operators.
        mode: How kernels share the wafer (docs/modes.md): `pipelined`, `sequential`, `streaming`, or `auto` for the best by
            `objective` of those that fit.
        objective: `throughput` or `latency`, for `auto`.
        wafers: How many to divide the model over; None for the fewest that it fits on.
        phases: How many parts of the model take turns on the wafer; None for the fewest with which it fits.
        samples_per_phase: On how many samples a phase works before the next one's weights are loaded; None for as many as
            make loads and fills a small part of a round.
        collective: How cores combine partial results, docs/collectives.md.
        fabric: `lanes` routes words between the rectangles of kernels; `full` from core to core, which can be simulated.
        states: `auto` keeps the KV cache of a decoder on the wafer between two runs; `none` does not (docs/states.md).
        min_throughput: Samples a second that the plan has to make by its estimate; None for any number.
        max_memory: The most resident bytes that this process may come to hold meanwhile; None for any number.
        products: Where kernels take turns: products of matrices by `shifts` of their operands, by `sums` of parts, or whichever is
            faster (docs/modes.md).
        prefill: The model of the prefill of this decoder, planned on the same cores with the weights of both there once
            (docs/pairs.md); the plan's `prefill` is its plan.
        weights_of: The plan folder of a decoder, of which this model is the prefill.
        observer: Called with a `StageEvent` as stages begin, progress and end.

    Raises:
        WsecError: The model, the target or the fit is at fault; `code`, `where`, `expected`, `found`, `hint` say how.
    """
    options = Options(
        target=target,
        region=region,
        dims=dims,
        effort=effort,
        seed=seed,
        passes=passes,
        pipeline=pipeline,
        verify_passes=verify_passes,
        dump_passes=None if dump_passes is None else Path(dump_passes),
        pass_timeout=pass_timeout,
        host=host,
        defects=None if defects is None else Path(defects),
        constraints=constraints,
        mode=mode,
        objective=objective,
        wafers=wafers,
        phases=phases,
        samples_per_phase=samples_per_phase,
        collective=collective,
        fabric=fabric,
        states=states,
        min_throughput=min_throughput,
        max_memory=max_memory,
        products=products,
    )
    folder = None if output is None else Path(output)
    request = None if prefill is None else PrefillRequest(prefill)
    heard = ignore if observer is None else observer
    return compile_model(model, options, folder, heard, prefill=request, weights_of=weights_of)


def fit(
    model: str | Path,
    *,
    target: str | Path | Target = "wse2",
    region: tuple[int, int] | None = None,
    wafers: int | None = 1,
    dims: Mapping[str, int] | None = None,
    context: int | None = None,
    batch: int | None = None,
) -> Fit:
    """Say what a model needs of the memory of the wafers, without compiling it and without reading its weights.

    Args:
        model: Path of the ONNX file.
        target: Name of a shipped target, path of a target file, or a loaded target.
        region: Columns and rows of each wafer to use; all of it by default.
        wafers: How many there are; None for the fewest.
        dims: Sizes of the model's open dimensions, by name or `input:axis`.
        context: Positions of the KV cache; those of the model by default.
        batch: Sequences of the KV cache; likewise.

    Returns:
        The ledger; its `unmet` is the error to raise where `fits` is false.

    Raises:
        WsecError: The model or the target cannot be read, or the question makes no sense (WSEC363, WSEC372, WSEC373).
    """
    return fit_model(model, Options(target=target, region=region, dims=dims, wafers=wafers), batch, context)


def check(
    models: str | Path | Sequence[str | Path],
    *,
    baseline: str | Path | None = None,
    update_baseline: bool = False,
    max_cycles: str | None = None,
    max_memory: str = "100%",
    require: Mapping[str, str] | None = None,
    verify: bool = True,
    cache_dir: str | Path | None = None,
    options: Options | None = None,
) -> CheckResult:
    """Compile and verify models, and compare their figures with limits and a baseline, as `wsec check` does.

    Args:
        models: ONNX files, or one.
        baseline: A file of figures to compare with.
        update_baseline: Write the figures into that file instead.
        max_cycles: `+2%` over the baseline, or the most cycles of the interval.
        max_memory: How full the fullest core may be, such as `90%`.
        require: The least shares by name, such as `{"split": "95%"}`; also `wafer` and `utilisation`.
        verify: Execute plans and compare with onnxruntime.
        cache_dir: Where plans are kept between calls; none are kept by default.
        options: How to compile (`wsec.driver.Options`).

    Returns:
        What was found of each model; its `passed` says whether all is well. Nothing that is wrong with a model is raised.

    Raises:
        ValueError: A limit is none.
    """
    from wsec.checking.cache import Cache
    from wsec.checking.limits import parse_requirement

    most = None if max_cycles is None else parse_cycles(max_cycles)
    limits = Limits(
        growth=most if isinstance(most, float) else 0.0,
        cycles=most if isinstance(most, int) else None,
        memory_share=parse_share(max_memory),
        shares=tuple(parse_requirement(f"{name}={share}") for name, share in (require or {}).items()),
    )
    if baseline is None and (update_baseline or isinstance(most, float)):
        raise ValueError("update_baseline and a growth as max_cycles need a baseline")
    request = CheckRequest(
        options=Options() if options is None else options,
        limits=limits,
        verify=verify,
        baseline=None if baseline is None else Path(baseline),
        update=update_baseline,
        cache=None if cache_dir is None else Cache(Path(cache_dir)),
    )
    given = (models,) if isinstance(models, str | Path) else models
    return check_models([Path(model) for model in given], request)


def report(
    plan: Plan | str | Path,
    output: str | Path = "report.html",
    *,
    png: str | Path | None = None,
    svg: str | Path | None = None,
) -> Path:
    """Write a plan, or the one in a folder, as one HTML page that needs nothing beside it.

    Args:
        plan: A plan, or its folder.
        output: The page.
        png: A picture of the floorplan, in pixels.
        svg: The same, in lines.

    Returns:
        Where the page is.

    Raises:
        WsecError: WSEC5xx where it is no plan, or a file cannot be written.
    """
    loaded = plan if isinstance(plan, Plan) else load_plan(plan)
    loaded.report(output, png=png, svg=svg)
    return Path(output)
