"""What a pass of your own is made of; docs/writing-passes.md shows how."""

from __future__ import annotations

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.shapes import infer_shapes, static_shape
from wsec.passes import (
    Pass,
    PassResult,
    PipelineStep,
    PlacedPass,
    default_pipeline,
    function_pass,
    insert_passes,
    parse_pass,
    pass_names,
    run_pipeline,
)
from wsec.passes.rewriting import Rewriter, constant_of, integers_of, only_user
from wsec.passes.verifier import Finding, verify_model

__all__ = [
    "Finding",
    "Pass",
    "PassResult",
    "PipelineStep",
    "PlacedPass",
    "Rewriter",
    "WsecError",
    "constant_of",
    "default_pipeline",
    "function_pass",
    "infer_shapes",
    "insert_passes",
    "integers_of",
    "only_user",
    "parse_pass",
    "pass_names",
    "run_pipeline",
    "static_shape",
    "verify_model",
]
