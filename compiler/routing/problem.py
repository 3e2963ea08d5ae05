"""The routing problem and its result, independent of ONNX and of how kernels were placed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.fabric.link_fans import link_fans

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.fabric.link_fans import LinkFans
    from wsec.compiler.plan import Rectangle, Route


@dataclass(frozen=True, slots=True)
class RoutingLink:
    """Words that go from one rectangle to another, once in an interval.

    Attributes:
        name: What messages call it.
        source: Where the words come from; None for the host, whose words enter at column 0.
        target: Where they go; None for the host, which takes them from the last column.
        words: Words of 32 bits for one sample.
        held: What each core of the source sends of them, [height, width]; None where all send as much, and for the host.
        inside: Whether words are followed from the cores that hold them and to those that need them; else lanes begin and
            end at the rectangles, with equal shares of the words.
        ordered: Whether rows of both rectangles follow the same order of the words, so that lanes should keep it.
    """

    name: str
    source: Rectangle | None
    target: Rectangle | None
    words: int
    held: NDArray[np.int64] | None = None
    inside: bool = True
    ordered: bool = False

    @property
    def ends(self) -> tuple[Rectangle, ...]:
        """The rectangles of the kernels that it joins, as far as its words are followed inside of them."""
        return () if not self.inside else tuple(end for end in (self.source, self.target) if end is not None)

    @property
    def weights(self) -> NDArray[np.int64]:
        """Words that each core of the source sends, [height, width]."""
        if self.source is None:
            raise ValueError(f"link {self.name}: the host has no cores")
        if self.held is not None:
            return self.held
        height, width = self.source.height, self.source.width
        return np.full((height, width), -(-self.words // (height * width)))

    def fans(self, routes: Sequence[Route]) -> LinkFans:
        """The fans at both ends for these routes."""
        held = None if self.source is None else self.weights
        return link_fans(routes, self.source, self.target, held)


@dataclass(frozen=True, slots=True)
class RoutedLink:
    """Where the lanes of a link run, and how long it takes.

    Attributes:
        routes: At least one.
        fans: How their lanes gather and spread the words; None where they are not followed inside kernels.
        cycles: From the first word sent to the last word received, when every link sends at once.
        interval: Least cycles between two samples, given who else uses the same router ports.
    """

    routes: tuple[Route, ...]
    cycles: int
    interval: int
    fans: LinkFans | None = field(compare=False, repr=False)

    @property
    def lanes(self) -> int:
        """Lanes of all routes."""
        return sum(route.lanes for route in self.routes)


@dataclass(frozen=True, slots=True)
class RoutingSummary:
    """What all routes of a phase use together.

    Attributes:
        colours_used: Different colours.
        colour_bound: Routes through the core that most use, and links of its kernel: no colouring of these needs fewer.
        max_link_words: Words of one interval through the busiest port of a router, in one direction.
        longest_path: Hops of a word on the longest way.
    """

    colours_used: int
    colour_bound: int
    max_link_words: int
    longest_path: int


@dataclass(eq=False)
class ColouringError(WsecError):
    """Routing found no colour for some links: WSEC340, and which they are.

    Attributes:
        uncoloured: Numbers of the links without a colour.
        crowded: These, and the links through the core that most routes cross.
    """

    uncoloured: frozenset[int] = frozenset()
    crowded: frozenset[int] = frozenset()
