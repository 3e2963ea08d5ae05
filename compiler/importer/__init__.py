"""An ONNX file in, a checked model out: dimensions bound, opset normalised, shapes inferred, weights unread."""

from __future__ import annotations

from wsec.compiler.importer.importing import ImportedModel, import_model
from wsec.compiler.importer.operand_checks import check_operands
from wsec.compiler.importer.shape_measurement import shape_oracle
from wsec.compiler.importer.shapes import infer_shapes, inputs_deciding_shapes
from wsec.compiler.importer.support import check_supported

__all__ = [
    "ImportedModel",
    "check_operands",
    "check_supported",
    "import_model",
    "infer_shapes",
    "inputs_deciding_shapes",
    "shape_oracle",
]
