"""Which algorithm combines partial results along which axis: the cheapest, the demanded one, in the colours that there are."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.cost.collective_uses import ALGORITHMS, TREES, collective_cycles
from wsec.compiler.cost.collectives import all_reduce_cycles, best_group, reduction
from wsec.compiler.fabric.collective_choice import choose_collectives, chosen_cycles
from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Operand, Work, fixed, follows
from wsec.compiler.sharding import Mesh, MeshAxis
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from wsec.compiler.plan import Collective

FABRIC = load_target("wse2").fabric


def total(rows: int, columns: int, collective: str = "auto") -> LoopNest:
    """The sum of x [rows, columns] along the columns, `rows` words."""
    kept, summed = Loop("r", rows), Loop("c", columns, LoopRole.REDUCTION)
    return LoopNest(
        kind="reduction",
        operators=("total",),
        loops=(kept, summed),
        inputs=(Operand("x", "x", "float32", 4, constant=False, maps=(follows(kept), follows(summed))),),
        outputs=(Operand("y", "y", "float32", 4, constant=False, maps=(follows(kept), fixed(1))),),
        arguments={},
        work=Work(("r", "c"), operations=1),
        collective=collective,
    )


def norm(extents: tuple[int, int, int], collective: str = "auto") -> LoopNest:
    """A normalisation of x [n, h, w] over h and w: two statistics for each n."""
    n, h, w = (
        Loop("n", extents[0]),
        *(Loop(name, extent, LoopRole.COLLECTIVE) for name, extent in zip("hw", extents[1:], strict=True)),
    )
    maps = tuple(map(follows, (n, h, w)))
    return LoopNest(
        kind="normalization",
        operators=("norm",),
        loops=(n, h, w),
        inputs=(Operand("x", "x", "float32", 4, constant=False, maps=maps),),
        outputs=(Operand("y", "y", "float32", 4, constant=False, maps=maps),),
        arguments={},
        work=Work(("n", "h", "w"), operations=1, collectives=2),
        collective=collective,
    )


def chosen(
    nest: LoopNest, split: dict[str, int], sides: dict[str, str], turns: int = 1
) -> tuple[Collective, ...]:
    """The collectives of a split whose cut loops lie on these sides."""
    whole = {loop.name: split.get(loop.name, 1) for loop in nest.loops}
    axes = [nest.loops[at] for at in nest.mesh_order() if whole[nest.loops[at].name] > 1]
    mesh = Mesh(tuple(MeshAxis(loop.name, whole[loop.name], sides[loop.name]) for loop in axes))  # type: ignore[arg-type]
    return choose_collectives(nest, whole, turns, mesh, FABRIC)


@given(st.integers(1, 400), st.integers(2, 100))
def test_no_other_algorithm_is_cheaper(words: int, cores: int) -> None:
    """By the formulas that the cost model of splits uses."""
    (record,) = chosen(total(words, 1000), {"c": cores}, {"c": "columns"})
    assert (record.kind, record.axis, record.words, record.times) == ("reduce", "c", words, 1)
    cycles = float(reduction(record.algorithm, words, cores, 1, record.group).cycles(FABRIC))
    groups = {"two_phase": int(np.ceil(np.sqrt(cores))), "two_level": best_group(words, cores, 1, FABRIC)}
    for name in TREES:
        assert cycles <= float(reduction(name, words, cores, 1, groups.get(name, 0)).cycles(FABRIC)) + 1e-9


def test_many_words_take_a_chain_and_few_a_tree() -> None:
    """And one or two words of few cores a star."""

    def algorithm(words: int, cores: int) -> str:
        return chosen(total(words, 1000), {"c": cores}, {"c": "rows"})[0].algorithm

    assert algorithm(5000, 10) == "chain"
    assert algorithm(100, 100) in {"two_phase", "two_level"}
    assert algorithm(4, 128) == "tree"
    assert algorithm(1, 6) == "star"


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_demanded_algorithm_is_taken(name: str) -> None:
    """Where it is possible: a ring only where the result goes to all."""
    statistics = chosen(norm((40, 8, 1), name), {"h": 8}, {"h": "columns"})
    assert {item.algorithm for item in statistics} == {name}
    sums = chosen(total(50, 100, name), {"c": 9}, {"c": "columns"})
    assert [item.algorithm == name for item in sums] == [name != "ring"]


def test_a_ring_needs_a_word_for_each_core() -> None:
    """With fewer words than cores, or along two axes, the cheapest of the others is taken."""
    few = chosen(norm((5, 8, 1), "ring"), {"h": 8}, {"h": "columns"})
    two = chosen(norm((50, 8, 4), "ring"), {"h": 8, "w": 4}, {"h": "columns", "w": "rows"})
    assert "ring" not in {item.algorithm for item in (*few, *two)}


def test_statistics_go_along_all_their_axes() -> None:
    """The innermost first; twice for each sample, and for each turn as many words fewer."""
    split, sides = {"n": 2, "h": 3, "w": 4}, {"n": "rows", "h": "columns", "w": "rows"}
    once = chosen(norm((80, 30, 20)), split, sides)
    assert [(item.kind, item.axis, item.words, item.times) for item in once] == [
        ("all_reduce", "w", 40, 2),
        ("all_reduce", "h", 40, 2),
    ]
    turned = chosen(norm((80, 30, 20)), split, sides, turns=4)
    assert [(item.words, item.times) for item in turned] == [(10, 8), (10, 8)]


def test_colours_that_are_short_leave_stars_and_trees() -> None:
    """Chains and broadcasts along both sides need six colours; four are left beside those of exchanges."""
    sides = {"h": "columns", "w": "rows"}
    both = chosen(norm((4000, 30, 20), "chain"), {"h": 3, "w": 4}, sides)
    assert {item.algorithm for item in both} <= {"star", "tree"}
    one = chosen(norm((4000, 30, 20), "chain"), {"h": 3, "w": 4}, {"h": "rows", "w": "rows"})
    assert {item.algorithm for item in one} == {"chain"}


@given(
    st.sampled_from(["auto", *ALGORITHMS]),
    st.integers(1, 12),
    st.integers(1, 12),
    st.integers(1, 200),
    st.data(),
)
def test_no_record_is_dearer_than_enumeration_expected(
    name: str, high: int, wide: int, rows: int, data: st.DataObject
) -> None:
    """Placement's interval holds whatever sides the axes lie on, and however few colours that leaves."""
    sides = {axis: data.draw(st.sampled_from(("rows", "columns"))) for axis in "hw"}
    nest = norm((rows, 40, 30), name)
    on_rows = np.array([True, *(sides[axis] == "rows" for axis in "hw")])
    expected = float(collective_cycles(nest, np.array([[1.0, high, wide]]), 1, FABRIC, on_rows)[0])
    least = float(collective_cycles(nest, np.array([[1.0, high, wide]]), 1, FABRIC)[0])
    assert least <= expected
    whole = {"n": 1, "h": high, "w": wide}
    axes = [loop for loop in ("h", "w") if whole[loop] > 1]
    mesh = Mesh(tuple(MeshAxis(loop, whole[loop], sides[loop]) for loop in axes))  # type: ignore[arg-type]
    records = choose_collectives(nest, whole, 1, mesh, FABRIC)
    assert chosen_cycles(records, mesh, FABRIC) <= np.ceil(expected)


