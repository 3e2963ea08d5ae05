"""Reading blocks at computed positions, for cores that read alike and for cores that do not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from plan_records import whole_mesh

from wsec.compiler.sharding import DimensionSharding, Mesh, MeshAxis
from wsec.runtime.local_reads import read_dimension, resized, take, windows

if TYPE_CHECKING:
    from wsec.runtime.element_types import Array

MESH = Mesh((MeshAxis("a", 2, "rows"), MeshAxis("b", 3, "columns")))


@given(st.data())
def test_every_core_reads_its_own_positions(data: st.DataObject) -> None:
    """Positions that all cores share, or that differ along one or both mesh axes; outside the block there is poison."""
    blocks_shape = (data.draw(st.sampled_from((1, 2))), data.draw(st.sampled_from((1, 3))), 2, 5, 3)
    blocks = np.arange(np.prod(blocks_shape), dtype=np.float64).reshape(blocks_shape)
    index_shape = tuple(data.draw(st.lists(st.integers(1, 3), min_size=1, max_size=2)))
    local_shape = (data.draw(st.sampled_from((1, 2))), data.draw(st.sampled_from((1, 3))), *index_shape)
    seed = data.draw(st.integers(0, 100))
    local = np.random.default_rng(seed).integers(-1, 7, local_shape)
    found = whole_mesh(take(blocks, 3, local, 2), MESH)
    whole_blocks, whole_local = whole_mesh(blocks, MESH), whole_mesh(local, MESH)
    for core in np.ndindex(MESH.shape):
        for at in np.ndindex(index_shape):
            position = whole_local[(*core, *at)]
            expected = whole_blocks[core][:, position] if 0 <= position < 5 else np.full((2, 3), np.nan)
            np.testing.assert_array_equal(found[core][(slice(None), *at)], expected)


def held(block: int, step: int, *, extent: int = 12) -> DimensionSharding:
    """A dimension cut over `b`."""
    return DimensionSharding(extent=extent, block=block, step=step, axes=("b",))


def blocks_of(dimension: DimensionSharding) -> Array:
    """What each core holds: the global positions themselves."""
    starts = np.arange(3) * dimension.step
    return (starts[:, None] + np.arange(dimension.block)).reshape(1, 3, dimension.block).astype(np.float64)


def test_positions_at_equal_steps_are_views() -> None:
    """Where all cores read alike nothing is copied, forwards and backwards."""
    dimension = held(4, 4)
    blocks = blocks_of(dimension)
    starts = np.arange(3).reshape(1, 3, 1) * 4
    for wanted in (np.arange(0, 4, 2), np.arange(3, -1, -1), np.array([2])):
        found = read_dimension(blocks, 0, dimension, starts + wanted, MESH)
        assert np.shares_memory(found, blocks)
        np.testing.assert_array_equal(found, starts + wanted)


def test_positions_outside_the_extent_and_outside_the_block() -> None:
    """The one gets the value that stands outside, the other poison."""
    dimension = held(4, 4, extent=10)
    wanted = np.arange(3).reshape(1, 3, 1) * 4 + np.array([1, 4])
    found = read_dimension(blocks_of(dimension), 0, dimension, wanted, MESH, outside=-1)
    np.testing.assert_array_equal(found, [[[1, np.nan], [5, np.nan], [9, -1]]])


def test_positions_before_the_block_are_poison() -> None:
    """A block that begins too late does not wrap around."""
    dimension = held(4, 4)
    wanted = np.arange(3).reshape(1, 3, 1) * 4 + np.array([-1, 0])
    found = read_dimension(blocks_of(dimension), 0, dimension, wanted, MESH, outside=-1)
    np.testing.assert_array_equal(found, [[[-1, 0], [np.nan, 4], [np.nan, 8]]])


def test_windows_of_a_block_that_is_too_short() -> None:
    """The taps that the block does not reach are poison."""
    found = windows(np.arange(4.0).reshape(1, 4), 1, count=2, window=2, stride=2, dilation=2)
    np.testing.assert_array_equal(found, [[[0, 2], [2, np.nan]]])


def test_resized_blocks() -> None:
    """Cut off, filled up, or left alone."""
    block = np.arange(3.0)
    np.testing.assert_array_equal(resized(block, 0, 2), [0, 1])
    np.testing.assert_array_equal(resized(block, 0, 4), [0, 1, 2, np.nan])
    assert resized(block, 0, 2, at_least=True) is block
