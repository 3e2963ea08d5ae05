"""The difference of two plans as one HTML page: the floorplans side by side, and what is different between them.

The page needs nothing beside it and no script. What a model calls its nodes is text and nothing else.
"""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

from wsec.runtime.report.picture import floorplan_picture

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wsec.diffing.compare import KernelPair, PlanDiff
    from wsec.runtime.estimate import Estimate, KernelEstimate

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.5 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
.plans { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
figure { margin: 0; } img { width: 100%; background: #fff; }
.table { overflow-x: auto; } table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .25rem 1.5rem .25rem 0; border-bottom: 1px solid #8886; vertical-align: top; }
h1 { font-size: 1.6rem; overflow-wrap: anywhere; }
td:first-child, th:first-child { min-width: 7rem; overflow-wrap: anywhere; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
@media (max-width: 50rem) { .plans { grid-template-columns: 1fr; } }
"""
_LABELS = {
    "interval_cycles": "interval, cycles",
    "latency_cycles": "latency, cycles",
    "fullest_core_bytes": "fullest core, bytes",
    "memory_bytes": "all cores, bytes",
    "samples_per_second": "samples/s",
}


def diff_page(diff: PlanDiff, names: tuple[str, str]) -> str:
    """The page; `names` are what the two plans are called."""
    first, second = map(html.escape, names)
    remarks = [
        *(["The plans are of different models."] if not diff.same_model else []),
        *(["The plans are for different targets."] if not diff.same_target else []),
        f"Kernels that do not differ: {diff.unchanged}.",
    ]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">',
        f"<title>{first} and {second}</title><style>{_STYLE}</style></head><body><main>",
        f"<h1>{first} and {second}</h1><p>{' '.join(remarks)}</p>",
        f'<div class="plans">{_figure(diff.before, names[0])}{_figure(diff.after, names[1])}</div>',
        "<h2>Figures</h2>",
        _table(("", first, second, "change"), 1, (_figure_row(*each) for each in diff.figures())),
        "<h2>Changed kernels</h2>",
        _table(
            ("kernel", "what", "place", "split", "cycles", "change", "bytes", "change"),
            4,
            map(_pair_row, diff.changed),
        ),
        "<h2>New kernels</h2>",
        _table(("kernel", "kind", "place", "cycles", "bytes"), 3, map(_kernel_row, diff.new)),
        "<h2>Kernels that are gone</h2>",
        _table(("kernel", "kind", "place", "cycles", "bytes"), 3, map(_kernel_row, diff.gone)),
        "</main></body></html>\n",
    ]
    return "".join(parts)


def _figure(estimate: Estimate, name: str) -> str:
    data = base64.b64encode(floorplan_picture(estimate, "svg")).decode()
    label = html.escape(f"Floorplan of {name}")
    return (
        f'<figure><img alt="{label}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
    )


def _table(head: tuple[str, ...], texts: int, rows: Iterable[tuple[str, ...]]) -> str:
    """The first `texts` columns are texts, the others numbers, which stand at the right; cells are HTML already."""
    looks = ["" if column < texts else ' class="n"' for column in range(len(head))]
    body = "".join(
        f"<tr>{''.join(f'<td{look}>{cell}</td>' for look, cell in zip(looks, row, strict=True))}</tr>"
        for row in rows
    )
    if not body:
        return "<p>None.</p>"
    titles = "".join(f'<th scope="col"{look}>{title}</th>' for look, title in zip(looks, head, strict=True))
    return f'<div class="table" tabindex="0"><table><thead><tr>{titles}</tr></thead><tbody>{body}</tbody></table></div>'


def _figure_row(name: str, before: float, after: float) -> tuple[str, ...]:
    change = f"{after / before - 1:+.2%}" if before else "-"
    return _LABELS[name], f"{before:,.0f}", f"{after:,.0f}", change


def _pair_row(pair: KernelPair) -> tuple[str, ...]:
    before, after = pair.before, pair.after
    name = after.name if after.name == before.name else f"{before.name} -> {after.name}"
    return (
        html.escape(name),
        ", ".join(pair.changes),
        _between(_place(before), _place(after)),
        _between(_split(before), _split(after)),
        _between(f"{before.total_cycles:,}", f"{after.total_cycles:,}"),
        f"{pair.more_cycles:+,}",
        _between(f"{before.memory_bytes:,}", f"{after.memory_bytes:,}"),
        f"{pair.more_bytes:+,}",
    )


def _kernel_row(kernel: KernelEstimate) -> tuple[str, ...]:
    return (
        html.escape(kernel.name),
        html.escape(kernel.kind),
        _place(kernel),
        f"{kernel.total_cycles:,}",
        f"{kernel.memory_bytes:,}",
    )


def _between(before: str, after: str) -> str:
    return html.escape(before if before == after else f"{before} → {after}")


def _place(kernel: KernelEstimate) -> str:
    turn = f"wafer {kernel.wafer}, phase {kernel.phase}: " if kernel.wafer or kernel.phase else ""
    return f"{turn}{kernel.width} x {kernel.height} at {kernel.x},{kernel.y}"


def _split(kernel: KernelEstimate) -> str:
    return " ".join(f"{loop}={parts}" for loop, parts in kernel.split.items() if parts > 1) or "-"