def test_nothing_is_combined_where_nothing_is_cut() -> None:
    """One core, or cores that share no loop that talks."""
    assert chosen(total(50, 100), {}, {}) == ()
    assert chosen(total(50, 100), {"r": 5}, {"r": "rows"}) == ()


@given(st.sampled_from(["auto", *ALGORITHMS]), st.integers(1, 20), st.integers(1, 20))
def test_the_cost_of_splits_counts_the_same_collectives(name: str, high: int, wide: int) -> None:
    """What enumeration expects of an axis alone is what its record then costs; groups of the best size may save some."""
    nest = norm((60, 400, 300), name)
    cycles = collective_cycles(nest, np.array([[1.0, high, 1.0], [1.0, 1.0, wide]]), 1, FABRIC)
    for at, (loop, cores) in enumerate((("h", high), ("w", wide))):
        expected = 0.0
        for item in chosen(nest, {loop: cores}, {loop: "columns"}):
            once = all_reduce_cycles(item.algorithm, item.words, cores, FABRIC, group=item.group)
            expected += float(once) * item.times
        assert expected <= cycles[at] <= 1.1 * expected


@given(st.sampled_from(["auto", *ALGORITHMS]), st.integers(1, 300), st.integers(2, 60), st.integers(1, 3))
def test_one_size_of_groups_serves_all_uses(name: str, rows: int, cores: int, turns: int) -> None:
    """Statistics and a result along one axis: together no dearer than enumeration expected."""
    nest = total(rows, 4000, name)
    nest = replace(nest, work=replace(nest.work, collectives=2, statistics=("r",), interim_bytes=4 / rows))
    cycles = 0.0
    for item in chosen(nest, {"c": cores}, {"c": "rows"}, turns):
        if item.kind == "all_reduce":
            once = all_reduce_cycles(item.algorithm, item.words, cores, FABRIC, group=item.group)
        else:
            once = reduction(item.algorithm, item.words, cores, 1, item.group).cycles(FABRIC)
        cycles += float(once) * item.times
    assert cycles <= float(collective_cycles(nest, np.array([[1.0, cores]]), turns, FABRIC)[0]) + 1e-6


def test_attention_combines_its_statistics_before_its_result() -> None:
    """Loops of a statistic over a reduction: maximum and sum to all cores, then the weighted values to the first."""
    nest = total(64, 1000)
    nest = replace(nest, work=replace(nest.work, collectives=2, statistics=("r",), interim_bytes=4))
    found = chosen(nest, {"c": 7}, {"c": "rows"})
    assert [(item.kind, item.times) for item in found] == [("all_reduce", 2), ("reduce", 1)]
    assert len({(item.algorithm, item.group) for item in found}) == 1
