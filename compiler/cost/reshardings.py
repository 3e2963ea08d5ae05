"""What it takes to bring a tensor from how it lies on some cores of a wafer to how others need it, between two turns.

Nothing where every core holds already what it needs. Else words go along one line of cores, or along two, one after the other: first
to the column (or row) of the cores that need them, then along it. On a line the cores send in turns and all see it
(`collectives.exchange`), or one sends and the others take (`collectives.broadcast`).
"""

from __future__ import annotations

import math
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.collectives import broadcast, exchange, halo_exchange_cycles
from wsec.compiler.layouts import Laid, straight
from wsec.compiler.sharding import block_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.plan import Rectangle
    from wsec.compiler.sharding import Mesh, Sharding
    from wsec.compiler.target import Fabric, Target

    Bounds = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class LaidTensor:
    """A tensor on a rectangle of cores; all of them hold their block, root axes of its sharding included."""

    sharding: Sharding
    mesh: Mesh
    rectangle: Rectangle


def resharding_cycles(source: LaidTensor, target: LaidTensor, words: int, machine: Target) -> int:
    """Cycles until every core of `target` has what it needs of a tensor of so many words; 0 where it has it already."""
    return int(resharding_table([source], [target], words, machine)[0, 0])


def resharding_table(
    sources: Sequence[LaidTensor], targets: Sequence[LaidTensor], words: int, machine: Target
) -> NDArray[np.float64]:
    """The same from each of some layouts to each of others, float64 [sources, targets]; each side in one view of the tensor."""
    found = np.zeros((len(sources), len(targets)))
    if not sources or not targets:
        return found
    shape = common_view(sources[0].sharding.shape, targets[0].sharding.shape)
    here = [_Prepared(laid, shape) for laid in sources]
    there = [_Prepared(laid, shape) for laid in targets]
    for row, source in enumerate(here):
        for column, target in enumerate(there):
            found[row, column] = _pair(source, target, words, machine)
    return found


class _Prepared:
    """A layout, and what is asked of it again and again."""

    def __init__(self, laid: LaidTensor, shape: tuple[int, ...] | None) -> None:
        self.laid, self.shape, self.rectangle = laid, shape, laid.rectangle
        self.share_of_row, self.share_of_column = (_share(laid, along_rows=rows) for rows in (True, False))
        self.share = self.share_of_row * self.share_of_column
        self._held: list[Bounds] | None = None
        self._needed: list[Bounds] | None = None
        self._lines: dict[bool, list[Bounds]] = {}
        self._runs: dict[tuple[bool, bool], Bounds | None] = {}

    def held(self) -> list[Bounds]:
        """What each core surely holds."""
        if self._held is None:
            self._held = [] if self.shape is None else _bounds(self.laid, self.shape, inner=True)
        return self._held

    def needed(self) -> list[Bounds]:
        """What each core needs at most."""
        if self._needed is None:
            self._needed = [] if self.shape is None else _bounds(self.laid, self.shape, inner=False)
        return self._needed

    def line(self, *, along_rows: bool) -> list[Bounds]:
        """What the cores of each row hold together, or of each column."""
        if along_rows not in self._lines:
            found = (
                []
                if self.shape is None
                else _without_cuts_along(self.laid, self.shape, along_rows=along_rows)
            )
            self._lines[along_rows] = found
        return self._lines[along_rows]

    def runs(self, *, along_rows: bool, needed: bool) -> Bounds | None:
        """Blocks along a line as runs of elements; None where they are none, or those held do not follow each other."""
        key = along_rows, needed
        if key not in self._runs:
            found = _runs(self.needed() if needed else self.held(), self.shape or (), int(along_rows))
            if found is not None and not needed and (found[0][1:] < found[0][:-1]).any():
                found = None
            self._runs[key] = found
        return self._runs[key]


