"""`wsec report`: a plan as a page to look at, and as a picture."""

from __future__ import annotations

from pathlib import Path

import click

from wsec.cli.command import WsecCommand, json_option, plan_argument
from wsec.cli.output import printable, write_json
from wsec.cli.progress import show_status


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec report model.plan -o report.html
  wsec report model.plan -o report.html --png floorplan.png --svg floorplan.svg

The page needs no network and nothing beside it: it can be mailed. A browser opens it.""",
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
    from wsec.loaded_plan import load_plan

    page = Path(f"{Path(plan).resolve().name.removesuffix('.plan')}.html") if output is None else output
    with show_status("drawing the plan"):
        load_plan(plan).report(page, png=png, svg=svg)
    written = {"report": page, "png": png, "svg": svg}
    if as_json:
        write_json({"plan": plan, **{name: path and str(path) for name, path in written.items()}})
        return
    for name, path in written.items():
        if path is not None:
            click.echo(f"{name:<8}{printable(str(path))}")  # never folded: names of files are copied
