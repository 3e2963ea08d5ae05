"""What it takes to bring a tensor from how it lies on some cores of a wafer to how others need it, between two turns.

Nothing where every core holds already what it needs. Else words go along one line of cores, or along two, one after the other: first
to the column (or row) of the cores that need them, then along it. On a line the cores send in turns and all see it
(`collectives.exchange`), or one sends and the others take (`collectives.broadcast`). All pairs of layouts are compared at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.collectives import broadcast, exchange, halo_exchange_cycles
from wsec.compiler.cost.resharding_layouts import (
    LaidTensor,
    bounds,
    common_view,
    grids,
    rectangles,
    runs_along,
    shares,
    without_cuts_along,
)
from wsec.compiler.cost.resharding_loops import covered, segments
from wsec.compiler.cost.resharding_tiles import boxes_along, tiles
from wsec.compiler.layouts import Laid, layout_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.target import Target

    Array = NDArray[np.float64]
    Counts = NDArray[np.int64]
    Flags = NDArray[np.bool_]

__all__ = ("LaidTensor", "common_view", "resharding_cycles", "resharding_table")

SIDES: Final = (0, 1)  # along columns of the grid, that is from row to row; along rows


def resharding_cycles(source: LaidTensor, target: LaidTensor, words: int, machine: Target) -> int:
    """Cycles until every core of `target` has what it needs of a tensor of so many words; 0 where it has it already."""
    return int(resharding_table([source], [target], words, machine)[0, 0])


def resharding_table(
    sources: Sequence[LaidTensor], targets: Sequence[LaidTensor], words: int, machine: Target
) -> NDArray[np.float64]:
    """The same from each of some layouts to each of others, float64 [sources, targets]; each in whatever view of the tensor."""
    found = np.zeros((len(sources), len(targets)))
    for here, there in product(_by_view(sources), _by_view(targets)):
        some, others = [sources[at] for at in here], [targets[at] for at in there]
        found[np.ix_(here, there)] = _table(some, others, words, machine)
    return found


def _by_view(layouts: Sequence[LaidTensor]) -> list[list[int]]:
    """Numbers of the layouts with the same view of the tensor."""
    found: dict[tuple[int, ...], list[int]] = {}
    for at, laid in enumerate(layouts):
        found.setdefault(laid.sharding.shape, []).append(at)
    return list(found.values())


def _table(
    sources: Sequence[LaidTensor], targets: Sequence[LaidTensor], words: int, machine: Target
) -> NDArray[np.float64]:
    """Cycles from layouts in one view to layouts in one view."""
    shape = common_view(sources[0].sharding.shape, targets[0].sharding.shape)
    pairs = np.indices((len(sources), len(targets))).reshape(2, -1)
    here, there = rectangles(sources)[pairs[0]], rectangles(targets)[pairs[1]]
    lines = Lines(shares(sources)[pairs[0]], shares(targets)[pairs[1]], words, machine)
    plain = lines.two(here, there)
    if shape is None:
        return plain.reshape(len(sources), len(targets))
    held = [bounds(laid, shape, inner=True) for laid in sources]
    longer, cycles = extended_sources(here, there, held, pairs[0], lines)
    found = cycles + _within((sources, targets), held, (pairs, longer, there), lines, shape)
    extended = (longer != here).any(axis=1)
    return np.where(extended, np.minimum(found, plain), found).reshape(len(sources), len(targets))


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """What words along lines take, by pair of layouts.

    Attributes:
        held: The part of the tensor that the cores of a column of the source hold together, and of a row, [pairs, 2].
        needed: The part that those of the target need, [pairs, 2].
        words: Of the tensor.
        machine: The target.
    """

    held: Array
    needed: Array
    words: int
    machine: Target

    @property
    def start(self) -> float:
        """Cycles before a collective begins."""
        overheads = self.machine.overheads
        return 0.0 if overheads is None else overheads.collective_start_cycles

    def select(self, pairs: Flags) -> Lines:
        """Of some of the pairs."""
        return Lines(self.held[pairs], self.needed[pairs], self.words, self.machine)

    def line(self, words: Array, many: Counts, senders: Counts | None = None) -> Array:
        """So many words among the cores of a line: an exchange where more than one core sends, else a broadcast.

        `senders` are the first cores of each line, where only these have words; [pairs].
        """
        fabric, several = self.machine.fabric, words > self.words * self.held.prod(axis=1)
        whole, cores = np.ceil(words), many.astype(np.float64)
        sending = None if senders is None else senders.astype(np.float64)
        sent = np.where(
            several,
            exchange(whole, cores, senders=sending).cycles(fabric),
            broadcast(whole, cores).cycles(fabric),
        )
        return sent + self.start

    def one(self, here: Counts, there: Counts, side: int) -> Array:
        """Along the lines of one side, which hold all that they need."""
        senders = here[:, 3 - side]
        return np.ceil(self.line(self.words * self.needed[:, side], span(here, there, side), senders))

    def two(self, here: Counts, there: Counts) -> Array:
        """What a line holds goes to the lines across that need it, then along these; rows or columns first."""
        ways = [
            self.line(self.words * self.held[:, first], span(here, there, first), here[:, 3 - first])
            + self.line(
                self.words * self.needed[:, 1 - first], span(here, there, 1 - first), here[:, 2 + first]
            )
            for first in SIDES
        ]
        return np.ceil(np.minimum(*ways))


def span(here: Counts, there: Counts, side: int) -> Counts:
    """Cores of a line of one side that goes through both rectangles."""
    at = 1 - side
    last: Counts = np.maximum(here[:, at] + here[:, at + 2], there[:, at] + there[:, at + 2])
    return last - np.minimum(here[:, at], there[:, at])


def inside_lines(here: Counts, there: Counts, side: int) -> Flags:
    """Whether the lines across of the target, along which `side` goes, lie among those of the source."""
    at = 1 - side
    inside: Flags = (here[:, at] <= there[:, at]) & (
        there[:, at] + there[:, at + 2] <= here[:, at] + here[:, at + 2]
    )
    return inside


def extended_sources(
    here: Counts,
    there: Counts,
    held: Sequence[Sequence[tuple[Counts, Counts]]],
    source: Counts,
    lines: Lines,
) -> tuple[Counts, Array]:
    """The sources on as many lines as the targets have, where their lines hold the same: the last of them passes it on."""
    longer, cycles = here.copy(), np.zeros(len(here))
    share = lines.words * lines.held.prod(axis=1)
    for side in reversed(SIDES):
        at = 1 - side
        same = np.array([all(low.shape[side] == 1 for low, _ in of_layout) for of_layout in held])
        grown = same[source] & ~inside_lines(here, there, side)
        first = np.minimum(here[:, at], there[:, at])
        last = first + span(here, there, side)
        beyond = np.maximum(here[:, at] - first, last - here[:, at] - here[:, at + 2])
        cycles += np.where(grown, lines.line(share, beyond + 1), 0.0)
        longer[:, at] = np.where(grown, first, here[:, at])
        longer[:, at + 2] = np.where(grown, last - first, here[:, at + 2])
    return longer, np.ceil(cycles)


def _within(
    layouts: tuple[Sequence[LaidTensor], Sequence[LaidTensor]],
    held: Sequence[list[tuple[Counts, Counts]]],
    places: tuple[Counts, Counts, Counts],
    lines: Lines,
    shape: tuple[int, ...],
) -> Array:
    """Cycles of each pair; nothing, a halo, or words along the lines that hold all that they need, or along two lines."""
    sources, targets = layouts
    pairs, here, there = places
    needed = [bounds(laid, shape, inner=False) for laid in targets]
    blocks, sizes = grids(needed), rectangles(targets)[:, [3, 2]]
    sides = rectangles(sources)[:, [3, 2]], sizes
    shifts = (there - here)[:, [1, 0]]
    tests = np.column_stack([*pairs, shifts])
    inside = [inside_lines(here, there, side) for side in SIDES]
    found = lines.two(here, there)
    both = inside[0] & inside[1]
    done = both.copy()
    done[both] = covered(grids(held), blocks, tests[both], sizes)
    found[done] = 0
    equal = both & ~done & (here == there).all(axis=1)
    for at in np.flatnonzero(equal)[halos(sources, targets, pairs[:, equal])]:
        found[at], done[at] = (
            halo(sources[pairs[0, at]], targets[pairs[1, at]], lines),
            True,
        )
    for side in SIDES:
        open_pairs = np.flatnonzero(~done & inside[1 - side])
        together = [without_cuts_along(laid, shape, along_rows=bool(side)) for laid in sources]
        at = open_pairs[covered(grids(together), blocks, tests[open_pairs], sizes)]
        picked = np.zeros(len(found), np.bool_)
        picked[at] = True
        of_line = lines.select(picked)
        best = np.minimum(found[at], of_line.one(here[at], there[at], side))
        near = segments(
            runs_along(held, shape, along_rows=bool(side), in_order=True),
            runs_along(needed, shape, along_rows=bool(side), in_order=False),
            np.column_stack([pairs[0, at], pairs[1, at], shifts[at, side]]),
        )
        largest = largest_runs(held, shape, side)[pairs[0, at]]
        best = np.minimum(best, in_segments(near, largest, of_line, math.prod(shape), side))
        found[at] = np.minimum(
            best, in_tiles((held, needed), sides, (pairs[:, at], shifts[at, side]), of_line, (shape, side))
        )
    return found


def largest_runs(held: Sequence[list[tuple[Counts, Counts]]], shape: tuple[int, ...], side: int) -> Array:
    """Elements of the longest run of a line, [layouts]."""
    low, high, places = runs_along(held, shape, along_rows=bool(side), in_order=True)
    longest = [int((high - low)[start : start + cores].max(initial=0)) for start, cores in places.tolist()]
    return np.array(longest, dtype=np.float64)


def in_segments(near: Counts, largest: Array, lines: Lines, elements: int, side: int) -> Array:
    """Cycles where whoever needs a word is near a core that holds it, and only neighbours exchange; infinite where that is not so.

    Two tilings of segments twice as long as the farthest way bring any two of them together; where all that need something of each
    other lie in the same tile of one, that is enough.
    """
    length, tilings = near[:, 0].astype(np.float64), near[:, 1]
    words = np.minimum(largest / elements * length, lines.needed[:, side]) * lines.words
    once = exchange(np.ceil(words), length).cycles(lines.machine.fabric)
    cycles = np.where(length == 0, 0.0, np.ceil(tilings * once + lines.start))
    return np.where(length < 0, np.inf, cycles)


def in_tiles(
    bounds_of: tuple[Sequence[list[tuple[Counts, Counts]]], Sequence[list[tuple[Counts, Counts]]]],
    lengths: tuple[Counts, Counts],
    places: tuple[Counts, Counts],
    lines: Lines,
    view: tuple[tuple[int, ...], int],
) -> Array:
    """Cycles where the cores of each tile exchange what they hold, as far as their line needs it; infinite where that is not enough."""
    shape, side = view
    held, needed = (
        boxes_along(found, shape, length[:, side], side)
        for found, length in zip(bounds_of, lengths, strict=True)
    )
    pairs, shifts = places
    near = tiles(held, needed, np.column_stack([pairs[0], pairs[1], shifts]))
    length = near[:, 0].astype(np.float64)
    part = np.minimum(lines.held[:, side] * near[:, 1] / math.prod(shape), lines.needed[:, side])
    words = np.ceil(lines.words * part)
    cycles = exchange(np.maximum(words, 1), np.maximum(length, 2)).cycles(lines.machine.fabric)
    return np.where(length < 0, np.inf, np.ceil(cycles + lines.start))


def halos(sources: Sequence[LaidTensor], targets: Sequence[LaidTensor], pairs: Counts) -> Flags:
    """Whether neighbours hold what a core lacks; blocks that need nothing beyond are covered."""
    here, there = (
        [layout_of(Laid(laid.sharding, laid.mesh)) for laid in side] if pairs.size else []
        for side in (sources, targets)
    )
    found = np.zeros(pairs.shape[1], np.bool_)
    for at, (source, target) in enumerate(pairs.T.tolist()):
        given, wanted = here[source], there[target]
        if targets[target].sharding.block_elements <= sources[source].sharding.block_elements:
            continue
        found[at] = given is not None and wanted is not None and given.feeds(wanted)
    return found


def halo(source: LaidTensor, target: LaidTensor, lines: Lines) -> int:
    """Neighbours pass each other what they need beyond their blocks, along rows, then along columns."""
    size = math.prod(source.sharding.shape)
    beyond = max(0, target.sharding.block_elements - source.sharding.block_elements)
    each = np.array([float(math.ceil(beyond * lines.words / max(size, 1)))])
    once = halo_exchange_cycles(each, np.array([1.0]), lines.machine.fabric)
    sides = sum(size > 1 for size in (source.rectangle.width, source.rectangle.height))
    return math.ceil(float(once[0]) * sides + sides * lines.start)
