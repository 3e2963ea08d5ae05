"""The floorplan as a still picture, for papers, pull requests and notebooks: what is on each wafer at once, side by side."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from wsec.runtime.estimate import Estimate, KernelEstimate

Colour = tuple[float, float, float, float]
PictureKind = Literal["png", "svg"]

_PANELS = 12  # more would be too small to read
_ACROSS = 4
_INCHES = 5.2  # of the longer side of the only panel
_LETTER_POINTS = 3.6  # of a name, across
_LINE_POINTS = 6
_LEAST_LETTERS = 7  # fewer would say nothing


def floorplan_picture(estimate: Estimate, kind: PictureKind, *, inches: float = _INCHES) -> bytes:
    """The picture as a file's contents; the same estimate gives the same bytes.

    Kernels have the colour of their place in the order of the plan (viridis, which the colour-blind can read). Of more than 12
    phases the first are drawn, and the title says how many are left out.

    Args:
        estimate: Of the plan.
        kind: `png` or `svg`.
        inches: The longer side of a region that is drawn alone; of several, each is smaller.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    parts = _parts(estimate)
    shown = list(parts)[:_PANELS]
    across = min(len(shown), _ACROSS)
    down = math.ceil(len(shown) / across)
    scale = (
        inches / max(estimate.columns, estimate.rows) / (1 if len(shown) == 1 else 1.6)
    )  # inches of a core
    width = max(across * estimate.columns * scale + 1.4, 3.4)
    with mpl.rc_context({"svg.hashsalt": "wsec", "svg.fonttype": "none"}):
        figure = Figure(
            figsize=(width, down * (estimate.rows * scale + 0.5) + 1.1), dpi=150, layout="constrained"
        )
        FigureCanvasAgg(figure)
        colours = _colours(estimate)
        for number, (wafer, phase) in enumerate(shown):
            axes = figure.add_subplot(down, across, number + 1)
            axes.set_xlim(0, estimate.columns)
            axes.set_ylim(estimate.rows, 0)
            axes.set_aspect("equal")
            axes.tick_params(labelsize=7)
            _draw_kernels(axes, parts[wafer, phase], colours, 72 * scale)
            if len(parts) > 1:
                axes.set_title(f"wafer {wafer}, phase {phase}", fontsize=8)
        figure.suptitle(_title(estimate, len(parts) - len(shown)), fontsize=10)
        _add_legend(figure)
        file = io.BytesIO()
        metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
        figure.savefig(file, format=kind, metadata=metadata)
    return file.getvalue()


def _parts(estimate: Estimate) -> dict[tuple[int, int], list[KernelEstimate]]:
    """What is on a wafer at once, by wafer and phase; an empty region where nothing is on any."""
    found: dict[tuple[int, int], list[KernelEstimate]] = {}
    for kernel in estimate.kernels:
        found.setdefault((kernel.wafer, kernel.phase), []).append(kernel)
    return found or {(0, 0): []}


def _colours(estimate: Estimate) -> dict[str, Colour]:
    """Of each kernel by name, from the first of the plan to the last."""
    import matplotlib as mpl

    palette = mpl.colormaps["viridis"]
    last = max(len(estimate.kernels) - 1, 1)
    return {kernel.name: palette(number / last) for number, kernel in enumerate(estimate.kernels)}


def _title(estimate: Estimate, left_out: int) -> str:
    said = f"{estimate.model} on {estimate.target}\n{estimate.interval_cycles:,} cycles between two samples"
    return f"{said}; {left_out} more phases" if left_out else said


def _draw_kernels(
    axes: Axes, kernels: Sequence[KernelEstimate], colours: Mapping[str, Colour], points: float
) -> None:
    """Rectangles, and the names of those that have room for theirs; `points` are of a core."""
    from matplotlib.collections import PatchCollection
    from matplotlib.patches import Rectangle

    patches = [Rectangle((each.x, each.y), each.width, each.height) for each in kernels]
    faces = [colours[kernel.name] for kernel in kernels]
    axes.add_collection(PatchCollection(patches, facecolors=faces, edgecolors="white", linewidths=0.5))
    for kernel in kernels:
        across = int(kernel.width * points / _LETTER_POINTS)
        upright = kernel.width >= kernel.height or across >= len(kernel.name)
        letters = across if upright else int(kernel.height * points / _LETTER_POINTS)
        low = min(kernel.width, kernel.height) * points < _LINE_POINTS
        if low or letters < min(len(kernel.name), _LEAST_LETTERS):
            continue
        axes.text(
            kernel.x + kernel.width / 2,
            kernel.y + kernel.height / 2,
            _brief(kernel.name, letters),
            fontsize=5,
            color=_readable_on(colours[kernel.name]),
            ha="center",
            va="center",
            rotation=0 if upright else 90,
            parse_math=False,
        )


def _brief(name: str, letters: int) -> str:
    """The name in so many letters; its end tells more than its beginning."""
    return name if len(name) <= letters else f"\u2026{name[len(name) - letters + 1 :]}"


def _readable_on(colour: Colour) -> str:
    """Black or white, whichever stands out more."""
    red, green, blue, _ = colour
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.45 else "white"


def _add_legend(figure: Figure) -> None:
    from matplotlib.cm import ScalarMappable

    bar = figure.colorbar(
        ScalarMappable(cmap="viridis"), ax=figure.axes, location="bottom", fraction=0.03, pad=0.02, aspect=40
    )
    bar.set_ticks([0, 1], labels=["first kernel", "last"], fontsize=7)
