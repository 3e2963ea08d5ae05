"""The key figures of a plan, which page and notebooks say first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wsec.runtime.estimate import Bottleneck, Estimate

_SHORT_NAME = 32  # letters that are said large


@dataclass(frozen=True, slots=True)
class KeyFigure:
    """A label, what is said large, and what explains it."""

    label: str
    text: str
    more: str


def key_figures(estimate: Estimate) -> list[KeyFigure]:
    """The key figures that an estimate has."""
    used = sum(wafer.cores_used for wafer in estimate.wafers)
    cores = estimate.columns * estimate.rows * max(len(estimate.wafers), 1)
    kernels, links = len(estimate.kernels), len(estimate.links)
    return [
        KeyFigure("Interval", f"{estimate.interval_cycles:,} cycles", "between two samples"),
        KeyFigure(
            "Throughput",
            f"{estimate.samples_per_second:,.0f} samples/s",
            f"at {estimate.clock_hz / 1e9:g} GHz",
        ),
        KeyFigure("Latency", f"{estimate.latency_cycles:,} cycles", _time(estimate.latency_seconds)),
        _bottleneck(estimate.bottleneck),
        _bound(estimate),
        KeyFigure("Cores", f"{used / cores:.1%} in kernels", f"{used:,} of {cores:,}"),
        KeyFigure("Utilisation", f"{estimate.utilisation:.1%}", "of the cycles of all cores do arithmetic"),
        KeyFigure(
            "Memory",
            f"{estimate.fullest_core_bytes / 1024:.1f} KiB",
            f"on the fullest core, of {estimate.fullest_kernel}" if kernels else "no core holds any",
        ),
        KeyFigure("Size", f"{kernels:,} kernels", f"{links:,} links, {estimate.split.operators:,} operators"),
    ]


def _bottleneck(found: Bottleneck) -> KeyFigure:
    if len(found.name) > _SHORT_NAME:
        return KeyFigure("Bottleneck", found.kind, f"{found.name}: {found.reason}")
    said = found.name if found.kind in found.name else f"{found.kind} {found.name}"
    return KeyFigure("Bottleneck", said, found.reason)


def _bound(estimate: Estimate) -> KeyFigure:
    """How far the interval is above what no placement of these kernels is below."""
    bound = estimate.interval_bound_cycles
    if not bound:
        return KeyFigure("Gap", "no bound", "placement had nothing to place")
    gap = estimate.interval_cycles / bound - 1
    said = f"{gap:.1%} above" if gap >= 0 else f"{-gap:.1%} below"
    return KeyFigure(
        "Gap", f"{said} bound", f"no placement of these kernels is below {bound:,} cycles by its measure"
    )


def _time(seconds: float) -> str:
    return f"{seconds * 1e6:,.1f} us" if seconds < 1e-3 else f"{seconds * 1e3:,.2f} ms"
