"""Blocks against a reference that walks every core and element, written from the docstring of DimensionSharding."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from plan_records import whole_mesh

from wsec.compiler.sharding import DimensionSharding, Mesh, MeshAxis, Sharding, Side, cut, whole
from wsec.runtime.blocks import block_starts, gather, scatter, validity
from wsec.runtime.delivery import deliver

Array = np.ndarray[Any, Any]
FILL = -99


@st.composite
def meshes(draw: st.DrawFn) -> Mesh:
    """Up to three axes of one to four cores."""
    either: tuple[Side, ...] = ("rows", "columns")
    sizes = draw(st.lists(st.integers(1, 4), max_size=3))
    sides = [draw(st.sampled_from(either)) for _ in sizes]
    return Mesh(
        tuple(MeshAxis(f"a{i}", size, side) for i, (size, side) in enumerate(zip(sizes, sides, strict=True)))
    )


@st.composite
def dimensions(draw: st.DrawFn, axes: tuple[str, ...]) -> DimensionSharding:
    """Any block, step, offset and divisor: plain cuts, halos, gaps, reversed slices, resized ones."""
    return DimensionSharding(
        extent=draw(st.integers(1, 9)),
        block=draw(st.integers(1, 6)),
        step=draw(st.integers(-4, 5)),
        axes=axes,
        offset=draw(st.integers(-5, 5)),
        divisor=draw(st.integers(1, 3)),
    )


@st.composite
def shardings(draw: st.DrawFn) -> tuple[Mesh, Sharding]:
    """A mesh, and up to three dimensions that share out some of its axes."""
    mesh = draw(meshes())
    names = draw(st.permutations([axis.name for axis in mesh.axes]))
    rank = draw(st.integers(0, 3))
    owners = [draw(st.integers(0, rank)) for _ in names]
    owned = [
        tuple(name for name, owner in zip(names, owners, strict=True) if owner == i) for i in range(rank)
    ]
    return mesh, Sharding(tuple(draw(dimensions(axes)) for axes in owned))


def cores(mesh: Mesh) -> list[dict[str, int]]:
    """Index along every axis, for every core, in the order of the blocks."""
    names = [axis.name for axis in mesh.axes]
    return [dict(zip(names, indices, strict=True)) for indices in product(*map(range, mesh.shape))]


def first_of(dimension: DimensionSharding, mesh: Mesh, core: dict[str, int]) -> int:
    """Where a core's block begins, before clipping."""
    index = 0
    for name in dimension.axes:
        index = index * mesh.size(name) + core[name]
    return (index * dimension.step + dimension.offset) // dimension.divisor


def elements_of(sharding: Sharding, mesh: Mesh, core: dict[str, int]) -> list[list[int]]:
    """Global positions of a core's block, by dimension."""
    return [list(range(s := first_of(d, mesh, core), s + d.block)) for d in sharding.dimensions]


def naive_scatter(tensor: Array, sharding: Sharding, mesh: Mesh) -> Array:
    """Element by element."""
    blocks = []
    for core in cores(mesh):
        block = np.full(sharding.block_shape, FILL, dtype=tensor.dtype)
        for local in np.ndindex(block.shape):
            at = [span[i] for span, i in zip(elements_of(sharding, mesh, core), local, strict=True)]
            if all(0 <= i < extent for i, extent in zip(at, sharding.shape, strict=True)):
                block[local] = tensor[tuple(at)]
        blocks.append(block)
    return np.array(blocks).reshape((*mesh.shape, *sharding.block_shape))


def numbered(sharding: Sharding) -> Array:
    """A tensor in which every element is different."""
    return np.arange(np.prod(sharding.shape, dtype=int), dtype=np.int64).reshape(sharding.shape)


@given(shardings())
def test_scatter_gives_every_core_its_block(case: tuple[Mesh, Sharding]) -> None:
    """Halos, gaps, reversed and divided starts, several axes on one dimension: as the docstring says."""
    mesh, sharding = case
    tensor = numbered(sharding)
    blocks = whole_mesh(scatter(tensor, sharding, mesh, FILL), mesh)
    np.testing.assert_array_equal(blocks, naive_scatter(tensor, sharding, mesh))


