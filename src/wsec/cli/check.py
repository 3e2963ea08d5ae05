"""`wsec check`: models compiled, verified and held against limits and a baseline, for pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wsec.checking.limits import Limits, parse_cycles, parse_requirement, parse_share
from wsec.checking.records import CheckStatus
from wsec.cli.command import WsecCommand, json_option
from wsec.cli.compile_options import compile_options, requested
from wsec.cli.progress import show_progress
from wsec.cli.sizes import size

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.checking.cache import Cache
    from wsec.checking.records import CheckResult

FORMATS = ("text", "json", "junit", "sarif", "github", "markdown")
_BASELINE = Path("wsec-baseline.json")

Parsed = TypeVar("Parsed")


def _parser(
    parse: Callable[[str], Parsed],
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], tuple[Parsed, ...]]:
    def callback(
        _ctx: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
    ) -> tuple[Parsed, ...]:
        try:
            return tuple(map(parse, texts))
        except ValueError as error:
            raise click.BadParameter(str(error)) from error

    return callback


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec check model.onnx --baseline wsec-baseline.json --update-baseline
  wsec check model.onnx --baseline wsec-baseline.json --max-cycles +2%
  wsec check first.onnx second.onnx --max-memory 90% --require split=95% --format github

Exit status 0 where all is well, 1 for a regression, 2 for an error: a model that cannot be compiled, a baseline that is
missing or stale. docs/check.md has the formats and a pipeline of five lines.""",
)
@click.argument("models", metavar="MODEL...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--baseline",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Compare with the figures in this file.",
)
@click.option(
    "--update-baseline", is_flag=True, help=f"Write the figures into it instead.  [default: {_BASELINE}]"
)
@click.option(
    "--max-cycles",
    metavar="+N%|N",
    multiple=True,
    callback=_parser(parse_cycles),
    help="How far interval and latency may be above the baseline, or the most cycles of the interval.  [default: +0%]",
)
@click.option(
    "--max-memory",
    metavar="N%",
    multiple=True,
    callback=_parser(parse_share),
    help="How full the fullest core may be.",
)
@click.option(
    "--require",
    metavar="NAME=N%",
    multiple=True,
    callback=_parser(parse_requirement),
    help="The least share: split (of the arithmetic, over cores), wafer (of operators), utilisation.",
)
@click.option(
    "--verify/--no-verify",
    default=True,
    help="Execute plans and compare with onnxruntime.  [default: verify]",
)
@compile_options
@click.option(
    "--max-compiler-memory",
    metavar="SIZE",
    callback=size,
    help="What compiling may take, such as 4GB: --max-memory of compile.",
)
@click.option(
    "--cache-dir",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Where plans are kept.  [default: WSEC_CACHE_DIR, or wsec in the user's cache folder]",
)
@click.option(
    "--cache-size",
    metavar="SIZE",
    default="4GiB",
    show_default=True,
    callback=size,
    help="What they may take.",
)
@click.option("--no-cache", is_flag=True, help="Compile every model.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="text",
    show_default=True,
    help="For people, programs, or the pages of a pipeline.",
)
@click.option(
    "-o", "--output", metavar="FILE", type=click.Path(path_type=Path), help="Write the result to a file."
)
@json_option
@click.option("-q", "--quiet", is_flag=True, help="Say nothing of progress.")
@click.option("-v", "--verbose", is_flag=True, help="Say what each stage does, also where nobody watches.")
@click.pass_context
def check(
    ctx: click.Context,
    /,
    *,
    models: tuple[Path, ...],
    baseline: Path | None,
    update_baseline: bool,
    max_cycles: tuple[float | int, ...],
    max_memory: tuple[float, ...],
    require: tuple[tuple[str, float], ...],
    verify: bool,
    max_compiler_memory: int | None,
    cache_dir: Path | None,
    cache_size: int,
    no_cache: bool,
    form: str,
    as_json: bool,
    output: Path | None,
    quiet: bool,
    verbose: bool,
    **common: Any,
) -> None:
    """Compile each MODEL, compare its numbers with onnxruntime, and its cycles, memory and split with limits and a baseline.

    A plan is kept by the contents of all that it depends on: a model that has not changed costs next to nothing.
    """
    from wsec.checking.check import CheckRequest, check_models
    from wsec.checking.files import check_file_place
    from wsec.compiler.errors import WsecError
    from wsec.driver import Options

    if baseline is None and any(isinstance(limit, float) for limit in max_cycles):
        raise click.UsageError("--max-cycles +N% compares with --baseline", ctx)
    form = "json" if as_json else form
    if update_baseline and baseline is None:
        baseline = _BASELINE
    try:
        if output is not None:
            check_file_place(output, "the result")
        options = Options(**requested(common), max_memory=max_compiler_memory)
        with show_progress(quiet=quiet, verbose=verbose) as observe:
            request = CheckRequest(
                options=options,
                limits=_limits(max_cycles, max_memory, require),
                verify=verify,
                baseline=baseline,
                update=update_baseline,
                cache=None if no_cache else _cache(cache_dir, cache_size),
                observer=observe,
            )
            result = check_models(models, request)
        _write(result, form, output)
    except WsecError as error:
        from wsec.cli.command import report_error

        report_error(error, as_json=form == "json")
        ctx.exit(CheckStatus.ERROR)
    ctx.exit(result.status)


def _limits(
    max_cycles: tuple[float | int, ...], max_memory: tuple[float, ...], require: tuple[tuple[str, float], ...]
) -> Limits:
    """Of several of a kind the strictest counts."""
    return Limits(
        growth=min((limit for limit in max_cycles if isinstance(limit, float)), default=0.0),
        cycles=min((limit for limit in max_cycles if isinstance(limit, int)), default=None),
        memory_share=min(max_memory, default=1.0),
        shares=require,
    )


def _cache(folder: Path | None, size: int) -> Cache:
    from wsec.checking.cache import Cache, default_folder

    return Cache(default_folder() if folder is None else folder, size)


def _write(result: CheckResult, form: str, output: Path | None) -> None:
    from wsec.checking.files import write_text
    from wsec.checking.formats import render

    text = render(result, form)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_text(output, text, "the result")
