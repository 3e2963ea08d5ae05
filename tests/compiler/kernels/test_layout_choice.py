"""Splits that share a layout: chosen where they cost nothing, exactly, and left alone where they cost anything."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.assembly import assemble_kernels
from wsec.compiler.cost.kernel_cost import SplitCosts
from wsec.compiler.kernels.graph import HOST_INDEX, GraphLink, KernelGraph
from wsec.compiler.kernels.layout_choice import share_layouts
from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Operand, Work, follows
from wsec.compiler.kernels.splits import SplitTable, enumerate_splits, no_dearer_splits, split_of
from wsec.compiler.layouts import Laid, straight
from wsec.compiler.placement import Placement, ShapeOptions
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from collections.abc import Sequence

TARGET = load_target("mesh16")


def _operand(role: str, tensor: str, *loops: Loop, constant: bool = False) -> Operand:
    return Operand(role, tensor, "float32", 4, constant=constant, maps=tuple(map(follows, loops)))


def _pointwise(reads: Sequence[str], writes: str, extents: tuple[int, int], *, turned: bool) -> LoopNest:
    """One operation an element; `turned`, its loops are named in the other order, and so laid on the other sides."""
    rows, columns = Loop("d0", extents[0]), Loop("d1", extents[1])
    return LoopNest(
        kind="elementwise",
        operators=(writes,),
        loops=(columns, rows) if turned else (rows, columns),
        inputs=tuple(_operand(f"e{at}", name, rows, columns) for at, name in enumerate(reads)),
        outputs=(_operand("result", writes, rows, columns),),
        arguments={},
        work=Work(("d0", "d1"), operations=1),
    )


def _product(reads: str, writes: str, m: int, n: int, k: int) -> LoopNest:
    rows, columns, inner = Loop("m", m), Loop("n", n), Loop("k", k, LoopRole.REDUCTION)
    return LoopNest(
        kind="matmul",
        operators=(writes,),
        loops=(rows, columns, inner),
        inputs=(_operand("a", reads, rows, inner), _operand("b", "weights", inner, columns, constant=True)),
        outputs=(_operand("result", writes, rows, columns),),
        arguments={},
        work=Work(("m", "n", "k"), operations=1, walks=(("m",), ("n",)), summed=(("k",),)),
    )


def _graph(*nests: LoopNest) -> KernelGraph:
    """The kernels joined by the names of their tensors; what none of them writes comes from the host."""
    producer = {nest.outputs[0].tensor: index for index, nest in enumerate(nests)}
    links = tuple(
        GraphLink(item.tensor, producer.get(item.tensor, HOST_INDEX), index, item.role, 100 + index)
        for index, nest in enumerate(nests)
        for item in nest.inputs
        if not item.constant
    )
    return KernelGraph(nests, links, tuple(range(len(nests))), samples=2)


def _placed(options: Sequence[int]) -> Placement:
    """Options alone: nothing here looks at positions."""
    nowhere = (0,) * len(options)
    return Placement(
        tuple(options), nowhere, nowhere, 1, 1, 0.0, "none", proven_optimal=False, interrupted=False
    )


def _option(table: SplitTable, width: int, height: int, **split: int) -> int:
    """The option with that rectangle and split."""
    shapes = table.shapes
    found = np.flatnonzero((shapes.widths == width) & (shapes.heights == height))
    return next(int(at) for at in found if split.items() <= split_of(table, int(at)).items())


def _straight_words(graph: KernelGraph, tables: Sequence[SplitTable], placement: Placement) -> int:
    kernels = assemble_kernels(tables, placement, TARGET)
    words = 0
    for link in graph.links:
        if link.source != HOST_INDEX:
            source, target = kernels[link.source], kernels[link.target]
            needed = next(item.sharding for item in target.inputs if item.role == link.role)
            produced = Laid(source.outputs[0].sharding, source.mesh)
            words += link.words * straight(produced, Laid(needed, target.mesh))
    return words


def test_a_chain_that_may_share_its_layout_does() -> None:
    """Each second kernel is turned by as much as nothing, and turns back."""
    graph = _graph(
        _pointwise(["x"], "a", (16, 16), turned=False),
        _pointwise(["a"], "b", (16, 16), turned=True),
        _pointwise(["b"], "c", (16, 16), turned=False),
    )
    tables = [enumerate_splits(nest, TARGET) for nest in graph.nests]
    before = _placed([_option(table, 4, 4, d0=4, d1=4) for table in tables])
    assert _straight_words(graph, tables, before) == 0
    shared, after = share_layouts(graph, tables, before, TARGET)
    assert _straight_words(graph, shared, after) == 101 + 102
    kept = [
        np.array_equal(new.on_rows[at], old.on_rows[0])
        for new, old, at in zip(shared, shared, after.option, strict=True)
    ]
    assert kept == [True, False, True]  # fewest kernels change


def test_a_layout_that_costs_cycles_is_not_shared() -> None:
    """Cutting the summed loop as its producer cuts it would need a reduction: the product stays as it is."""
    graph = _graph(_pointwise(["x"], "a", (1, 4), turned=False), _product("a", "b", 1, 256, 4))
    tables = [enumerate_splits(nest, TARGET) for nest in graph.nests]
    before = _placed([_option(tables[0], 4, 1, d1=4), _option(tables[1], 4, 1, n=4)])
    shared, after = share_layouts(graph, tables, before, TARGET)
    assert _straight_words(graph, shared, after) == 0
    assert split_of(shared[1], after.option[1]) == {"m": 1, "n": 4, "k": 1}


def test_a_model_of_one_kernel_stays_as_it_is() -> None:
    """Links to the host join no layouts."""
    graph = _graph(_pointwise(["x"], "a", (16, 16), turned=False))
    tables = [enumerate_splits(graph.nests[0], TARGET)]
    shared, after = share_layouts(graph, tables, _placed([3]), TARGET)
    assert split_of(shared[0], after.option[0]) == split_of(tables[0], 3)


def test_equal_kernels_in_different_orders_keep_their_rectangles() -> None:
    """Where they list the same splits in another order, the same number means another split."""
    graph = _graph(
        _pointwise(["x"], "a", (16, 16), turned=False), _pointwise(["a"], "b", (16, 16), turned=False)
    )
    whole, other = (enumerate_splits(nest, TARGET) for nest in graph.nests)
    last = len(other.turns) - 1
    backwards = replace(
        other,
        parts=other.parts[::-1],
        on_rows=other.on_rows[::-1],
        turns=other.turns[::-1],
        costs=SplitCosts(*(getattr(other.costs, name)[::-1] for name in SplitCosts.__slots__)),
        shapes=ShapeOptions(other.shapes.widths[::-1], other.shapes.heights[::-1], other.shapes.cycles[::-1]),
    )
    before = _placed([last, last])
    shared, after = share_layouts(graph, [whole, backwards], before, TARGET)
    old = assemble_kernels([whole, backwards], before, TARGET)
    new = assemble_kernels(shared, after, TARGET)
    assert old[0].rectangle != old[1].rectangle
    assert [kernel.rectangle for kernel in new] == [kernel.rectangle for kernel in old]


@settings(max_examples=25)
@given(
    extents=st.tuples(st.integers(2, 12), st.integers(2, 12)),
    turned=st.tuples(st.booleans(), st.booleans(), st.booleans()),
    data=st.data(),
)
def test_the_choice_is_the_best_and_costs_nothing(
    extents: tuple[int, int], turned: tuple[bool, bool, bool], data: st.DataObject
) -> None:
    """As many words straight as by trying all; the same rectangles, no more cycles, no more memory."""
    graph = _graph(
        _pointwise(["x"], "a", extents, turned=turned[0]),
        _pointwise(["a"], "b", extents, turned=turned[1]),
        _pointwise(["a", "b"], "c", extents, turned=turned[2]),
    )
    tables = [enumerate_splits(nest, TARGET) for nest in graph.nests]
    before = _placed([data.draw(st.integers(0, len(table.turns) - 1)) for table in tables])
    shared, after = share_layouts(graph, tables, before, TARGET)
    possible = itertools.product(*(range(len(table.turns)) for table in shared))
    best = max(_straight_words(graph, shared, _placed(options)) for options in possible)
    assert _straight_words(graph, shared, after) == best
    kernels = zip(
        assemble_kernels(tables, before, TARGET), assemble_kernels(shared, after, TARGET), strict=True
    )
    for old, new in kernels:
        assert new.rectangle == old.rectangle
        assert new.cycles.total <= old.cycles.total
        assert new.memory.total <= old.memory.total


@given(m=st.integers(1, 40), n=st.integers(1, 40), k=st.integers(1, 40), data=st.data())
def test_no_dearer_splits_begin_with_the_one_that_is_there(
    m: int, n: int, k: int, data: st.DataObject
) -> None:
    """Itself first, then others, each once, of the same rectangle."""
    table = enumerate_splits(_product("a", "b", m, n, k), TARGET)
    option = data.draw(st.integers(0, len(table.turns) - 1))
    found = no_dearer_splits(table, option, TARGET)
    assert split_of(found, 0) == split_of(table, option)
    cut = found.parts > 1
    assert np.array_equal(found.on_rows[0] & cut[0], table.on_rows[option] & cut[0])
    assert len(np.unique(np.concatenate([found.parts, found.on_rows & cut], axis=1), axis=0)) == len(cut)
    assert set(zip(found.shapes.widths.tolist(), found.shapes.heights.tolist(), strict=True)) == {
        (table.shapes.widths[option], table.shapes.heights[option])
    }
