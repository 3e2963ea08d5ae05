"""Walks over a model find what onnx_ir's own walks find, in the same order."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from wsec.compiler.walks import all_graphs, all_nodes, inner_graphs

_NESTED = """
<ir_version: 10, opset_import: ["" : 21]>
g (bool c, bool d, float[2] x) => (float[2] y, float[2] z)
{
    [before] a = Abs(x)
    [outer] y = If(c) <
        then_branch = t () => (float[2] u) { [in_then] u = Neg(a) },
        else_branch = e () => (float[2] v) {
            [inner] v = If(d) <
                then_branch = tt () => (float[2] w) { [deep] w = Exp(a) },
                else_branch = ee () => (float[2] s) { [deeper] s = Relu(a) }
            >
        }
    >
    [behind] z = Softplus(y)
}
"""


def test_nodes_and_graphs_are_those_of_onnx_ir() -> None:
    """Each node in front of those of its bodies, every body once."""
    model = ir.from_proto(onnx.parser.parse_model(_NESTED))
    names = [node.name for node in all_nodes(model.graph)]
    assert names == ["before", "outer", "in_then", "inner", "deep", "deeper", "behind"]
    assert names == [node.name for node in model.graph.all_nodes()]
    assert [graph.name for graph in all_graphs(model)] == [graph.name for graph in model.graphs()]
    assert list(inner_graphs(model.graph)) == list(model.graph.subgraphs())


def test_references_to_attributes_have_no_body() -> None:
    """In a function an attribute may stand for a body that the caller gives."""
    node = ir.node("If", [ir.val("c")], attributes={}, num_outputs=1)
    node.attributes.add(ir.RefAttr("then_branch", "branch", ir.AttributeType.GRAPH))
    graph = ir.Graph([], [], nodes=[node])
    assert list(all_nodes(graph)) == [node]
    assert list(inner_graphs(graph)) == []
