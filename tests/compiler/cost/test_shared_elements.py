"""Scales for blocks of weights: how many of them a core holds, wherever loops are cut."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.cost.block_sizes import block_elements
from wsec.compiler.kernels.loop_nest import DimensionMap, Loop, LoopNest, Operand, Work, fixed
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, block_bounds


@given(st.integers(1, 300), st.integers(2, 64), st.integers(1, 40))
def test_a_core_holds_the_scales_of_its_weights_and_no_more(extent: int, size: int, parts: int) -> None:
    """Against every position of every part: enough for each, exactly as many as some part reads, the same in both places."""
    block = -(-extent // parts)
    scales = -(-extent // size)
    dimension = DimensionMap(scales, "k", divisor=size)
    starts = range(0, extent, block)
    read = [(start // size, (min(start + block, extent) - 1) // size) for start in starts]
    held = dimension.sharding(block, ("k",) if len(read) > 1 else ())
    mesh = Mesh((MeshAxis("k", len(read), "rows"),) if len(read) > 1 else ())
    ((first, stop),) = block_bounds(Sharding((held,)), mesh)
    for part, (low, high) in enumerate(read):
        at = min(part, first.size - 1)
        assert first.ravel()[at] <= low
        assert high < stop.ravel()[at]
    reached = [(start // size, (start + block - 1) // size) for start in starts]
    assert held.block <= min(scales, max(high - low + 1 for low, high in reached) + 1)
    if block % size == 0:
        assert held.block == min(scales, block // size)
    nest = LoopNest("matmul", ("m",), (Loop("k", extent),), (), (), {}, Work(("k",), operations=1))
    operand = Operand("b_scale", "s", "float32", 4, constant=True, maps=(dimension, fixed(1)))
    assert block_elements(operand, nest, np.array([[float(block)]])).tolist() == [held.block]
