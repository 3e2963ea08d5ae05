"""Half precision: products whose chain casts the result are counted, checked and computed in the type of the operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import TensorProto
from small_models import ModelMaker

import wsec

if TYPE_CHECKING:
    from pathlib import Path


def test_a_half_product_cast_to_single_compiles_and_verifies(tmp_path: Path) -> None:
    """Four lanes for the product, one for what follows: compiler and checker agree on which counts."""
    maker = ModelMaker()
    weights = maker.constant(np.random.default_rng(0).standard_normal((48, 40)).astype(np.float16))
    result = maker.apply("Cast", maker.apply("MatMul", "x", weights), to=TensorProto.FLOAT)
    path = maker.save(tmp_path / "half.onnx", {"x": [24, 48]}, [result], TensorProto.FLOAT16)
    plan = wsec.compile(path, target="mesh16", region=(3, 2), effort=0)
    assert plan.check() == ()
    assert plan.verify().passed
