"""Cycles of whole programs: their structure, and what they need of a target."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.cost.programs import (
    Elements,
    all_reduce_cycles,
    gemv_cycles,
    library_summa_cycles,
    mesh_gemm_cycles,
    summa_cycles,
    vector_loop_cycles,
)
from wsec.compiler.errors import WsecError
from wsec.compiler.target import load_target

WSE3 = load_target("wse3")


def test_vectors_share_words_of_the_write_port() -> None:
    """Halves come four to a word of 64 bits, and what one vector leaves of a word the next one takes: 22 take 5.5 words."""
    steps = vector_loop_cycles(2, 3, 22, WSE3) - vector_loop_cycles(2, 3, 8, WSE3)
    assert steps == pytest.approx(6 * 3.5 * WSE3.core.wide_step_cycles)


def test_narrow_accesses_do_not_wait_for_banks() -> None:
    """Only accesses as wide as the port pay for conflicts: singles, one at a time, take a cycle each."""
    singles = Elements(lanes=1, width=4, per_word=1, move_cycles=0)
    steps = vector_loop_cycles(1, 1, 9, WSE3, singles) - vector_loop_cycles(1, 1, 4, WSE3, singles)
    assert steps == pytest.approx(5)


@given(words=st.integers(1, 500), cores=st.integers(2, 1000))
def test_an_all_reduce_is_no_faster_than_its_way(words: int, cores: int) -> None:
    """Words go to the middle and back: twice through some core, two halves at once, and over the whole line."""
    cycles = all_reduce_cycles(words, cores, WSE3)
    assert cycles >= 2 * math.ceil(words / 2) + WSE3.fabric.hop_cycles * (cores - 1)


def test_one_core_reduces_nothing() -> None:
    """No words move."""
    assert all_reduce_cycles(100, 1, WSE3) == 0


def test_a_product_that_is_bound_by_its_words_takes_their_time() -> None:
    """With cores that compute at once, a step lasts as long as the words of both blocks, which pass the one ramp of a core.

    Half as many shifts of the left block come first, when a core sends and receives and does nothing else.
    """
    assert WSE3.overheads is not None
    fast = dataclasses.replace(WSE3.core, issue_cycles=1e-9, loop_cycles=1e-9, wide_step_cycles=1e-9)
    target = dataclasses.replace(WSE3, core=fast)
    step = (10 * 20 + 20 * 30) // 2 + 2 * WSE3.fabric.hop_cycles + WSE3.overheads.step_cycles
    assert mesh_gemm_cycles(100, 10, 20, 30, target) == pytest.approx(100 * step + 50 * 10 * 20)


def test_a_library_costs_more_than_multicasts() -> None:
    """The order of the three ways to multiply that was measured at tiles of 12."""
    assert mesh_gemm_cycles(360, 12, 12, 12, WSE3) < library_summa_cycles(360, 12, WSE3)
    assert summa_cycles(360, 12, WSE3) < library_summa_cycles(360, 12, WSE3)


def test_a_target_without_overheads_is_refused() -> None:
    """Nobody measured the meshes."""
    with pytest.raises(WsecError) as error:
        gemv_cycles(16, 8, load_target("mesh16"))
    assert str(error.value) == (
        "error[WSEC208]: the target has no measured overheads of instructions\n"
        "  where:    target mesh16\n"
        "  expected: a table [overheads]\n"
        "  found:    none\n"
        "  try:      take a target that has one (wse2, wse3), or add the table; docs/targets.md describes it"
    )
