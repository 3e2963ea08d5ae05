"""Ways of products whose operands shift: what they cost, what they hold, and of which products there are some."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir
import pytest

from wsec.compiler.cost.programs import mesh_gemm_cycles
from wsec.compiler.kernels.matmul import make_matmul
from wsec.compiler.kernels.operator_view import OperatorView
from wsec.compiler.kernels.splits import rotating_loop
from wsec.compiler.schedule.sequential.rotations import rotated_ways
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.schedule.sequential.options import TurnTable


def product(
    m: int, k: int, n: int, *, dtype: ir.DataType = ir.DataType.FLOAT16, weight: bool = True
) -> LoopNest:
    """[m, k] times [k, n]."""
    left, right = (
        ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))
        for name, shape in (("a", (m, k)), ("b", (k, n)))
    )
    node = ir.node("MatMul", [left, right], name="product")
    made = node.outputs[0]
    made.name, made.type, made.shape = "y", ir.TensorType(dtype), ir.Shape((m, n))
    nest = make_matmul(OperatorView(node))
    first, second = nest.inputs
    return replace(nest, inputs=(first, replace(second, constant=weight)), output_slots=1)


def of_loop(table: TurnTable | None, loop: str) -> tuple[int, TurnTable]:
    """The first way in which a loop goes around."""
    assert table is not None
    found = [option for option in range(len(table.cycles)) if rotating_loop(table.splits, option) == loop]
    return found[0], table


@pytest.mark.parametrize(("side", "tile"), [(360, 12), (720, 3), (720, 12), (360, 22)])
def test_cycles_are_those_of_the_measured_program(side: int, tile: int) -> None:
    """One formula: the kernel takes what is said of MeshGEMM on the same square, and the zeros that sums begin with."""
    target = load_target("wse3").with_region(side, side)
    extent = side * tile
    option, table = of_loop(rotated_ways(product(extent, extent, extent), target, published=True), "k")
    expected = mesh_gemm_cycles(side, tile, tile, tile, target)
    assert table.cycles[option] == pytest.approx(expected, rel=1e-3)
    assert table.cycles[option] > expected
    free = rotated_ways(product(extent, extent, extent), target)
    assert free is not None
    assert free.cycles.min() <= table.cycles.min()


def test_weights_lie_once_and_blocks_twice() -> None:
    """On a square of 8 cores a side: a block of each matrix, and a second of both that shift."""
    target = load_target("wse3").with_region(8, 8)
    nest = product(64, 32, 16)
    blocks = {"a": 8 * 4 * 2, "b": 4 * 2 * 2, "result": 8 * 2 * 2}
    for loop, shifting in (("k", ("a", "b")), ("n", ("b", "result")), ("m", ("a", "result"))):
        option, table = of_loop(rotated_ways(nest, target, published=True), loop)
        costs = table.splits.costs
        assert costs.weights[option] == blocks["b"]
        assert costs.activations[option] == blocks["a"] + blocks["result"]
        assert costs.buffers[option] == sum(blocks[name] for name in shifting)


def test_weights_that_are_computed_are_brought_to_where_they_start() -> None:
    """That takes cycles; weights of the model are loaded there."""
    target = load_target("wse3").with_region(8, 8)
    placed, first = of_loop(rotated_ways(product(64, 32, 16), target, published=True), "k")
    brought, second = of_loop(rotated_ways(product(64, 32, 16, weight=False), target, published=True), "k")
    assert second.cycles[brought] > first.cycles[placed]


def test_vectors_and_integers_do_not_shift() -> None:
    """A row times a matrix has nothing to cut into rows; bytes and their sums are another kernel."""
    target = load_target("wse3").with_region(8, 8)
    assert rotated_ways(product(1, 32, 16), target) is None
    assert rotated_ways(product(4, 32, 16, dtype=ir.DataType.INT32), target) is None
    few = replace(target, core=replace(target.core, sram_bytes=target.core.code_reserve_bytes + 64))
    assert rotated_ways(product(64, 64, 64), few) is None


def test_squares_fit_the_region_and_blocks_hold_all() -> None:
    """Whatever the sides of the region are: a square of the shorter one, of no more parts than some loop has positions."""
    nest = product(50, 21, 34)
    for region in ((3, 40), (17, 9), (40, 40)):
        table = rotated_ways(nest, load_target("wse3").with_region(*region))
        assert table is not None
        sides = table.splits.parts.max(axis=1)
        assert (sides <= min(*region, 50)).all()
        np.testing.assert_array_equal(table.widths, sides)
        np.testing.assert_array_equal(table.heights, sides)
