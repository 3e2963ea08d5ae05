"""The checker's part: what a SquaredDistance node asks of its kernel, written down apart from the compiler's part.

The plan checker compares the kernel with it, core by core. A maker with a mistake in it does not get past this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.api.expectations import Expectation, Kind, Loop, Operand, along
from wsec_example.squared_distance import DOMAIN, KIND, OPERATOR

if TYPE_CHECKING:
    from wsec.api.expectations import ModelFacts, OperatorFacts


def expect_squared_distance(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """X [n, k], y [m, k]; output [n, m], summed over k."""
    n, k = model.shape(node.input(0))
    m, _ = model.shape(node.input(1))
    return Expectation(
        operands=(
            Operand("x", node.input(0), (along("n", n), along("k", k))),
            Operand("y", node.input(1), (along("m", m), along("k", k))),
        ),
        output=(Loop("n", n), Loop("m", m)),
        reductions={"k": k},
        arguments={},
    )


KINDS = {KIND: Kind((f"{DOMAIN}.{OPERATOR}",), expect_squared_distance)}
