"""Dimension maps: the block that a sharding promises holds everything that the block's positions read."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.kernels.loop_nest import DimensionMap, fixed
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, block_bounds


@st.composite
def dimension_maps(draw: st.DrawFn) -> DimensionMap:
    """Any map of a dimension of 50 elements along the loop `d0`."""
    return DimensionMap(
        extent=50,
        loop="d0",
        stride=draw(st.sampled_from([-3, -1, 1, 2, 5])),
        offset=draw(st.integers(-9, 9)),
        divisor=draw(st.integers(1, 4)),
        reach=draw(st.integers(1, 7)),
    )


@given(dimension=dimension_maps(), positions=st.integers(1, 40), parts=st.integers(1, 9))
def test_block_holds_every_element_its_positions_read(
    dimension: DimensionMap, positions: int, parts: int
) -> None:
    """Halos, strides, reversal and upsampling: no element that a position reads lies outside its core's block."""
    block = -(-positions // parts)
    mesh = Mesh((MeshAxis("d0", parts, "rows"),))
    sharding = Sharding((dimension.sharding(block, ("d0",)),))
    ((starts, stops),) = block_bounds(sharding, mesh)
    for core in range(parts):
        held = set(range(int(starts[core, 0]), int(stops[core, 0])))
        for position in range(core * block, min(positions, (core + 1) * block)):
            first = position * dimension.stride + dimension.offset
            reads = {(first + tap) // dimension.divisor for tap in range(dimension.reach)} & set(
                range(dimension.extent)
            )
            assert reads <= held


def test_a_dimension_without_a_loop_is_needed_whole() -> None:
    """Window dimensions of weights and broadcast dimensions are on every core."""
    sharding = fixed(7).sharding(1, ())
    assert (sharding.extent, sharding.block, sharding.axes) == (7, 7, ())


def test_mesh_lays_axes_in_mixed_radix() -> None:
    """The first axis of a side is the most significant, and neighbours along it are as far apart as the rest is long."""
    mesh = Mesh((MeshAxis("a", 2, "rows"), MeshAxis("b", 3, "columns"), MeshAxis("c", 4, "rows")))
    assert (mesh.height, mesh.width, mesh.spacing("a"), mesh.spacing("c")) == (8, 3, 4, 1)
    assert np.array_equal(mesh.coordinate("a")[:, 0], [0, 0, 0, 0, 1, 1, 1, 1])
    assert np.array_equal(mesh.coordinate("c")[:, 0], [0, 1, 2, 3, 0, 1, 2, 3])
    assert np.array_equal(mesh.coordinate("b")[0], [0, 1, 2])
