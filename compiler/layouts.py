"""Which links are straight: each core of the consumer has one counterpart in the producer, so nothing is redistributed.

Take neighbouring rows of the consumer that need the same as one, and neighbouring columns. A link is *straight* where the
blocks that remain are as many and in the same order as the producer's, along rows and along columns, and each contains
the block of its counterpart (what it needs beyond is a halo) or lies within it. Lanes then run side by side, none crosses
another, and what several cores need is passed on along a line. Over any other link words are sorted on their way.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.sharding import parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, Link
    from wsec.compiler.sharding import DimensionSharding, Mesh, Sharding, Side

_Digit = tuple[int, int, int]  # cut, position among the axes of the cut, size


@dataclass(frozen=True, slots=True)
class LayoutShare:
    """How many links between kernels are straight, and how many words of a sample go over them.

    Attributes:
        links: Between kernels.
        straight_links: Those of them over which nothing is redistributed.
        words: Of a sample, over all links between kernels.
        straight_words: Of a sample, over the straight ones.
    """

    links: int
    straight_links: int
    words: int
    straight_words: int


@dataclass(frozen=True, slots=True)
class Laid:
    """A tensor on a mesh."""

    sharding: Sharding
    mesh: Mesh


@dataclass(frozen=True, slots=True)
class _Cut:
    """A dimension in several parts. An index of it is `inside` elements of the tensor, all of it `span`."""

    dimension: DimensionSharding
    parts: int
    span: int
    inside: int

    def bounds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """First element of every block and first one behind it, in elements from the start of the dimension."""
        starts = self.dimension.starts(np.arange(self.parts)) * self.inside
        stops = starts + self.dimension.block * self.inside
        return starts.clip(0, self.span), stops.clip(0, self.span)


@dataclass(frozen=True, slots=True)
class Layout:
    """What of a tensor on a mesh decides which links are straight: what is cut, and what the axes of each side count."""

    cuts: tuple[_Cut, ...]
    rows: tuple[_Digit, ...]
    columns: tuple[_Digit, ...]

    def feeds(self, needed: Layout) -> bool:
        """Whether a link from here to there is straight. Linear in the blocks of a dimension; no core is looked at."""
        return (
            (self.rows, self.columns) == (needed.rows, needed.columns)
            and [cut.span for cut in self.cuts] == [cut.span for cut in needed.cuts]
            and all(_counterparts(*pair) for pair in zip(self.cuts, needed.cuts, strict=True))
        )


def layout_of(laid: Laid) -> Layout | None:
    """The layout of a tensor on a mesh; None where cores that need the same are no neighbours."""
    cuts = _cuts(laid)
    rows, columns = _digits(laid, cuts, "rows"), _digits(laid, cuts, "columns")
    return None if rows is None or columns is None else Layout(cuts, rows, columns)


def straight(produced: Laid, needed: Laid) -> bool:
    """Whether a tensor needs no redistribution between two meshes.

    Where blocks that differ in number cover the same elements, because halos reach over both ends of the tensor, they
    count as different blocks.

    Args:
        produced: As it lies on the producer, each element on one core.
        needed: As the cores of the consumer need it, in any view of the same tensor.
    """
    here, there = layout_of(produced), layout_of(needed)
    return here is not None and there is not None and here.feeds(there)


def straight_links(kernels: Iterable[Kernel], links: Iterable[Link]) -> dict[str, bool]:
    """Whether each link between `kernels` is straight, by name. The host sends and takes tensors whole: not there."""
    by_name = {kernel.name: kernel for kernel in kernels}
    return {
        link.name: _is_straight(link, by_name[link.source], by_name[link.target])
        for link in links
        if link.source in by_name and link.target in by_name
    }


def layout_share(links: Iterable[Link], found: Mapping[str, bool]) -> LayoutShare:
    """Counts and words of the links that `straight_links` found."""
    between = [link for link in links if link.name in found]
    straight_ones = [link for link in between if found[link.name]]
    return LayoutShare(
        links=len(between),
        straight_links=len(straight_ones),
        words=sum(link.words for link in between),
        straight_words=sum(link.words for link in straight_ones),
    )


def _is_straight(link: Link, source: Kernel, target: Kernel) -> bool:
    needed = Laid(link.sharding, target.mesh)
    given = [item.sharding for item in source.outputs if item.tensor == link.tensor]
    return any(straight(Laid(sharding, source.mesh), needed) for sharding in given)


def _cuts(laid: Laid) -> tuple[_Cut, ...]:
    """The dimensions in several parts, outermost first.

    Whole dimensions count with the one outside of them, so that views that differ in those alone have the same cuts.
    """
    shape = laid.sharding.shape
    cuts = [
        _Cut(
            dimension,
            parts(dimension, laid.mesh),
            math.prod(shape[position:]),
            math.prod(shape[position + 1 :]),
        )
        for position, dimension in enumerate(laid.sharding.dimensions)
    ]
    return tuple(cut for cut in cuts if cut.parts > 1)


def _digits(laid: Laid, cuts: Sequence[_Cut], side: Side) -> tuple[_Digit, ...] | None:
    """What the axes of a side count, the most significant first; None where cores that need the same are no neighbours."""
    owners = {
        name: (number, position)
        for number, cut in enumerate(cuts)
        for position, name in enumerate(cut.dimension.axes)
    }
    along = [axis for axis in laid.mesh.axes if axis.side == side and axis.size > 1]
    along = [axis for axis in along if axis.name not in laid.sharding.root]
    counting = [axis for axis in along if axis.name in owners]
    if counting != along[: len(counting)]:
        return None
    return tuple((*owners[axis.name], axis.size) for axis in counting)


def _counterparts(source: _Cut, target: _Cut) -> bool:
    """Whether every block that is needed contains the one of the same number, or lies within it."""
    starts, stops = source.bounds()
    needed_starts, needed_stops = target.bounds()
    contains = (needed_starts <= starts) & (needed_stops >= stops)
    within = (needed_starts >= starts) & (needed_stops <= stops)
    return bool((contains | within).all())
