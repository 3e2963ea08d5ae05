"""The lowering passes, the contract a pass fulfils, and the manager that runs a pipeline of them."""

from __future__ import annotations

from wsec.passes.base import Pass, PassResult
from wsec.passes.function_pass import function_pass
from wsec.passes.insertion import PlacedPass, insert_passes
from wsec.passes.manager import PipelineStep, run_pipeline
from wsec.passes.pipeline import default_pipeline
from wsec.passes.registry import parse_pass, pass_names

__all__ = [
    "Pass",
    "PassResult",
    "PipelineStep",
    "PlacedPass",
    "default_pipeline",
    "function_pass",
    "insert_passes",
    "parse_pass",
    "pass_names",
    "run_pipeline",
]
