"""Splits: what is enumerated is legal, fits, and nothing that is beaten is kept."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Operand, Work, follows
from wsec.compiler.kernels.splits import (
    SplitTable,
    cycles_of,
    enumerate_splits,
    ledger_of,
    loop_parts,
    mesh_of,
    sharding_of,
    split_of,
)
from wsec.compiler.target import Target, load_target


def matmul_nest(m: int, n: int, k: int, slots: int = 1) -> LoopNest:
    """A matrix product, written out by hand."""
    rows, columns, inner = Loop("m", m), Loop("n", n), Loop("k", k, LoopRole.REDUCTION)
    return LoopNest(
        kind="matmul",
        operators=("product",),
        loops=(rows, columns, inner),
        inputs=(
            Operand(
                "a", "a", "float32", 4, constant=False, maps=(follows(rows), follows(inner)), slots=slots
            ),
            Operand("b", "b", "float32", 4, constant=True, maps=(follows(inner), follows(columns))),
        ),
        outputs=(
            Operand("result", "c", "float32", 4, constant=False, maps=(follows(rows), follows(columns))),
        ),
        arguments={},
        work=Work(("m", "n", "k"), operations=1, walks=(("m",), ("n",)), summed=(("k",),)),
        words_in=m * k,
        words_out=m * n,
    )


def mesh_target(name: str = "mesh64") -> Target:
    """A small machine."""
    return load_target(name)


@given(extent=st.integers(1, 5000))
def test_parts_leave_no_core_without_work_and_miss_no_block_size(extent: int) -> None:
    """Each number of parts gives non-empty blocks, and every block size that a cut can have is among them."""
    parts = loop_parts(extent)
    blocks = -(-extent // parts)
    assert np.all((parts - 1) * blocks < extent)
    possible = {-(-extent // count) for count in range(1, extent + 1)}
    assert set(blocks.tolist()) == possible


@given(m=st.integers(1, 300), n=st.integers(1, 300), k=st.integers(1, 300))
def test_options_fit_the_machine_and_none_is_beaten(m: int, n: int, k: int) -> None:
    """Every option lies in the region and the memory; no other is as narrow, low and fast, and as fast at its best."""
    target = mesh_target()
    table = enumerate_splits(matmul_nest(m, n, k), target)
    shapes = table.shapes
    assert np.all(shapes.widths <= target.grid.width)
    assert np.all(shapes.heights <= target.grid.height)
    assert np.all(table.costs.bytes <= target.core.data_bytes)
    rows = np.stack([shapes.widths, shapes.heights, shapes.cycles, table.least.cycles], axis=1)
    beaten = (rows[:, None] >= rows[None]).all(axis=2) & (rows[:, None] > rows[None]).any(axis=2)
    assert not beaten.any()


@given(m=st.integers(1, 90), n=st.integers(1, 90), k=st.integers(1, 90), data=st.data())
def test_ledger_covers_the_blocks_of_the_records(m: int, n: int, k: int, data: st.DataObject) -> None:
    """Bytes counted core by core from the shardings that go into the plan are what the ledger says.

    Cores along `n` need the same block of `a`, so each keeps its share of the three samples that wait.
    """
    target = mesh_target()
    table = enumerate_splits(matmul_nest(m, n, k, slots=3), target)
    option = data.draw(st.integers(0, len(table.parts) - 1))
    ledger = ledger_of(table, option, target)
    activation, weight = table.nest.inputs
    out = sharding_of(table, option, table.nest.outputs[0], output=True)
    copies = split_of(table, option)["n"]
    share = -(-sharding_of(table, option, activation, output=False).block_elements // copies)
    assert ledger.weights == sharding_of(table, option, weight, output=False).block_elements * 4
    assert ledger.activations == share * 4 * 3 + 2 * out.block_elements * 4
    assert ledger.total <= target.core.sram_bytes


@given(m=st.integers(1, 90), n=st.integers(1, 90), k=st.integers(1, 90), data=st.data())
def test_mesh_is_the_rectangle_and_the_reduction_lies_innermost(
    m: int, n: int, k: int, data: st.DataObject
) -> None:
    """The axes multiply to the rectangle that was placed; partial sums meet between neighbours."""
    table = enumerate_splits(matmul_nest(m, n, k), mesh_target())
    option = data.draw(st.integers(0, len(table.parts) - 1))
    mesh = mesh_of(table, option)
    assert mesh.width == table.shapes.widths[option]
    assert mesh.height == table.shapes.heights[option]
    assert {axis.name: axis.size for axis in mesh.axes} == {
        name: parts for name, parts in split_of(table, option).items() if parts > 1
    }
    if split_of(table, option)["k"] > 1:
        assert mesh.spacing("k") == 1
        assert sharding_of(table, option, table.nest.outputs[0], output=True).root == ("k",)


def cycles_at(table: SplitTable, **split: int) -> int:
    """Cycles of the option with exactly this split."""
    for option in range(len(table.parts)):
        if split_of(table, option) == split:
            return cycles_of(table, option).total
    raise AssertionError(f"no option {split}")


def test_cycles_of_one_core_by_hand() -> None:
    """A 4 x 6 x 5 product on one core: every count can be followed with a pencil."""
    target = mesh_target()
    core = target.core
    issued = 4 * 5 * core.issue_cycles  # vectors run along n, a loop around each of them along k
    turned = 4 * core.loop_cycles  # and one around that loop along m
    compute = math.ceil(4 * 6 * 5 / core.lanes["float32"] + issued + turned)
    received, sent = 4 * 5, 4 * 6
    table = enumerate_splits(matmul_nest(4, 6, 5), target)
    assert cycles_at(table, m=1, n=1, k=1) == compute + received + sent


def test_a_kernel_that_fits_no_core_says_by_how_much() -> None:
    """The message names kernel, memory, what is over and the levers."""
    target = mesh_target("mesh16").with_region(1, 1)
    with pytest.raises(WsecError) as caught:
        enumerate_splits(matmul_nest(64, 512, 512), target)
    needed = (512 * 512 + 64 * 512 + 2 * 64 * 512) * 4
    free = target.core.data_bytes
    assert str(caught.value) == (
        "error[WSEC301]: kernel 'product' does not fit the memory of its cores, however it is cut\n"
        "  where:    matmul kernel of product\n"
        f"  expected: at most {free} bytes a core ({target.core.sram_bytes} SRAM less "
        f"{target.core.code_reserve_bytes} for code)\n"
        f"  found:    {needed} bytes a core, {needed - free} too many, at the best split (one core): "
        f"weights {512 * 512 * 4}, activations {3 * 64 * 512 * 4}, buffers 0\n"
        "  try:      a larger region than 1x1, a smaller input size (--dim), a smaller element type, "
        "or a target with more memory"
    )
