"""Blocks of weights: near what they stand for, and stored as ONNX reads them."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.reference
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto

from block_quantization import BLOCK, E2M1, MXFP4, quantize
from decoder_parts import DecoderConfig, Drawing, Export, blocks_of, dequantized
from model_writer import GraphMaker, finish_model

_SIZES = DecoderConfig(layers=1, hidden=64, heads=1, kv_heads=1, head_size=64, vocabulary=8)


@given(st.integers(0, 1000), st.sampled_from(["int4", "int8"]))
def test_integers_are_off_by_half_a_step_at_most(seed: int, precision: str) -> None:
    """A symmetric code is the nearest multiple of its scale, for weights of any size."""
    weight = np.random.default_rng(seed).standard_normal((3, 2 * BLOCK), dtype=np.float32) * 10.0 ** (
        seed % 9 - 4
    )
    blocks = quantize(weight.astype(np.float32), precision, np.dtype(np.float32))
    assert (np.abs(blocks.values - weight) <= 0.5001 * np.repeat(blocks.scales, BLOCK, axis=-1)).all()


@given(st.integers(0, 1000))
def test_mxfp4_takes_the_nearest_number_it_has(seed: int) -> None:
    """Within the reach of e2m1 no other code is nearer; the scale is the power of two of the specification."""
    weight = np.random.default_rng(seed).standard_normal((2, 2 * BLOCK), dtype=np.float32) * 2.0 ** (
        seed % 60 - 30
    )
    weight = weight.astype(np.float32)
    blocks = quantize(weight, MXFP4, np.dtype(np.float32))
    scales = np.exp2(blocks.scales.astype(np.float32) - 127)
    largest = np.abs(weight).reshape(2, 2, BLOCK).max(axis=-1)
    assert ((largest / scales >= 4) & (largest / scales < 8)).all()
    numbers = np.concatenate([E2M1, -E2M1]) * np.repeat(scales, BLOCK, axis=-1)[..., None]
    nearest = np.abs(numbers - weight[..., None]).min(axis=-1)
    np.testing.assert_array_equal(np.abs(blocks.values - weight), nearest)


@pytest.mark.parametrize("precision", ["int4", "int8", MXFP4])
def test_onnx_reads_the_blocks_back(precision: str) -> None:
    """The reference of ONNX gives the same weight, turned over, for the stored codes and scales."""
    export = Export(precision=precision)
    drawing = Drawing(GraphMaker(), _SIZES, export)
    result = dequantized(drawing, "weight", 6, 2 * BLOCK)
    drawing.maker.output(result, TensorProto.FLOAT, 2 * BLOCK, 6)
    model = finish_model(drawing.maker, "blocks", opset=export.opset)
    onnx.checker.check_model(model)
    (found,) = onnx.reference.ReferenceEvaluator(model).run(None, {})
    np.testing.assert_array_equal(found, blocks_of(drawing, "weight", 6, 2 * BLOCK, precision).values.T)


def test_a_block_of_zeros() -> None:
    """Nothing is divided by the largest element of a block that has none."""
    for precision in ("int4", "int8", MXFP4):
        assert not quantize(
            np.zeros((2, BLOCK), dtype=np.float32), precision, np.dtype(np.float16)
        ).values.any()
