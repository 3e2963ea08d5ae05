"""Replaces If by its branches: the one that is taken, or both, whose results are then selected.

A wafer cannot load another program for each sample, so that both branches get cores; the condition selects the
results. `branch_safety` says which branches may run in vain. What is not replaced keeps the reason as its metadata
`wsec.unsplit`, which the notes of a plan show.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import UNSPLIT_KEY
from wsec.compiler.walks import all_graphs, all_nodes
from wsec.passes.base import Pass, PassResult
from wsec.passes.bodies import BodyInliner, bodies_of, int64
from wsec.passes.branch_safety import guarded_input, why_it_may_fail
from wsec.passes.rewriting import constant_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIDES = ("then", "else")

_CARRIERS: dict[ir.DataType, ir.DataType] = {
    ir.DataType.BFLOAT16: ir.DataType.FLOAT,
    ir.DataType.BOOL: ir.DataType.UINT8,
    ir.DataType.INT16: ir.DataType.INT32,
    ir.DataType.UINT16: ir.DataType.INT32,
    ir.DataType.UINT64: ir.DataType.INT64,
}
"""Types that onnxruntime's Where lacks, and one that holds all their values."""


@dataclass(frozen=True)
class InlineConditionals(Pass):
    """Replaces If by the branch that is taken, or by both branches and a selection of their results.

    Both branches have to give tensors of the same static shapes, and must not fail where they are not taken. Weights in
    bodies that stay become weights of the graph.
    """

    name: ClassVar[str] = "inline-conditionals"
    rewrites: ClassVar[tuple[str, ...]] = ("If",)

    def run(self, model: ir.Model) -> PassResult:
        """Replace conditionals of the main graph, from the outside in; constant conditions in bodies too."""
        modified = inline_taken_branches(model)
        inliner = BodyInliner(model)
        while _replace_all(inliner, model):
            pass
        for node in model.graph:
            inliner.lift_weights(node)
        return PassResult(modified=_write_reasons(model) or modified or inliner.modified)


def _replace_all(inliner: BodyInliner, model: ir.Model) -> bool:
    """Replace what can be replaced now; says whether anything was, since branches may hold conditionals."""
    return sum(_replace(inliner, node) for node in _conditionals(model.graph)) > 0


def inline_taken_branches(model: ir.Model) -> bool:
    """Replace every If of a constant condition, in all graphs, by the branch that it takes; says whether there was one."""
    inliner: BodyInliner | None = None
    for graph in list(all_graphs(model)):
        waiting = list(graph)[::-1]
        while waiting:
            node = waiting.pop()
            side = _taken_side(node)
            if side is None or node.graph is None:
                continue
            inliner = inliner or BodyInliner(model)
            values, copies = _copy(inliner, node, side)
            inliner.replace(node, values)
            waiting += copies[::-1]
    return inliner is not None


def _conditionals(graph: ir.Graph) -> list[ir.Node]:
    return [node for node in graph if node.op_type == "If" and node.domain == ""]


def _taken_side(node: ir.Node) -> str | None:
    """`then` or `else`, where the condition of an If is constant."""
    if node.op_type != "If" or node.domain != "":
        return None
    condition = constant_of(node.inputs[0])
    if condition is None or condition.size != 1:
        return None
    return "then" if condition.numpy().reshape(()) else "else"


def _branch(node: ir.Node, side: str) -> ir.Graph:
    return node.attributes[f"{side}_branch"].as_graph()


def _copy(inliner: BodyInliner, node: ir.Node, side: str) -> tuple[list[ir.Value], list[ir.Node]]:
    return inliner.copy(node, _branch(node, side), (), f"{node.name}/{side}", shapes=True)


def _replace(inliner: BodyInliner, node: ir.Node) -> bool:
    """Place both branches and select, where that is possible; says whether it was."""
    condition = node.inputs[0]
    if condition is None or _why_whole(node):
        return False
    scalar = condition
    if static_shape(condition) != ():
        shape = inliner.constant(node, f"{node.name}/scalar", int64())
        scalar = inliner.insert(
            node, "Reshape", [condition, shape], f"{node.name}/condition", dtype=ir.DataType.BOOL
        )
        scalar.shape = ir.Shape(())
    results: list[list[ir.Value]] = []
    for side in _SIDES:
        values, copies = _copy(inliner, node, side)
        for copy in _with_nested(copies):
            _guard(inliner, copy, scalar, side)
        results.append(values)
    selected = [
        _select(inliner, node, (scalar, then, other), f"{node.name}/select") if _is_used(output) else then
        for output, then, other in zip(node.outputs, *results, strict=True)
    ]
    inliner.replace(node, selected)
    return True


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()


def _with_nested(nodes: list[ir.Node]) -> Iterator[ir.Node]:
    for node in nodes:
        yield node
        for body in bodies_of(node):
            yield from list(all_nodes(body))


def _guard(inliner: BodyInliner, node: ir.Node, condition: ir.Value, side: str) -> None:
    """Give a node whose branch is not taken a value for which it cannot fail."""
    guarded = guarded_input(node)
    if guarded is None:
        return
    slot, safe_value = guarded
    value = node.inputs[slot]
    if value is None or value.dtype is None:
        return
    safe = inliner.constant(node, f"{node.name}/safe", np.asarray(safe_value, dtype=value.dtype.numpy()))
    ways = (value, safe) if side == "then" else (safe, value)
    guard = _select(inliner, node, (condition, *ways), f"{node.name}/guard", like=value)
    node.replace_input_with(slot, guard)


def _select(
    inliner: BodyInliner,
    node: ir.Node,
    operands: tuple[ir.Value, ir.Value, ir.Value],
    name: str,
    like: ir.Value | None = None,
) -> ir.Value:
    """Where, by way of another type where onnxruntime has none for this one."""
    condition, then, other = operands
    like = like or then
    carrier = None if like.dtype is None else _CARRIERS.get(like.dtype)
    if carrier is None:
        return inliner.insert(node, "Where", operands, name, like=like)

    def cast(value: ir.Value, source: ir.Value, dtype: ir.DataType) -> ir.Value:
        return inliner.insert(
            node, "Cast", [value], f"{name}/cast", {"to": int(dtype)}, like=source, dtype=dtype
        )

    ways = [cast(then, then, carrier), cast(other, other, carrier)]
    chosen = inliner.insert(node, "Where", [condition, *ways], name, like=like, dtype=carrier)
    assert like.dtype is not None  # noqa: S101 - it has a carrier
    return cast(chosen, like, like.dtype)


def _why_whole(node: ir.Node) -> str:
    """Why both branches cannot be placed; empty where they can."""
    then, other = (_branch(node, side) for side in _SIDES)
    for output, one, two in zip(node.outputs, then.outputs, other.outputs, strict=True):
        if _is_used(output) and (_described(one) != _described(two) or static_shape(one) is None):
            return f"its branches give {output.name} as {_described(one)} and as {_described(two)}"
    return why_it_may_fail(then) or why_it_may_fail(other)


def _described(value: ir.Value) -> str:
    if value.type is not None and not isinstance(value.type, ir.TensorType):
        return str(value.type)
    dtype = "a tensor of unknown type" if value.dtype is None else value.dtype.name.lower()
    return f"{dtype}[{'?' if value.shape is None else ', '.join(str(d) for d in value.shape)}]"


def _write_reasons(model: ir.Model) -> bool:
    modified = False
    for node in _conditionals(model.graph):
        reason = _why_whole(node)
        modified |= node.metadata_props.get(UNSPLIT_KEY) != reason
        node.metadata_props[UNSPLIT_KEY] = reason
    return modified
