"""Replaces calls of model-local functions by their bodies, but for those that have a kernel of their own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from onnx_ir.passes.common import InlinePass

from wsec.compiler.importer.constants import lift_constants
from wsec.compiler.importer.naming import name_nodes
from wsec.compiler.kernels.custom import custom_kinds
from wsec.passes.base import Pass, PassResult

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class InlineFunctions(Pass):
    """Replaces calls of model-local functions by their bodies and drops the functions.

    A function for which an installed package brings a kernel stays a single operator.
    """

    name: ClassVar[str] = "inline-functions"

    def run(self, model: ir.Model) -> PassResult:
        """Inline all other calls; constants of the bodies become initializers."""
        inlined = [key for key, function in model.functions.items() if not _has_kernel(function)]
        if not inlined:
            return PassResult(modified=False)
        InlinePass(criteria=lambda function: not _has_kernel(function))(model)
        for key in inlined:
            model.functions.pop(key, None)  # those that nothing called are still there
        lift_constants(model)
        name_nodes(model)
        return PassResult(modified=True)


def _has_kernel(function: ir.Function) -> bool:
    return f"{function.domain}.{function.name}" in custom_kinds()
