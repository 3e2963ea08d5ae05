"""The order in which the fabric combines partial results, with an operation for which the order matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.plan import Collective
from wsec.compiler.sharding import Mesh, MeshAxis
from wsec.runtime.collectives import children, combine, fold, parents, root_of
from wsec.runtime.contraction import Operand, SummedAxis, contract

if TYPE_CHECKING:
    from wsec.runtime.element_types import Array


def test_a_chain_runs_from_the_highest_index_to_0() -> None:
    """p[n-1], then p[n-2] + p[n-1], and so on: the neighbour's value is the right operand."""
    mesh = Mesh((MeshAxis("c", 4, "rows"),))
    digits = np.array([[1], [2], [3], [4]])
    assert combine(digits, mesh, ("c",), lambda own, sent: own + 10 * sent).tolist() == [[4321]]


def test_several_axes_are_combined_from_the_last_of_the_mesh_on() -> None:
    """First along the last axis of the mesh, whose cores are neighbours, whatever order the caller names them in."""
    mesh = Mesh((MeshAxis("a", 2, "rows"), MeshAxis("b", 2, "columns")))
    blocks = np.array([[[1], [2]], [[3], [4]]])

    def operation(own: Array, sent: Array) -> Array:
        result: Array = 2 * own - sent
        return result

    assert combine(blocks, mesh, ("a", "b"), operation).tolist() == [[[2 * (2 * 1 - 2) - (2 * 3 - 4)]]]


def test_equal_partials_count_once_for_each_core() -> None:
    """Blocks that do not differ along an axis are still one for each core of it."""
    mesh = Mesh((MeshAxis("c", 5, "rows"),))
    assert combine(np.array([[3]]), mesh, ("c",), np.add).tolist() == [[15]]


def test_no_axes_leave_the_blocks_alone() -> None:
    """Nothing is combined where no axis is named."""
    mesh = Mesh((MeshAxis("c", 2, "rows"),))
    assert combine(np.array([[1], [2]]), mesh, (), np.add).tolist() == [[1], [2]]


@given(st.data())
def test_contract_is_a_sum_of_products(data: st.DataObject) -> None:
    """Any labels, in any order, batched, summed, in one operand or both, as einsum has it."""
    sizes = {name: data.draw(st.integers(1, 4)) for name in "abcdefg"}
    kinds = {
        name: data.draw(st.sampled_from(("left", "right", "batch", "summed", "absent"))) for name in sizes
    }
    left = data.draw(
        st.permutations([name for name, kind in kinds.items() if kind in ("left", "batch", "summed")])
    )
    right = data.draw(
        st.permutations([name for name, kind in kinds.items() if kind in ("right", "batch", "summed")])
    )
    out = data.draw(
        st.permutations([name for name, kind in kinds.items() if kind not in ("summed", "absent")])
    )
    generator = np.random.default_rng(0)
    a = generator.integers(-9, 9, [sizes[name] for name in left]).astype(np.float64)
    b = generator.integers(-9, 9, [sizes[name] for name in right]).astype(np.float64)
    summed = [name for name, kind in kinds.items() if kind == "summed"]
    found = contract(Operand(a, tuple(left)), Operand(b, tuple(right)), summed, out)
    expected = np.einsum(f"{''.join(left)},{''.join(right)}->{''.join(out)}", a, b)
    np.testing.assert_array_equal(np.broadcast_to(found, expected.shape), expected)


@given(st.integers(1, 5), st.booleans(), st.booleans())
def test_a_chain_of_products(size: int, in_left: bool, in_right: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Partial products of each core are summed, also where one or both operands are the same on all cores."""
    generator = np.random.default_rng(0)
    a = generator.integers(-9, 9, (size if in_left else 1, 3, 4)).astype(np.float64)
    b = generator.integers(-9, 9, (size if in_right else 1, 4, 2)).astype(np.float64)
    found = contract(
        Operand(a, ("core", "m", "k")),
        Operand(b, ("core", "k", "n")),
        "k",
        ("core", "m", "n"),
        SummedAxis("core", size),
    )
    expected = sum(a[i % a.shape[0]] @ b[i % b.shape[0]] for i in range(size))
    np.testing.assert_array_equal(found[0], expected)


def test_the_chain_of_products_has_the_order_of_the_fabric() -> None:
    """In float32, 1e8 + 1 loses the 1: which partial sums meet first decides the result."""
    a = np.array([[[1e8]], [[-1e8]], [[1]]], dtype=np.float32)
    b = np.ones((1, 1, 1), dtype=np.float32)
    labels = ("core", "m", "k"), ("core", "k", "n")
    result = [
        contract(
            Operand(x, labels[0]), Operand(b, labels[1]), "k", ("core", "m", "n"), SummedAxis("core", 3)
        ).item()
        for x in (a, a[::-1])
    ]
    assert result == [0, 1]


DEPTH_FIRST = {
    ("chain", 0): "(0 (1 (2 (3 (4 (5 6))))))",
    ("star", 0): "((((((0 1) 2) 3) 4) 5) 6)",
    ("tree", 0): "(((0 1) (2 3)) ((4 5) 6))",
    ("two_phase", 3): "((0 (1 2)) ((3 (4 5)) 6))",
    ("two_level", 2): "((0 1) ((2 3) ((4 5) 6)))",
}
"""Own value left, received one right, children by rising index: worked out by hand for seven cores."""


@pytest.mark.parametrize(("algorithm", "expected"), DEPTH_FIRST.items())
def test_trees_combine_in_the_order_of_the_contract(algorithm: tuple[str, int], expected: str) -> None:
    """Each algorithm has its own order, which the simulator's cores keep too."""
    asked: list[int] = []

    def partial(core: int) -> Array:
        asked.append(core)
        return np.array(str(core), dtype=object)

    def operation(own: Array, sent: Array) -> Array:
        return np.array(f"({own} {sent})", dtype=object)

    assert fold(partial, children(*algorithm, 7), operation).item() == expected
    assert sorted(asked) == list(range(7))


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        (("chain", 0), "((3 (2 (1 0))) (4 (5 6)))"),
        (("star", 0), "((((((3 2) 4) 1) 5) 0) 6)"),
        (("two_level", 3), "((((4 3) 5) 6) ((1 0) 2))"),
        (("two_phase", 3), "((((4 3) 5) 6) ((1 0) 2))"),
    ],
)
def test_sums_come_together_in_the_middle(algorithm: tuple[str, int], expected: str) -> None:
    """Both sides send towards the root, the nearest first; groups towards their middles, and these likewise."""

    def operation(own: Array, sent: Array) -> Array:
        return np.array(f"({own} {sent})", dtype=object)

    tree = children(*algorithm, 7, "middle")
    assert fold(lambda core: np.array(str(core), dtype=object), tree, operation).item() == expected


