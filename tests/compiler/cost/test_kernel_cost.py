"""Cycles of cores that pass words to each other: contention of the links, distance, turns, against sums on paper."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from wsec.compiler.cost.collective_uses import side_cycles
from wsec.compiler.cost.kernel_cost import passing_cycles, split_costs
from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Operand, Work, fixed, follows
from wsec.compiler.target import load_target

TARGET = load_target("mesh64")
FABRIC = TARGET.fabric
ROWS, COLUMNS = True, False


def product(m: int, n: int, k: int) -> LoopNest:
    """A matrix product of an activation `a` [m, k] and a weight [k, n]: cores along n need the same block of `a`."""
    rows, columns, inner = Loop("m", m), Loop("n", n), Loop("k", k, LoopRole.REDUCTION)
    return LoopNest(
        kind="matmul",
        operators=("product",),
        loops=(rows, columns, inner),
        inputs=(
            Operand("a", "a", "float32", 4, constant=False, maps=(follows(rows), follows(inner))),
            Operand("b", "b", "float32", 4, constant=True, maps=(follows(inner), follows(columns))),
        ),
        outputs=(
            Operand("result", "c", "float32", 4, constant=False, maps=(follows(rows), follows(columns))),
        ),
        arguments={},
        work=Work(("m", "n", "k"), operations=1, walks=(("m",), ("n",)), summed=(("k",),)),
    )


def passing(nest: LoopNest, parts: list[int], on_rows: list[bool], turns: int = 1) -> float:
    """Cycles of one split in one arrangement."""
    cycles = passing_cycles(
        nest, np.array([parts], dtype=np.float64), np.array([turns]), np.array(on_rows), TARGET
    )
    return float(cycles[0])


def test_cores_that_need_the_same_block_lie_inside_those_that_do_not() -> None:
    """Along n the block of `a` is the same: n lies inside m, and k, whose partial sums are added, innermost."""
    nest = product(8, 8, 8)
    assert [nest.loops[index].name for index in nest.mesh_order()] == ["m", "n", "k"]
    other_way = replace(nest, loops=nest.loops[::-1])
    assert [other_way.loops[index].name for index in other_way.mesh_order()] == ["m", "n", "k"]


def test_a_line_of_one_group_costs_only_the_distance() -> None:
    """Four cores in a row pass a block around: their links carry no more than their ramps."""
    distance = FABRIC.hop_cycles * (4 + 1) + 2 * FABRIC.ramp_cycles
    assert passing(product(6, 8, 10), [1, 4, 1], [ROWS, COLUMNS, ROWS]) == distance
    assert passing(product(6, 8, 10), [1, 4, 1], [ROWS, COLUMNS, ROWS], turns=3) == 3 * distance


def test_groups_on_one_line_share_its_links() -> None:
    """With k cut in five inside n on one line, five groups interleave: five times the words, five times the way."""
    nest = product(6, 8, 50)
    block, share = 6 * 10, 6 * 10 // 4
    on_links = 5 * (block - share)
    distance = FABRIC.hop_cycles * (4 * 5 + 1) + 2 * FABRIC.ramp_cycles
    assert passing(nest, [1, 4, 5], [ROWS, COLUMNS, COLUMNS]) == on_links - block + distance


def test_axes_on_two_sides_do_not_meet() -> None:
    """With k on rows and n on columns, every row of cores is one group."""
    distance = FABRIC.hop_cycles * (4 + 1) + 2 * FABRIC.ramp_cycles
    assert passing(product(6, 8, 50), [1, 4, 5], [ROWS, COLUMNS, ROWS]) == distance


def test_nothing_is_passed_where_no_block_is_shared() -> None:
    """One core along n has its block of `a` to itself."""
    assert passing(product(6, 8, 50), [3, 1, 5], [ROWS, COLUMNS, COLUMNS]) == 0


def test_reductions_of_two_loops_are_combined_from_the_innermost_on() -> None:
    """Sums over d0 (2 parts) and d1 (8 parts): neighbours along d1 first, then two cores, eight apart on the same side."""
    outer, inner = Loop("d0", 4, LoopRole.REDUCTION), Loop("d1", 64, LoopRole.REDUCTION)
    nest = LoopNest(
        kind="reduction",
        operators=("sum",),
        loops=(outer, inner),
        inputs=(Operand("x", "x", "float32", 4, constant=False, maps=(follows(outer), follows(inner))),),
        outputs=(Operand("result", "y", "float32", 4, constant=False, maps=(fixed(1), fixed(1))),),
        arguments={},
        work=Work(("d0", "d1"), operations=1),
        collective="chain",
    )
    along_inner = 1 + (2 * FABRIC.ramp_cycles + 1 + FABRIC.hop_cycles) * 7
    along_outer = 1 + (2 * FABRIC.ramp_cycles + 1 + FABRIC.hop_cycles) * 1
    parts = np.array([[2.0, 8.0]])
    costs = split_costs(nest, parts, TARGET)
    assert costs.communication.tolist() == [along_inner + along_outer]
    for on_rows, beyond in (((True, True), 7), ((False, False), 7), ((True, False), 0)):
        assert side_cycles(nest, parts, 1, np.array(on_rows), FABRIC).tolist() == [beyond * FABRIC.hop_cycles]
    assert costs.transfer.tolist() == [2 * 8 + 1]  # words that come, and the sum that goes


@pytest.mark.parametrize(("dtype", "computed_as"), [("int4", "int8"), ("uint4", "uint8")])
def test_types_of_four_bits_are_computed_as_eight(dtype: str, computed_as: str) -> None:
    """A target has no lanes of four bits, and quantised models have such tensors."""
    nests = [
        replace(product(8, 8, 8), work=Work(("m", "n", "k"), operations=1, dtype=each))
        for each in (dtype, computed_as)
    ]
    narrow, wide = (split_costs(nest, np.ones((1, 3)), TARGET).compute for nest in nests)
    assert narrow.tolist() == wide.tolist()


def test_a_serial_core_reads_weights_of_other_cores_at_every_step() -> None:
    """A recurrent layer of 30 steps whose 100 words of weights lie on four cores; on one core they are there already."""
    row, column = Loop("row", 1), Loop("column", 1)
    nest = LoopNest(
        kind="unsplit",
        operators=("recurrent",),
        loops=(row, column),
        inputs=(
            Operand("in0", "x", "float32", 4, constant=False, maps=(fixed(60),)),
            Operand("in1", "w", "float32", 4, constant=True, maps=(fixed(100),)),
        ),
        outputs=(Operand("out0", "y", "float32", 4, constant=False, maps=(fixed(40),)),),
        arguments={},
        work=Work((), operations=1000, serial=True, weight_reads=30),
    )
    way = [
        FABRIC.hop_cycles * (rows + columns) + 2 * FABRIC.ramp_cycles for rows, columns in ((2, 2), (1, 1))
    ]
    costs = split_costs(nest, np.array([[2.0, 2.0], [1.0, 1.0]]), TARGET)
    assert costs.communication.tolist() == [60 + 40 + 30 * 100 + way[0], 60 + 40 + 100 + way[1]]
