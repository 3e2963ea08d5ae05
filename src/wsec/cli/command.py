"""What every command has in common: `--json`, `--quiet`, `--verbose`, and how it ends when something goes wrong.

Guarantees: a `WsecError` becomes its text on stderr, or one JSON object on stdout, and its exit status; anything else
that goes wrong is a bug and becomes WSEC600 with its traceback; an interrupt ends with status 130.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wsec.cli.output import printable, write_json
from wsec.cli.progress import QUIET
from wsec.compiler.errors import ExitStatus, WsecError

if TYPE_CHECKING:
    from collections.abc import Callable

    Decorated = TypeVar("Decorated", bound="Callable[..., Any] | click.Command")


_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG})


class WsecCommand(click.Command):
    """A command whose errors end the program as docs/cli.md says, with `--quiet` and `--verbose` where it has none of its own."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        taken = {parameter.name for parameter in self.params}
        self.params += [option for option in _volume_options() if option.name not in taken]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; errors are reported and become the exit status."""
        as_json = bool(ctx.params.get("as_json"))
        try:
            if ctx.meta.get(QUIET) and not as_json:
                with contextlib.redirect_stdout(io.StringIO()):
                    return super().invoke(ctx)
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # click's own: usage errors and exits
        except BrokenPipeError:
            _discard_output()
            ctx.exit(ExitStatus.NO_READER)
        except WsecError as error:
            report_error(error, as_json=as_json)
            ctx.exit(error.exit_status)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                report_error(bug_report(error), as_json=as_json, traceback=traceback_of(error))
                ctx.exit(ExitStatus.INTERNAL)
            report_error(_no_room_for_results(error), as_json=False)  # stdout is what failed
            ctx.exit(ExitStatus.PLAN)
        except KeyboardInterrupt:
            click.echo("interrupted: nothing was written", err=True)
            ctx.exit(ExitStatus.INTERRUPTED)
        except Exception as error:  # noqa: BLE001 - the one place where any bug becomes a message
            report_error(bug_report(error), as_json=as_json, traceback=traceback_of(error))
            ctx.exit(ExitStatus.INTERNAL)


def _volume_options() -> list[click.Option]:
    """`--quiet` and `--verbose` of a command that leaves them to `WsecCommand`: what they ask for is in the context's `meta`."""

    def keep(ctx: click.Context, option: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click calls it so
        ctx.meta[f"wsec.{option.name}"] = value

    quiet = "Print nothing but errors, and what --json asks for."
    verbose = "Say what takes time, also where nobody watches."
    return [
        click.Option(["--quiet", "-q"], is_flag=True, expose_value=False, callback=keep, help=quiet),
        click.Option(["--verbose", "-v"], is_flag=True, expose_value=False, callback=keep, help=verbose),
    ]


def json_option(function: Decorated) -> Decorated:
    """Adds `--json`, which the command receives as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")(
        function
    )


def plan_argument(function: Decorated) -> Decorated:
    """Adds the folder that `wsec compile` wrote, which the command receives as `plan`."""
    return click.argument("plan", metavar="PLAN")(function)


def trace_option(function: Decorated) -> Decorated:
    """Adds `--trace`, which the command receives as `trace`."""
    kind = click.Path(path_type=Path)
    return click.option("--trace", metavar="FILE", type=kind, help="Write a trace for Chrome or Perfetto.")(
        function
    )


def report_error(error: WsecError, *, as_json: bool, traceback: str = "") -> None:
    """Print an error: `{"error": {...}}` on stdout for `--json`, else text on stderr."""
    notes = list(getattr(error, "__notes__", ()))
    if as_json:
        entry: dict[str, object] = {**error.to_json(), "notes": notes}
        write_json({"error": {**entry, "traceback": traceback} if traceback else entry})
        return
    lines = [*str(error).splitlines(), *(f"  {'note:':<10}{note}" for note in notes)]
    click.echo("\n".join(printable(line) for line in lines), err=True)
    if traceback:
        click.echo(f"\n{traceback}", err=True, nl=False)


def bug_report(error: Exception) -> WsecError:
    """What the user sees of an exception that nobody foresaw."""
    import platform
    from importlib.metadata import version

    report = WsecError(
        code="WSEC600",
        what="this is a bug in wsec",
        where=f"wsec {version('wsec')}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
        expected="a result, or an error that says what to do",
        found=f"{type(error).__name__}: {error}",
        hint="please report it with this text, the command line and, where you can, the model",
    )
    for note in getattr(error, "__notes__", ()):
        report.add_note(note)
    return report


def _discard_output() -> None:
    """Nobody reads standard output any more: what is left of it, the flush at the end included, goes nowhere."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _no_room_for_results(error: OSError) -> WsecError:
    """Files report their own errors: what is left to run out of room is stdout."""
    return WsecError(
        code="WSEC582",
        what="the results cannot be printed",
        where="standard output",
        expected="a place with room",
        found=error.strerror or type(error).__name__,
        hint="free some room; a plan or file that was asked for is written nevertheless",
    )


def traceback_of(error: Exception) -> str:
    """The traceback as Python prints it."""
    import traceback

    return "".join(traceback.format_exception(error))
