"""`wsec fit`: what a model needs of the memory of the wafers, before it is compiled."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from wsec.cli.command import WsecCommand, json_option, report_error
from wsec.cli.compile_options import dimensions, part_count
from wsec.cli.output import (
    Column,
    count,
    make_console,
    plural,
    seconds,
    write_json,
    write_labelled,
    write_table,
)
from wsec.compiler.errors import ExitStatus
from wsec.compiler.target import parse_region

if TYPE_CHECKING:
    from collections.abc import Iterator

    from wsec.compiler.ledger import Fit

_COLUMNS = (
    Column("weights"),
    Column("tensors", right=True, from_width=70),
    Column("elements", right=True, from_width=50),
    Column("bytes", right=True),
    Column("bits each", right=True),
)


@click.command(
    cls=WsecCommand,
    epilog="""\b
Examples:
  wsec fit model.onnx --target wse3
  wsec fit decoder.onnx --target wse3 --wafers auto --context 32768 --batch 8

Only sizes are read: weights need not be there, and nothing is compiled. What fits by the ledger may still find no
plan; what does not fit has none.""",
)
@click.argument("model", metavar="MODEL")
@click.option("--target", default="wse2", show_default=True, metavar="NAME|FILE", help="As for compile.")
@click.option("--region", metavar="COLUMNSxROWS", help="Use only so many cores of each wafer, such as 96x96.")
@click.option(
    "--wafers",
    default="1",
    show_default=True,
    metavar="N|auto",
    callback=part_count,
    help="How many there are; auto takes the fewest.",
)
@click.option(
    "--dim",
    "dims",
    multiple=True,
    metavar="NAME=SIZE",
    callback=dimensions,
    help="Size of an open dimension; again for each.",
)
@click.option(
    "--context", type=int, metavar="C", help="Positions of the KV cache; those of the model without it."
)
@click.option("--batch", type=int, metavar="B", help="Sequences of the KV cache; likewise.")
@json_option
def fit(
    *,
    model: str,
    target: str,
    region: str | None,
    wafers: int | None,
    dims: dict[str, int],
    context: int | None,
    batch: int | None,
    as_json: bool,
) -> None:
    """Say whether MODEL fits the memory of a wafer, or of several.

    Weights by precision, KV cache, the smallest number of wafers, the longest context and the largest batch.
    """
    from wsec.driver import Options, fit_model

    cut = None if region is None else parse_region(region)
    options = Options(target=target, region=cut, dims=dims, wafers=wafers)
    found = fit_model(model, options, batch, context)
    if as_json:
        entry = asdict(found)
        entry["unmet"] = None if found.unmet is None else found.unmet.to_json()
        write_json({"model": model, "target": target, **entry})
    else:
        console = make_console()
        write_table(console, _COLUMNS, _rows(found))
        console.print()
        write_labelled(console, [*_facts(model, target, found)])
        if found.unmet is not None:
            report_error(found.unmet, as_json=False)
    if not found.fits:
        click.get_current_context().exit(ExitStatus.DOES_NOT_FIT)


def _rows(found: Fit) -> Iterator[tuple[str, ...]]:
    for each in found.weights:
        yield each.name, count(each.tensors), count(each.elements), count(each.bytes), f"{each.bits:.4g}"


def _facts(model: str, target: str, found: Fit) -> Iterator[tuple[str, str]]:
    absent = ""
    if found.absent:
        absent = f" (weights not present: {', '.join(found.absent[:3])}; their declared sizes are counted)"
    yield "model", f"{Path(model).name}{absent}"
    yield (
        "memory",
        (
            f"{plural(found.wafers, 'wafer')} of {target} x {count(found.cores)} cores x ({count(found.sram_bytes)} bytes - "
            f"{count(found.code_bytes)} for code - {found.buffer_bytes} for what is at work) = {count(found.available_bytes)} bytes"
        ),
    )
    yield "weights", f"{count(found.weight_bytes)} bytes"
    cache = found.cache
    if cache is not None:
        windows = ""
        if cache.window_bytes:
            windows = f", and {count(cache.window_bytes)} of each sequence however long"
        yield (
            "KV cache",
            (
                f"{count(cache.bytes)} bytes at batch {count(cache.batch)} and context {count(cache.context)}: "
                f"{plural(cache.tensors, 'tensor')}, {count(cache.bytes_per_position)} bytes a position{windows}"
            ),
        )
    unknown = ""
    if found.unknown_shapes:
        unknown = f", without {plural(found.unknown_shapes, 'result')} of unknown shape"
    yield (
        "activations",
        (
            f"{count(found.activation_bytes)} bytes of the operator with most of them, if held whole{unknown}; not in the inequality"
        ),
    )
    sign, verdict = ("<=", "fits") if found.required_bytes <= found.available_bytes else (">", "does not fit")
    if not found.fits:
        verdict = "does not fit"
    yield (
        "inequality",
        (
            f"weights + KV cache {sign} memory: {count(found.required_bytes)} {sign} {count(found.available_bytes)}: {verdict}; "
            f"{count(found.bytes_per_core)} bytes a core, spread evenly"
        ),
    )
    yield from _limits(found)
    for note in found.notes:
        yield "note", note


def _limits(found: Fit) -> Iterator[tuple[str, str]]:
    filled = "an operator alone is larger than a wafer"
    if found.filled_wafers is not None:
        filled = f"whole operators in their order fill {count(found.filled_wafers)}"
    yield (
        "fewest wafers",
        f"{count(found.least_wafers)} by the ledger: no plan that keeps all weights needs fewer; {filled}",
    )
    if found.cache is not None:
        yield "longest context", f"{count(found.longest_context or 0)} at batch {count(found.cache.batch)}"
        yield "largest batch", f"{count(found.largest_batch or 0)} at context {count(found.cache.context)}"
    largest = found.largest[0] if found.largest else None
    if largest is not None:
        yield "largest operator", f"{largest.name} ({largest.kind}), {count(largest.total)} bytes"
    stream = found.streaming
    if stream is not None:
        room = "have room outside" if stream.possible else "are too large for the memory outside"
        yield (
            "streaming",
            f"weights {room}; to read all of them once takes {seconds(stream.seconds)} at the least",
        )
    yield (
        "proof",
        "bounds of memory alone: no plan was made; `wsec compile` says whether blocks, copies and buffers fit too",
    )
