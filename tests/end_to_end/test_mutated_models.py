"""Damaged models: each is refused with an error that says why, or compiles to a plan that onnxruntime confirms."""

from __future__ import annotations

import tempfile
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mutated_models import mutate, seed_models
from mutations import GOOD, judged, outcome

SEEDS = seed_models()


@pytest.mark.parametrize("name", SEEDS)
def test_the_models_are_right_before_they_are_damaged(name: str, tmp_path: Path) -> None:
    """Without this, refusing everything would pass."""
    path = tmp_path / "model.onnx"
    path.write_bytes(SEEDS[name])
    assert outcome(path) == ("verified", "")


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=20, suppress_health_check=list(HealthCheck), print_blob=True)
@given(seed=st.integers(0, (1 << 32) - 1))
def test_a_damaged_model_is_refused_or_computed_rightly(name: str, seed: int) -> None:
    """Never a traceback, an internal error, an illegal plan or a wrong answer; benchmarks/mutations.py runs thousands."""
    with tempfile.TemporaryDirectory() as folder:
        source = Random(seed)  # noqa: S311 - repeatable, not secret; a list to choose from may turn out to be empty
        kind, text = judged(mutate(SEEDS[name], source), Path(folder))
    assert kind in GOOD, f"seed {seed}: {text}"
