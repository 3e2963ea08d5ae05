"""What is seen of a compilation while it runs, on stderr: a live line, plain lines, or nothing."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

import click

from wsec.cli.output import make_console, printable, seconds, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from wsec.driver import StageEvent

    Observer = Callable[[StageEvent], None]

QUIET = "wsec.quiet"
VERBOSE = "wsec.verbose"
"""Where the context of a command keeps what `--quiet` and `--verbose` ask for."""


@contextlib.contextmanager
def show_progress(*, quiet: bool, verbose: bool) -> Iterator[Observer]:
    """An observer for the driver: live on a terminal with colours, lines where plain is wanted, silent in pipes."""
    console = make_console(stderr=True)
    if quiet or not (verbose or console.is_terminal):
        yield _silent
    elif console.is_terminal and not _is_plain(console):
        with _live(console, verbose=verbose) as observer:
            yield observer
    else:
        yield _lines(verbose=verbose)


@contextlib.contextmanager
def show_status(text: str) -> Iterator[None]:
    """Says on a terminal with colours what the program is at, as long as the block runs.

    With `--quiet` it says nothing; with `--verbose` how long it took, also in pipes.
    """
    context = click.get_current_context(silent=True)
    wishes = {} if context is None else context.meta
    console = make_console(stderr=True)
    before = time.perf_counter()
    if wishes.get(QUIET) or not console.is_terminal or _is_plain(console):
        yield
    else:
        with console.status(text):
            yield
    if wishes.get(VERBOSE):
        click.echo(f"{text}: {seconds(time.perf_counter() - before)}", err=True)


def _is_plain(console: Console) -> bool:
    return bool(os.environ.get("NO_COLOR")) or console.is_dumb_terminal


def _silent(_event: StageEvent) -> None:
    """Nobody watches."""


@contextlib.contextmanager
def _live(console: Console, *, verbose: bool) -> Iterator[Observer]:
    with console.status("starting") as status:

        def observe(event: StageEvent) -> None:
            if event.seconds is None:
                line = f"{event.stage}  {event.detail}".rstrip()
                status.update(shorten(printable(line), console.width - 4))
            elif verbose:
                console.print(f"{event.stage}: {seconds(event.seconds)}")

        yield observe


def _lines(*, verbose: bool) -> Observer:
    def observe(event: StageEvent) -> None:
        if event.seconds is not None:
            click.echo(f"{event.stage}: {seconds(event.seconds)}", err=True)
        elif verbose and event.detail:
            click.echo(printable(f"{event.stage}: {event.detail}"), err=True)

    return observe
