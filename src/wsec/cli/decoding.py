"""What `wsec estimate` prints of a decoder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from wsec.cli.output import Column, count, percent, plural, seconds, write_labelled, write_table

if TYPE_CHECKING:
    from rich.console import Console

    from wsec.runtime.decoding import DecodeEstimate, DecodePoint
    from wsec.runtime.published_figures import PublishedFigure

_MANY_JOULES: Final = 1000


def write_decoding(console: Console, found: DecodeEstimate) -> None:
    """Figures of a decoder, then tokens per second by context and batch."""
    console.print()
    write_labelled(console, _facts(found))
    console.print()
    batches = sorted({point.batch for point in found.table})
    rows = []
    for context in sorted({point.context for point in found.table}):
        points = {point.batch: point for point in found.table if point.context == context}
        rows.append((count(context), *(_rate(points[batch]) for batch in batches)))
    columns = [Column("tokens/s at context", right=True)]
    columns += [Column(f"batch {count(batch)}", right=True) for batch in batches]
    write_table(console, columns, rows)
    console.print("* scaled from this plan's cycles; a plan compiled for them may be split otherwise")


def _rate(point: DecodePoint) -> str:
    if not point.fits:
        return "no room"
    return f"{count(point.tokens_per_second)}{'' if point.as_planned else '*'}"


def _facts(found: DecodeEstimate) -> list[tuple[str, str]]:
    from wsec.runtime.decoding import bound_text

    total = sum(found.cycles_of.values())
    shares = ", ".join(
        f"{name} {percent(cycles / total)}" for name, cycles in found.cycles_of.items() if cycles
    )
    each = "" if found.batch == 1 else f", {count(found.tokens_per_second_each)} of each sequence"
    rate = f"{count(found.tokens_per_second)} tokens/s{each}"
    made_for = f"batch {count(found.batch)} and context {count(found.context)}"
    step = f"a step of {count(found.step_cycles)} cycles, {seconds(found.step_seconds)}"
    why = f"{found.bound_by}: {bound_text(found.bound_by)}"
    first = found.first_token
    prompt = f"a prompt of {plural(first.prompt, 'token')}"
    rate_of_prompt = f"{count(first.prompt / first.seconds)} tokens/s of the prompt" if first.seconds else ""
    blocks = f"a core has room for {plural(found.cache_block, 'position')}: only below so many filled ones a step is shorter"
    facts = [
        ("decoding", f"{rate} at {made_for}: {step}"),
        ("bound by", f"{why} ({shares} of the cycles of kernels and between them)"),
        ("first token", f"{seconds(first.seconds)} for {prompt}, by {first.by}: {rate_of_prompt}"),
        ("context", blocks),
    ]
    if found.joules_per_token is not None:
        of_prompt = "" if first.joules is None else f", {_joules(first.joules)} that prompt"
        facts.append(
            ("energy", f"{_joules(found.joules_per_token)} a token{of_prompt}, at the target's power")
        )
    facts += [("published", _published(each, found)) for each in found.published]
    return facts


def _joules(energy: float) -> str:
    return f"{energy:.3g} J" if energy < _MANY_JOULES else f"{count(energy)} J"


def _published(figure: PublishedFigure, found: DecodeEstimate) -> str:
    each = found.tokens_per_second_each
    times = [rate / each for rate in figure.tokens_per_second if 0 < each < math.inf]
    beside = f"; {' to '.join(f'{ratio:.2g}' for ratio in times)} times this estimate" if times else ""
    rate = " to ".join(map(count, figure.tokens_per_second))
    said = f"{rate} tokens/s" if rate else "no rate"
    wafers = "wafers not published" if figure.wafers is None else plural(figure.wafers, "wafer")
    return (
        f"{figure.model}: {said} on {figure.machine}, {wafers} ({figure.conditions}; {figure.source}){beside}"
    )
