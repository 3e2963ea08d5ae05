"""`wsec compile`: an ONNX model in, a plan folder and a summary out."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsec.cli.command import json_option
from wsec.cli.failure_report import Progress, forget_failure, write_failure
from wsec.cli.interrupt import InterruptHandler
from wsec.cli.pass_options import PassesCommand, pass_options, placed_passes
from wsec.cli.progress import show_progress
from wsec.cli.sizes import size
from wsec.cli.summary import summarize, write_summary
from wsec.cli.time_left import StageTimes, stage_times_file
from wsec.compiler.target import parse_region

if TYPE_CHECKING:
    from wsec.compiler.plan import FabricDepth, Objective, Products, StatesChoice
    from wsec.driver import Options, StageEvent
    from wsec.loaded_plan import Plan

COLLECTIVES = ("auto", "chain", "two_phase", "two_level", "tree", "star", "ring")


def dimensions(_ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]) -> dict[str, int]:
    """The sizes of open dimensions out of texts `NAME=SIZE`; a name may hold equal signs of its own."""
    sizes: dict[str, int] = {}
    for text in texts:
        name, _, size = text.rpartition("=")
        if not name or not re.fullmatch("0*[1-9][0-9]{0,17}", size):
            raise click.BadParameter(f"{text!r} is not NAME=SIZE with a size of at least 1, such as batch=8")
        if sizes.setdefault(name, int(size)) != int(size):
            raise click.BadParameter(f"{name} is given as {sizes[name]} and as {int(size)}")
    return sizes


def _effort(_ctx: click.Context, _parameter: click.Parameter, effort: float) -> float:
    if not (math.isfinite(effort) and effort >= 0):
        raise click.BadParameter(f"{effort} is not a number of at least 0")
    return effort


def _rate(_ctx: click.Context, _parameter: click.Parameter, rate: float | None) -> float | None:
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise click.BadParameter(f"{rate} is not a number above 0")
    return rate


def part_count(_ctx: click.Context, parameter: click.Parameter, text: str) -> int | None:
    """How many wafers or phases; None for `auto`."""
    if text == "auto":
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,5}", text):
        raise click.BadParameter(f"{text!r} is not a number of {parameter.name} from 1 on, nor auto")
    return int(text)


def sample_count(_ctx: click.Context, _parameter: click.Parameter, text: str) -> int | None:
    """How many samples; None for `auto`."""
    if text == "auto":
        return None
    if not re.fullmatch("0*[1-9][0-9]{0,8}", text):
        raise click.BadParameter(f"{text!r} is not a number of samples from 1 on, nor auto")
    return int(text)


@click.command(
    "compile",
    cls=PassesCommand,
    epilog="""\b
Examples:
  wsec compile resnet50.onnx -o resnet50.plan
  wsec compile bert.onnx --target wse3 --dim batch=1 --dim sequence=128
  wsec compile small.onnx --region 96x96 --json
  wsec compile large.onnx --wafers auto
  wsec compile decoder.onnx --mode sequential
  wsec compile decoder.onnx --prefill prefill.onnx --mode sequential -o model.plan
  wsec compile large.onnx --phases auto
  wsec compile model.onnx --pass my_pkg.my_mod:MyPass{limit=8} --after fold-constants

