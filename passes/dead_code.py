"""Removes what no output of the model needs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from onnx_ir.passes.common import RemoveUnusedFunctionsPass, RemoveUnusedNodesPass

from wsec.compiler.walks import all_nodes
from wsec.passes.base import Pass, PassResult

if TYPE_CHECKING:
    import onnx_ir as ir


@dataclass(frozen=True)
class EliminateDeadCode(Pass):
    """Removes nodes, optional outputs, initializers and functions that no output of the model needs."""

    name: ClassVar[str] = "eliminate-dead-code"

    def run(self, model: ir.Model) -> PassResult:
        """Walk each graph once, from its end. Inputs of the model stay, also unused ones."""
        outputs = _output_count(model)
        modified = RemoveUnusedNodesPass()(model).modified
        modified |= RemoveUnusedFunctionsPass()(model).modified  # type: ignore[no-untyped-call] # its __init__ lacks types
        return PassResult(modified=modified or _output_count(model) != outputs)


def _output_count(model: ir.Model) -> int:
    return sum(1 for node in all_nodes(model.graph) for value in node.outputs if value.name)
