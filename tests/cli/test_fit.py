"""`wsec fit`: the ledger in a terminal and as JSON, and its exit status."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from wsec.compiler.errors import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Wsec


def test_a_model_that_fits(wsec: Wsec, small_model: Path) -> None:
    """The inequality and the number of wafers are in the text, in any width."""
    result = wsec("fit", small_model, "--target", "wse3", columns=120)
    assert result.exit_code == 0
    assert "fits" in result.stdout
    assert "fewest wafers 1 by the ledger" in " ".join(result.stdout.split())
    assert "no plan was made" in result.stdout
    assert wsec("fit", small_model, "--target", "wse3", columns=40).exit_code == 0


def test_a_model_that_does_not_fit_ends_with_status_5(wsec: Wsec, small_model: Path) -> None:
    """The ledger is printed all the same, then what is unmet."""
    arguments = ("fit", small_model, "--target", "mesh16", "--region", "1x1")
    result = wsec(*arguments)
    found = json.loads(wsec(*arguments, "--json").stdout)
    if found["required_bytes"] <= found["available_bytes"]:
        pytest.fail("the region is large enough for this model: the test needs a larger one")
    assert result.exit_code == ExitStatus.DOES_NOT_FIT
    assert "does not fit" in result.stdout
    assert "error[WSEC37" in result.stderr


def test_json_has_both_sides(wsec: Wsec, small_model: Path) -> None:
    """One object, whose weights sum up."""
    result = wsec("fit", small_model, "--target", "wse3", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert found["fits"] is True
    assert found["unmet"] is None
    assert sum(each["bytes"] for each in found["weights"]) == found["weight_bytes"] == found["required_bytes"]
    assert found["cache"] is None


def test_options_that_make_no_sense_are_usage_errors(wsec: Wsec, small_model: Path) -> None:
    """A context of a model without a cache, and no wafers."""
    assert wsec("fit", small_model, "--context", 5).exit_code == ExitStatus.USAGE
    assert wsec("fit", small_model, "--wafers", 0).exit_code == ExitStatus.USAGE
