"""Damaged models: each is refused with an error that says why, or compiles to a plan that onnxruntime confirms."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mutated_models import mutate, seed_models
from mutations import GOOD, judged, outcome

if TYPE_CHECKING:
    from random import Random

SEEDS = seed_models()


@pytest.mark.parametrize("name", SEEDS)
def test_the_models_are_right_before_they_are_damaged(name: str, tmp_path: Path) -> None:
    """Without this, refusing everything would pass."""
    path = tmp_path / "model.onnx"
    path.write_bytes(SEEDS[name])
    assert outcome(path) == ("verified", "")


@pytest.mark.parametrize("name", SEEDS)
@settings(max_examples=20, suppress_health_check=list(HealthCheck), print_blob=True)
@given(random=st.randoms(use_true_random=False))
def test_a_damaged_model_is_refused_or_computed_rightly(name: str, random: Random) -> None:
    """Never a traceback, an internal error, an illegal plan or a wrong answer; benchmarks/mutations.py runs thousands."""
    with tempfile.TemporaryDirectory() as folder:
        kind, text = judged(mutate(SEEDS[name], random), Path(folder))
    assert kind in GOOD, text
