"""The difference of two plans as one HTML page: the floorplans side by side, and what is different between them.

The page needs nothing beside it and no script. What a model calls its nodes is text and nothing else.
"""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

from wsec.runtime.report.picture import floorplan_picture
from wsec.runtime.report.plain_page import plain_page, plain_table

if TYPE_CHECKING:
    from wsec.diffing.compare import KernelPair, PlanDiff
    from wsec.runtime.estimate import Estimate, KernelEstimate

_STYLE = """
.plans { display: grid; grid-template-columns: 1fr 1fr; gap: 1rem; }
figure { margin: 0; } img { width: 100%; background: #fff; }
@media (max-width: 50rem) { .plans { grid-template-columns: 1fr; } }
"""
_LABELS = {
    "interval_cycles": "interval, cycles",
    "latency_cycles": "latency, cycles",
    "fullest_core_bytes": "fullest core, bytes",
    "memory_bytes": "all cores, bytes",
    "samples_per_second": "samples/s",
}
_CHANGED = ("kernel", "what", "place", "split", "cycles", "change", "bytes", "change")
_ALONE = ("kernel", "kind", "place", "cycles", "bytes")


def diff_page(diff: PlanDiff, names: tuple[str, str]) -> str:
    """The page; `names` are what the two plans are called."""
    first, second = map(html.escape, names)
    remarks = [
        *(["The plans are of different models."] if not diff.same_model else []),
        *(["The plans are for different targets."] if not diff.same_target else []),
        f"Kernels that do not differ: {diff.unchanged}.",
    ]
    parts = [
        f"<p>{' '.join(remarks)}</p>",
        f'<div class="plans">{_figure(diff.before, names[0])}{_figure(diff.after, names[1])}</div>',
        "<h2>Figures</h2>",
        plain_table(
            ("figure", first, second, "change"),
            1,
            (_figure_row(*each) for each in diff.figures()),
            name="Figures",
        ),
        "<h2>Changed kernels</h2>",
        plain_table(_CHANGED, 4, map(_pair_row, diff.changed), name="Changed kernels"),
        "<h2>New kernels</h2>",
        plain_table(_ALONE, 3, map(_kernel_row, diff.new), name="New kernels"),
        "<h2>Kernels that are gone</h2>",
        plain_table(_ALONE, 3, map(_kernel_row, diff.gone), name="Kernels that are gone"),
    ]
    return plain_page(f"{names[0]} and {names[1]}", "".join(parts), _STYLE)


def _figure(estimate: Estimate, name: str) -> str:
    data = base64.b64encode(floorplan_picture(estimate, "svg")).decode()
    label = html.escape(f"Floorplan of {name}")
    return (
        f'<figure><img alt="{label}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{html.escape(name)}</figcaption></figure>"
    )


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
