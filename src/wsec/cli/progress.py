"""What is seen of a compilation while it runs, on stderr: a live line, plain lines, or nothing."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from wsec.cli.output import make_console, printable, seconds, shorten

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console
    from rich.text import Text

    from wsec.cli.time_left import ShareClock, StageClock, StageTimes
    from wsec.driver import StageEvent

    Observer = Callable[[StageEvent], None]
    Tell = Callable[[float], None]

QUIET = "wsec.quiet"
VERBOSE = "wsec.verbose"
"""Where the context of a command keeps what `--quiet` and `--verbose` ask for."""


@contextlib.contextmanager
def show_progress(
    *, quiet: bool, verbose: bool, times: Callable[[], StageTimes] | None = None
) -> Iterator[Observer]:
    """An observer for the driver: live on a terminal with colours, lines where plain is wanted, silent in pipes.

    The live line says how long it took so far and, where `times` has the last compilation of its kind, what is left.
    """
    console = make_console(stderr=True)
    if quiet or not (verbose or console.is_terminal):
        yield _silent
    elif console.is_terminal and not _is_plain(console):
        with _live(console, None if times is None else times(), verbose=verbose) as observer:
            yield observer
    else:
        yield _lines(verbose=verbose)


@contextlib.contextmanager
def show_status(text: str) -> Iterator[Tell]:
    """Says on a terminal with colours what the program is at, as long as the block runs, and how long it took so far.

    The block may tell which share of it is done, 0 to 1; then what is left is said too. With `--quiet` nothing is said; with
    `--verbose` how long it took, also in pipes.
    """
    from wsec.cli.time_left import ShareClock

    context = click.get_current_context(silent=True)
    wishes = {} if context is None else context.meta
    console = make_console(stderr=True)
    before = time.perf_counter()
    clock = ShareClock()

    def tell(share: float) -> None:
        clock.share = share

    if wishes.get(QUIET) or not console.is_terminal or _is_plain(console):
        yield tell
    else:
        line = _Line(console, clock, text)
        with console.status(line):  # a spinner takes whatever can be drawn
            yield tell
    if wishes.get(VERBOSE):
        click.echo(f"{text}: {seconds(time.perf_counter() - before)}", err=True)


def _is_plain(console: Console) -> bool:
    return bool(os.environ.get("NO_COLOR")) or console.is_dumb_terminal


def _silent(_event: StageEvent) -> None:
    """Nobody watches."""


@dataclass
class _Line:
    """What is beside the spinner, drawn anew several times a second: its clock goes on."""

    console: Console
    clock: StageClock | ShareClock
    text: str

    def __rich__(self) -> Text:
        from rich.text import Text

        said = self.clock.text()
        room = self.console.width - 4 - (len(said) + 2 if said else 0)
        return Text(f"{shorten(printable(self.text), room)}  {said}".rstrip(), no_wrap=True)


@contextlib.contextmanager
def _live(console: Console, times: StageTimes | None, *, verbose: bool) -> Iterator[Observer]:
    from wsec.cli.time_left import StageClock

    clock = StageClock([] if times is None else times.read())
    line = _Line(console, clock, "starting")

    def observe(event: StageEvent) -> None:
        clock.watch(event)
        if event.seconds is None:
            line.text = f"{event.stage}  {event.detail}".rstrip()
        elif verbose:
            console.print(f"{event.stage}: {seconds(event.seconds)}")

    with console.status(line):  # a spinner takes whatever can be drawn
        yield observe
    if times is not None:  # all stages ended
        times.keep(clock.ended)


def _lines(*, verbose: bool) -> Observer:
    def observe(event: StageEvent) -> None:
        if event.seconds is not None:
            click.echo(f"{event.stage}: {seconds(event.seconds)}", err=True)
        elif verbose and event.detail:
            click.echo(printable(f"{event.stage}: {event.detail}"), err=True)

    return observe
