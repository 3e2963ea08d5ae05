"""Half precision: products whose chain casts the result are counted, checked and computed in the type of the operands."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import TensorProto, helper
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


@pytest.mark.parametrize("kind", ["BFLOAT16", "FLOAT16", "DOUBLE"])
def test_a_transformer_block_of_one_type(kind: str, tmp_path: Path) -> None:
    """What onnxruntime has not in this type runs through the reference of ONNX; all of it is cut."""
    maker = ModelMaker()
    dtype = getattr(TensorProto, kind)
    rng = np.random.default_rng(1)

    def weights(*shape: int) -> str:
        values = np.asarray(rng.standard_normal(shape) * 0.2)
        return maker.constant(values.astype(helper.tensor_dtype_to_np_dtype(dtype)))

    def heads(value: str, perm: list[int]) -> str:
        split = maker.apply("Reshape", value, maker.constant(np.array([1, 6, 4, 4], np.int64)))
        return maker.apply("Transpose", split, perm=perm)

    normal = maker.apply("LayerNormalization", "x", weights(16), axis=-1)
    query, key, value = (maker.apply("MatMul", normal, weights(16, 16)) for _ in range(3))
    scores = maker.apply("MatMul", heads(query, [0, 2, 1, 3]), heads(key, [0, 2, 3, 1]))
    mixed = maker.apply("MatMul", maker.apply("Softmax", scores, axis=-1), heads(value, [0, 2, 1, 3]))
    joined = maker.apply("Transpose", mixed, perm=[0, 2, 1, 3])
    flat = maker.apply("Reshape", joined, maker.constant(np.array([1, 6, 16], np.int64)))
    hidden = maker.apply("Relu", maker.apply("MatMul", maker.apply("Add", flat, "x"), weights(16, 32)))
    path = maker.save(tmp_path / "block.onnx", {"x": [1, 6, 16]}, [hidden], dtype)
    plan = wsec.compile(path, target="mesh16", region=(7, 5), effort=0)
    assert not {kernel.kind for kernel in plan.record.kernels()} & {"unsplit"}
    assert plan.check() == ()
    assert plan.verify().passed


def test_an_output_of_bfloat16_that_onnxruntime_computes_is_read(tmp_path: Path) -> None:
    """Onnxruntime has the Cast, and loads the model; only numpy cannot take the result from it."""
    maker = ModelMaker()
    result = maker.apply("Cast", maker.apply("Relu", "x"), to=TensorProto.BFLOAT16)
    plan = wsec.compile(maker.save(tmp_path / "m.onnx", {"x": [4, 6]}, [result]), target="mesh16", effort=0)
    assert plan.verify().passed
