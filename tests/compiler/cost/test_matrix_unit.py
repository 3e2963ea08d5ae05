"""Products on a matrix unit: tiles against sums on paper, never faster than all lanes, and vectors where these are faster."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.cost.kernel_cost import split_costs
from wsec.compiler.cost.matrix_unit import matrix_cycles, matrix_memory_cycles
from wsec.compiler.kernels.loop_nest import Loop, LoopNest, LoopRole, Operand, Product, Work, fixed, follows
from wsec.compiler.target import MatrixUnit, Target, load_target

TARGET = load_target(str(Path(__file__).parents[3] / "examples" / "targets" / "mesh_npu.toml"))
UNIT = MatrixUnit(rows=4, columns=16, depth=16, loops=2, start_cycles=8)
CORE = replace(TARGET.core, matrix_unit=UNIT)
START = UNIT.start_cycles + CORE.issue_cycles + CORE.loop_cycles


def convolution(channels: int, pixels: int, outputs: int, window: int, groups: int = 1) -> LoopNest:
    """A convolution over one spatial dimension without pads, each pixel of which reads `window` others."""
    g, k, d = Loop("g", groups), Loop("k", outputs), Loop("d0", pixels)
    c = Loop("c", channels, LoopRole.REDUCTION)
    reads = replace(follows(d), extent=pixels + window - 1, reach=window)
    x = Operand("x", "x", "float32", 4, constant=False, maps=(follows(g), follows(c), reads))
    w = Operand(
        "w", "w", "float32", 4, constant=True, maps=(follows(g), follows(k), follows(c), fixed(window))
    )
    work = Work(
        ("g", "k", "c", "d0"),
        operations=1,
        walks=(("g",), ("k",), ("d0",)),
        summed=(("c",),),
        taps=(window,),
        product=Product(("d0",), ("k",)),
    )
    result = Operand("result", "y", "float32", 4, constant=False, maps=(follows(g), follows(k), follows(d)))
    return LoopNest("convolution", ("conv",), (g, k, c, d), (x, w), (result,), {}, work)


def on_unit(nest: LoopNest, dtype: str = "float32") -> float:
    """Cycles of the whole nest on one core's unit."""
    blocks = np.array([[loop.extent for loop in nest.loops]], dtype=np.float64)
    return float(matrix_cycles(nest.work, nest, blocks, CORE, dtype)[0])


def test_tiles_are_counted_whole() -> None:
    """17 channels, 33 outputs and 9 pixels are 2, 3 and 3 tiles for each of 5 taps; the two longest loops are an instruction."""
    steps = 2 * 3 * 3 * 5
    assert on_unit(convolution(17, 9, 33, 5)) == steps + steps / (5 * 3) * START
    assert on_unit(convolution(17, 9, 33, 5, groups=4)) == 4 * steps + 4 * steps / (5 * 4) * START


def test_types_with_fewer_lanes_take_longer_steps() -> None:
    """float64 has an eighth of the lanes: a step takes eight cycles, what instructions cost does not change."""
    once = on_unit(convolution(16, 4, 16, 1))
    assert once == 1 + START
    assert on_unit(convolution(16, 4, 16, 1), "float64") == 8 + START


def test_memory_reads_both_factors_of_each_tile() -> None:
    """A step reads 16 x (4 + 16) elements of 4 bytes and writes 4 x 16, at 64 and 8 bytes a cycle."""
    nest = convolution(16, 4, 16, 3)
    core = replace(CORE, read_bytes_per_cycle=64, write_bytes_per_cycle=8)
    blocks = np.array([[loop.extent for loop in nest.loops]], dtype=np.float64)
    assert matrix_memory_cycles(nest.work, nest, blocks, core, 4.0)[0] == 3 * max(
        16 * 20 * 4 / 64, 4 * 16 * 4 / 8
    )


def test_vectors_are_taken_where_they_are_faster() -> None:
    """One channel a group fills a hundredth of a tile: long rows by vectors take less; without a unit nothing changes."""
    deep = np.ones((1, 4))
    machine = replace(TARGET, core=CORE)
    without = replace(TARGET, core=replace(CORE, matrix_unit=None))
    by_depth = convolution(1, 4096, 1, 3, groups=8)
    assert split_costs(by_depth, deep, machine).compute[0] == split_costs(by_depth, deep, without).compute[0]
    dense = convolution(64, 49, 64, 3)
    assert split_costs(dense, deep, machine).compute[0] < split_costs(dense, deep, without).compute[0] / 5


@given(*[st.integers(1, 80)] * 3, st.integers(1, 7), st.integers(1, 4))
def test_no_product_is_faster_than_all_lanes(
    channels: int, pixels: int, outputs: int, window: int, groups: int
) -> None:
    """Multiply-adds over the lanes are a lower bound, whatever the unit and the shape: what the checker demands of plans."""
    adds = channels * pixels * outputs * window * groups
    assert on_unit(convolution(channels, pixels, outputs, window, groups)) >= adds / CORE.lanes["float32"]


def test_a_ramp_carries_as_many_words_as_a_link() -> None:
    """Links of six words a cycle bring blocks in a sixth of the cycles of links of one."""
    slow = replace(TARGET, fabric=replace(TARGET.fabric, link_words_per_cycle=1))
    nest, one = convolution(64, 6, 64, 1), np.ones((1, 4))
    assert split_costs(nest, one, by_itself(slow)).transfer[0] == 2 * 64 * 6
    assert split_costs(nest, one, by_itself(TARGET)).transfer[0] == 2 * 64


def by_itself(target: Target) -> Target:
    """The target whose cores move words by their own instructions."""
    return replace(target, core=replace(target.core, dma_engines=0))


def test_words_pass_while_a_core_computes() -> None:
    """DMA engines hide words behind arithmetic; what takes longer than that is left, and a sample takes no less than its words."""
    one = np.ones((1, 4))
    for pixels, channels in ((6, 64), (512, 1)):
        nest = convolution(channels, pixels, 64, 1)
        alone, beside = (split_costs(nest, one, target) for target in (by_itself(TARGET), TARGET))
        busy = np.maximum(alone.compute, alone.memory)
        assert beside.cycles[0] == max(busy[0], alone.transfer[0])
    assert beside.transfer[0] > 0
