"""The comparison of turns with their estimates: rows for what was simulated, and a total that is the sum of all turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from simulated_models import SIMULATED_MODELS
from simulated_turns import compare_turns, rows_of, simulated

if TYPE_CHECKING:
    import pytest


def test_rows_of_a_perceptron() -> None:
    """A row for each turn and one for the latency, whose numbers are the executor's."""
    model = next(each for each in SIMULATED_MODELS if each.name == "perceptron")
    result = simulated(lambda path: onnx.save(model.make()[0], path), (12, 12), "wse3", "auto")
    rows = list(rows_of("perceptron", result))
    assert [row.kind for row in rows if row.kind != "resharding"][-1] == "latency"
    assert rows[-1].simulated == result.cycles
    assert all(row.equal for row in rows)
    assert all(abs(row.error) < 0.1 for row in rows if row.kind != "resharding")


def test_the_table_has_means_and_worst_errors(capsys: pytest.CaptureFixture[str]) -> None:
    """One line a model, then one a kind."""
    compare_turns("matmul, bias, gelu", "wse3", "auto", None)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("numbers equal in ")
    assert any(line.startswith("all kernels") for line in lines)
