"""`wsec passes`: the default pipeline, and every pass there is."""

from __future__ import annotations

import inspect

import click

from wsec.cli.command import WsecCommand, json_option
from wsec.cli.output import make_console, write_json, write_labelled


@click.command(
    cls=WsecCommand,
    epilog="""\b
Example:
  wsec passes
  wsec compile model.onnx --pass my-pass --after fold-constants --dump-passes dumps""",
)
@json_option
def passes(*, as_json: bool) -> None:
    """List the passes that lower a model, in the order in which they run, each with its reason.

    Behind them stand the other passes that are installed, with the package that brings them.
    """
    from wsec.passes.pipeline import PIPELINE
    from wsec.passes.registry import installed_passes

    installed = installed_passes()
    summaries = {name: _summary(name) for name in installed}
    others = [name for name in summaries if name not in dict(PIPELINE)]
    if as_json:
        write_json(
            {
                "pipeline": [
                    {
                        "name": name,
                        "summary": summaries[name],
                        "reason": reason,
                        "origin": installed[name].origin,
                    }
                    for name, reason in PIPELINE
                ],
                "others": [
                    {"name": name, "summary": summaries[name], "origin": installed[name].origin}
                    for name in others
                ],
            }
        )
        return
    console = make_console()
    for position, (name, reason) in enumerate(PIPELINE, 1):
        console.print(f"{position:>2}  {name}", style="bold")
        write_labelled(console, (("does", summaries[name]), ("here because", reason)), indent=4)
    if others:
        console.print("\nNot in the default pipeline:")
    for name in others:
        console.print(f"    {name}", style="bold")
        write_labelled(console, (("does", summaries[name]), ("from", installed[name].origin)), indent=4)


def _summary(name: str) -> str:
    """The first paragraph of the docstring of a pass, as one line."""
    from wsec.passes.registry import load_pass

    text = inspect.getdoc(load_pass(name)) or ""
    return " ".join(text.partition("\n\n")[0].split())
