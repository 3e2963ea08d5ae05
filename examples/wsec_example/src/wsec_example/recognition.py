"""Finds the distances that exporters wrote in standard operators, and calls SquaredDistance for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import onnx_ir as ir

from wsec.api.passes import Pass, PassResult, Rewriter, integers_of, static_shape
from wsec_example.squared_distance import DOMAIN, OPERATOR, squared_distance_function


@dataclass(frozen=True)
class RecognizeSquaredDistance(Pass):
    """Replaces Unsqueeze, Sub, Mul and ReduceSum that compute distances by SquaredDistance.

    Attributes:
        least: Differences of fewer elements than this stay as they are.
    """

    name: ClassVar[str] = "recognize-squared-distance"
    least: int = 64

    def run(self, model: ir.Model) -> PassResult:
        """Match backwards from every ReduceSum; what is left over is dead code."""
        rewriter = Rewriter(model)
        for node in rewriter.nodes("ReduceSum"):
            operands = self._operands(node)
            if operands is not None:
                rewriter.become(node, OPERATOR, operands)
                node.domain = DOMAIN
        if rewriter.modified:
            function = ir.serde.deserialize_function(squared_distance_function())
            model.functions[function.identifier()] = function
            model.opset_imports[DOMAIN] = 1
        return PassResult(modified=rewriter.modified)

    def _operands(self, node: ir.Node) -> tuple[ir.Value, ir.Value] | None:
        """X and y where the node sums (x[:, None] - y[None]) squared over the last of three axes."""
        square = _producer(node.inputs[0], "Mul")
        if square is None or square.inputs[0] is not square.inputs[1] or _keeps_axes(node):
            return None
        difference = _producer(square.inputs[0], "Sub")
        if difference is None or len(node.inputs) < 2 or integers_of(node.inputs[1]) not in {(2,), (-1,)}:
            return None
        rows, columns = (_producer(value, "Unsqueeze") for value in difference.inputs)
        shape = static_shape(difference.outputs[0])
        if rows is None or columns is None or shape is None or math.prod(shape) < self.least:
            return None
        x, y = rows.inputs[0], columns.inputs[0]
        axes = (integers_of(rows.inputs[1]), integers_of(columns.inputs[1]))
        if x is None or y is None or axes != ((1,), (0,)) or static_shape(x) != (shape[0], shape[2]):
            return None
        return x, y


def _keeps_axes(node: ir.Node) -> bool:
    attribute = node.attributes.get("keepdims")
    return attribute is None or bool(attribute.as_int())


def _producer(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node that computes the value, if it is of this operator and one node alone needs it."""
    node = None if value is None else value.producer()
    if node is None or node.domain != "" or node.op_type != op_type or node.outputs[0].is_graph_output():
        return None
    return node if len({use.node for use in node.outputs[0].uses()}) == 1 else None
