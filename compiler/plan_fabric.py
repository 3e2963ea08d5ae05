"""Records of the plan about what moves: rectangles of cores, routes, links, and what routers hold of a colour."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from wsec.compiler.sharding import Sharding

Slots = Annotated[int, msgspec.Meta(ge=1)]


@dataclass(frozen=True, slots=True)
class Rectangle:
    """Cores of a region: columns `[x, x + width)`, rows `[y, y + height)`."""

    x: int
    y: int
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Route:
    """Parallel lanes of one colour between two strips of cores.

    `source` and `target` are one core wide, or one core high, and hold one core for each lane. Lane `i` starts at the
    `i`-th core of `source` (counted from the lowest x or y) and ends at the `i`-th core of `target`, counted from the
    highest where `mirrored`. It runs along straight legs, any of which may have no length:

    * Without `via` it turns once at most: along row y of its source core to column x of its target core, then along
      that column.
    * With `via` it turns twice at most: along row y of its source core to column `via + i` (`via + lanes - 1 - i` where
      `via_mirrored`), along that column to row y of its target core, then along that row.

    With `vertical_first` rows and columns change places: the first leg runs along the column, and `via` is a row. A lane
    without `via` whose two ends are the same core is that core alone.
    """

    colour: int
    source: Rectangle
    target: Rectangle
    mirrored: bool = False
    vertical_first: bool = False
    via: int | None = None
    via_mirrored: bool = False

    @property
    def lanes(self) -> int:
        """Streams side by side; each carries one word a cycle."""
        return self.source.width * self.source.height


@dataclass(frozen=True, slots=True)
class Exchange:
    """Cores of a line send each other words in turn, and each takes what it, or its line across, needs.

    The lines of the kernel's rectangle are cut in segments of `segment` cores, the first of which ends after `offset`
    cores where that is not 0; words stay in their segment.

    Attributes:
        along: `rows`, between the cores of each row, or `columns`.
        segment: Cores of a segment.
        offset: Cores of the first, shorter segment; 0: it is a whole one.
    """

    along: Literal["rows", "columns"]
    segment: int
    offset: int = 0


@dataclass(frozen=True, slots=True)
class Link:
    """A tensor that goes from a producer to a consumer.

    One that kernels of other wafers or phases read leaves its own over one link to `host`, which is what is outside, and comes
    to each of them over a link from its producer, whose lanes begin where those from the host do.

    Attributes:
        name: Unique in the plan.
        tensor: Name of the tensor in the lowered model.
        source: Producing kernel, or `host` for an input of the model and what a host operator gives.
        target: Consuming kernel, or `host` for an output of the model and what a host operator reads.
        role: Which input of the consumer it feeds; empty towards the host.
        sharding: The elements it brings to each core of the consumer's mesh; over one core towards the host.
        words: Words of 32 bits of the tensor, for one sample.
        slots: Intervals between production and use: the samples the consumer holds.
        routes: Where the lanes run, on the wafer and in the phase of its target.
        cycles: From the first word sent to the last word received.
        interval: Least cycles between two samples, given who else uses the same router ports.
        direct: Whether each core takes what it needs out of the stream that passes it. Else the words are dealt out to the
            cores as they come, and exchanged.
        exchanges: Of dealt words, in order; docs/fabric.md says who sends what. Between kernels that take turns, those that bring
            the tensor from where it lies to where it is needed (docs/modes.md).
    """

    name: str
    tensor: str
    source: str
    target: str
    role: str
    sharding: Sharding
    words: int
    slots: Slots
    routes: tuple[Route, ...]
    cycles: int
    interval: int
    direct: bool = False
    exchanges: tuple[Exchange, ...] = ()


@dataclass(frozen=True, slots=True)
class RouterArea:
    """Routers of a rectangle of cores that hold the same setting of a colour.

    Attributes:
        x: First column, of the region.
        y: First row.
        width: Columns.
        height: Rows.
        positions: Of the switch, in order, at most four: the port that words come from, `>`, and the ports that they go to,
            as in `W>ER`. Ports are N (the row above), E, S, W and R, the ramp to the core. A router goes on to the next
            position, and from the last to the first, when the words of a turn have passed (docs/fabric.md).
    """

    x: int
    y: int
    width: int
    height: int
    positions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Circuit:
    """What routers hold of one colour for one purpose: streams that never meet, or take turns where they do.

    Attributes:
        colour: The virtual channel.
        purpose: `link`; inside a kernel `exchange`, `reduce` or `broadcast`.
        name: Of the link, or of the kernel.
        areas: Disjoint.
        axis: Inside a kernel: words go between the cores of `rows` or of `columns`. Empty for a link.
        segment: Of exchanges, that of the `Exchange` that it serves.
        offset: Likewise.
    """

    colour: int
    purpose: Literal["link", "exchange", "reduce", "broadcast"]
    name: str
    areas: tuple[RouterArea, ...]
    axis: str = ""
    segment: int = 0
    offset: int = 0
