"""What a kernel maker cannot be given: tensors whose shape or type the passes left open."""

from __future__ import annotations

import onnx_ir as ir
import pytest

from wsec.compiler.errors import WsecError
from wsec.compiler.kernels.operator_view import dtype_of, shape_of


def test_message_no_shape() -> None:
    """WSEC601: a model whose shapes are not all known is stopped before it is cut."""
    with pytest.raises(WsecError) as caught:
        shape_of(ir.Value(name="x", type=ir.TensorType(ir.DataType.FLOAT), shape=ir.Shape([2, "n"])))
    assert str(caught.value) == (
        "error[WSEC601]: a tensor reached the kernels without a shape\n"
        "  where:    tensor 'x'\n"
        "  expected: a known extent for each dimension\n"
        "  found:    [2,n]\n"
        "  try:      please report this with the model"
    )


def test_message_no_element_type() -> None:
    """WSEC601: likewise where the type is not known."""
    with pytest.raises(WsecError) as caught:
        dtype_of(ir.Value(name="x", shape=ir.Shape([2])))
    assert str(caught.value) == (
        "error[WSEC601]: a tensor reached the kernels without an element type\n"
        "  where:    tensor 'x'\n"
        "  try:      please report this with the model"
    )
