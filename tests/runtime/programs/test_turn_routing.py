"""Words of reshardings: the exchanges that the compiler names bring every core what it needs, from cores that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.cost.resharding_ways import resharding_way
from wsec.compiler.cost.reshardings import LaidTensor
from wsec.compiler.plan import Exchange, Rectangle
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, cut, whole
from wsec.compiler.target import load_target
from wsec.runtime.programs.turns.routing import segments_of, sent_words
from wsec.runtime.programs.words import block_words

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

_SHAPE = (6, 8)
_MACHINE = load_target("wse3")


@st.composite
def _layouts(draw: Callable[[st.SearchStrategy[int]], int]) -> LaidTensor:
    """Dimensions whole or cut along either side, from the first core on, as kernels that take turns lie."""
    parts = [draw(st.integers(1, 6)) for _ in _SHAPE]
    sides = [("rows", "columns")[draw(st.integers(0, 1))] for _ in _SHAPE]
    repeated = draw(st.integers(1, 3)), ("rows", "columns")[draw(st.integers(0, 1))]
    axes = [(f"d{at}", count, side) for at, (count, side) in enumerate(zip(parts, sides, strict=True))]
    mesh = Mesh(tuple(MeshAxis(*axis) for axis in [*axes, ("r", *repeated)]))  # type: ignore[arg-type]
    dimensions = [
        cut(extent, count, (f"d{at}",)) if count > 1 else whole(extent)
        for at, (extent, count) in enumerate(zip(_SHAPE, parts, strict=True))
    ]
    return LaidTensor(Sharding(tuple(dimensions)), mesh, Rectangle(0, 0, mesh.width, mesh.height))


def _flags(laid: LaidTensor, height: int, width: int) -> NDArray[np.bool_]:
    words = block_words(laid.sharding, laid.mesh)
    row, column = np.divmod(words.elements.rows, laid.mesh.width)
    found = np.zeros((height, width, words.total), np.bool_)
    found[row, column, words.elements.values] = True
    return found


@given(_layouts(), _layouts())
@settings(max_examples=150, deadline=None)
def test_exchanges_bring_every_word(source: LaidTensor, target: LaidTensor) -> None:
    """Exchange by exchange: a core sends what it has, to its own segment, and in the end every core has its block."""
    height = max(source.mesh.height, target.mesh.height)
    width = max(source.mesh.width, target.mesh.width)
    has, needed = (_flags(laid, height, width) for laid in (source, target))
    _, exchanges = resharding_way(source, target, 48, _MACHINE)
    for exchange, words in zip(exchanges, sent_words(has, needed, exchanges, "link"), strict=True):
        flat = has.reshape(-1, has.shape[2])
        assert flat[words.source, words.element].all()
        row, column = np.divmod(words.source, width)
        to_row, to_column = np.divmod(words.target, width)
        same_line, one, other = (
            (row == to_row, column, to_column)
            if exchange.along == "rows"
            else (column == to_column, row, to_row)
        )
        assert same_line.all()
        segment = np.zeros(max(height, width), np.int64)
        for number, each in enumerate(segments_of(exchange, max(height, width))):
            segment[each] = number
        assert (segment[one] == segment[other]).all()
        flat[words.target, words.element] = True
    assert not (needed & ~has).any()


def test_segments_begin_behind_the_first_shorter_one() -> None:
    """The first ends after `offset` cores, the last where the line does."""
    assert [(each.start, each.stop) for each in segments_of(Exchange("rows", 4, 2), 9)] == [
        (0, 2),
        (2, 6),
        (6, 9),
    ]