@given(shardings())
def test_validity_tells_what_is_inside(case: tuple[Mesh, Sharding]) -> None:
    """Exactly the elements that are not fill are valid."""
    mesh, sharding = case
    blocks = whole_mesh(scatter(numbered(sharding), sharding, mesh, FILL), mesh)
    inside = np.broadcast_to(validity(sharding, mesh), blocks.shape)
    np.testing.assert_array_equal(inside, blocks != FILL)


@given(shardings())
def test_block_starts_of_every_core(case: tuple[Mesh, Sharding]) -> None:
    """The first position of each core's block, in mesh order."""
    mesh, sharding = case
    for dimension in sharding.dimensions:
        starts = np.broadcast_to(block_starts(dimension, mesh), mesh.shape)
        assert starts.ravel().tolist() == [first_of(dimension, mesh, core) for core in cores(mesh)]


@given(meshes(), st.data())
def test_gather_puts_plain_blocks_together(mesh: Mesh, data: st.DataObject) -> None:
    """Ragged last blocks are cut off; replicated axes are read at index 0."""
    names = data.draw(st.permutations([axis.name for axis in mesh.axes]))
    split = data.draw(st.integers(0, len(names)))
    owned = (tuple(names[:split]), tuple(names[split:][:1]))
    extents = data.draw(st.tuples(st.integers(1, 9), st.integers(1, 9)))
    sizes = [int(np.prod([mesh.size(name) for name in axes], dtype=int)) for axes in owned]
    sharding = Sharding(tuple(cut(e, p, a) for e, p, a in zip(extents, sizes, owned, strict=True)))
    tensor = numbered(sharding)
    np.testing.assert_array_equal(gather(scatter(tensor, sharding, mesh, FILL), sharding, mesh), tensor)


def test_gather_reads_root_axes_at_index_0() -> None:
    """What cores at other indices of a root axis hold does not count, even where only index 0 is kept."""
    mesh = Mesh((MeshAxis("c", 3, "rows"), MeshAxis("k", 2, "columns")))
    sharding = Sharding((cut(4, 2, ("k",)),), root=("c",))
    blocks = np.arange(12).reshape(3, 2, 2)
    assert gather(blocks, sharding, mesh).tolist() == [0, 1, 2, 3]
    assert gather(blocks[:1], sharding, mesh).tolist() == [0, 1, 2, 3]


def test_gather_poisons_what_no_block_holds() -> None:
    """Blocks that leave gaps, or end before the extent, do not pass for whole."""
    mesh = Mesh((MeshAxis("k", 2, "rows"),))
    short = Sharding((DimensionSharding(extent=5, block=2, step=2, axes=("k",)),))
    gaps = Sharding((DimensionSharding(extent=5, block=2, step=3, axes=("k",)),))
    blocks = np.arange(4.0).reshape(2, 2)
    np.testing.assert_array_equal(gather(blocks, short, mesh), [0, 1, 2, 3, np.nan])
    np.testing.assert_array_equal(gather(blocks, gaps, mesh), [0, 1, np.nan, 2, 3])


def test_scatter_of_a_view_in_another_shape() -> None:
    """The view of a tensor is any shape with as many elements, row-major."""
    mesh = Mesh((MeshAxis("k", 2, "rows"),))
    blocks = scatter(np.arange(6).reshape(3, 2), Sharding((cut(6, 2, ("k",)),)), mesh, FILL)
    assert blocks.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(ValueError, match="reshape"):
        scatter(np.arange(6), Sharding((cut(7, 2, ("k",)),)), mesh, FILL)


def test_replication_costs_nothing() -> None:
    """A tensor on a large mesh that no dimension is cut along is one view of one copy."""
    mesh = Mesh((MeshAxis("a", 750, "rows"), MeshAxis("b", 994, "columns")))
    tensor = np.zeros((64, 64), dtype=np.float32)
    blocks = scatter(tensor, Sharding((whole(64), whole(64))), mesh, 0)
    assert blocks.shape == (1, 1, 64, 64)
    assert np.shares_memory(blocks, tensor)
    assert whole_mesh(blocks, mesh).shape == (750, 994, 64, 64)


