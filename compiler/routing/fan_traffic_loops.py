"""Words of fans on ports, the loops over cores: compiled. Meanings are those of `wsec.compiler.routing.fan_traffic`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.routing.traffic_loops import Ports

    Loads = NDArray[np.int64]
    Numbers = NDArray[np.int32]
    Parents = NDArray[np.int8]
    Corner = tuple[int, int]

_N, _E, _S, _W = range(4)


@compiled
def pass_gathered(
    ports: Ports,
    sent: Loads,
    tree: tuple[Parents, Numbers],
    held: Loads,
    behind: Loads,
    corner: Corner,
    factor: int,
) -> int:
    """Words of a gather on the ports they pass; the most that any of these ports carries then.

    Args:
        ports: Words that leave cores towards others.
        sent: Words that come from cores, [height, width] of the region.
        tree: The parents of a fan, and its order.
        held: Words of each core.
        behind: Those of its subtree.
        corner: First column and row of the rectangle.
        factor: How often they are added: 1, or 0 to look only.
    """
    parent, order = tree
    x, y = corner
    peak = 0
    for row in range(held.shape[0]):
        for column in range(held.shape[1]):
            if held[row, column] > 0:
                sent[y + row, x + column] += factor * held[row, column]
                peak = max(peak, int(sent[y + row, x + column]))
            if order[row, column] > 0 and behind[row, column] > 0:
                words = factor * behind[row, column]
                peak = max(peak, _leave(ports, parent[row, column], x + column, y + row, words))
    return peak


@compiled
def pass_spread(
    ports: Ports,
    received: Loads,
    tree: tuple[Parents, Numbers],
    lane: Numbers,
    stream: Loads,
    corner: Corner,
    factor: int,
) -> int:
    """The same for a spread: `stream`, [lanes], is what passes every core of the tree of a lane, and what it receives."""
    parent, order = tree
    x, y = corner
    peak = 0
    for row in range(lane.shape[0]):
        for column in range(lane.shape[1]):
            words = stream[lane[row, column]]
            if words <= 0:
                continue
            received[y + row, x + column] += factor * words
            peak = max(peak, int(received[y + row, x + column]))
            if order[row, column] > 0:
                port = parent[row, column]
                above, beside = y + row, x + column
                if port == _N:
                    above -= 1
                elif port == _E:
                    beside += 1
                elif port == _S:
                    above += 1
                else:
                    beside -= 1
                peak = max(peak, _leave(ports, (port + 2) % 4, beside, above, factor * words))
    return peak


@compiled
def _leave(ports: Ports, port: int, x: int, y: int, words: int) -> int:
    """Add words to those that leave a core by a port; all that do."""
    if port == _E:
        ports[0][y, x] += words
        return int(ports[0][y, x])
    if port == _W:
        ports[1][y, x] += words
        return int(ports[1][y, x])
    if port == _S:
        ports[2][x, y] += words
        return int(ports[2][x, y])
    ports[3][x, y] += words
    return int(ports[3][x, y])


@compiled
def depths(lane: Numbers, depth: Numbers, counts: NDArray[np.bool_], lanes: int) -> Loads:
    """Hops between the root of each lane and the farthest of the cores that count in its tree, [lanes]."""
    found = np.zeros(lanes, np.int64)
    for row in range(lane.shape[0]):
        for column in range(lane.shape[1]):
            if counts[row, column]:
                each = lane[row, column]
                found[each] = max(found[each], depth[row, column])
    return found
