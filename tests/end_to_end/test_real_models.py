"""Real models from published packages: compiled for a wafer and for a small region of it, verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import wsec
from real_models import make_feeds

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import FetchedModel

MODELS = ("ppocr2_cls", "basic_pitch", "minilm_l3", "magika", "tab_mlp", "yolox_det")


@pytest.mark.models
@pytest.mark.slow
@pytest.mark.parametrize("region", [None, (96, 96)], ids=["wafer", "96x96"])
@pytest.mark.parametrize("name", MODELS)
def test_a_real_model_compiles_and_verifies(
    name: str, region: tuple[int, int] | None, real_model: Callable[[str], FetchedModel]
) -> None:
    """Every stage takes what exporters write, and the shards give onnxruntime's numbers on the model's own inputs."""
    path, entry = real_model(name)
    dims = {key: int(size) for key, size in (item.split("=") for item in entry.dims)}
    plan = wsec.compile(path, target="wse2", region=region, dims=dims, effort=0.1)
    assert plan.check() == ()
    verification = plan.verify(make_feeds(entry))
    assert verification.passed, verification
