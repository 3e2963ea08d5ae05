"""The bound on wafers: the leanest of all cuts, found without trying those that spare nothing."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.cost.kernel_cost import split_costs
from wsec.compiler.kernels.loop_nest import (
    DimensionMap,
    Loop,
    LoopNest,
    LoopRole,
    Operand,
    Work,
    fixed,
    follows,
)
from wsec.compiler.schedule.sequential.fitting import packed
from wsec.compiler.schedule.sequential.memory import TurnMemory
from wsec.compiler.schedule.sequential.wafer_bound import least_stored, least_wafers
from wsec.compiler.target import load_target


def _product(rows: int, columns: int, depth: int, block: int) -> LoopNest:
    """Weights of two bytes with a scale of one byte for so many of them, as a product holds them."""
    m, n, k = Loop("m", rows), Loop("n", columns), Loop("k", depth, LoopRole.REDUCTION)
    scales = DimensionMap(-(-depth // block), "k", divisor=block)
    return LoopNest(
        kind="matmul",
        operators=("product",),
        loops=(m, n, k),
        inputs=(
            Operand("a", "a", "float16", 2, constant=False, maps=(follows(m), follows(k))),
            Operand("b", "b", "float16", 2, constant=True, maps=(follows(n), follows(k))),
            Operand("b_scale", "s", "uint8", 1, constant=True, maps=(follows(n), scales)),
            Operand("bias", "c", "float16", 2, constant=True, maps=(follows(n),)),
        ),
        outputs=(Operand("y", "y", "float16", 2, constant=False, maps=(follows(m), follows(n))),),
        arguments={},
        work=Work(("m", "n", "k"), 1, summed=(("k",),)),
    )


@settings(max_examples=25, deadline=None)
@given(
    sizes=st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 12), st.integers(1, 4)),
    width=st.integers(1, 5),
    height=st.integers(1, 5),
)
def test_no_cut_stores_less(sizes: tuple[int, int, int, int], width: int, height: int) -> None:
    """What is said is what the leanest of all cuts leaves on its fullest core, by the ledger of kernels."""
    nest = _product(*sizes)
    target = load_target("wse3")
    grid = replace(target.grid, width=width, height=height)
    extents = [loop.extent for loop in nest.loops]
    every = [
        parts
        for parts in itertools.product(*(range(1, extent + 1) for extent in extents))
        if any(
            _fits(parts, rows_of, grid.width, grid.height) for rows_of in itertools.product((0, 1), repeat=3)
        )
    ]
    least = split_costs(nest, np.array(every, dtype=np.float64), target).weights.min()
    assert least_stored(nest, grid) == least


def _fits(parts: tuple[int, ...], on_rows: tuple[int, ...], width: int, height: int) -> bool:
    high = np.prod([count for count, rows in zip(parts, on_rows, strict=True) if rows])
    wide = np.prod([count for count, rows in zip(parts, on_rows, strict=True) if not rows])
    return bool(high <= height and wide <= width)


def test_what_is_not_cut_counts_by_its_bytes() -> None:
    """Of a kernel that is not cut along loops no more is promised than its bytes over all cores."""
    grid = replace(load_target("wse3").grid, width=2, height=2)
    nest = replace(_product(1, 5, 3, 3), kind="unsplit")
    assert least_stored(nest, grid) == -(-(5 * 3 * 2 + 5 + 5 * 2) // 4)
    assert least_stored(replace(nest, inputs=(replace(nest.inputs[1], maps=(fixed(7),)),)), grid) == 4


@pytest.mark.parametrize(("resident", "expected"), [([], 1), ([60, 60], 2), ([50, 50, 1], 2), ([101], 1)])
def test_wafers_hold_whole_turns(resident: list[int], expected: int) -> None:
    """Turns are whole and stay in their order; where one fits no wafer no number is promised."""
    nothing = np.zeros(len(resident), dtype=np.int64)
    memory = TurnMemory(np.array(resident, dtype=np.int64), nothing, nothing)
    assert least_wafers(memory, 100) == expected
    assert [behind - first for first, behind in packed(memory, 100)] != [0]
