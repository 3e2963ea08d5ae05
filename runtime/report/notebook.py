"""What notebooks show of a plan and of an estimate: key figures beside a small floorplan, without any script."""

from __future__ import annotations

import base64
import html
from typing import TYPE_CHECKING

from wsec.runtime.report.figures import key_figures
from wsec.runtime.report.picture import floorplan_picture

if TYPE_CHECKING:
    from wsec.runtime.estimate import Estimate

_INCHES = 3.0
_SLOWEST = 5


def estimate_html(estimate: Estimate) -> str:
    """An HTML fragment: the key figures, the slowest kernels, the floorplan."""
    title = html.escape(f"{estimate.model} on {estimate.target}")
    figures = "".join(
        f"<tr><th style='text-align:left'>{html.escape(each.label)}</th>"
        f"<td style='text-align:left'>{html.escape(each.text)}</td>"
        f"<td style='text-align:left'>{html.escape(each.more)}</td></tr>"
        for each in key_figures(estimate)
    )
    slowest = sorted(estimate.kernels, key=lambda kernel: -kernel.total_cycles)[:_SLOWEST]
    rows = "".join(
        f"<tr><td style='text-align:left'>{html.escape(kernel.name)}</td><td>{kernel.width} x {kernel.height}</td>"
        f"<td>{kernel.total_cycles:,}</td><td style='text-align:left'>{html.escape(kernel.bound_by)}</td></tr>"
        for kernel in slowest
    )
    drawn = base64.b64encode(floorplan_picture(estimate, "svg", inches=_INCHES)).decode()
    said = html.escape(f"Floorplan of {estimate.model}: {len(estimate.kernels)} kernels", quote=True)
    return (
        f"<div><strong>{title}</strong><div style='display:flex;flex-wrap:wrap;gap:24px;align-items:flex-start'>"
        f"<div style='max-width:34rem'><table>{figures}</table><p>slowest kernels</p><table><thead><tr><th>kernel</th><th>cores</th><th>cycles</th>"
        f"<th>bound by</th></tr></thead><tbody>{rows}</tbody></table></div>"
        f"<img alt='{said}' src='data:image/svg+xml;base64,{drawn}'></div></div>"
    )
