"""What routers hold for the traffic inside a kernel: exchanges of its inputs, reductions and broadcasts.

All kernels use the same colours, the highest that are not reserved: their circuits end inside their rectangles. The
settings are those of docs/fabric.md; the same on every line of the rectangle, so that a few areas say all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import groupby
from typing import TYPE_CHECKING, Literal

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.fabric.line_trees import (
    NO_PART,
    ROOT,
    broadcast_settings,
    nested,
    no_tree,
    parents,
    ring_settings,
    sending_colours,
    tree_settings,
)
from wsec.compiler.plan import Circuit, RouterArea

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wsec.compiler.plan import Collective, Exchange, Kernel
    from wsec.compiler.sharding import MeshAxis
    from wsec.compiler.target import Fabric

    Settings = Sequence[tuple[str, ...]]

Along = Literal["rows", "columns"]
_PORTS = {"rows": str.maketrans("AB", "WE"), "columns": str.maketrans("AB", "NS")}
_BOTH: tuple[Along, Along] = ("rows", "columns")
_RING_COLOURS = 3


@dataclass(frozen=True, slots=True)
class _Purpose:
    """A circuit that has no colour yet: the settings along a line, from its first core on."""

    purpose: Literal["exchange", "reduce", "broadcast"]
    along: Along
    line: Settings
    segment: int = 0
    offset: int = 0


def kernel_circuits(kernel: Kernel, exchanges: Iterable[Exchange], fabric: Fabric) -> tuple[Circuit, ...]:
    """The circuits inside a kernel, each on a colour of its own.

    Args:
        kernel: With its collectives.
        exchanges: Of all links that come to it.
        fabric: Its colours.

    Raises:
        WsecError: WSEC342 they need more colours than are kept for kernels.
    """
    wanted = _wanted(kernel, exchanges)
    if len(wanted) > fabric.kernel_colours:
        raise _too_many(kernel, wanted, fabric)
    highest = fabric.colours - fabric.reserved_colours - 1
    return tuple(
        Circuit(
            colour=highest - number,
            purpose=item.purpose,
            name=kernel.name,
            areas=tuple(_areas(kernel, item)),
            axis=item.along,
            segment=item.segment,
            offset=item.offset,
        )
        for number, item in enumerate(wanted)
    )


def count_kernel_circuits(kernel: Kernel) -> int:
    """The circuits inside a kernel without exchanges."""
    return len(_wanted(kernel, ()))


def axes_along(kernel: Kernel, along: Along) -> tuple[MeshAxis, ...]:
    """The axes of the mesh between whose cores words go along the rows (or columns), the outermost first."""
    side = "columns" if along == "rows" else "rows"
    return tuple(axis for axis in kernel.mesh.axes if axis.side == side)


def _wanted(kernel: Kernel, exchanges: Iterable[Exchange]) -> list[_Purpose]:
    wanted = [
        *_reductions(kernel),
        *_broadcasts(kernel),
        *(_exchange(kernel, item) for item in dict.fromkeys(exchanges)),
    ]
    return [item for item in wanted if any(item.line)]


def _reductions(kernel: Kernel) -> Iterator[_Purpose]:
    """One for each side, or two or three of them, along which a collective goes."""
    chosen = {item.axis: item for item in kernel.collectives}
    for along in _BOTH:
        axes = axes_along(kernel, along)
        there = [chosen[axis.name] for axis in axes if axis.name in chosen]
        if not there:
            continue
        algorithms = {item.algorithm for item in there}
        if "ring" in algorithms:
            size = kernel.mesh.size(there[0].axis)
            lines = [ring_settings(size, number) for number in range(min(_RING_COLOURS, size))]
        else:
            above = _tree(axes, chosen)
            colour = sending_colours(above, algorithms)
            lines = [tree_settings(above, colour, number) for number in range(2)]
        for line in lines:
            yield _Purpose("reduce", along, _repeated(line, kernel, along))


def _tree(
    axes: Sequence[MeshAxis], chosen: dict[str, Collective]
) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Parents in a segment of the line: all axes up to the outermost along which something is combined."""
    outermost = min(index for index, axis in enumerate(axes) if axis.name in chosen)
    above = np.array([ROOT], dtype=np.int64)
    for axis in reversed(axes[outermost:]):
        item = chosen.get(axis.name)
        tree = no_tree(axis.size) if item is None else parents(item.algorithm, axis.size, item.group)
        above = nested(above, tree)
    return above


def _broadcasts(kernel: Kernel) -> Iterator[_Purpose]:
    """One for each side along which an all-reduce goes that does not bring its result everywhere itself."""
    chosen = {
        item.axis: item
        for item in kernel.collectives
        if item.kind == "all_reduce" and item.algorithm != "ring"
    }
    for along in _BOTH:
        axes = axes_along(kernel, along)
        if any(axis.name in chosen for axis in axes):
            line = broadcast_settings(_tree(axes, chosen) != NO_PART)
            yield _Purpose("broadcast", along, _repeated(line, kernel, along))


def _exchange(kernel: Kernel, exchange: Exchange) -> _Purpose:
    """Each core in turn to all others of its segment; a segment of one core needs nothing."""
    length = _length(kernel, exchange.along)
    ends = range(exchange.offset or exchange.segment, length, exchange.segment)
    starts = [0, *ends]
    line: list[tuple[str, ...]] = []
    for start, end in zip(starts, [*ends, length], strict=True):
        cores = end - start
        if cores == 1:
            line.append(())
            continue
        inner = [("A>BR", "R>AB", "B>AR")] * (cores - 2)
        line += [("R>B", "B>R"), *inner, ("A>R", "R>A")]
    return _Purpose("exchange", exchange.along, line, exchange.segment, exchange.offset)


def _length(kernel: Kernel, along: Along) -> int:
    return kernel.rectangle.width if along == "rows" else kernel.rectangle.height


def _repeated(segment: Settings, kernel: Kernel, along: Along) -> Settings:
    return list(segment) * (_length(kernel, along) // len(segment))


def _areas(kernel: Kernel, item: _Purpose) -> Iterator[RouterArea]:
    """Neighbours on the line with the same setting in one area, as thick as the rectangle."""
    place = kernel.rectangle
    start = 0
    for setting, run in groupby(item.line):
        cores = sum(1 for _ in run)
        positions = _translated(setting, item.along)
        if positions and item.along == "rows":
            yield RouterArea(place.x + start, place.y, cores, place.height, positions)
        elif positions:
            yield RouterArea(place.x, place.y + start, place.width, cores, positions)
        start += cores


@cache
def _translated(setting: tuple[str, ...], along: Along) -> tuple[str, ...]:
    return tuple(position.translate(_PORTS[along]) for position in setting)


def _too_many(kernel: Kernel, wanted: Sequence[_Purpose], fabric: Fabric) -> WsecError:
    found = ", ".join(f"{item.purpose} along {item.along}" for item in wanted)
    return WsecError(
        "WSEC342",
        "a kernel needs more colours for its own traffic than are kept for kernels",
        where=f"kernel {kernel.name}",
        expected=f"at most {fabric.kernel_colours} (fabric.kernel_colours)",
        found=f"{len(wanted)}: {found}",
        hint="take a target with more kernel_colours, or --collective tree, which needs fewer",
    )
