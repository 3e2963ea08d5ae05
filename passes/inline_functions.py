"""Replaces calls of model-local functions by their bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from onnx_ir.passes.common import InlinePass

from wsec.compiler.importer.constants import lift_constants
from wsec.compiler.importer.naming import name_nodes
from wsec.passes.base import Pass, PassResult

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class InlineFunctions(Pass):
    """Replaces calls of model-local functions by their bodies and drops the functions."""

    name: ClassVar[str] = "inline-functions"

    def run(self, model: ir.Model) -> PassResult:
        """Inline all calls; constants of the bodies become initializers."""
        if not model.functions:
            return PassResult(modified=False)
        InlinePass()(model)
        model.functions.clear()
        lift_constants(model)
        name_nodes(model)
        return PassResult(modified=True)
