"""`wsec bisect`: which pass is the first that changes the numbers of a model."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsec.cli.command import json_option
from wsec.cli.compile_options import dimensions
from wsec.cli.output import Column, make_console, write_json, write_labelled, write_table
from wsec.cli.pass_options import PassesCommand, pass_options, placed_passes
from wsec.cli.progress import show_status
from wsec.compiler.errors import ExitStatus

if TYPE_CHECKING:
    from wsec.pass_verification import PassNumbers

_COLUMNS = (
    Column("step", right=True),
    Column("pass", elastic=True),
    Column("changed", from_width=60),
    Column("of range", right=True),
    Column("equal", right=True),
)


@click.command(
    cls=PassesCommand,
    epilog="""\b
Examples:
  wsec bisect model.onnx --dim batch=1
  wsec bisect model.onnx --pass my_pkg.my_mod:MyPass --after fold-constants

Exit status 1 where a pass changes the numbers.""",
)
@click.argument("model", metavar="MODEL")
@click.option(
    "--dim",
    "dims",
    multiple=True,
    metavar="NAME=SIZE",
    callback=dimensions,
    help="Size of an open dimension; again for each.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    show_default=True,
    help="Of the random inputs.",
)
@pass_options
@json_option
@click.pass_context
def bisect(
    ctx: click.Context,
    *,
    model: str,
    dims: dict[str, int],
    seed: int,
    pass_specs: tuple[str, ...],
    after: tuple[str, ...],
    before: tuple[str, ...],
    pass_timeout: float,
    as_json: bool,
) -> None:
    """Find the first pass that changes the numbers of the ONNX file MODEL, and the first value that differs.

    The file and the model after each pass run in onnxruntime on the same random inputs.
    """
    from wsec.driver import Options, bisect_model

    passes = placed_passes(ctx, pass_specs, after, before)
    options = Options(dims=dims, passes=passes, pass_timeout=pass_timeout)
    with show_status("running the passes, and the model after each with onnxruntime"):
        steps = bisect_model(Path(model), options, seed)
    if as_json:
        write_json(
            {
                "model": model,
                "seed": seed,
                "passed": steps[-1].passed,
                "steps": [{**asdict(step), "passed": step.passed} for step in steps],
            }
        )
    else:
        _write(steps)
    if not steps[-1].passed:
        ctx.exit(ExitStatus.FAILED_CHECK)


def _write(steps: tuple[PassNumbers, ...]) -> None:
    console = make_console()
    write_table(console, _COLUMNS, [_row(step) for step in steps])
    last = steps[-1]
    if last.passed:
        write_labelled(console, (("verdict", "passed: no pass changes the numbers"),))
        return
    write_labelled(console, (("verdict", f"FAILED: {last.name} changes the numbers"),))
    if last.failure:
        write_labelled(console, (("onnxruntime", last.failure),))
    if last.difference is not None:
        error = last.difference.comparison.max_relative_error
        where = f"{last.difference.value} of {last.difference.operator}, by {error:.2g} of its range"
        write_labelled(console, (("first at", where),))


def _row(step: PassNumbers) -> tuple[str, ...]:
    error = max((output.max_relative_error for output in step.outputs), default=0.0)
    shown = f"{error:.2e}" if step.modified and not step.failure else ""
    return (
        str(step.index),
        step.name,
        "yes" if step.modified else "",
        shown,
        ("yes" if step.passed else "NO") if step.modified else "",
    )
