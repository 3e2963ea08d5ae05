"""A model of one node, cut out of a larger one: what onnxruntime says of it, it says of that node alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.absent_weights import is_absent
from wsec.compiler.importer.serialising import in_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

_SMALL_CONSTANT_BYTES = 1 << 10


def single_node_model(node: ir.Node, model: ir.Model) -> tuple[bytes, dict[str, ir.Value]]:
    """Serialise a model that holds only `node` of `model`, whose attributes are no graphs, and what it calls.

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
        constant = value.const_value
        if constant is not None and constant.nbytes <= _SMALL_CONSTANT_BYTES and not is_absent(constant):
            copies[name].const_value = in_memory(constant)
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
        opset_imports=dict(model.opset_imports),
        name="single_node",
    )
    single = ir.Model(graph, ir_version=model.ir_version, functions=tuple(_called(node, model)))
    return ir.serde.serialize_model(single).SerializeToString(), originals


def _called(node: ir.Node, model: ir.Model) -> Iterator[ir.Function]:
    """The functions of the model that a node calls, directly or through others."""
    waiting, seen = [node.op_identifier()], set()
    while waiting:
        function = model.functions.get(waiting.pop())
        if function is not None and function.identifier() not in seen:
            seen.add(function.identifier())
            waiting += [inner.op_identifier() for inner in function.all_nodes()]
            yield function
