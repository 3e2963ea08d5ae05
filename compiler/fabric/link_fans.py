"""The fans at both ends of a link, and how many words each of its lanes carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.fabric.fans import Fan, gather_fan, spread_fan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle, Route


@dataclass(frozen=True, slots=True, eq=False)
class LinkFans:
    """Both ends of a link.

    Attributes:
        gather: In the producer; None for the host.
        held: Words that each core of the producer sends, [height, width]; None for the host.
        spread: In the consumer, of the active lanes; None for the host.
        active: Whether each lane carries words, [lanes]: those of idle ones gather nothing.
    """

    gather: Fan | None
    held: NDArray[np.int64] | None
    spread: Fan | None
    active: NDArray[np.bool_]


def link_fans(
    routes: Sequence[Route],
    source: Rectangle | None,
    target: Rectangle | None,
    held: NDArray[np.int64] | None,
) -> LinkFans:
    """The fans where routes begin and end; `held` is what each core of the producer sends, None for the host."""
    gather = None if source is None or held is None else gather_fan(routes, source, held)
    active = np.ones(sum(route.lanes for route in routes), np.bool_)
    if gather is not None and held is not None and held.any():
        active = np.bincount(gather.lane.ravel(), held.ravel(), len(active)) > 0
    spread = None if target is None else spread_fan(routes, target, active)
    return LinkFans(gather, held, spread, active)


def lane_words(fans: LinkFans, words: int, lanes: int) -> NDArray[np.int64]:
    """Words that each lane carries for one sample, [lanes].

    What its tree gathers; from the host, of the `words` of the tensor those that land on its tree's cores, about: an even
    share for each core; of what only passes by, an even share for each lane.
    """
    if fans.gather is not None and fans.held is not None:
        found = np.bincount(fans.gather.lane.ravel(), fans.held.ravel(), lanes)
        return found.astype(np.int64)
    if fans.spread is None:
        return np.full(lanes, -(-words // lanes))
    cores = np.bincount(fans.spread.lane.ravel(), minlength=lanes)
    return np.asarray(-(-words * cores // fans.spread.lane.size))
