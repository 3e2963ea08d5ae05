"""Cycles of all-reduces along lines of cores whose results are made in the middle and broadcast from there.

Both sides send towards the middle, which halves the way: what hand-written decoders do (WaferLLM, arXiv 2502.04563). The formula is
that of `wsec.compiler.cost.programs`, for any size of groups and many lines at once; it counts the overheads that were measured
where the target has them. `words` are those of a core, `cores` those of a line, `spacing` the hops from one of them to the next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.collectives import all_reduce_cycles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import CollectiveAlgorithm
    from wsec.compiler.target import Target

    Array = NDArray[np.float64]

MIDDLE: Final[tuple[CollectiveAlgorithm, ...]] = ("two_level", "chain", "star", "two_phase")
"""Algorithms that can make their result in the middle; `tree` and `ring` begin at the first core."""

_GROUP_SIZES: Final = (0.5, 0.7, 1.0, 1.4, 2.0)  # of two-level groups, over the square root of the cores
_PUBLISHED_GROUP: Final = 15  # of the decoders that were measured


@dataclass(frozen=True, slots=True, eq=False)
class MiddleCost:
    """Cycles of an all-reduce, which algorithm takes them (index in the names that were allowed), and its groups."""

    cycles: Array
    algorithm: NDArray[np.int64]
    group: NDArray[np.int64]


def all_reduce_costs(
    words: Array,
    cores: Array,
    spacing: Array,
    target: Target,
    names: tuple[CollectiveAlgorithm, ...] = MIDDLE,
) -> MiddleCost:
    """The cheapest of some algorithms for every line.

    Args:
        words: float64 [lines].
        cores: float64 [lines].
        spacing: float64 [lines].
        target: Its fabric, and its overheads where they were measured.
        names: Those that may be taken.
    """
    return costs_of_one_algorithm([(words, np.ones(len(cores)))], cores, spacing, target, names)[0]


def costs_of_one_algorithm(
    uses: Sequence[tuple[Array, Array]],
    cores: Array,
    spacing: Array,
    target: Target,
    names: tuple[CollectiveAlgorithm, ...] = MIDDLE,
) -> list[MiddleCost]:
    """The same of several all-reduces along a line, (words, times) of each: all by the algorithm that is cheapest for them together."""
    found = [(number, group) for number, name in enumerate(names) for group in _groups(name, cores)]
    lines = _Lines(cores, spacing)
    each = [
        np.stack([_cycles(names[number], group, words, lines, target) for number, group in found])
        for words, _ in uses
    ]
    together = sum(cycles * times for cycles, (_, times) in zip(each, uses, strict=True))
    best = np.asarray(together).argmin(axis=0)
    at = np.arange(len(cores))
    algorithm = np.array([number for number, _ in found])[best]
    group = np.stack([group for _, group in found])[best, at].astype(np.int64)
    return [MiddleCost(cycles[best, at], algorithm, group) for cycles in each]


def _groups(name: CollectiveAlgorithm, cores: Array) -> list[Array]:
    root = np.sqrt(cores)
    if name == "two_level":
        sizes = [np.ceil(root * factor) for factor in _GROUP_SIZES]
        return [
            np.clip(size, 2, np.maximum(cores, 2)) for size in (*sizes, np.full(len(cores), _PUBLISHED_GROUP))
        ]
    return [np.ceil(root)] if name == "two_phase" else [np.zeros(len(cores))]


@dataclass(frozen=True, slots=True, eq=False)
class _Lines:
    """Cores of each line, and hops between neighbours; float64 [lines]."""

    cores: Array
    spacing: Array


def _cycles(name: CollectiveAlgorithm, group: Array, words: Array, lines: _Lines, target: Target) -> Array:
    cores, spacing = lines.cores, lines.spacing
    start = 0.0 if target.overheads is None else target.overheads.collective_start_cycles
    if name not in MIDDLE:
        cycles = all_reduce_cycles(name, words, cores, target.fabric, spacing=spacing, group=group) + start
    elif name == "star":
        cycles = _star(words, cores, spacing, target) + start
    else:
        cycles = _in_groups(words, cores, cores if name == "chain" else group, spacing, target) + start
    return np.where((cores > 1) & (words > 0), cycles, 0.0)


def _in_groups(words: Array, cores: Array, group: Array, spacing: Array, target: Target) -> Array:
    """Each group towards its middle, then the middles towards the one of the group in the middle; as `programs.all_reduce_cycles`."""
    fabric, core = target.fabric, target.core
    group = np.minimum(group, cores)
    groups = np.ceil(cores / group)
    first = groups // 2 * group
    root = first + np.minimum(group, cores - first) // 2
    sides = [np.minimum(2, size - 1) for size in (group, groups)]
    way = group // 2 + (root - group // 2) * (groups > 1)
    step = 2 * fabric.ramp_cycles + 1 + core.task_switch_cycles
    steps = group // 2 + groups // 2 + sum(np.maximum(0, side - 1) for side in sides)
    hops = fabric.hop_cycles * spacing
    streamed = words / fabric.link_words_per_cycle
    reduce = (sides[0] + sides[1]) * streamed + hops * way + step * steps
    return np.asarray(reduce + _out(words, cores, root, spacing, target) + 2 * fabric.ramp_cycles)


def _star(words: Array, cores: Array, spacing: Array, target: Target) -> Array:
    """All cores send to the one in the middle: its ramp takes their words one after the other."""
    fabric = target.fabric
    root = cores // 2
    ramp = words * (cores - 1) / fabric.link_words_per_cycle
    farthest = words / fabric.link_words_per_cycle + fabric.hop_cycles * spacing * root
    step = 2 * fabric.ramp_cycles + 1 + target.core.task_switch_cycles
    out = _out(words, cores, root, spacing, target)
    return np.asarray(np.maximum(ramp, farthest) + step + out + 2 * fabric.ramp_cycles)


def _out(words: Array, cores: Array, root: Array, spacing: Array, target: Target) -> Array:
    """The result leaves in one direction after the other."""
    fabric = target.fabric
    streamed, hops = words / fabric.link_words_per_cycle, fabric.hop_cycles * spacing
    last = np.minimum(2, cores - 1) * streamed + hops * (cores - 1 - root)
    return np.asarray(np.maximum(streamed + hops * root, last))


def step_cycles(target: Target) -> float:
    """From one task of a core program to the next: as measured, or a switch of tasks where nobody measured."""
    return float(target.core.task_switch_cycles) if target.overheads is None else target.overheads.step_cycles
