"""Straight links: the closed form against every core's elements written out, and what each condition is for."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from wsec.compiler.kernels.splits import loop_parts
from wsec.compiler.layouts import Laid, straight
from wsec.compiler.sharding import DimensionSharding, Mesh, MeshAxis, Sharding, block_bounds, cut, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wsec.compiler.sharding import Side

_Blocks = list[list[frozenset[int]]]


def _laid(
    dimensions: tuple[DimensionSharding, ...], *axes: tuple[str, int, Side], root: tuple[str, ...] = ()
) -> Laid:
    return Laid(Sharding(dimensions, root=root), Mesh(tuple(MeshAxis(*axis) for axis in axes)))


def _halo(extent: int, parts: int, axis: str, low: int = 0, high: int = 0) -> DimensionSharding:
    """Equal blocks of which each core needs `low` elements before and `high` behind besides."""
    step = -(-extent // parts)
    return DimensionSharding(extent, low + step + high, step, (axis,), offset=-low)


class TestWhatIsStraight:
    """One case for each thing that the definition asks for or allows."""

    rows = _laid((cut(12, 4, ("h",)), whole(6)), ("h", 4, "rows"))

    def test_equal_cuts_on_the_same_side(self) -> None:
        """Row meets row."""
        assert straight(self.rows, self.rows)

    def test_a_halo_of_neighbours(self) -> None:
        """A window reaches over the ends of its block."""
        assert straight(self.rows, _laid((_halo(12, 4, "h", 1, 1), whole(6)), ("h", 4, "rows")))

    def test_a_part_of_the_counterparts_block(self) -> None:
        """A strided window of one element reads every other row."""
        strided = DimensionSharding(12, 1, 3, ("h",))
        assert straight(self.rows, _laid((strided, whole(6)), ("h", 4, "rows")))

    def test_copies_beside_each_other(self) -> None:
        """Each row of the producer feeds as many rows, and all columns."""
        copied = _laid(
            (cut(12, 4, ("h",)), whole(6)), ("h", 4, "rows"), ("k", 2, "rows"), ("n", 5, "columns")
        )
        assert straight(self.rows, copied)

    def test_results_on_the_first_core_of_a_reduction(self) -> None:
        """Cores along a reduced axis hold nothing of the result."""
        dimensions = (cut(12, 4, ("h",)), whole(6))
        assert straight(_laid(dimensions, ("h", 4, "rows"), ("c", 3, "columns"), root=("c",)), self.rows)

    def test_heads_are_runs_of_channels(self) -> None:
        """Views that differ in whole dimensions tell the same blocks."""
        channels = _laid((whole(5), cut(12, 3, ("n",))), ("n", 3, "columns"))
        heads = _laid((whole(1), whole(5), cut(3, 3, ("b",)), whole(4)), ("b", 3, "columns"))
        assert straight(channels, heads)
        assert straight(heads, channels)

    @pytest.mark.parametrize(
        "needed",
        [
            pytest.param(
                _laid((cut(12, 4, ("h",)), whole(6)), ("h", 4, "columns")), id="another side of the rectangle"
            ),
            pytest.param(_laid((cut(12, 3, ("h",)), whole(6)), ("h", 3, "rows")), id="other parts"),
            pytest.param(_laid((whole(12), cut(6, 3, ("w",))), ("w", 3, "rows")), id="another dimension"),
            pytest.param(_laid((whole(12), whole(6)), ("k", 4, "rows")), id="all of it on every core"),
            pytest.param(
                _laid((cut(12, 4, ("h",)), whole(6)), ("k", 2, "rows"), ("h", 4, "rows")),
                id="copies that are no neighbours",
            ),
            pytest.param(
                _laid((DimensionSharding(12, 3, 3, ("h",), offset=6), whole(6)), ("h", 4, "rows")),
                id="blocks of other cores",
            ),
            pytest.param(
                _laid((DimensionSharding(12, 3, -3, ("h",), offset=9), whole(6)), ("h", 4, "rows")),
                id="backwards",
            ),
        ],
    )
    def test_what_must_be_redistributed(self, needed: Laid) -> None:
        """Anything else."""
        assert not straight(self.rows, needed)

    def test_the_order_of_axes_on_a_side_counts(self) -> None:
        """Equal cuts, nested the other way round, would cross."""
        dimensions = (cut(4, 2, ("a",)), cut(6, 3, ("b",)))
        one = _laid(dimensions, ("a", 2, "rows"), ("b", 3, "rows"))
        other = _laid(dimensions, ("b", 3, "rows"), ("a", 2, "rows"))
        assert straight(one, one)
        assert not straight(one, other)


@st.composite
def _links(draw: st.DrawFn) -> tuple[Laid, Laid]:
    """A producer and a consumer that often cut alike, with halos, copies, and reductions that leave cores empty."""
    extents = draw(st.lists(st.integers(1, 7), min_size=1, max_size=3))
    produced = [draw(st.sampled_from(loop_parts(extent).tolist())) for extent in extents]
    needed = [
        draw(st.sampled_from([count, count, count, *loop_parts(extent).tolist()]))
        for extent, count in zip(extents, produced, strict=True)
    ]
    sides = [draw(_SIDES) for _ in extents]
    other_sides = [draw(st.sampled_from([side, side, side, *_BOTH])) for side in sides]
    source = _mesh(draw, produced, sides, "c", ordered=draw(st.integers(0, 3)) > 0)
    target = _mesh(draw, needed, other_sides, "k", ordered=draw(st.integers(0, 3)) > 0)
    outputs = (
        cut(extent, count, (f"d{at}",)) if count > 1 else whole(extent)
        for at, (extent, count) in enumerate(zip(extents, produced, strict=True))
    )
    inputs = (
        _halo(extent, count, f"d{at}", draw(_REACH), draw(_REACH)) if count > 1 else whole(extent)
        for at, (extent, count) in enumerate(zip(extents, needed, strict=True))
    )
    return Laid(Sharding(tuple(outputs), root=("c",)), source), Laid(Sharding(tuple(inputs)), target)


_BOTH: tuple[Side, Side] = ("rows", "columns")
_SIDES = st.sampled_from(_BOTH)
_REACH = st.sampled_from([0, 0, 0, 1, 2, -1])


def _mesh(draw: st.DrawFn, parts: Sequence[int], sides: Sequence[Side], last: str, *, ordered: bool) -> Mesh:
    axes = [
        MeshAxis(f"d{at}", count, side)
        for at, (count, side) in enumerate(zip(parts, sides, strict=True))
        if count > 1
    ]
    axes.append(MeshAxis(last, draw(st.sampled_from([1, 2])), draw(_SIDES)))
    return Mesh(tuple(axes if ordered else draw(st.permutations(axes))))


@given(_links())
def test_the_closed_form_is_the_definition(link: tuple[Laid, Laid]) -> None:
    """Straight is what the elements of every core say.

    Wide halos can contain the blocks of a producer that cuts other dimensions: only the closed form says no to that.
    """
    produced, needed = link
    blocks = _needs(needed)
    copies = needed.mesh.size("k")
    assume(len({block for row in blocks for block in row}) * copies == sum(map(len, blocks)))
    said = straight(produced, needed)
    expected = _counterparts_everywhere(_needs(produced), blocks)
    halos = any(not dimension.plain for dimension in needed.sharding.dimensions)
    assert said == expected or (halos and not said)


def _needs(laid: Laid) -> _Blocks:
    """Row-major numbers of the elements of every core; rows and columns of cores that hold nothing are left out."""
    shape = (laid.mesh.height, laid.mesh.width)
    bounds = [
        tuple(np.broadcast_to(end, shape) for end in ends) for ends in block_bounds(laid.sharding, laid.mesh)
    ]
    holds = np.ones(shape, dtype=np.bool_)
    for name in laid.sharding.root:
        holds &= laid.mesh.coordinate(name) == 0
    rows = [
        [_elements([(start[y, x], stop[y, x]) for start, stop in bounds], laid.sharding.shape) for x in held]
        for y, held in enumerate(np.flatnonzero(row) for row in holds)
    ]
    return [row for row in rows if row]


def _elements(ranges: Sequence[tuple[int, int]], shape: Sequence[int]) -> frozenset[int]:
    indices = itertools.product(*(range(start, stop) for start, stop in ranges))
    return frozenset(_number(index, shape) for index in indices)


def _number(index: Sequence[int], shape: Sequence[int]) -> int:
    number = 0
    for at, extent in zip(index, shape, strict=True):
        number = number * extent + at
    return number


def _counterparts_everywhere(produced: _Blocks, needed: _Blocks) -> bool:
    """The definition, word for word: neighbours that need the same are one, then block by block."""
    rows = [row for row, _ in itertools.groupby(needed)]
    columns = [column for column, _ in itertools.groupby(zip(*rows, strict=True))]
    merged = list(zip(*columns, strict=True))
    if (len(merged), len(merged[0])) != (len(produced), len(produced[0])):
        return False
    pairs = zip(itertools.chain(*produced), itertools.chain(*merged), strict=True)
    return all(block <= need or need <= block for block, need in pairs)
