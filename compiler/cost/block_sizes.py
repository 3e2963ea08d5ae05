"""Sizes of what a core holds under many splits at once: one array element a split."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.kernels.loop_nest import LoopRole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.kernels.loop_nest import DimensionMap, LoopNest, Operand, Work

    Array = NDArray[np.float64]


def block_elements(operand: Operand, nest: LoopNest, blocks: Array) -> Array:
    """Elements of one core's block; `blocks` is [splits, loops], positions of each loop a core works on."""
    elements = np.ones(len(blocks))
    for dimension in operand.maps:
        if not dimension.loop:
            elements = elements * dimension.extent
            continue
        positions = blocks[:, nest.position(dimension.loop)]
        elements = elements * _read(dimension, positions)
        if dimension.shared:
            sharing = nest.position(dimension.shared)
            cores = np.ceil(nest.loops[sharing].extent / blocks[:, sharing])
            elements = np.where(
                dimension.extent % positions == 0, _shares(elements, positions, cores), elements
            )
    return elements


def _shares(elements: Array, positions: Array, cores: Array) -> Array:
    """Of a block of so many positions those that one of the cores holds which share it."""
    return np.asarray(elements / positions * np.ceil(positions / cores))


def first_long_dimension(operand: Operand, nest: LoopNest, blocks: Array) -> Array:
    """Elements of a block along its first dimension that has more than one; 1 where none has."""
    found = np.ones(len(blocks))
    for dimension in operand.maps:
        if dimension.loop:
            elements = _read(dimension, blocks[:, nest.position(dimension.loop)])
        else:
            elements = np.full(len(blocks), float(dimension.extent))
        found = np.where(found > 1, found, elements)
    return found


def _read(dimension: DimensionMap, positions: Array) -> Array:
    """Elements of a dimension that so many consecutive positions read, as `DimensionMap.block_elements`."""
    span = (positions - 1) * abs(dimension.stride) + dimension.reach - 1
    if dimension.shares_elements:
        begun = dimension.divisor - np.gcd(positions.astype(np.int64), dimension.divisor)
        return np.asarray(np.minimum(dimension.extent, np.floor((begun + span) / dimension.divisor) + 1))
    return np.asarray(np.ceil(span / dimension.divisor) + 1)


def computed_blocks(work: Work, nest: LoopNest, blocks: Array) -> Array:
    """Positions of each loop, [splits, loops], that the busiest core computes: those that are chosen, at most its block.

    Of loops that are walked as they lie in an operand, all elements that the block reads.
    """
    if not (work.chosen or work.unread):
        return blocks
    computed = blocks.copy()
    for name, most in work.chosen:
        at = nest.position(name)
        computed[:, at] = np.minimum(computed[:, at], most)
    for dimension in work.unread:
        at = nest.position(dimension.loop)
        computed[:, at] = _read(dimension, computed[:, at])
    return computed


def interim_bytes(nest: LoopNest, walked: Array) -> Array:
    """Bytes of the intermediate results of a turn; every core has room for one element."""
    walked = computed_blocks(nest.work, nest, walked)
    held = np.full(len(walked), nest.work.interim_bytes, dtype=np.float64)
    for name in nest.work.interim:
        held = held * walked[:, nest.position(name)]
    return held


def widening(nest: LoopNest) -> float:
    """Bytes of a partial result over those of the result."""
    return max(1.0, nest.work.partial_bytes / nest.outputs[0].item_bytes)


def output_bytes(nest: LoopNest, blocks: Array) -> Array:
    """Bytes of one core's block of every output that is no state: those are written in place."""
    held = np.zeros(len(blocks))
    for operand in nest.outputs:
        if operand.state:
            continue
        held = held + block_elements(operand, nest, blocks) * operand.item_bytes
    return held


def gathered_bytes(nest: LoopNest, blocks: Array, parts: Array) -> Array:
    """Bytes of the state of all cores, which each of them holds."""
    whole = state_bytes(nest, blocks)
    for index, loop in enumerate(nest.loops):
        if loop.role is LoopRole.COLLECTIVE:
            whole = whole * parts[:, index]
    return whole


def state_bytes(nest: LoopNest, blocks: Array) -> Array:
    """Bytes of one core's part of the state that cores gather from each other."""
    state = np.full(len(blocks), nest.outputs[0].item_bytes if nest.work.gathered else 0, dtype=np.float64)
    for name in nest.work.gathered:
        state = state * blocks[:, nest.position(name)]
    return state
