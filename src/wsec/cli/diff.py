"""`wsec diff`: what is different between two plans."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsec.cli.command import WsecCommand, json_option
from wsec.cli.output import (
    Column,
    count,
    make_console,
    plural,
    printable,
    write_json,
    write_labelled,
    write_table,
)
from wsec.cli.progress import show_status

if TYPE_CHECKING:
    from rich.console import Console

    from wsec.diffing.compare import KernelPair, PlanDiff
    from wsec.runtime.estimate import KernelEstimate

_COLUMNS = (
    Column("kernel", elastic=True),
    Column("what", elastic=True, from_width=60),
    Column("cycles", right=True),
    Column("change", right=True, from_width=50),
    Column("bytes", right=True, from_width=70),
    Column("change", right=True, from_width=70),
)
_SHOWN = 20
_LABELS = {
    "interval_cycles": "interval",
    "latency_cycles": "latency",
    "fullest_core_bytes": "fullest core",
    "memory_bytes": "all cores",
    "samples_per_second": "throughput",
}
_UNITS = {"cycles": "cycles", "bytes": "bytes", "second": "samples/s"}


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec diff before.plan after.plan
  wsec diff before.plan after.plan --html diff.html

Exit status 0, whether they differ or not.""",
)
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@click.option(
    "--top",
    type=click.IntRange(min=1),
    default=_SHOWN,
    show_default=True,
    help="Show so many changed kernels, and new, and gone.",
)
@click.option(
    "--html",
    "page",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write a page with both floorplans side by side.",
)
@json_option
def diff(*, before: str, after: str, top: int, page: Path | None, as_json: bool) -> None:
    """Say what is different in the plan in the folder B from the one in A: what moved, cycles and memory by kernel, new and gone.

    Kernels are the same if they compute the same operators, else if they have the same name.
    """
    from wsec.checking.files import check_file_place, write_text
    from wsec.diffing.compare import diff_plans
    from wsec.loaded_plan import load_plan

    if page is not None:
        check_file_place(page, "the page")
    first, second = load_plan(before), load_plan(after)
    found = diff_plans((first.record, first.estimate()), (second.record, second.estimate()))
    if page is not None:
        from wsec.diffing.page import diff_page

        with show_status("drawing the plans"):
            write_text(page, diff_page(found, (before, after)), "the page")
    if as_json:
        write_json({"before": before, "after": after, **found.to_json()})
        return
    _write(found, top)
    if page is not None:
        click.echo(f"page      {printable(str(page))}")


def _write(found: PlanDiff, top: int) -> None:
    console = make_console()
    if not found.same_model:
        console.print("the plans are of different models")
    if not found.same_target:
        console.print("the plans are for different targets")
    if found.is_empty:
        console.print(f"no kernel differs: {plural(found.unchanged, 'kernel')}")
        return
    write_labelled(console, (_fact(*each) for each in found.figures()))
    _write_kernels(console, "changed", [_pair_row(pair) for pair in found.changed], top)
    _write_kernels(console, "new", [_kernel_row(kernel) for kernel in found.new], top)
    _write_kernels(console, "gone", [_kernel_row(kernel) for kernel in found.gone], top)
    console.print()
    console.print(f"{plural(found.unchanged, 'kernel')} unchanged")


def _fact(name: str, before: float, after: float) -> tuple[str, str]:
    unit = _UNITS[name.rpartition("_")[2]]
    if before == after:
        return _LABELS[name], f"{count(before)} {unit}, unchanged"
    change = f", {after / before - 1:+.2%}" if before else ""
    return _LABELS[name], f"{count(before)} -> {count(after)} {unit}{change}"


def _write_kernels(console: Console, title: str, rows: list[tuple[str, ...]], top: int) -> None:
    if not rows:
        return
    console.print()
    console.print(f"{title}: {plural(len(rows), 'kernel')}", style="bold")
    write_table(console, _COLUMNS, rows[:top])
    if len(rows) > top:
        console.print(f"and {len(rows) - top} more: see --top and --json")


def _pair_row(pair: KernelPair) -> tuple[str, ...]:
    return (
        pair.after.name,
        ", ".join(pair.changes),
        count(pair.after.total_cycles),
        f"{pair.more_cycles:+,}" if pair.more_cycles else "-",
        count(pair.after.memory_bytes),
        f"{pair.more_bytes:+,}" if pair.more_bytes else "-",
    )


def _kernel_row(kernel: KernelEstimate) -> tuple[str, ...]:
    return kernel.name, kernel.kind, count(kernel.total_cycles), "-", count(kernel.memory_bytes), "-"
