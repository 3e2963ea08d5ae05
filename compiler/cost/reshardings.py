"""What it takes to bring a tensor from how it lies on some cores of a wafer to how others need it, between two turns.

Nothing where every core holds already what it needs. Else words go along one line of cores, or along two, one after the other: first
to the column (or row) of the cores that need them, then along it. On a line the cores send in turns and all see it
(`collectives.exchange`), or one sends and the others take (`collectives.broadcast`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.collectives import broadcast, exchange, halo_exchange_cycles
from wsec.compiler.layouts import Laid, straight
from wsec.compiler.sharding import block_bounds

if TYPE_CHECKING:
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
    shape = common_view(source.sharding.shape, target.sharding.shape)
    if shape is None:
        return _two_lines(source, target, words, machine)
    held, needed = _bounds(source, shape, inner=True), _bounds(target, shape, inner=False)
    inside = _inside(target.rectangle, source.rectangle)
    if all(inside) and _covers(held, needed, source, target):
        return 0
    if all(inside) and _is_halo(source, target):
        return _halo(source, target, words, machine)
    found = [_two_lines(source, target, words, machine)]
    for along_rows in (True, False):  # words of a line never leave it
        lines = _without_cuts_along(source, shape, along_rows=along_rows)
        if inside[along_rows] and _covers(lines, needed, source, target, along_rows=along_rows):
            found.append(_one_line(source, target, words, machine, along_rows=along_rows))
            near = _one_line_in_segments(held, needed, (source, target), (shape, words), machine, along_rows)
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


@lru_cache(maxsize=1 << 13)
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


def _split(low: NDArray[np.int64], high: NDArray[np.int64], factors: list[int], *, inner: bool) -> list[Bounds]:
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


def _covers(
    held: list[Bounds],
    needed: list[Bounds],
    source: LaidTensor,
    target: LaidTensor,
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


@lru_cache(maxsize=1 << 13)
def _without_cuts_along(laid: LaidTensor, shape: tuple[int, ...], *, along_rows: bool) -> list[Bounds]:
    """What all cores of a row hold together, or of a column: dimensions that are cut along it alone are whole there."""
    side = "columns" if along_rows else "rows"
    sides = {axis.name: axis.side for axis in laid.mesh.axes if axis.size > 1}
    found: list[Bounds] = []
    at = 0
    bounds = block_bounds(laid.sharding, laid.mesh)
    for dimension, (low, high) in zip(laid.sharding.dimensions, bounds, strict=True):
        factors: list[int] = []
        while math.prod(factors) < dimension.extent:
            factors.append(shape[at])
            at += 1
        if {sides.get(name) for name in dimension.axes} == {side}:
            low, high = np.zeros((1, 1), np.int64), np.full((1, 1), dimension.extent)
        elif low.shape[1 if along_rows else 0] > 1:  # cut along both: what a line holds is no box
            low = high = np.zeros((1, 1), np.int64)
        found += _split(low, high, factors, inner=True)
    return found


def _is_halo(source: LaidTensor, target: LaidTensor) -> bool:
    return source.rectangle == target.rectangle and straight(
        Laid(source.sharding, source.mesh), Laid(target.sharding, target.mesh)
    )


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


@lru_cache(maxsize=1 << 13)
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


def _held_words(laid: LaidTensor, words: int) -> float:
    return words * _share(laid, along_rows=True) * _share(laid, along_rows=False)


def _one_line(source: LaidTensor, target: LaidTensor, words: int, machine: Target, *, along_rows: bool) -> int:
    cores = _span(source.rectangle, target.rectangle, along_rows=along_rows)
    needed = words * _share(target, along_rows=along_rows)
    return math.ceil(_line(needed, _held_words(source, words), cores, machine))


def _one_line_in_segments(
    held: list[Bounds],
    needed: list[Bounds],
    laid: tuple[LaidTensor, LaidTensor],
    tensor: tuple[tuple[int, ...], int],
    machine: Target,
    along_rows: bool,
) -> int | None:
    """The same where whoever needs a word is near a core that holds it: only neighbours exchange.

    Two tilings of segments twice as long as the farthest way bring any two of them together; where all that need something of each
    other lie in the same tile of one, that is enough. None where blocks are no runs of elements.
    """
    source, target = laid
    shape, words = tensor
    side = 1 if along_rows else 0
    have, need = (_runs(bounds, shape, side) for bounds in (held, needed))
    if have is None or need is None:
        return None
    (low, high), (least, most) = have, need
    if (np.diff(low) < 0).any():
        return None
    shift = (target.rectangle.x - source.rectangle.x) if along_rows else (target.rectangle.y - source.rectangle.y)
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
    held_words = words * float((high - low).max()) / max(1, math.prod(shape))
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
    for (low, high), extent in zip(bounds, shape, strict=True):
        if low.shape[1 - side] > 1:
            if low.shape[side] > 1:
                return None
            low, high = np.zeros((1, 1), np.int64), np.full((1, 1), extent)
        low, high = low.reshape(-1), high.reshape(-1)
        full = (low == 0) & (high == extent)
        if ranged and not (full | (high <= low)).all():
            return None
        ranged = ranged or bool((high - low > 1).any())
        first, last = first * extent + low, last * extent + np.maximum(high - 1, low)
    return first, last + 1


def _two_lines(source: LaidTensor, target: LaidTensor, words: int, machine: Target) -> int:
    """What a line holds goes to the lines across that need it, then along these; rows or columns first."""
    held = _held_words(source, words)
    ways = []
    for rows_first in (True, False):
        leaving = words * _share(source, along_rows=rows_first)
        needed = words * _share(target, along_rows=not rows_first)
        first = _span(source.rectangle, target.rectangle, along_rows=rows_first)
        then = _span(source.rectangle, target.rectangle, along_rows=not rows_first)
        ways.append(_line(leaving, held, first, machine) + _line(needed, held, then, machine))
    return math.ceil(min(ways))
