"""Windows: pads that ONNX leaves to `auto_pad` or `output_shape` are the ones onnxruntime uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from small_models import ModelMaker

import wsec

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("operator", ["Conv", "ConvTranspose", "MaxPool", "AveragePool"])
def test_auto_pad_is_resolved_as_onnxruntime_does(operator: str, auto_pad: str, tmp_path: Path) -> None:
    """Even windows and odd extents make the two SAME modes differ by one element."""
    maker = ModelMaker()
    shared = {"auto_pad": auto_pad, "strides": [2, 3]}
    if operator in {"Conv", "ConvTranspose"}:
        result = maker.apply(operator, "x", maker.weight(2, 2, 4, 4), **shared)
    else:
        result = maker.apply(operator, "x", kernel_shape=[4, 4], **shared)
    plan = wsec.compile(
        maker.save(tmp_path / "m.onnx", {"x": [1, 2, 9, 8]}, [result]), target="mesh16", effort=0
    )
    assert plan.verify().passed


@pytest.mark.parametrize("auto_pad", ["NOTSET", "SAME_UPPER", "SAME_LOWER"])
def test_output_shape_of_a_transposed_convolution_decides_its_pads(auto_pad: str, tmp_path: Path) -> None:
    """The total to be cut is odd, so that its halves differ."""
    maker = ModelMaker()
    result = maker.apply(
        "ConvTranspose",
        "x",
        maker.weight(2, 3, 4, 3),
        strides=[3, 2],
        output_shape=[14, 10],
        auto_pad=auto_pad,
    )
    plan = wsec.compile(
        maker.save(tmp_path / "m.onnx", {"x": [1, 2, 5, 5]}, [result]), target="mesh16", effort=0
    )
    assert plan.verify().passed
