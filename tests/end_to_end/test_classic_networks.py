"""Two of the classic networks of the onnx package, as `benchmarks/real_model_matrix.py` measures all nine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import wsec
from real_model_matrix import LEAST_SPLIT, SHIPPED, check_shipped, list_cases, measure, write_network
from real_models import list_real_models

if TYPE_CHECKING:
    from pathlib import Path


def test_an_untouched_network_gives_the_output_that_is_shipped() -> None:
    """Models of opset 9, whose weights are inputs with values, load; a wrong output would be told from a right one."""
    plan = wsec.compile(SHIPPED / "light_squeezenet.onnx", target="mesh64", effort=0)
    error, right = check_shipped("squeezenet", plan)
    assert right
    assert error < 1e-4
    assert not check_shipped("zfnet512", plan)[1]


@pytest.mark.slow
def test_a_network_with_calibrated_weights_verifies(tmp_path: Path) -> None:
    """A row of the matrix: compiled, compared with onnxruntime, its arithmetic split."""
    write_network("squeezenet", tmp_path)
    row = measure("squeezenet", "128x128", 0.0, tmp_path)
    assert row.good
    assert row.split_arithmetic >= LEAST_SPLIT
    assert row.nodes == row.split + row.unsplit + row.host


def test_the_matrix_asks_for_every_model_where_it_has_to_be() -> None:
    """15 models in two places, nine networks in two forms."""
    cases = list_cases()
    assert len(set(cases)) == len(cases) == 15 * 2 + 9 * 2
    assert {name for name, place in cases if place == "128x128"} == set(list_real_models())
