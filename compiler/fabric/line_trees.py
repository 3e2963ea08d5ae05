"""The trees of collectives on a line of cores, and the settings that carry their words there.

A tree's parents have lower numbers than their children, and the cores of a subtree follow each other: so streams that
share a link come in a fixed order, and the settings of every router follow from the parents alone (docs/fabric.md).
Distributions of a reduction: "Near-Optimal Wafer-Scale Reduce" (arXiv 2404.15888).
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    Numbers = NDArray[np.int64]

ONE_COLOUR: Final = frozenset({"star", "tree"})
"""Algorithms whose cores receive everything before they send."""

ROOT, NO_PART = -1, -2
"""What stands in the place of a parent."""

RECEIVES, SENDS, PASSES = "B>R", "R>A", "B>A"
"""Positions of words that go towards the lower cores of a line; `A` and `B` stand for the ports there and behind."""

SENDS_ON, TAKES, PASSES_ON, TAKES_AND_PASSES = "R>B", "A>R", "A>B", "A>BR"
"""Positions of words that go towards the higher ones."""


def parents(algorithm: str, cores: int, group: int = 0) -> Numbers:
    """The parent of each core of an axis, int64 [cores]; `ROOT` for core 0.

    Raises:
        ValueError: Another algorithm, or a ring, which is no tree.
    """
    core = np.arange(cores, dtype=np.int64)
    if algorithm == "star":
        above = np.zeros(cores, dtype=np.int64)
    elif algorithm == "chain":
        above = core - 1
    elif algorithm == "tree":
        above = core & (core - 1)
    elif algorithm in {"two_phase", "two_level"}:
        above = np.where(core % group == 0, core - group, core - 1)
    else:
        raise ValueError(f"{algorithm} is no tree")
    above[0] = ROOT
    return above


def group_of(algorithm: str, cores: int, chosen: int = 0) -> int:
    """Cores of a group: ceil(sqrt P) of `two_phase`, the chosen ones of `two_level`, 0 of the others."""
    if algorithm == "two_phase":
        return math.isqrt(cores - 1) + 1
    return chosen if algorithm == "two_level" else 0


def nested(inside: Numbers, axis: Numbers) -> Numbers:
    """The tree of a longer part of a line: copies of the tree `inside`, whose roots the next axis out joins.

    Args:
        inside: Parents in the part of the line that one core of the axis stands for; `NO_PART` for cores that have none.
        axis: Parents along the axis, or `NO_PART` for all but the first core where nothing is combined along it.
    """
    size = len(inside)
    copies = np.arange(len(axis), dtype=np.int64)[:, None] * size
    whole = np.where(inside < 0, inside, inside + copies)
    whole[:, 0] = np.where(axis < 0, axis, axis * size)
    whole[axis == NO_PART] = NO_PART
    return whole.reshape(-1)


def no_tree(cores: int) -> Numbers:
    """Of an axis along which nothing is combined only the first core has a part in what the axes around it combine."""
    above = np.full(cores, NO_PART, dtype=np.int64)
    above[0] = ROOT
    return above


def sending_colours(above: Numbers, algorithms: Iterable[str]) -> Numbers:
    """Which of the side's colours each core sends on: all on the first, or odd depths on it and even ones on the second."""
    colour = np.ones(len(above), dtype=np.int64)
    if ONE_COLOUR.issuperset(algorithms):
        return colour - 1
    for core in np.flatnonzero(above >= 0):
        colour[core] = 1 - colour[above[core]]
    return colour


def tree_settings(above: Numbers, colour: Numbers, number: int) -> list[tuple[str, ...]]:
    """The positions of every core of a segment in the side's colour `number`; empty where it has none.

    Args:
        above: Parents, as of `nested`.
        colour: On which colour each core sends.
        number: The colour that is asked for.
    """
    cores = len(above)
    sends = (colour == number) & (above >= 0)
    receives = np.zeros(cores, dtype=np.bool_)
    receives[above[sends]] = True
    # the words of a later core pass where its parent comes before this one
    least = np.minimum.accumulate(np.where(sends, above, cores)[::-1])[::-1]
    passes = np.append(least[1:], cores) < np.arange(cores)
    return [
        tuple(
            position
            for position, there in ((RECEIVES, receives[core]), (SENDS, sends[core]), (PASSES, passes[core]))
            if there
        )
        for core in range(cores)
    ]


def ring_settings(cores: int, number: int) -> list[tuple[str, ...]]:
    """The same for a ring: words go on to the next core, and from the last one back to the first."""
    back = min(2, cores - 1)
    settings: list[tuple[str, ...]] = [(PASSES,) if number == back else () for _ in range(cores)]
    for core in range(cores - 1):
        if core % 2 == number:
            settings[core] = (SENDS_ON,)
            settings[core + 1] = (TAKES,)
    if number == back:
        settings[0], settings[-1] = (RECEIVES,), (SENDS,)
    return settings


def broadcast_settings(part: NDArray[np.bool_]) -> list[tuple[str, ...]]:
    """The same for a broadcast from the first core of a segment to all that have a part."""
    last = int(np.flatnonzero(part)[-1])
    inner = [(TAKES_AND_PASSES,) if part[core] else (PASSES_ON,) for core in range(1, last)]
    return [(SENDS_ON,), *inner, (TAKES,), *[()] * (len(part) - last - 1)]
