"""The reference of mixtures of experts against onnxruntime, for the forms that onnxruntime has on the CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import pytest
from mixture_models import Mixture, save_mixture
from onnx.reference import ReferenceEvaluator

from wsec.compiler.node_runner import deviations
from wsec.compiler.reference_experts import reference_operators

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"activation": "gelu", "fusion": 0, "normalized": 0},
        {"activation": "silu", "fusion": 0, "bias": False},
        {"bits": 2},
        {"bits": 4, "zero_points": True},
        {"bits": 8, "block": 0},
        {"bits": 4, "activation": "relu", "fusion": 0, "chosen": 6},
    ],
    ids=str,
)
def test_it_is_what_onnxruntime_computes(form: dict[str, Any], tmp_path: Path) -> None:
    """In single precision, for every form that both know."""
    path = save_mixture(tmp_path / "model.onnx", Mixture(**form))
    x = np.random.default_rng(5).standard_normal((3, 64)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(path).run(None, {"x": x})
    (found,) = ReferenceEvaluator(onnx.load(path), new_ops=reference_operators()).run(None, {"x": x})
    np.testing.assert_allclose(
        np.asarray(found), np.asarray(expected), rtol=1e-4, atol=1e-4 * np.abs(expected).max()
    )
    assert not deviations(onnx.load(path).graph.node)


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"fusion": 2}, "gates that are not in pairs"),
        ({"fusion": 0, "third": True}, "gates that are not in pairs"),
        ({"activation": "silu", "fusion": 0, "third": True}, "a third matrix"),
        ({"activation": "relu2", "fusion": 0}, "the activation relu2"),
        ({"bits": 4, "mxfp4": True, "inner": 64}, "weights of MXFP4"),
    ],
    ids=str,
)
def test_what_onnxruntime_lacks(form: dict[str, Any], reason: str, tmp_path: Path) -> None:
    """Each form that is listed as lacking does fail there, when it is loaded or when it runs."""
    path = save_mixture(tmp_path / "model.onnx", Mixture(**form))
    x = np.zeros((3, 64), np.float32)
    with pytest.raises(Exception, match=r"."):
        onnxruntime.InferenceSession(path).run(None, {"x": x})
    assert deviations(onnx.load(path).graph.node) == (
        f"onnxruntime has no mixture of experts with {reason} on the CPU",
    )


def test_blocks_of_eight_bits_are_rounded(tmp_path: Path) -> None:
    """Onnxruntime rounds the rows as well, which is a known deviation and larger than single precision allows."""
    path = save_mixture(tmp_path / "model.onnx", Mixture(bits=8, block=32, inner=64))
    (reason,) = deviations(onnx.load(path).graph.node)
    assert reason == "onnxruntime rounds what blocks of weights are multiplied with to 8 bits"
