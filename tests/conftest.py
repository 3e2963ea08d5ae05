"""What tests of several folders share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import settings

from real_models import RealModel, list_real_models

if TYPE_CHECKING:
    from collections.abc import Callable

MODELS = Path(__file__).parents[1] / "build" / "models"

# Deadlines measure the machine, and random seeds make a failure come and go.
settings.register_profile("wsec", deadline=None, derandomize=True)
settings.load_profile("wsec")


class FetchedModel(NamedTuple):
    """A real model on disk, with its entry of the manifest."""

    path: Path
    entry: RealModel


@pytest.fixture(scope="session")
def real_model() -> Callable[[str], FetchedModel]:
    """Finds a real model by name; without it the test is skipped, and in CI it fails."""

    def find(name: str) -> FetchedModel:
        path = MODELS / f"{name}.onnx"
        if path.is_file():
            return FetchedModel(path, list_real_models()[name])
        if os.environ.get("CI") == "true":
            pytest.fail(f"{name} is not fetched: run make models")
        pytest.skip(f"{name} is not fetched: run make models")

    return find
