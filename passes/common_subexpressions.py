"""Computes once what a model computes several times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir
from onnx_ir.passes.common import CommonSubexpressionEliminationPass

from wsec.compiler.absent_weights import is_absent
from wsec.compiler.operators import NON_DETERMINISTIC
from wsec.compiler.walks import all_nodes
from wsec.passes.base import Pass, PassResult
from wsec.passes.rewriting import constant_of


@dataclass(frozen=True)
class EliminateCommonSubexpressions(Pass):
    """Merges nodes with the same operator, attributes and inputs, and small constants with the same value.

    Attributes:
        constant_bytes: Constants up to this size are compared by value; larger ones are not read.
    """

    name: ClassVar[str] = "eliminate-common-subexpressions"
    constant_bytes: int = 256

    def run(self, model: ir.Model) -> PassResult:
        """Merge constants first, so that nodes which read equal ones look equal."""
        modified = _merge_constants(model, self.constant_bytes)
        if any(node.op_type in NON_DETERMINISTIC for node in all_nodes(model.graph)):
            return PassResult(modified=modified)
        merged = CommonSubexpressionEliminationPass()(model).modified
        return PassResult(modified=modified or merged)


def _merge_constants(model: ir.Model, limit: int) -> bool:
    first: dict[tuple[object, ...], ir.Value] = {}
    modified = False
    for name, value in list(model.graph.initializers.items()):
        tensor = constant_of(value)
        if tensor is None or is_absent(tensor) or tensor.dtype == ir.DataType.STRING:
            continue
        if tensor.nbytes > limit or value.is_graph_output():
            continue
        key = (tensor.dtype, tuple(tensor.shape), tensor.tobytes())
        same = first.setdefault(key, value)
        if same is not value:
            value.replace_all_uses_with(same)
            del model.graph.initializers[name]
            modified = True
    return modified
