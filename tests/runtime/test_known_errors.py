"""What an estimate says of its own error: of kinds that were compared, and only of those."""

from __future__ import annotations

import json
from pathlib import Path

from small_plans import two_products

from simulation import Row, errors_by_kind
from wsec.runtime.estimate import estimate
from wsec.runtime.known_errors import KERNELS, PROGRAMS, known_error

_DATA = Path(__file__).parents[2] / "benchmarks" / "data"


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


def test_errors_are_those_that_the_benchmark_printed_last() -> None:
    """Of every kind the mean, the worst and the number of the kernels in the benchmark's rows, which are kept beside it."""
    kept = json.loads((_DATA / "simulated_kernels.json").read_text())
    rows = [Row(**{name: value for name, value in each.items() if name != "error"}) for each in kept]
    assert all(row.equal for row in rows)
    found = {}
    for kind, those in errors_by_kind(rows).items():
        errors = [abs(row.error) for row in those]
        found[kind] = round(sum(errors) / len(errors), 4), round(max(errors), 4), len(errors)
    known = {kind: (each.mean, each.worst, each.configurations) for kind, each in KERNELS.items()}
    assert known == found


def test_errors_are_shares_and_the_worst_is_no_less_than_the_mean() -> None:
    """Whoever adds a row by hand may swap two numbers."""
    for each in (*KERNELS.values(), *PROGRAMS):
        assert 0 <= each.mean <= each.worst < 1
        assert each.configurations > 0
