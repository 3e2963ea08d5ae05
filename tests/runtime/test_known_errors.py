"""What an estimate says of its own error: of kinds that were compared, and only of those."""

from __future__ import annotations

from typing import TYPE_CHECKING

from small_plans import two_products

from wsec.runtime.estimate import estimate
from wsec.runtime.known_errors import KERNELS, PROGRAMS, known_error

if TYPE_CHECKING:
    from pathlib import Path


def test_an_estimate_names_the_errors_of_its_kinds(tmp_path: Path) -> None:
    """A plan of products says what is known of products and of whole programs, nothing of convolutions."""
    result = estimate(two_products(tmp_path).plan)
    assert {kernel.known_error for kernel in result.kernels} == {KERNELS["matmul"]}
    assert result.known_errors == (
        ("matmul", KERNELS["matmul"]),
        *(("whole programs", each) for each in PROGRAMS),
    )


def test_nothing_is_known_of_kinds_that_were_never_compared() -> None:
    """A kernel on one core has no core program that could be simulated."""
    assert known_error("unsplit") is None


def test_errors_are_shares_and_the_worst_is_no_less_than_the_mean() -> None:
    """Whoever adds a row by hand may swap two numbers."""
    for each in (*KERNELS.values(), *PROGRAMS):
        assert 0 <= each.mean <= each.worst < 1
        assert each.configurations > 0
