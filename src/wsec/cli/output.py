"""How results look: numbers, labelled lines and tables that fit the terminal, and JSON.

Everything works at 40 columns and in pipes, where it is plain text of 80 columns. What comes from a model cannot send
control characters to the terminal.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console, ConsoleOptions, RenderResult
    from rich.measure import Measurement
    from rich.table import Table

_LEAST_NAME = 8  # columns that a shortened name keeps


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table.

    Attributes:
        title: What stands above it.
        right: Numbers stand at the right.
        from_width: The narrowest terminal that shows it.
        elastic: Its texts are shortened where the table is too wide.
    """

    title: str
    right: bool = False
    from_width: int = 0
    elastic: bool = False


def make_console(*, stderr: bool = False) -> Console:
    """A console on stdout or stderr that takes texts as they are; plain where NO_COLOR is set or nobody looks."""
    from rich.console import Console

    class QuietConsole(Console):
        """Leaves it to the command what happens when nobody reads."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    return QuietConsole(stderr=stderr, markup=False, highlight=False, emoji=False)


def write_json(value: object) -> None:
    """One JSON object on stdout, with its keys in the documented order; JSON has no infinity, so null stands for it."""
    click.echo(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def printable(text: str) -> str:
    """`text` with every character that could steer a terminal escaped."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def shorten(text: str, width: int) -> str:
    """`text` in at most `width` columns; the end of a name tells more than its beginning."""
    return text if len(text) <= width else "..."[: max(width, 0)] + text[len(text) - max(width - 3, 0) :]


def write_labelled(console: Console, pairs: Iterable[tuple[str, str]], *, indent: int = 0) -> None:
    """Lines of a label and a text, the texts in one column; long texts go on below themselves."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for label, text in pairs:
        grid.add_row(" " * indent + label, printable(text))
    _print_table(console, grid)


def write_table(console: Console, columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """A table without rules, in the columns that the terminal has room for."""
    from rich.table import Table

    shown = [index for index, column in enumerate(columns) if column.from_width <= console.width]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for index in shown:
        column = columns[index]
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            no_wrap=column.right,
            overflow="fold",
            min_width=_LEAST_NAME if column.elastic else None,
        )
    for row in rows:
        cells = [printable(row[index]) for index in shown]
        table.add_row(
            *(
                Elastic(cell) if columns[index].elastic else cell
                for index, cell in zip(shown, cells, strict=True)
            )
        )
    _print_table(console, table)


def _print_table(console: Console, table: Table) -> None:
    """Print without the blanks that pad the last column, which pipes have no use for."""
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    click.echo("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()), nl=False)


@dataclass(frozen=True, slots=True)
class Elastic:
    """A cell of a table that is shortened to its column instead of being wrapped."""

    text: str

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        from rich.measure import Measurement

        return Measurement(min(_LEAST_NAME, len(self.text)), len(self.text))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.text import Text

        yield Text(shorten(self.text, options.max_width), no_wrap=True)


def count(number: float) -> str:
    """A whole number with its thousands apart."""
    return f"{number:,.0f}"


def percent(share: float) -> str:
    """A share of one, in percent with one decimal."""
    return f"{share:.1%}"


def plural(number: int, noun: str) -> str:
    """`1 kernel`, `2 kernels`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def kibibytes(size: int) -> str:
    """Bytes in units of 1,024, with one decimal."""
    return f"{size / 1024:,.1f} KiB"


def seconds(duration: float) -> str:
    """A duration in the unit that needs no zeros."""
    if duration >= 100:
        return f"{duration:,.0f} s"
    for factor, unit in ((1.0, "s"), (1e-3, "ms"), (1e-6, "us")):
        if duration >= factor:
            return f"{duration / factor:.3g} {unit}"
    return f"{duration * 1e9:.3g} ns"


def bandwidth(bits_per_second: float) -> str:
    """A rate in bytes a second, in the unit that needs no zeros."""
    for factor, unit in ((1e12, "TB/s"), (1e9, "GB/s"), (1e6, "MB/s")):
        if bits_per_second >= 8 * factor:
            return f"{bits_per_second / 8 / factor:.4g} {unit}"
    return f"{bits_per_second / 8:,.0f} B/s"


def hertz(clock: float) -> str:
    """A clock in GHz."""
    return f"{clock / 1e9:g} GHz"