@given(shardings(), st.data())
def test_delivery_poisons_exactly_what_is_missing(case: tuple[Mesh, Sharding], data: st.DataObject) -> None:
    """Every core keeps the elements that both shardings give it; what only the need names is poison."""
    mesh, needed = case
    brought = Sharding(
        tuple(
            DimensionSharding(
                extent=d.extent,
                block=max(1, d.block + data.draw(st.integers(-2, 2))),
                step=d.step + data.draw(st.integers(-1, 1)),
                axes=d.axes,
                offset=d.offset + data.draw(st.integers(-1, 1)),
                divisor=d.divisor,
            )
            for d in needed.dimensions
        ),
        root=tuple(axis.name for axis in mesh.axes if data.draw(st.booleans())),
    )
    tensor = numbered(needed).astype(np.float64)
    found = whole_mesh(deliver(tensor, brought, needed, mesh, FILL), mesh)
    expected = naive_scatter(tensor, needed, mesh).reshape((-1, *needed.block_shape))
    for number, core in enumerate(cores(mesh)):
        block = expected[number, ...]
        arrived = elements_of(brought, mesh, core)
        at_root = all(core[name] == 0 for name in brought.root)
        wanted = elements_of(needed, mesh, core)
        for local in np.ndindex(block.shape):
            at = [span[i] for span, i in zip(wanted, local, strict=True)]
            if block[local] != FILL and not (
                at_root and all(i in s for i, s in zip(at, arrived, strict=True))
            ):
                block[local] = np.nan
    np.testing.assert_array_equal(found, expected.reshape(found.shape))


def test_delivery_of_another_view() -> None:
    """Elements are matched by their row-major number where link and kernel view the tensor differently."""
    mesh = Mesh((MeshAxis("k", 2, "rows"),))
    brought = Sharding((cut(2, 2, ("k",)), whole(3)))
    needed = Sharding((cut(6, 2, ("k",)),))
    assert deliver(np.arange(6.0), brought, needed, mesh, FILL).tolist() == [[0, 1, 2], [3, 4, 5]]
    short = Sharding((DimensionSharding(6, block=2, step=3, axes=("k",)),))
    np.testing.assert_array_equal(
        deliver(np.arange(6.0).reshape(2, 3), short, brought, mesh, FILL),
        [[[0, 1, np.nan]], [[3, 4, np.nan]]],
    )


@pytest.mark.parametrize(
    ("dtype", "value", "loud"),
    [
        ("int8", 3, -121),
        ("uint8", 3, 248),
        ("int64", 3, -(2**63) + 7),
        ("bool", True, False),
        ("bool", False, True),
    ],
)
def test_poison_of_types_without_nan(dtype: str, value: int, loud: int) -> None:
    """Whole numbers turn into one that no network means; truth values are inverted."""
    mesh = Mesh((MeshAxis("k", 2, "rows"),))
    needed = Sharding((cut(4, 2, ("k",)),))
    brought = Sharding((DimensionSharding(4, block=1, step=2, axes=("k",)),))
    blocks = deliver(np.full(4, value, dtype=dtype), brought, needed, mesh, 0)
    assert blocks.tolist() == [[value, loud], [value, loud]]


def test_delivery_needed_at_the_root_only() -> None:
    """Cores that are not at the root of the need may stay without the elements."""
    mesh = Mesh((MeshAxis("c", 2, "rows"),))
    needed = Sharding((whole(2),), root=("c",))
    brought = Sharding((whole(2),), root=("c",))
    wider = Sharding((whole(2),))
    tensor = np.arange(2.0)
    assert not np.isnan(deliver(tensor, brought, needed, mesh, 0)).any()
    assert not np.isnan(deliver(tensor, wider, needed, mesh, 0)).any()
    np.testing.assert_array_equal(deliver(tensor, brought, wider, mesh, 0), [[0, 1], [np.nan, np.nan]])