@given(
    st.sampled_from([("chain", 0), ("star", 0), ("two_level", 1), ("two_level", 4), ("two_phase", 3)]),
    st.integers(1, 40),
)
def test_a_root_in_the_middle_is_reached_by_all(algorithm: tuple[str, int], cores: int) -> None:
    """Every core but the root has a parent, and going up ends at the root."""
    above, root = parents(*algorithm, cores, "middle"), root_of(*algorithm, cores, "middle")
    assert above[root] == -1
    for core in range(cores):
        at, steps = core, 0
        while at != root:
            at, steps = above[at], steps + 1
            assert steps < cores
    with pytest.raises(ValueError, match="first core"):
        parents("tree", 0, cores, "middle")


def test_a_chain_holds_one_value_at_a_time() -> None:
    """A core's own value is made when its child's has come: large partial results do not pile up."""
    asked: list[int] = []

    def partial(core: int) -> Array:
        asked.append(core)
        return np.zeros(1)

    fold(partial, children("chain", 0, 4), np.add)
    assert asked == [3, 2, 1, 0]


def test_an_unknown_tree_is_refused() -> None:
    """A record that names none is wrong, as is one with groups of no cores."""
    for name, group in (("ring", 0), ("two_level", 0)):
        with pytest.raises(ValueError, match="no tree"):
            children(name, group, 4)


@given(st.sampled_from(sorted({*DEPTH_FIRST, ("ring", 0)})), st.integers(2, 9), st.integers(1, 11))
def test_every_algorithm_sums_all_cores(algorithm: tuple[str, int], cores: int, words: int) -> None:
    """Whatever the order, each core's value counts once; other axes of the mesh keep theirs apart."""
    mesh = Mesh((MeshAxis("a", 2, "rows"), MeshAxis("b", cores, "columns")))
    generator = np.random.default_rng(0)
    blocks = generator.integers(-9, 9, (2, cores, words, 3)).astype(np.float64)
    record = Collective("all_reduce", "b", algorithm[0], algorithm[1], 3 * words)  # type: ignore[arg-type]
    found = combine(blocks, mesh, ("b",), np.add, (record,))
    np.testing.assert_array_equal(found, blocks.sum(axis=1, keepdims=True))


def test_a_ring_begins_behind_the_owner_of_each_part() -> None:
    """Three cores own two words, two and one: the part of core 0 starts at core 1, goes to 2 and ends at 0."""
    mesh = Mesh((MeshAxis("c", 3, "rows"),))
    blocks = np.array([[1] * 5, [2] * 5, [3] * 5])
    record = Collective("all_reduce", "c", "ring", 0, 5)
    found = combine(blocks, mesh, ("c",), lambda own, sent: own + 10 * sent, (record,))
    assert found.tolist() == [[231, 231, 312, 312, 123]]


@given(st.sampled_from(sorted(DEPTH_FIRST)), st.integers(2, 8), st.booleans())
def test_products_are_added_by_the_recorded_tree(algorithm: tuple[str, int], cores: int, same: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """Bit for bit what combining the products of every core gives, also where all cores have the same."""
    generator = np.random.default_rng(1)
    a = generator.standard_normal((1 if same else cores, 3, 4)).astype(np.float32)
    b = generator.standard_normal((1 if same else cores, 4, 2)).astype(np.float32)
    along = SummedAxis("core", cores, *algorithm)
    labels = ("core", "m", "k"), ("core", "k", "n")
    found = contract(Operand(a, labels[0]), Operand(b, labels[1]), "k", ("core", "m", "n"), along)
    each = [
        contract(
            Operand(a[i % len(a)][None], labels[0]), Operand(b[i % len(b)][None], labels[1]), "k", ("m", "n")
        )
        for i in range(cores)
    ]
    np.testing.assert_array_equal(found[0], fold(each.__getitem__, children(*algorithm, cores), np.add))
