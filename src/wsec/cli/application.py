"""The program `wsec`: its commands in the order of work, and its entry point.

A command is imported when it is used: listing them all costs nothing of what they need.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import sys

import click

_EPILOG = """\b
Example:
  wsec compile model.onnx -o model.plan
  wsec run model.plan --verify

\b
Exit statuses:
  0    done, and the answer is yes
  1    done, and the answer is no: numbers differ, a plan is illegal
  2    the command line is wrong
  3    the model is at fault (WSEC1xx)
  4    the target is at fault (WSEC2xx)
  5    the model does not fit (WSEC3xx)
  6    a pass or a package of kernels is at fault (WSEC4xx)
  7    the plan or a file beside it is at fault (WSEC5xx)
  8    wsec itself is at fault (WSEC6xx)
  130  interrupted
  141  nobody reads the output any more
"""


_COMMANDS = {
    "compile": ("wsec.cli.compile:compile_plan", "Compile the ONNX file MODEL to a plan."),
    "fit": ("wsec.cli.fit:fit", "Say in seconds whether the ONNX file MODEL fits."),
    "run": ("wsec.cli.run:run", "Execute the plan in the folder PLAN, shard by shard."),
    "simulate": ("wsec.cli.simulate:simulate", "Simulate the plan in the folder PLAN, word by word."),
    "estimate": ("wsec.cli.estimate:estimate", "Estimate the cycles of the plan in the folder PLAN."),
    "report": ("wsec.cli.report:report", "Write a page about the plan in the folder PLAN."),
    "diff": ("wsec.cli.diff:diff", "Say what is different between two plans."),
    "check": ("wsec.cli.check:check", "Compile models and compare them with limits and a baseline."),
    "export": ("wsec.cli.export:export", "Write the plan in the folder PLAN as an ONNX model."),
    "check-plan": ("wsec.cli.check_plan:check_plan", "Check that the plan in the folder PLAN is legal."),
    "bisect": ("wsec.cli.bisect:bisect", "Find the first pass that changes the numbers of MODEL."),
    "targets": ("wsec.cli.targets:targets", "List the machines to compile for."),
    "passes": ("wsec.cli.passes:passes", "List the passes, in the order in which they run."),
    "kernels": ("wsec.cli.kernels:kernels", "List the kernels and the operators that they compute."),
    "explain": ("wsec.cli.explain:explain", "Say what an error code means and what to do."),
    "completion": ("wsec.cli.completion:completion", "Print what completes commands in a shell."),
}
"""Name -> where it is, and what the list of commands says of it."""


class CommandGroup(click.Group):
    """The commands in the order in which they are used, each imported when it is."""

    def list_commands(self, _ctx: click.Context) -> list[str]:
        """The names of the commands."""
        return list(_COMMANDS)

    def get_command(self, _ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name, or None."""
        if cmd_name not in _COMMANDS:
            return None
        module, _, attribute = _COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that is meant; else an error that suggests near ones, which click knows of imported ones only."""
        try:
            return super().resolve_command(ctx, args)
        except click.exceptions.NoSuchCommand as error:
            raise click.exceptions.NoSuchCommand(
                error.command_name, possibilities=_COMMANDS, ctx=ctx
            ) from None

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in _COMMANDS.items()])


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=_EPILOG,
)
@click.version_option(package_name="wsec", message="wsec %(version)s")
def application() -> None:
    """Compile ONNX models onto the core grid of a wafer-scale engine.

    No hardware is needed: a plan is checked, executed shard by shard with the same numbers as onnxruntime, and its
    cycles are estimated and simulated.
    """


def main() -> None:
    """Run the command line; ends the program with one of the documented statuses."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        with contextlib.suppress(ValueError):  # it was closed: nobody reads
            sys.stdout.reconfigure(errors="backslashreplace")  # names of tensors need not exist in the locale
    # Set before numpy loads: small products gain nothing from a second thread, and `run` compares with one thread.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    application(prog_name="wsec")
