"""The options of a command that say which passes of the user's run, and where: `--pass`, `--after`, `--before`.

The order on the command line counts: a place belongs to the `--pass` in front of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import click

from wsec.cli.command import WsecCommand
from wsec.driver import DEFAULT_PASS_TIMEOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wsec.passes import PlacedPass

    Decorated = TypeVar("Decorated", bound="Callable[..., Any] | click.Command")

_ORDER = "wsec.pass_options"
_PASS, _AFTER, _BEFORE = "pass_specs", "after", "before"


class PassesCommand(WsecCommand):
    """A command that remembers in which order `--pass`, `--after` and `--before` were given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse as ever; the order of the options goes into the context."""
        _, _, order = self.make_parser(ctx).parse_args(list(args))
        ctx.meta[_ORDER] = [parameter.name for parameter in order]
        return super().parse_args(ctx, args)


def pass_options(function: Decorated) -> Decorated:
    """Adds the options; the command receives `pass_specs`, `after`, `before` and `pass_timeout`."""
    options = (
        click.option(
            "--pass",
            _PASS,
            multiple=True,
            metavar="PASS",
            help="Run a pass of your own: a name of `wsec passes` or package.module:Class, with options in braces.",
        ),
        click.option(
            f"--{_AFTER}", multiple=True, metavar="NAME", help="Where the last --pass runs: behind this pass."
        ),
        click.option(
            f"--{_BEFORE}",
            multiple=True,
            metavar="NAME",
            help="Where the last --pass runs: in front of this pass.",
        ),
        click.option(
            "--pass-timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=DEFAULT_PASS_TIMEOUT,
            show_default=True,
            metavar="SECONDS",
            help="The longest that one pass may take.",
        ),
    )
    for option in reversed(options):
        function = option(function)
    return function


def placed_passes(
    ctx: click.Context, specs: Iterable[str], after: Iterable[str], before: Iterable[str]
) -> tuple[PlacedPass, ...]:
    """The passes of the command line with their places, in its order.

    Raises:
        click.UsageError: A place without a pass in front of it, or a second place for one.
        WsecError: WSEC403, WSEC404 what is named is not a pass.
    """
    from wsec.passes import PlacedPass, parse_pass

    values = {_PASS: iter(specs), _AFTER: iter(after), _BEFORE: iter(before)}
    placed: list[PlacedPass] = []
    for name in ctx.meta[_ORDER]:
        if name == _PASS:
            placed.append(PlacedPass(parse_pass(next(values[_PASS]))))
        elif name in values:
            if not placed or placed[-1].after or placed[-1].before:
                raise click.UsageError(f"--{name} belongs behind a --pass that has no place yet", ctx)
            place = {name: next(values[name])}
            placed[-1] = PlacedPass(placed[-1].inserted, **place)
    return tuple(placed)
