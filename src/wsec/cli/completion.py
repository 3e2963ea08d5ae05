"""`wsec completion`: completion of commands and options in shells."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from wsec.cli.command import WsecCommand

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_WSEC_COMPLETE"  # set by the printed script, and looked for by click, when the shell asks


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  eval "$(wsec completion bash)"    (in ~/.bashrc)
  eval "$(wsec completion zsh)"     (in ~/.zshrc)
  source (wsec completion fish | psub)""",
)
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what completes commands and options of wsec in SHELL: bash, zsh or fish."""
    script = get_completion_class(shell)
    if script is None:
        raise AssertionError(f"click knows no completion for {shell}")
    program = context.find_root()
    click.echo(script(program.command, {}, "wsec", _VARIABLE).source())
