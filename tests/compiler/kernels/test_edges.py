"""The edge of a rectangle: its cores limit how fast words come in and go out."""

from __future__ import annotations

import dataclasses

import pytest

from wsec.compiler.kernels.loop_nest import Loop, LoopNest, Operand, Work, follows
from wsec.compiler.kernels.splits import enumerate_splits
from wsec.compiler.target import load_target

ROWS = Loop("i", 64)
COPY = LoopNest(
    kind="reshape",
    operators=("copy",),
    loops=(ROWS,),
    inputs=(Operand("x", "x", "float32", 4, constant=False, maps=(follows(ROWS),)),),
    outputs=(Operand("result", "y", "float32", 4, constant=False, maps=(follows(ROWS),)),),
    arguments={},
    work=Work(("i",), operations=1),
)


@pytest.mark.parametrize(("words_in", "words_out"), [(60_000, 0), (0, 60_000), (60_000, 60_000)])
def test_words_cross_a_quarter_of_the_perimeter(words_in: int, words_out: int) -> None:
    """Both directions at once, a word a cycle and core. The bound lets them cross everywhere."""
    nest = dataclasses.replace(COPY, words_in=words_in, words_out=words_out)
    table = enumerate_splits(nest, load_target("mesh64"))
    quarters = (table.shapes.widths + table.shapes.heights) / 2
    assert table.shapes.cycles.tolist() == [-(-60_000 // quarter) for quarter in quarters]
    assert table.least.cycles.tolist() == [
        max(-(-60_000 // (4 * quarter)), cycles)
        for quarter, cycles in zip(quarters.tolist(), table.costs.cycles.tolist(), strict=True)
    ]


def test_few_words_leave_the_kernel_its_own_cycles() -> None:
    """Without words to move, the edge limits nothing."""
    nest = dataclasses.replace(COPY, words_in=1, words_out=1)
    table = enumerate_splits(nest, load_target("mesh64"))
    assert table.shapes.cycles.max() == table.costs.cycles.max()
