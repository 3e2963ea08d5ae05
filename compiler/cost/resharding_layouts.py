"""Layouts of a tensor prepared for comparison: what each core surely holds, needs at most, and what lines of cores hold together."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.sharding import block_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from wsec.compiler.cost.resharding_loops import Grids, Runs
    from wsec.compiler.plan import Rectangle
    from wsec.compiler.sharding import Mesh, Sharding

    Bounds = tuple[NDArray[np.int64], NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class LaidTensor:
    """A tensor on a rectangle of cores; all of them hold their block, root axes of its sharding included."""

    sharding: Sharding
    mesh: Mesh
    rectangle: Rectangle


@lru_cache(maxsize=4096)
def common_view(first: tuple[int, ...], second: tuple[int, ...]) -> tuple[int, ...] | None:
    """The coarsest view of a tensor of which both are views, its dimensions split only; None where there is none."""
    strides = sorted({math.prod(shape[at:]) for shape in (first, second) for at in range(len(shape) + 1)})
    pairs = list(zip(strides[1:], strides, strict=False))
    if math.prod(first) != math.prod(second) or not all(few and not many % few for many, few in pairs):
        return None
    return tuple(many // few for many, few in reversed(pairs))


def rectangles(layouts: Sequence[LaidTensor]) -> NDArray[np.int64]:
    """First column and row, width and height of each, [layouts, 4]."""
    return np.array([(r.x, r.y, r.width, r.height) for r in (laid.rectangle for laid in layouts)])


def shares(layouts: Sequence[LaidTensor]) -> NDArray[np.float64]:
    """What part of the tensor the cores of a column hold or need together, and those of a row, [layouts, 2]."""
    return np.array([[_share(laid, along_rows=rows) for rows in (False, True)] for laid in layouts])


def bounds(laid: LaidTensor, shape: tuple[int, ...], *, inner: bool) -> list[Bounds]:
    """First element and first one behind, of every core's block, by dimension of the finer view `shape`.

    A block that is no box there counts as the largest box within it (`inner`) or the smallest around it.
    """
    found: list[Bounds] = []
    at = 0
    for (low, high), extent in zip(_blocks(laid.sharding, laid.mesh), laid.sharding.shape, strict=True):
        factors: list[int] = []
        while math.prod(factors) < extent:
            factors.append(shape[at])
            at += 1
        found += _split(low, high, factors, inner=inner)
    return found


@lru_cache(maxsize=8192)
def _blocks(sharding: Sharding, mesh: Mesh) -> tuple[Bounds, ...]:
    """Bounds of a layout, which is compared with many others: its arrays are not to be changed."""
    return block_bounds(sharding, mesh)


def without_cuts_along(laid: LaidTensor, shape: tuple[int, ...], *, along_rows: bool) -> list[Bounds]:
    """What all cores of a row hold together, or of a column: dimensions that are cut along it alone are whole there."""
    side = "columns" if along_rows else "rows"
    sides = {axis.name: axis.side for axis in laid.mesh.axes if axis.size > 1}
    found: list[Bounds] = []
    at = 0
    blocks = _blocks(laid.sharding, laid.mesh)
    for dimension, of_cores in zip(laid.sharding.dimensions, blocks, strict=True):
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


def grids(found: Sequence[list[Bounds]]) -> Grids:
    """Bounds of many layouts behind each other."""
    arrays = [ends for of_layout in found for ends in of_layout]
    if not arrays:  # of one element
        none = np.zeros(0, np.int64)
        return none, none, np.zeros((len(found), 0, 3), np.int64)
    places = np.array([(low.size, *low.shape) for low, _ in arrays], dtype=np.int64)
    places[:, 0] = places[:, 0].cumsum() - places[:, 0]
    low, high = (np.concatenate([ends[side].reshape(-1) for ends in arrays]) for side in (0, 1))
    return low, high, places.reshape(len(found), -1, 3)


def runs_along(
    found: Sequence[list[Bounds]], shape: tuple[int, ...], *, along_rows: bool, in_order: bool
) -> Runs:
    """Blocks along lines as runs of elements, of many layouts; none where they are none, or do not follow each other if they have to."""
    each = [_runs(of_layout, shape, int(along_rows)) for of_layout in found]
    if in_order:
        each = [None if runs is not None and (runs[0][1:] < runs[0][:-1]).any() else runs for runs in each]
    none = np.zeros(0, np.int64)
    low, high = (np.concatenate([none if runs is None else runs[side] for runs in each]) for side in (0, 1))
    lengths = np.array([0 if runs is None else len(runs[0]) for runs in each], dtype=np.int64)
    return low, high, np.column_stack([lengths.cumsum() - lengths, lengths])


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


def _share(laid: LaidTensor, *, along_rows: bool) -> float:
    """What the cores of a row (or column) have together: of dimensions that are cut across, a part, and what blocks reach beyond it."""
    side = "rows" if along_rows else "columns"
    sizes = {axis.name: axis.size for axis in laid.mesh.axes if axis.side == side}
    share = 1.0
    for dimension in laid.sharding.dimensions:
        parts = math.prod(sizes.get(name, 1) for name in dimension.axes)
        beyond = max(0.0, dimension.block - dimension.step / dimension.divisor) / dimension.extent
        part = 1 / parts
        if parts > 1 and all(name in sizes for name in dimension.axes):  # the largest block, of ragged ones
            part = max(part, dimension.step / dimension.divisor / dimension.extent)
        share *= part if parts == 1 else min(1.0, part + beyond)
    return share
