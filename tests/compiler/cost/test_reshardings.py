"""Reshardings between turns: nothing where all is in place, and a table is what its pairs are alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.cost.resharding_ways import resharding_way
from wsec.compiler.cost.reshardings import LaidTensor, resharding_cycles, resharding_table
from wsec.compiler.plan import Rectangle
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, block_bounds, cut, whole
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from collections.abc import Callable

_SHAPE = (6, 8)
_WORDS = 48
_MACHINE = load_target("wse3")


@st.composite
def _layouts(draw: Callable[[st.SearchStrategy[int]], int]) -> LaidTensor:
    """Dimensions whole or cut along either side, on a rectangle near the origin."""
    parts = [draw(st.integers(1, 6)) for _ in _SHAPE]
    sides = [("rows", "columns")[draw(st.integers(0, 1))] for _ in _SHAPE]
    repeated = draw(st.integers(1, 3)), ("rows", "columns")[draw(st.integers(0, 1))]
    axes = [(f"d{at}", count, side) for at, (count, side) in enumerate(zip(parts, sides, strict=True))]
    mesh = Mesh(tuple(MeshAxis(*axis) for axis in [*axes, ("r", *repeated)]))  # type: ignore[arg-type]
    dimensions = [
        cut(extent, count, (f"d{at}",)) if count > 1 else whole(extent)
        for at, (extent, count) in enumerate(zip(_SHAPE, parts, strict=True))
    ]
    place = Rectangle(draw(st.integers(0, 2)), draw(st.integers(0, 2)), mesh.width, mesh.height)
    return LaidTensor(Sharding(tuple(dimensions)), mesh, place)


def _in_place(source: LaidTensor, target: LaidTensor) -> bool:
    """Core by core."""
    here, there = source.rectangle, target.rectangle
    held, needed = (
        [
            [np.broadcast_to(end, (laid.rectangle.height, laid.rectangle.width)) for end in ends]
            for ends in block_bounds(laid.sharding, laid.mesh)
        ]
        for laid in (source, target)
    )
    for row in range(there.height):
        for column in range(there.width):
            y, x = there.y + row - here.y, there.x + column - here.x
            if not (0 <= y < here.height and 0 <= x < here.width):
                return False
            for (low, high), (least, most) in zip(held, needed, strict=True):
                wants = least[row, column] < most[row, column]
                if wants and not (low[y, x] <= least[row, column] and most[row, column] <= high[y, x]):
                    return False
    return True


@given(_layouts(), _layouts())
@settings(max_examples=150, deadline=None)
def test_nothing_moves_where_every_core_holds_what_it_needs(source: LaidTensor, target: LaidTensor) -> None:
    """And only there: a collective takes cycles."""
    assert (resharding_cycles(source, target, _WORDS, _MACHINE) == 0) == _in_place(source, target)


@given(st.lists(_layouts(), min_size=1, max_size=4), st.lists(_layouts(), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_a_table_is_what_its_pairs_are_alone(sources: list[LaidTensor], targets: list[LaidTensor]) -> None:
    """Layouts that are compared together do not change each other's cycles."""
    table = resharding_table(sources, targets, _WORDS, _MACHINE)
    alone = [[resharding_cycles(one, other, _WORDS, _MACHINE) for other in targets] for one in sources]
    assert table.tolist() == alone


def test_one_core_tells_a_line_by_a_broadcast() -> None:
    """B + P - 1 + 2 T_R + 1 cycles, and those before a collective begins, where one core of a row of P holds all B words."""
    row = MeshAxis("r", 8, "columns")
    tensor = Sharding((whole(6), whole(8)))
    alone = LaidTensor(tensor, Mesh(()), Rectangle(0, 0, 1, 1))
    everywhere = LaidTensor(tensor, Mesh((row,)), Rectangle(0, 0, 8, 1))
    fabric, overheads = _MACHINE.fabric, _MACHINE.overheads
    start = 0 if overheads is None else overheads.collective_start_cycles
    words = _WORDS / fabric.link_words_per_cycle
    expected = words + 7 * fabric.hop_cycles + 2 * fabric.ramp_cycles + 1 + start
    assert resharding_cycles(alone, everywhere, _WORDS, _MACHINE) == np.ceil(expected)


def _heads(groups: int) -> tuple[LaidTensor, LaidTensor]:
    """Four heads of a group on four pairs of cores; then a part of the features of all four on each of the eight."""
    of_heads = Mesh(
        tuple(MeshAxis(name, size, "columns") for name, size in (("g", groups), ("h", 4), ("r", 2)))
    )
    of_parts = Mesh(tuple(MeshAxis(name, size, "columns") for name, size in (("g", groups), ("d", 8))))
    place = Rectangle(0, 0, 8 * groups, 1)
    one = Sharding((cut(groups, groups, ("g",)), cut(4, 4, ("h",)), whole(32)))
    other = Sharding((cut(groups, groups, ("g",)), whole(4), cut(32, 8, ("d",))))
    return LaidTensor(one, of_heads, place), LaidTensor(other, of_parts, place)


def test_what_stays_within_a_group_does_not_grow_with_the_line() -> None:
    """Parts of several heads are no run of elements; cores of a group exchange them whatever lies beyond it."""
    few, many = (resharding_cycles(*_heads(groups), 64 * groups, _MACHINE) for groups in (4, 16))
    assert 0 < few == many


@given(_layouts(), _layouts())
@settings(max_examples=200, deadline=None)
def test_the_exchanges_of_a_way_are_what_its_cycles_count(source: LaidTensor, target: LaidTensor) -> None:
    """One pair alone costs what the table says, nothing needs no exchange, and segments lie within their lines."""
    cycles, exchanges = resharding_way(source, target, _WORDS, _MACHINE)
    assert cycles == resharding_cycles(source, target, _WORDS, _MACHINE)
    assert bool(exchanges) == (cycles > 0)
    for exchange in exchanges:
        assert exchange.segment >= 2
        assert 0 <= exchange.offset < exchange.segment
