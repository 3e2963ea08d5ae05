"""Ways of turns: the fast ones, and those that leave little on a core."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.plan_checker.model_facts import packed_bytes
from wsec.compiler.schedule.sequential.options import leaner, leanest


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(0, 50_000)), min_size=1, max_size=40))
def test_ways_that_leave_little_on_a_core_are_kept(ways: list[tuple[int, int]]) -> None:
    """For any amount of memory one is kept that is as fast as any within half of it; and the one with least."""
    cycles, resident = np.array([way[0] for way in ways]), np.array([float(way[1]) for way in ways])
    kept = leaner(cycles, resident, np.arange(len(ways)))
    assert resident[kept].min() == resident.min()
    for room in resident.tolist():
        within, half = kept[resident[kept] <= room], resident <= room / 2
        if half.any():
            assert cycles[within].min() <= cycles[half].min()


@given(st.lists(st.tuples(st.integers(1, 1000), st.integers(1, 900)), min_size=1, max_size=40))
def test_ways_near_the_leanest_are_kept(ways: list[tuple[int, int]]) -> None:
    """For each way of up to twice the least bytes one is kept that is as fast, within an eighth of the least more."""
    cycles, size = np.array([way[0] for way in ways]), np.array([float(way[1]) for way in ways])
    kept = leanest(cycles, size, np.arange(len(ways)))
    least = size.min()
    assert size[kept].min() == least
    for cycle, own in zip(cycles.tolist(), size.tolist(), strict=True):
        if own <= 2 * least:
            assert cycles[kept[size[kept] <= own + least / 8]].min() <= cycle


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("int4", 4), ("uint4", 4), ("float4_e2m1fn", 4), ("float8_e8m0fnu", 7), ("float16", 14), ("bool", 7)],
)
def test_two_weights_of_four_bits_share_a_byte(dtype: str, expected: int) -> None:
    """In the checker's ledger of turns, phases and kernels alike; seven elements."""
    assert packed_bytes(7, dtype) == expected
