"""Cycles of products on a matrix unit, under many splits at once: one array element a split.

A step of the unit takes a tile: `rows` positions that share the second factor, `columns` results of each, `depth` summed elements.
What a block has of each is rounded up to whole tiles. An instruction walks the longest `loops` loops over tiles by itself.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.cost.block_sizes import computed_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from wsec.compiler.kernels.loop_nest import LoopNest, Work
    from wsec.compiler.target import Core, MatrixUnit

    Array = NDArray[np.float64]


def matrix_cycles(work: Work, nest: LoopNest, blocks: Array, core: Core, dtype: str) -> Array:
    """Cycles of `work` over blocks [splits, loops] on the matrix unit of a core; infinite where it is no product or there is no unit."""
    unit = core.matrix_unit
    if unit is None or work.product is None:
        return np.full(len(blocks), np.inf)
    tiles = _tiles(work, nest, blocks, unit)
    steps = tiles.prod(axis=1)
    walked = np.sort(tiles, axis=1)[:, -unit.loops :].prod(axis=1)
    started = steps / walked * (unit.start_cycles + core.issue_cycles + core.loop_cycles)
    return np.asarray(work.operations * (steps * unit.step_cycles(core.lanes[dtype]) + started))


def matrix_memory_cycles(work: Work, nest: LoopNest, blocks: Array, core: Core, item_bytes: float) -> Array:
    """Cycles of the SRAM ports: both factors of each tile are read, and its results are written."""
    unit = core.matrix_unit
    if unit is None or work.product is None:
        return np.full(len(blocks), np.inf)
    steps = work.operations * _tiles(work, nest, blocks, unit).prod(axis=1)
    reads = unit.depth * (unit.rows + unit.columns) * item_bytes / core.read_bytes_per_cycle
    writes = unit.rows * unit.columns * item_bytes / core.write_bytes_per_cycle
    return np.asarray(steps * max(reads, writes))


def _tiles(work: Work, nest: LoopNest, blocks: Array, unit: MatrixUnit) -> Array:
    """Tiles along positions, results, what is summed, each loop of products that lie apart, and each tap; [splits, loops]."""
    product = work.product
    if product is None:
        raise AssertionError("asked for products only")
    blocks = computed_blocks(work, nest, blocks).copy()
    for name, count in work.every:
        at = nest.position(name)
        blocks[:, at] = np.ceil(blocks[:, at] / count)
    summed = tuple(name for names in work.summed for name in names)
    known = {*product.rows, *product.columns, *summed}
    sides = ((product.rows, unit.rows), (product.columns, unit.columns), (summed, unit.depth))
    found = [np.ceil(_size(names, nest, blocks) / side) for names, side in sides]
    found += [_size((name,), nest, blocks) for name in work.loops if name not in known]
    taps = math.prod(work.taps)
    return np.stack([*found, np.full(len(blocks), float(taps))], axis=1)


def _size(names: Iterable[str], nest: LoopNest, blocks: Array) -> Array:
    size = np.ones(len(blocks))
    for name in names:
        size = size * blocks[:, nest.position(name)]
    return size
