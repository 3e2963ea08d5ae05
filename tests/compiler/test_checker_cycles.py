"""Cycles of a kernel: what is less than its multiply-adds and its words take is found, and nothing else."""

from __future__ import annotations

import pytest
from plan_changes import Case, assert_findings, kernel

from wsec.compiler.plan import Cycles

CASES = (
    Case(
        "fewer cycles than the taps and channels of a convolution",
        kernel("conv", cycles=Cycles(863, 90, 50)),
        (
            "WSEC550 kernel conv, compute: a lane does one multiply-add a cycle; expected at least 864 cycles for 864 multiply-adds, 1 a cycle, found 863 cycles",
        ),
    ),
    Case(
        "fewer cycles than the inner products of a matrix product",
        kernel("product", cycles=Cycles(255, 70, 50)),
        (
            "WSEC550 kernel product, compute: a lane does one multiply-add a cycle; expected at least 256 cycles for 256 multiply-adds, 1 a cycle, found 255 cycles",
        ),
    ),
    Case(
        "fewer cycles than words of two operands",
        kernel("sum", cycles=Cycles(10, 95, 5)),
        (
            "WSEC550 kernel sum, communication: a core takes as many words a cycle from its router as a link carries; expected at least 96 cycles, for the words that come to a core, found 95 cycles",
        ),
    ),
    Case("just enough cycles", kernel("conv", cycles=Cycles(864, 80, 0)), ()),
)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_cycles(case: Case) -> None:
    """Cycles that no core can keep are found, with the count that they have to cover."""
    assert_findings(case)