Ctrl-C during placement keeps the best plan so far; a second one leaves at once, with nothing written.""",
)
@click.argument("model", metavar="MODEL")
@click.option(
    "-o", "--output", metavar="PLAN", help="Folder of the plan.  [default: name of the model, with .plan]"
)
@click.option(
    "--target",
    default="wse2",
    show_default=True,
    metavar="NAME|FILE",
    help="A machine of `wsec targets`, or a TOML file.",
)
@click.option("--region", metavar="COLUMNSxROWS", help="Use only so many cores, such as 96x96.")
@click.option(
    "--dim",
    "dims",
    multiple=True,
    metavar="NAME=SIZE",
    callback=dimensions,
    help="Size of an open dimension; again for each.",
)
@click.option(
    "--effort",
    type=float,
    default=1.0,
    callback=_effort,
    show_default=True,
    help="How hard placement searches; 0 takes the first answer.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**31 - 1), default=0, show_default=True, help="Of that search."
)
@click.option(
    "--dump-passes",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Write the model before and after each pass.",
)
@pass_options
@click.option(
    "--verify-passes",
    is_flag=True,
    help="Run the numbers after each pass, and stop at the first that changes them.",
)
@click.option(
    "--defects",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A TOML file of dead rows, columns and cores of the wafer, which the plan leaves out.",
)
@click.option(
    "--constraints",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="A TOML file of what must hold of the placement: pins, regions, forbidden areas, neighbours, edges.",
)
@click.option(
    "--wafers",
    metavar="N|auto",
    default="1",
    show_default=True,
    callback=part_count,
    help="Divide the model over so many wafers; auto: over the fewest that it fits on.",
)
@click.option(
    "--mode",
    default="pipelined",
    show_default=True,
    metavar="NAME",
    help="pipelined: kernels work at once; sequential: they take turns, for latency; streaming: weights come in phase by phase; "
    "auto: the best that fits. Several with commas: one for each wafer.",
)
@click.option(
    "--objective",
    type=click.Choice(("throughput", "latency")),
    default="throughput",
    show_default=True,
    help="By which --mode auto chooses.",
)
@click.option(
    "--phases",
    metavar="N|auto",
    default="1",
    show_default=True,
    callback=part_count,
    help="Let so many parts of the model take turns on each wafer; auto: the number with the shortest interval of those that are tried.",
)
@click.option(
    "--samples-per-phase",
    metavar="N|auto",
    default="auto",
    show_default=True,
    callback=sample_count,
    help="Samples on which a phase works before the weights of the next are loaded; auto: as many as make loads and fills a "
    "small part of a round.",
)
@click.option(
    "--collective",
    type=click.Choice(COLLECTIVES),
    metavar="NAME",
    default="auto",
    show_default=True,
    help=f"How cores combine partial results: {', '.join(COLLECTIVES)}.",
)
@click.option(
    "--fabric",
    type=click.Choice(("lanes", "full")),
    default="lanes",
    show_default=True,
    help="Follow words between kernels, or from core to core: what simulate needs.",
)
@click.option(
    "--states",
    type=click.Choice(("auto", "none")),
    default="auto",
    show_default=True,
    help="Keep the KV cache of a decoder on the wafer between two runs, or let it come and go.",
)
@click.option(
    "--products",
    type=click.Choice(("auto", "sums", "shifts")),
    default="auto",
    show_default=True,
    help="Where kernels take turns: products of matrices by sums of parts, by shifts of operands, or the faster.",
)
@click.option(
    "--prefill",
    metavar="MODEL2",
    type=click.Path(path_type=Path),
    help="The prefill of the decoder MODEL: planned on the same cores, with the weights that both have there once.",
)
@click.option(
    "--prefill-dim",
    "prefill_dims",
    multiple=True,
    metavar="NAME=SIZE",
    callback=dimensions,
    help="Size of an open dimension of that model, where it differs from --dim; again for each.",
)
@click.option(
    "--weights-of",
    metavar="PLAN2",
    type=click.Path(path_type=Path),
    help="Compile MODEL as the prefill of the decoder of this plan, whose weights it uses.",
)
@click.option("--no-host", is_flag=True, help="Refuse a model of which a part would run on the host.")
@click.option(
    "--min-throughput",
    metavar="RATE",
    type=float,
    callback=_rate,
    help="Samples a second that the plan has to make, by its estimate; a slower one is refused with what holds it up.",
)
@click.option(
    "--max-memory",
    metavar="SIZE",
    callback=size,
    help="What compiling may take of this machine's memory, such as 4GB; it stops itself there.",
)
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Print nothing but errors, and what --json asks for.")
@click.option("-v", "--verbose", is_flag=True, help="Print what each stage does, also where nobody watches.")
@click.pass_context
def compile_plan(
    ctx: click.Context,
    *,
    model: str,
    output: str | None,
    target: str,
    region: str | None,
    dims: dict[str, int],
    effort: float,
    seed: int,
    dump_passes: Path | None,
    pass_specs: tuple[str, ...],
    after: tuple[str, ...],
    before: tuple[str, ...],
    pass_timeout: float,
    verify_passes: bool,
    defects: Path | None,
    constraints: Path | None,
    wafers: int | None,
    mode: str,
    objective: Objective,
    phases: int | None,
    samples_per_phase: int | None,
    collective: str,
    fabric: FabricDepth,
    states: StatesChoice,
    products: Products,
    prefill: Path | None,
    prefill_dims: dict[str, int],
    weights_of: Path | None,
    no_host: bool,
    min_throughput: float | None,
    max_memory: int | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Compile the ONNX file MODEL to a plan.

    The plan says which cores compute which part of which operator, and where every tensor travels. It is checked
    before it is written. Equal models and options give equal plans.
    """
    from wsec.driver import Options, PrefillRequest

    if prefill_dims and prefill is None:
        raise click.UsageError("--prefill-dim belongs to --prefill")
    if prefill is not None and weights_of is not None:
        raise click.UsageError("--prefill and --weights-of: MODEL is either the decoder or the prefill")
    options = Options(
        target=target,
        region=None if region is None else parse_region(region),
        dims=dims,
        effort=effort,
        seed=seed,
        passes=placed_passes(ctx, pass_specs, after, before),
        dump_passes=dump_passes,
        verify_passes=verify_passes,
        pass_timeout=pass_timeout,
        host=not no_host,
        defects=defects,
        constraints=() if constraints is None else constraints,
        wafers=wafers,
        mode=mode,
        objective=objective,
        phases=phases,
        samples_per_phase=samples_per_phase,
        collective=collective,
        fabric=fabric,
        states=states,
        min_throughput=min_throughput,
        max_memory=max_memory,
        products=products,
    )
    folder = Path(f"{Path(model).stem}.plan") if output is None else Path(output)
    pair: dict[str, Any] = {} if weights_of is None else {"weights_of": weights_of}
    if prefill is not None:
        pair["prefill"] = PrefillRequest(prefill, prefill_dims)
    plan, stages = _compile(Path(model), options, folder, pair, quiet=quiet, verbose=verbose)
    if as_json or not quiet:
        write_summary(summarize(plan, folder, stages), as_json=as_json)


def _compile(
    model: Path, options: Options, folder: Path, pair: dict[str, Any], *, quiet: bool, verbose: bool
) -> tuple[Plan, dict[str, float]]:
    """The plan, and the seconds of each stage."""
    from wsec.driver import compile_model

    def times() -> StageTimes:
        return StageTimes(stage_times_file(), model, options)

    progress = Progress()
    with show_progress(quiet=quiet, verbose=verbose, times=times) as show, InterruptHandler() as interrupts:

        def observe(event: StageEvent) -> None:
            interrupts.watch(event)
            progress.watch(event)
            show(event)

        try:
            plan = compile_model(model, options, folder, observe, interrupts.stop, **pair)
        except Exception as error:
            write_failure(folder, model, str(options.target), progress, error)
            raise
    forget_failure(folder)
    return plan, progress.stages
