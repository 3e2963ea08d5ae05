"""CastLike as the Cast that it is: of its second operand it takes the type alone, which is known.

Done before the passes, as the constant folder's own rewriting forgets that a cast shall not saturate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.walks import all_graphs

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_casts_with_their_type(model: ir.Model) -> None:
    """Turn every CastLike whose type is known into a Cast, in place; its name and result stay."""
    for graph in all_graphs(model):
        for node in list(_casts(graph)):
            value, like = node.inputs
            if value is None or like is None or like.dtype is None:
                continue
            attributes = [ir.AttrInt64("to", int(like.dtype)), *node.attributes.values()]
            cast = ir.Node("", "Cast", [value], attributes, num_outputs=1, name=node.name)
            result, replaced = node.outputs[0], cast.outputs[0]
            replaced.type, replaced.shape = ir.TensorType(like.dtype), result.shape
            graph.insert_before(node, cast)
            name = result.name
            result.replace_all_uses_with(replaced, replace_graph_outputs=True)
            graph.remove(node, safe=True)
            replaced.name = name


def _casts(graph: ir.Graph) -> Iterator[ir.Node]:
    return (
        node for node in graph if node.op_type == "CastLike" and node.domain == "" and len(node.inputs) == 2
    )
