"""The circuits of links: settings that gather the words of a producer, bring them over, and spread them.

Every setting follows from the fans at both ends and the lanes between them; docs/fabric.md says what they mean. A router
lets pass its own words first, then those of the trees behind it in the order of their ranks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.fabric.areas import NO_SETTING, Settings, merged, painted
from wsec.compiler.fabric.fans import PORTS, TURNED
from wsec.compiler.fabric.lane_areas import lane_rectangles
from wsec.compiler.plan import Circuit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.fabric.fans import Fan
    from wsec.compiler.plan import Rectangle, Route

_STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # rows and columns from a core to its neighbour at N, E, S, W
_FRAME_ORDER = (1, 0, 2)  # E, N, S: the order of subtrees in the frame in which the strip lies in the west


@dataclass(frozen=True, slots=True, eq=False)
class LinkEnd:
    """One end of a link on the wafer: the rectangle of a kernel and the fan there."""

    rectangle: Rectangle
    fan: Fan


def link_circuits(
    name: str,
    routes: Sequence[Route],
    source: LinkEnd | None,
    target: LinkEnd | None,
    words: NDArray[np.int64] | None,
) -> tuple[Circuit, ...]:
    """The circuits of a link, one for each colour of its routes, in the order of the colours.

    Args:
        name: Of the link.
        routes: Of the link, coloured.
        source: The producer and its gather fan; None for the host.
        target: The consumer and its spread fan; None for the host.
        words: What each core of the producer sends, [height, width]; None for the host.
    """
    settings = Settings()
    found: dict[int, list[NDArray[np.int64]]] = {route.colour: [] for route in routes}
    colours = np.repeat([route.colour for route in routes], [route.lanes for route in routes])
    for route in routes:
        lanes = lane_rectangles(route, settings, from_host=source is None, to_host=target is None)
        found[route.colour].append(merged(lanes))
    if source is not None and words is not None:
        gathered = gather_settings(source.fan, words > 0, settings)
        _add(found, source, gathered, colours)
    if target is not None:
        _add(found, target, spread_settings(target.fan, settings), colours)
    return tuple(
        Circuit(colour, "link", name, settings.areas(np.concatenate(found[colour])))
        for colour in sorted(found)
    )


def gather_settings(fan: Fan, holds: NDArray[np.bool_], settings: Settings) -> NDArray[np.int64]:
    """Numbers of settings, [height, width]: none where no core at or behind the router holds anything."""
    holds = holds | _roots_without_words(fan, holds)
    children = _children(fan.parent, live_cores(fan, holds))
    codes = (holds + 2 * fan.parent + 8 * fan.side).astype(np.int64)
    for port, child in enumerate(children):
        codes += child * (32 << port)
    return _numbered(codes, _gathering, settings)


def spread_settings(fan: Fan, settings: Settings) -> NDArray[np.int64]:
    """Numbers of settings, [height, width]: words come from the parent and go to the core and to all children."""
    codes = 1 + 2 * fan.parent.astype(np.int64)
    for port, child in enumerate(_children(fan.parent, np.ones(fan.parent.shape, np.bool_))):
        codes += child * (32 << port)
    return _numbered(codes, _spreading, settings)


def _roots_without_words(fan: Fan, holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where a lane begins whose tree holds nothing: it sends no words, and its lane has no loose end."""
    words = np.bincount(fan.lane.ravel(), weights=holds.ravel())
    return np.asarray((fan.order == 0) & (words[fan.lane] == 0))


def live_cores(fan: Fan, holds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cores that hold words, or through which words of others pass towards the lane: [height, width]."""
    sizes = np.bincount(fan.lane.ravel())
    first = (np.cumsum(sizes) - sizes)[fan.lane]
    counts = np.zeros(fan.lane.size + 1, np.int64)
    counts[1 + first + fan.order] = holds
    counts = counts.cumsum()
    return np.asarray(counts[first + fan.end] > counts[first + fan.order])


def _add(
    found: dict[int, list[NDArray[np.int64]]],
    end: LinkEnd,
    numbers: NDArray[np.int64],
    colours: NDArray[np.int64],
) -> None:
    for colour, rectangles in found.items():
        mine = colours == colour
        own = numbers if mine.all() else np.where(mine[end.fan.lane], numbers, NO_SETTING)
        rectangles.append(painted(own, end.rectangle.x, end.rectangle.y))


def _children(parent: NDArray[np.int8], live: NDArray[np.bool_]) -> list[NDArray[np.bool_]]:
    """For each port, whether the neighbour there is live and sends this way, [height, width]."""
    found = []
    for port, (down, right) in enumerate(_STEPS):
        sends = live & (parent == (port + 2) % 4)
        child = np.zeros_like(live)
        child[_to(-down), _to(-right)] = sends[_to(down), _to(right)]
        found.append(child)
    return found


def _to(step: int) -> slice:
    """Those places of an axis that lie `step` behind another place: all but the first or the last one, or all."""
    return slice(1, None) if step > 0 else slice(None, -1) if step < 0 else slice(None)


def _numbered(
    codes: NDArray[np.int64], positions: Callable[[int], tuple[str, ...]], settings: Settings
) -> NDArray[np.int64]:
    """The numbers of the settings that the codes mean, in an array of the same shape."""
    present = np.flatnonzero(np.bincount(codes.ravel()))
    table = np.full(int(present[-1]) + 1, NO_SETTING, np.int64)
    for code in present.tolist():
        meant = positions(code)
        if meant:
            table[code] = settings.number(meant)
    return table[codes]


def _gathering(code: int) -> tuple[str, ...]:
    """One position for the core and for each child, all to the parent."""
    parent, side = PORTS[code >> 1 & 3], PORTS[code >> 3 & 3]
    children = [PORTS[TURNED[side][port]] for port in _FRAME_ORDER]
    inputs = ["R"] * (code & 1) + [port for port in children if code >> 5 + PORTS.index(port) & 1]
    return tuple(f"{port}>{parent}" for port in inputs)


def _spreading(code: int) -> tuple[str, ...]:
    """One position from the parent to all children and the core."""
    children = "".join(port for number, port in enumerate(PORTS) if code >> 5 + number & 1)
    return (f"{PORTS[code >> 1 & 3]}>{children}R",)
