"""Keeps onnxruntime alive where whole numbers are divided by -1.

The least number over -1 is larger than the greatest; the processor traps, and onnxruntime lets that end the whole process.
Modulo -1 does the same. In a copy of the model, a and b become -a and 1 where b is -1: that gives the same quotients and
remainders, and the least number itself for the one that has no room, as numpy does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from onnx import helper

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

_DIVIDES = frozenset({"Div", "Mod"})
_TRAPPING = frozenset({onnx.TensorProto.INT32, onnx.TensorProto.INT64})
_SELECTING_OPSET = 9  # the first with Where


def guard_divisions(proto: onnx.ModelProto) -> bool:
    """Guard the divisions of 32 and 64 bit whole numbers in a model and in its bodies, in place; says whether there are any.

    Those of functions are left: what types they have depends on their calls.
    """
    opset = next((entry.version for entry in proto.opset_import if entry.domain in {"", "ai.onnx"}), 0)
    if opset < _SELECTING_OPSET or not any(_is_at_risk(node) for node in _all_nodes(proto.graph.node)):
        return False
    try:
        inferred = onnx.shape_inference.infer_shapes(_skeleton(proto), data_prop=False)
    except onnx.shape_inference.InferenceError:
        return False
    return _guard(proto.graph, inferred.graph, {})


def _guard(graph: onnx.GraphProto, inferred: onnx.GraphProto, outer: Mapping[str, int]) -> bool:
    entries = (*inferred.input, *inferred.value_info, *inferred.output)
    kinds = dict(outer) | {entry.name: entry.type.tensor_type.elem_type for entry in entries}
    kinds |= {tensor.name: tensor.data_type for tensor in inferred.initializer}
    changed = False
    nodes: list[onnx.NodeProto] = []
    for node, typed in zip(graph.node, inferred.node, strict=True):
        for attribute, twin in zip(node.attribute, typed.attribute, strict=True):
            if attribute.HasField("g"):
                changed |= _guard(attribute.g, twin.g, kinds)
        kind = next((kinds[name] for name in node.input if kinds.get(name)), 0)
        if _is_at_risk(node) and kind in _TRAPPING:
            nodes += _guarded(node, kind)
            changed = True
        else:
            nodes.append(node)
    if changed:
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return changed


def _guarded(node: onnx.NodeProto, kind: int) -> list[onnx.NodeProto]:
    """The division with other operands, behind the nodes that make them; a name of the model may have their stem by chance only."""
    a, b = node.input
    stem = f"{node.output[0]} guarded"
    minus, one, where, negated, dividend, divisor = (
        f"{stem} {part}" for part in ("minus", "one", "where", "negated", "a", "b")
    )
    division = onnx.NodeProto()
    division.CopyFrom(node)
    division.input[:] = [dividend, divisor]
    return [
        helper.make_node("Constant", [], [minus], value=helper.make_tensor(minus, kind, [], [-1])),
        helper.make_node("Constant", [], [one], value=helper.make_tensor(one, kind, [], [1])),
        helper.make_node("Equal", [b, minus], [where]),
        helper.make_node("Neg", [a], [negated]),
        helper.make_node("Where", [where, negated, a], [dividend]),
        helper.make_node("Where", [where, one, b], [divisor]),
        division,
    ]


def _skeleton(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with types in place of its weights, which are not copied."""
    graph = onnx.GraphProto(
        name="skeleton", node=proto.graph.node, input=proto.graph.input, output=proto.graph.output
    )
    named = {value.name for value in graph.input}
    graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in proto.graph.initializer
        if tensor.name not in named
    )
    return onnx.ModelProto(
        ir_version=proto.ir_version,
        opset_import=proto.opset_import,
        functions=proto.functions,
        graph=graph,
    )


def _is_at_risk(node: onnx.NodeProto) -> bool:
    return node.op_type in _DIVIDES and node.domain in {"", "ai.onnx"} and len(node.input) == 2


def _all_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _all_nodes(attribute.g.node)
