"""`wsec compile`: an ONNX model in, a plan folder and a summary out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from wsec.cli.command import json_option
from wsec.cli.compile_options import compile_options, dimensions, requested
from wsec.cli.failure_report import Progress, forget_failure, write_failure
from wsec.cli.interrupt import InterruptHandler
from wsec.cli.pass_options import PassesCommand, pass_options, placed_passes
from wsec.cli.progress import show_progress
from wsec.cli.sizes import size
from wsec.cli.summary import summarize, write_summary
from wsec.cli.time_left import StageTimes, stage_times_file

if TYPE_CHECKING:
    from wsec.driver import Options, StageEvent
    from wsec.loaded_plan import Plan


def _rate(_ctx: click.Context, _parameter: click.Parameter, rate: float | None) -> float | None:
    if rate is not None and not (math.isfinite(rate) and rate > 0):
        raise click.BadParameter(f"{rate} is not a number above 0")
    return rate


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
@compile_options
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
    /,
    *,
    model: str,
    output: str | None,
    dump_passes: Path | None,
    pass_specs: tuple[str, ...],
    after: tuple[str, ...],
    before: tuple[str, ...],
    pass_timeout: float,
    verify_passes: bool,
    prefill: Path | None,
    prefill_dims: dict[str, int],
    weights_of: Path | None,
    min_throughput: float | None,
    max_memory: int | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
    **common: Any,
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
        **requested(common),
        passes=placed_passes(ctx, pass_specs, after, before),
        dump_passes=dump_passes,
        verify_passes=verify_passes,
        pass_timeout=pass_timeout,
        min_throughput=min_throughput,
        max_memory=max_memory,
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
