"""The circuits of links: settings that gather the words of a producer, bring them over, and spread them.

Every setting follows from the fans at both ends and the lanes between them; docs/fabric.md says what they mean. A router
lets pass its own words first, then those of the trees behind it in the order of their ranks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.fabric.areas import NO_SETTING, Settings, merged, painted
from wsec.compiler.fabric.fans import PORTS, TURNED, subtree_words
from wsec.compiler.fabric.lane_areas import lane_rectangles
from wsec.compiler.plan import Circuit

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from wsec.compiler.fabric.fans import Fan
    from wsec.compiler.fabric.link_fans import LinkFans
    from wsec.compiler.plan import Rectangle, Route

_STEPS = ((-1, 0), (0, 1), (1, 0), (0, -1))  # rows and columns from a core to its neighbour at N, E, S, W
_FRAME_ORDER = (
    1,
    3,
    0,
    2,
)  # E, W, N, S: the order of subtrees in the frame in which the strip lies in the west


def link_circuits(
    name: str,
    routes: Sequence[Route],
    source: Rectangle | None,
    target: Rectangle | None,
    fans: LinkFans,
) -> tuple[Circuit, ...]:
    """The circuits of a link, one for each colour of its routes, in the order of the colours.

    Args:
        name: Of the link.
        routes: Of the link, coloured.
        source: Of the producer; None for the host.
        target: Of the consumer; None for the host.
        fans: At both ends; no router holds anything of lanes that are not active.
    """
    settings = Settings()
    found: dict[int, list[NDArray[np.int64]]] = {route.colour: [] for route in routes}
    ends = [route.lanes for route in routes]
    colours = np.repeat([route.colour for route in routes], ends)
    for route, active in zip(routes, np.split(fans.active, np.cumsum(ends)[:-1]), strict=True):
        lanes = lane_rectangles(route, active, settings, from_host=source is None, to_host=target is None)
        found[route.colour].append(merged(lanes))
    if source is not None and fans.gather is not None and fans.held is not None:
        gathered = gather_settings(fans.gather, _sources(fans.gather, fans.held > 0, fans.active), settings)
        _add(found, source, gathered, colours[fans.gather.lane])
    if target is not None and fans.spread is not None:
        _add(found, target, spread_settings(fans.spread, settings), colours[fans.spread.lane])
    return tuple(
        Circuit(colour, "link", name, settings.areas(np.concatenate(found[colour])))
        for colour in sorted(found)
    )


def gather_settings(fan: Fan, holds: NDArray[np.bool_], settings: Settings) -> NDArray[np.int64]:
    """Numbers of settings, [height, width]: none where no core at or behind the router holds anything."""
    children = _children(fan.parent, subtree_words(fan, holds.astype(np.int64)) > 0)
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


def _sources(fan: Fan, holds: NDArray[np.bool_], active: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Cores that send, [height, width]: those that hold something; the root of an active lane for which none does."""
    words = np.bincount(fan.lane.ravel(), holds.ravel(), len(active))
    return np.asarray(holds | ((fan.order == 0) & ((words == 0) & active)[fan.lane]))


def _add(
    found: dict[int, list[NDArray[np.int64]]],
    rectangle: Rectangle,
    numbers: NDArray[np.int64],
    colours: NDArray[np.int64],
) -> None:
    """Put the settings of a fan, [height, width], to those of their colours."""
    for colour, rectangles in found.items():
        rectangles.append(painted(np.where(colours == colour, numbers, NO_SETTING), rectangle.x, rectangle.y))


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
