"""The floorplan as a still picture, for papers and pull requests: what is on each wafer at once, side by side."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Literal

from wsec.runtime.report.timeline import timeline_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wsec.compiler.plan import Kernel, Phase, Plan
    from wsec.runtime.estimate import Estimate

Colour = tuple[float, float, float, float]
PictureKind = Literal["png", "svg"]

_PANELS = 12  # more would be too small to read
_INCHES = 5.2  # of a panel's longer side


def floorplan_picture(plan: Plan, estimate: Estimate, kind: PictureKind, *, inches: float = _INCHES) -> bytes:
    """The picture as a file's contents; the same plan gives the same bytes.

    Kernels have the colour of their place in the order of execution (viridis, which the colour-blind can read). Of more than
    12 phases the first are drawn.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    phases = [(w, p, phase) for w, wafer in enumerate(plan.wafers) for p, phase in enumerate(wafer.phases)]
    shown = phases[:_PANELS]
    columns = min(len(shown), 4) or 1
    rows = max(math.ceil(len(shown) / columns), 1)
    longest = max(plan.region_width, plan.region_height)
    scale = inches / longest / (1 if len(shown) == 1 else 1.6)
    size = (columns * plan.region_width * scale + 1.4, rows * (plan.region_height * scale + 0.5) + 1.1)
    with mpl.rc_context({"svg.hashsalt": "wsec", "svg.fonttype": "none"}):
        figure = Figure(figsize=(max(size[0], 4.2), size[1]), dpi=150, layout="constrained")
        FigureCanvasAgg(figure)
        colours = _colours(plan, estimate)
        for number, (wafer, position, phase) in enumerate(shown):
            axes = figure.add_subplot(rows, columns, number + 1)
            _draw_phase(axes, plan, phase, colours)
            if len(phases) > 1:
                axes.set_title(f"wafer {wafer}, phase {position}", fontsize=8)
        left_out = f"; {len(phases) - len(shown)} more phases" if len(phases) > len(shown) else ""
        figure.suptitle(
            f"{plan.model} on {plan.target.name}\n{estimate.interval_cycles:,} cycles a sample{left_out}",
            fontsize=10,
        )
        _add_legend(figure)
        file = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, metadata=metadata)
    return file.getvalue()


def _colours(plan: Plan, estimate: Estimate) -> dict[str, Colour]:
    """Of each kernel: from the first that begins to the last."""
    import matplotlib as mpl

    names = [kernel.name for kernel in plan.kernels()]
    starts = timeline_of(plan, estimate).starts
    order = sorted(range(len(names)), key=lambda number: (starts[number], number))
    palette = mpl.colormaps["viridis"]
    return {names[number]: palette(rank / max(len(names) - 1, 1)) for rank, number in enumerate(order)}


def _draw_phase(axes: Axes, plan: Plan, phase: Phase, colours: Mapping[str, Colour]) -> None:
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    axes.set_xlim(0, plan.region_width)
    axes.set_ylim(plan.region_height, 0)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)
    patches = [
        Rectangle((each.rectangle.x, each.rectangle.y), each.rectangle.width, each.rectangle.height)
        for each in phase.kernels
    ]
    faces = [colours[kernel.name] for kernel in phase.kernels]
    axes.add_collection(PatchCollection(patches, facecolors=faces, edgecolors="white", linewidths=0.5))
    _name_kernels(axes, plan, phase.kernels, colours)


def _name_kernels(axes: Axes, plan: Plan, kernels: Sequence[Kernel], colours: Mapping[str, Colour]) -> None:
    """The names of kernels whose rectangles have room for them."""
    points = _INCHES * 72 / max(plan.region_width, plan.region_height)  # of a core
    for kernel in kernels:
        place = kernel.rectangle
        needed, high = 3.6 * len(kernel.name) / points, 6 / points
        upright = place.width >= needed and place.height >= high
        if not upright and not (place.height >= needed and place.width >= high):
            continue
        axes.text(
            place.x + place.width / 2,
            place.y + place.height / 2,
            kernel.name,
            fontsize=5,
            color=_readable_on(colours[kernel.name]),
            ha="center",
            va="center",
            rotation=0 if upright else 90,
            parse_math=False,
        )


def _readable_on(colour: Colour) -> str:
    """Black or white, whichever stands out more."""
    red, green, blue, _ = colour
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.45 else "white"


def _add_legend(figure: Figure) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(
        ScalarMappable(cmap="viridis"), ax=figure.axes, location="bottom", fraction=0.03, pad=0.02, aspect=40
    )
    bar.set_ticks([0, 1], labels=["first kernel to begin", "last kernel"], fontsize=7)