def _pair(source: _Prepared, target: _Prepared, words: int, machine: Target) -> int:
    inside = _inside(target.rectangle, source.rectangle)
    if source.shape is not None and not all(inside):
        longer, cycles = _extended(source, target, words, machine)
        if longer is not source:
            return min(
                cycles + _pair(longer, target, words, machine), _two_lines(source, target, words, machine)
            )
    if source.shape is None or not any(inside):
        return _two_lines(source, target, words, machine)
    if all(inside) and _covers(source.held(), target.needed(), source, target):
        return 0
    if source.rectangle == target.rectangle and _is_halo(source.laid, target.laid):
        return _halo(source.laid, target.laid, words, machine)
    found = [_two_lines(source, target, words, machine)]
    for along_rows in (True, False):  # words of a line never leave it
        if inside[along_rows] and _covers(
            source.line(along_rows=along_rows), target.needed(), source, target, along_rows=along_rows
        ):
            found.append(_one_line(source, target, words, machine, along_rows=along_rows))
            near = _one_line_in_segments(source, target, words, machine, along_rows=along_rows)
            found.extend([] if near is None else [near])
    return min(found)


@lru_cache(maxsize=4096)
def common_view(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...] | None:
    """The coarsest view of a tensor of which both are views, its dimensions split only; None where there is none."""
    strides = sorted({math.prod(shape[at:]) for shape in (first, second) for at in range(len(shape) + 1)})
    pairs = list(zip(strides[1:], strides, strict=False))
    if math.prod(first) != math.prod(second) or not all(few and not many % few for many, few in pairs):
        return None
    return tuple(many // few for many, few in reversed(pairs))


def _bounds(laid: LaidTensor, shape: tuple[int, ...], *, inner: bool) -> list[Bounds]:
    """First element and first one behind, of every core's block, by dimension of the finer view `shape`.

    A block that is no box there counts as the largest box within it (`inner`) or the smallest around it.
    """
    found: list[Bounds] = []
    at = 0
    for (low, high), extent in zip(block_bounds(laid.sharding, laid.mesh), laid.sharding.shape, strict=True):
        factors: list[int] = []
        while math.prod(factors) < extent:
            factors.append(shape[at])
            at += 1
        found += _split(low, high, factors, inner=inner)
    return found


def _split(
    low: NDArray[np.int64], high: NDArray[np.int64], factors: list[int], *, inner: bool
) -> list[Bounds]:
    """Bounds along a dimension as bounds along its factors, the outermost first."""
    found: list[Bounds] = []
    for position in range(len(factors)):
        inside = math.prod(factors[position + 1 :])
        if inside == 1:
            return [*found, (low, high)]
        within = (high > low) & (low // inside == (high - 1) // inside)  # of one index of this factor
        first = low // inside
        if inner:
            outer = np.where(within, first, -(-low // inside)), np.where(within, first + 1, high // inside)
        else:
            outer = first, np.where(high > low, -(-high // inside), first)
        found.append(outer)
        low, high = np.where(within, low - first * inside, 0), np.where(within, high - first * inside, inside)
    return found


def _inside(target: Rectangle, source: Rectangle) -> tuple[bool, bool]:
    """Whether the columns of one lie among those of the other, and its rows."""
    columns = source.x <= target.x and target.x + target.width <= source.x + source.width
    rows = source.y <= target.y and target.y + target.height <= source.y + source.height
    return columns, rows


def _extended(source: _Prepared, target: _Prepared, words: int, machine: Target) -> tuple[_Prepared, int]:
    """The layout on as many lines as the target has, where its lines hold the same: the last of them passes it on."""
    here, there = source.rectangle, target.rectangle
    columns, rows = _inside(there, here)
    cycles = 0.0
    for along_rows, inside in ((True, columns), (False, rows)):
        if inside or any(low.shape[int(along_rows)] > 1 for low, _ in source.held()):
            continue
        if along_rows:
            first, last = min(here.x, there.x), max(here.x + here.width, there.x + there.width)
            beyond = max(here.x - first, last - here.x - here.width)
            here = replace(here, x=first, width=last - first)
        else:
            first, last = min(here.y, there.y), max(here.y + here.height, there.y + there.height)
            beyond = max(here.y - first, last - here.y - here.height)
            here = replace(here, y=first, height=last - first)
        cycles += _line(words * source.share, words * source.share, beyond + 1, machine)
    if here == source.rectangle:
        return source, 0
    longer = copy(source)
    longer.rectangle = here
    return longer, math.ceil(cycles)


def _covers(
    held: list[Bounds],
    needed: list[Bounds],
    source: _Prepared,
    target: _Prepared,
    *,
    along_rows: bool | None = None,
) -> bool:
    """Whether the cores of the target's rectangle hold what they need, or their row or column does."""
    here, there = source.rectangle, target.rectangle
    rows = slice(there.y - here.y, there.y - here.y + there.height)
    columns = slice(there.x - here.x, there.x - here.x + there.width)

    def part(values: NDArray[np.int64]) -> NDArray[np.int64]:
        few_rows = values.shape[0] == 1 or along_rows is False
        few_columns = values.shape[1] == 1 or along_rows is True
        return values[slice(None) if few_rows else rows, slice(None) if few_columns else columns]

    for (low, high), (least, most) in zip(held, needed, strict=True):
        if low.size == 1 and low.item() <= 0 and high.item() >= most.max():
            continue
        enough = (part(low) <= least) & (part(high) >= most) | (least >= most)
        if not enough.all():
            return False
    return True


def _without_cuts_along(laid: LaidTensor, shape: tuple[int, ...], *, along_rows: bool) -> list[Bounds]:
    """What all cores of a row hold together, or of a column: dimensions that are cut along it alone are whole there."""
    side = "columns" if along_rows else "rows"
    sides = {axis.name: axis.side for axis in laid.mesh.axes if axis.size > 1}
    found: list[Bounds] = []
    at = 0
    bounds = block_bounds(laid.sharding, laid.mesh)
    for dimension, of_cores in zip(laid.sharding.dimensions, bounds, strict=True):
        ends = of_cores
        factors: list[int] = []
        while math.prod(factors) < dimension.extent:
            factors.append(shape[at])
            at += 1
        if {sides.get(name) for name in dimension.axes} == {side}:
            ends = np.zeros((1, 1), np.int64), np.full((1, 1), dimension.extent)
        elif ends[0].shape[1 if along_rows else 0] > 1:  # cut along both: what a line holds is no box
            ends = np.zeros((1, 1), np.int64), np.zeros((1, 1), np.int64)
        found += _split(*ends, factors, inner=True)
    return found


def _is_halo(source: LaidTensor, target: LaidTensor) -> bool:
    """Whether neighbours hold what a core lacks; blocks that need nothing beyond are covered."""
    if target.sharding.block_elements <= source.sharding.block_elements:
        return False
    return straight(Laid(source.sharding, source.mesh), Laid(target.sharding, target.mesh))


def _halo(source: LaidTensor, target: LaidTensor, words: int, machine: Target) -> int:
    """Neighbours pass each other what they need beyond their blocks, along rows, then along columns."""
    size = math.prod(source.sharding.shape)
    beyond = max(0, target.sharding.block_elements - source.sharding.block_elements)
    each = np.array([float(math.ceil(beyond * words / max(size, 1)))])
    once = halo_exchange_cycles(each, np.array([1.0]), machine.fabric)
    sides = sum(size > 1 for size in (source.rectangle.width, source.rectangle.height))
    return math.ceil(float(once[0]) * sides + sides * _start(machine))


def _start(machine: Target) -> float:
    return 0.0 if machine.overheads is None else machine.overheads.collective_start_cycles


def _share(laid: LaidTensor, *, along_rows: bool) -> float:
    """What part of a tensor the cores of a row (or column) hold or need together."""
    side = "rows" if along_rows else "columns"
    sizes = {axis.name: axis.size for axis in laid.mesh.axes if axis.side == side}
    cutting = [name for dimension in laid.sharding.dimensions for name in dimension.axes]
    return 1 / math.prod(sizes.get(name, 1) for name in cutting)


def _span(first: Rectangle, second: Rectangle, *, along_rows: bool) -> int:
    """Cores of a line that goes through both rectangles."""
    if along_rows:
        return max(first.x + first.width, second.x + second.width) - min(first.x, second.x)
    return max(first.y + first.height, second.y + second.height) - min(first.y, second.y)


def _line(words: float, held: float, cores: int, machine: Target) -> float:
    """So many words among the cores of a line, each of which holds `held` of them."""
    return _line_cycles(math.ceil(words), cores, machine.fabric, several=words > held) + _start(machine)


@lru_cache(maxsize=1 << 16)
def _line_cycles(words: int, cores: int, fabric: Fabric, *, several: bool) -> float:
    """An exchange where several cores send, else a broadcast."""
    way = exchange if several else broadcast
    return float(way(np.array([float(words)]), np.array([float(cores)])).cycles(fabric)[0])


def _one_line(source: _Prepared, target: _Prepared, words: int, machine: Target, *, along_rows: bool) -> int:
    cores = _span(source.rectangle, target.rectangle, along_rows=along_rows)
    needed = words * (target.share_of_row if along_rows else target.share_of_column)
    return math.ceil(_line(needed, words * source.share, cores, machine))


def _one_line_in_segments(
    source: _Prepared, target: _Prepared, words: int, machine: Target, *, along_rows: bool
) -> int | None:
    """The same where whoever needs a word is near a core that holds it: only neighbours exchange.

    Two tilings of segments twice as long as the farthest way bring any two of them together; where all that need something of each
    other lie in the same tile of one, that is enough. None where blocks are no runs of elements.
    """
    have, need = (
        source.runs(along_rows=along_rows, needed=False),
        target.runs(along_rows=along_rows, needed=True),
    )
    if have is None or need is None:
        return None
    (low, high), (least, most) = have, need
    shift = (
        (target.rectangle.x - source.rectangle.x) if along_rows else (target.rectangle.y - source.rectangle.y)
    )
    wanted = most > least
    first = np.searchsorted(high, least, side="right")[wanted]
    last = np.searchsorted(low, most, side="left")[wanted] - 1
    at = np.flatnonzero(wanted) + shift
    if not len(at):
        return 0
    reach = int(max((at - first).max(), (last - at).max(), 1))
    tile = int((last - first).max()) + 1
    one = tile > 1 and bool((first // tile == last // tile).all() and (at // tile == first // tile).all())
    length = tile if one else 2 * reach
    if length >= len(low):
        return None
    held_words = words * float((high - low).max()) / max(1, math.prod(source.shape or ()))
    once = _line_cycles(math.ceil(held_words * length), length, machine.fabric, several=True)
    return math.ceil((1 if one else 2) * once + _start(machine))


def _runs(
    bounds: list[Bounds], shape: tuple[int, ...], side: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]] | None:
    """First element and first behind of every core's block in row-major order, along a line of cores; None where blocks are no runs.

    Dimensions that are cut along the other side count whole: all of them move alike.
    """
    first, last = np.zeros(1, np.int64), np.zeros(1, np.int64)
    ranged = False
    for ends, extent in zip(bounds, shape, strict=True):
        if ends[0].shape[1 - side] > 1:
            if ends[0].shape[side] > 1:
                return None
            low, high = np.zeros(1, np.int64), np.full(1, extent)
        else:
            low, high = (values.reshape(-1) for values in ends)
        full = (low == 0) & (high == extent)
        if ranged and not (full | (high <= low)).all():
            return None
        ranged = ranged or bool((high - low > 1).any())
        first, last = first * extent + low, last * extent + np.maximum(high - 1, low)
    return first, last + 1


def _two_lines(source: _Prepared, target: _Prepared, words: int, machine: Target) -> int:
    """What a line holds goes to the lines across that need it, then along these; rows or columns first."""
    held = words * source.share
    wide = _span(source.rectangle, target.rectangle, along_rows=True)
    high = _span(source.rectangle, target.rectangle, along_rows=False)
    ways = (
        (source.share_of_row, wide, target.share_of_column, high),
        (source.share_of_column, high, target.share_of_row, wide),
    )
    return math.ceil(
        min(
            _line(words * leaving, held, first, machine) + _line(words * needed, held, then, machine)
            for leaving, first, needed, then in ways
        )
    )
