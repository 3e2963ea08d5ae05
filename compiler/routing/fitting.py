"""Routes of one link that fit beside the traffic there is: as few words on every port as the interval allows.

The more lanes, the fewer words each brings, and the more others may already pass its ports. For some numbers of lanes,
passages are taken in turn, and from each the lanes whose ports have room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.routing.geometry import some_lanes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Route
    from wsec.compiler.routing.candidates import Passage
    from wsec.compiler.routing.traffic import Traffic

_LANES_LOOKED_AT = 2  # times as many as are wanted: some may have no room
_PLACES = 2


def fit(traffic: Traffic, ways: Sequence[Passage], *, lanes: int, words: int, most: int) -> tuple[Route, ...]:
    """Up to `lanes` lanes with `words` words on each, whose ports then carry at most `most`; fewer if there is no more room.

    Passages are taken in the order of `ways`. No port serves two of the lanes.
    """
    chosen: list[Route] = []
    for way in ways:
        missing = lanes - sum(route.lanes for route in chosen)
        if missing == 0:
            break
        route = _fit_passage(traffic, way, missing, most - words)
        if route is not None:
            chosen.append(route)
            traffic.add(route, most + 1)
    for route in chosen:
        traffic.remove(route, most + 1)
    return tuple(chosen)


def _fit_passage(traffic: Traffic, way: Passage, lanes: int, most: int) -> Route | None:
    """The first run of that many lanes whose ports carry at most `most` words, else the longest run there is."""
    best: Route | None = None
    looked_at = min(way.room, lanes * _LANES_LOOKED_AT)
    for place in way.positions(looked_at, packed=True, most=_PLACES):
        first, count = _run(traffic.lane_peaks(place) <= most, lanes)
        if count > (best.lanes if best else 0):
            best = some_lanes(place, first, count)
        if count == lanes:
            break
    return best


def _run(free: NDArray[np.bool_], most: int) -> tuple[int, int]:
    """Start and length of the first run of `most` free lanes, else of the longest run."""
    if not free.any():
        return 0, 0
    edges = np.flatnonzero(np.diff(free, prepend=False, append=False))
    starts, lengths = edges[0::2], np.minimum(edges[1::2] - edges[0::2], most)
    longest = int(lengths.argmax())
    return int(starts[longest]), int(lengths[longest])
