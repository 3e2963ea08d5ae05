"""Products with a vector: equal columns give equal sums, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

from wsec.runtime.contraction import Operand, SummedAxis, contract


@pytest.mark.parametrize("columns", [7, 1001])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("chain", [None, SummedAxis("c", 3)])
def test_equal_columns_give_equal_sums(columns: int, transposed: bool, chain: SummedAxis | None) -> None:  # noqa: FBT001
    """Every core adds in the same order, whichever columns it holds; sums of huge numbers would show another one."""
    random = np.random.default_rng(0)
    vector = (random.standard_normal((3, 128)) * 1e18).astype(np.float32)
    column = random.standard_normal((3, 128, 1)).astype(np.float32)
    weights = np.repeat(column, columns, axis=2)
    if transposed:
        weights = np.ascontiguousarray(weights.swapaxes(1, 2)).swapaxes(1, 2)
    summed = ("k",) if chain else ("c", "k")
    sums = contract(Operand(vector, ("c", "k")), Operand(weights, ("c", "k", "n")), summed, ("n",), chain)
    assert len(np.unique(sums)) == 1
