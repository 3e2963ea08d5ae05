"""y = x W on a square of cores, for the simulator: products, then a sum along the columns that all cores get.

A core has a tile of W. Its memory: its part of y, its part of x, its tile by rows, a word that wakes tasks. What a core passes
on begins with such a word, as a task that adds is set off by the first word that comes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from fabric_streams import FabricProgram, edge, multicast
from wsec.compiler.cost.programs import GROUP
from wsec.runtime.simulator.instructions import (
    CoreProgram,
    Loop,
    Operation,
    ProgramArea,
    Receive,
    ReceiveCombine,
    ReceiveCombineSend,
    Send,
    Vector,
    Wait,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.runtime.simulator.instructions import Instruction
    from wsec.runtime.simulator.routes import Route

_DOWN, _UP, _ROOTS_DOWN, _ROOTS_UP, _OUT_UP, _OUT_DOWN = 0, 2, 4, 6, 8, 9
"""Colours. The first four are two each, for neighbours on a way in alternation."""


def group_gemv(side: int, tile: int, seed: int = 0) -> FabricProgram:
    """With the two-level all-reduce: in groups towards their middle, between the middles likewise, then to all."""
    groups = [range(first, min(first + GROUP, side)) for first in range(0, side, GROUP)]
    roots = [group[len(group) // 2] for group in groups]
    root = roots[len(roots) // 2]
    ways = [
        *(_Way(list(group[: len(group) // 2 + 1]), _DOWN) for group in groups),
        *(_Way(list(group[len(group) // 2 :])[::-1], _UP) for group in groups),
        _Way(roots[: len(roots) // 2 + 1], _ROOTS_DOWN),
        _Way(roots[len(roots) // 2 :][::-1], _ROOTS_UP),
    ]
    return _gemv(side, tile, ways, root, seed)


def chain_gemv(side: int, tile: int, seed: int = 0) -> FabricProgram:
    """With one chain to the first core, and a broadcast from there."""
    return _gemv(side, tile, [_Way(list(range(side))[::-1], _UP)], 0, seed)


class _Way:
    """Cores that add what comes and pass it on, in order; the last one keeps the sum."""

    def __init__(self, cores: Sequence[int], first_colour: int) -> None:
        self.cores, self.first_colour = tuple(cores), first_colour

    def colour(self, place: int) -> int:
        """On which the core at that place sends to the next."""
        return self.first_colour + place % 2

    def routes(self, side: int) -> list[Route]:
        pairs = zip(self.cores, self.cores[1:], strict=False)
        return [
            route
            for place, (here, there) in enumerate(pairs)
            for route in edge("columns", side, here, there, self.colour(place))
        ]

    def part(self, core: int, tile: int, wake: int) -> list[Instruction]:
        """What a core does: nothing, if it is not on the way or there is nobody else."""
        if core not in self.cores or len(self.cores) == 1:
            return []
        place = self.cores.index(core)
        sent, received = self.colour(place), self.colour(place - 1)
        if place == 0:
            return [Send(sent, 1, wake), Send(sent, tile, 0)]
        if place == len(self.cores) - 1:
            return [Wait(received), ReceiveCombine(Operation.ADD, received, tile, 0)]
        return [
            Wait(received),
            Send(sent, 1, wake),
            ReceiveCombineSend(Operation.ADD, received, sent, tile, 0),
        ]


def _gemv(side: int, tile: int, ways: Sequence[_Way], root: int, seed: int) -> FabricProgram:
    vector, matrix, wake = tile, 2 * tile, 2 * tile + tile * tile
    multiply = Vector(Operation.FMA, 0, vector, matrix, tile, strides=(1, 0, 1), steps=((0, 1, tile),))
    areas = []
    for y in range(side):
        body: list[Instruction] = [Loop(tile, (multiply,))]
        for way in ways:
            body += way.part(y, tile, wake)
        if y == root:
            body += [Send(_OUT_UP, tile, 0)] * (root > 0) + [Send(_OUT_DOWN, tile, 0)] * (root < side - 1)
        else:
            body += [Receive(_OUT_UP if y < root else _OUT_DOWN, tile, 0)]
        areas.append(ProgramArea(0, y, side, 1, CoreProgram(tuple(body)), wake + 1))
    routes = [route for way in ways for route in way.routes(side)]
    routes += multicast("columns", side, root, 0, _OUT_UP)
    routes += multicast("columns", side, root, side - 1, _OUT_DOWN)
    memory = np.zeros((side, side, wake + 1), np.float32)
    generator = np.random.default_rng(seed)
    memory[:, :, matrix:wake] = generator.standard_normal((side, side, tile * tile), np.float32)
    memory[:, :, vector:matrix] = generator.standard_normal((side, 1, tile), np.float32)
    expected = _expected(memory, tile, ways)
    return FabricProgram(side, tuple(routes), tuple(areas), None, memory, slice(0, tile), expected)


def _expected(memory: NDArray[np.float32], tile: int, ways: Sequence[_Way]) -> NDArray[np.float32]:
    side = len(memory)
    weights = memory[:, :, 2 * tile : -1].reshape(side, side, tile, tile)
    held = np.zeros((side, side, tile), np.float32)
    for index in range(tile):
        held += memory[:, :, tile + index, None] * weights[:, :, index]
    for way in ways:
        for here, there in zip(way.cores, way.cores[1:], strict=False):
            held[there] += held[here]
    root = ways[-1].cores[-1]
    return np.broadcast_to(held[root], held.shape).copy()
