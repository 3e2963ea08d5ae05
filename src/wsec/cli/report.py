"""`wsec report`: a plan as a page to look at, and as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsec.cli.command import WsecCommand, json_option, plan_argument
from wsec.cli.output import printable, write_json
from wsec.cli.progress import show_status
from wsec.compiler.errors import WsecError
from wsec.runtime.report.failure import FAILURE_SUFFIX

if TYPE_CHECKING:
    from wsec.loaded_plan import Plan


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec report model.plan -o report.html
  wsec report model.plan -o report.html --png floorplan.png --svg floorplan.svg
  wsec report model.plan.failed.json

The page needs no network and nothing beside it: it can be mailed. A browser opens it. Of a compilation that failed it says how
far it came, why it went no further, and what to do.""",
)
@plan_argument
@click.option(
    "--output",
    "-o",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="The page; by default the plan's name with .html, in the current folder.",
)
@click.option(
    "--png", metavar="FILE", type=click.Path(path_type=Path), help="Write the floorplan as pixels too."
)
@click.option(
    "--svg", metavar="FILE", type=click.Path(path_type=Path), help="Write the floorplan as lines too."
)
@json_option
def report(*, plan: str, output: Path | None, png: Path | None, svg: Path | None, as_json: bool) -> None:
    """Write the plan in the folder PLAN as one HTML page: floorplan, limits, timeline, memory and kernels."""
    page = Path(f"{_stem(Path(plan))}.html") if output is None else output
    if plan.endswith(FAILURE_SUFFIX) and not Path(plan).is_dir():
        if png is not None or svg is not None:
            raise click.UsageError("a compilation that failed has no floorplan: leave out --png and --svg")
        _write_failure(Path(plan), page)
    else:
        with show_status("drawing the plan"):
            _load(plan).report(page, png=png, svg=svg)
    written = {"report": page, "png": png, "svg": svg}
    if as_json:
        write_json({"plan": plan, **{name: path and str(path) for name, path in written.items()}})
        return
    for name, path in written.items():
        if path is not None:
            click.echo(f"{name:<8}{printable(str(path))}")  # never folded: names of files are copied


def _stem(plan: Path) -> str:
    """What the page is called after: `model` of `model.plan`, `model.failed` of `model.plan.failed.json`."""
    name = plan.resolve().name
    if name.endswith(FAILURE_SUFFIX):
        return name.removesuffix(FAILURE_SUFFIX).removesuffix(".plan") + ".failed"
    return name.removesuffix(".plan")


def _load(plan: str) -> Plan:
    """The plan; where there is none because its compilation failed, the error says so."""
    from wsec.loaded_plan import load_plan

    try:
        return load_plan(plan)
    except WsecError as error:
        failed = Path(f"{plan.rstrip('/')}{FAILURE_SUFFIX}")
        if failed.is_file():
            error.add_note(f"its last compilation failed; wsec report {failed} says why")
        raise


def _write_failure(path: Path, page: Path) -> None:
    from wsec.cli.explain import error_pages
    from wsec.runtime.report import write_failure_page
    from wsec.runtime.report.failure import read_failure

    failure = read_failure(path)
    explanation = error_pages().get(failure.error["code"])
    write_failure_page(page, failure, "" if explanation is None else explanation.read_text(encoding="utf-8"))
