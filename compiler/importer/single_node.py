"""A model of one node, cut out of a larger one: what onnxruntime says of it, it says of that node alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

if TYPE_CHECKING:
    from collections.abc import Mapping

_SMALL_CONSTANT_BYTES = 1 << 10


def single_node_model(
    node: ir.Node, opset_imports: Mapping[str, int], ir_version: int
) -> tuple[bytes, dict[str, ir.Value]]:
    """Serialise a model that holds only `node`, whose attributes are no graphs.

    Small constant inputs become its initializers; all other inputs become its inputs.

    Returns:
        The serialised ModelProto, and its inputs by name as values of the original model.
    """
    originals: dict[str, ir.Value] = {}
    copies: dict[str, ir.Value] = {}
    for value in node.inputs:
        if value is None or str(value.name) in copies:
            continue
        name = str(value.name)
        copies[name] = ir.Value(name=name, type=value.type, shape=value.shape)
        if value.const_value is not None and value.const_value.nbytes <= _SMALL_CONSTANT_BYTES:
            copies[name].const_value = value.const_value
        else:
            originals[name] = value
    alone = ir.Node(
        node.domain,
        node.op_type,
        [None if value is None else copies[str(value.name)] for value in node.inputs],
        node.attributes.values(),
        num_outputs=len(node.outputs),
        name=node.name,
    )
    for old, new in zip(node.outputs, alone.outputs, strict=True):
        new.name, new.type = old.name, old.type
    graph = ir.Graph(
        [copies[name] for name in originals],
        [value for value in alone.outputs if value.name],
        nodes=[alone],
        initializers=[copy for name, copy in copies.items() if name not in originals],
        opset_imports=dict(opset_imports),
        name="single_node",
    )
    return ir.serde.serialize_model(ir.Model(graph, ir_version=ir_version)).SerializeToString(), originals
