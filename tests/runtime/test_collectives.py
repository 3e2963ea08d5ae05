"""The order in which the fabric combines partial results, with an operation for which the order matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.sharding import Mesh, MeshAxis
from wsec.runtime.collectives import combine
from wsec.runtime.contraction import Chain, Operand, contract

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
        Chain("core", size),
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
            Operand(x, labels[0]), Operand(b, labels[1]), "k", ("core", "m", "n"), Chain("core", 3)
        ).item()
        for x in (a, a[::-1])
    ]
    assert result == [0, 1]
