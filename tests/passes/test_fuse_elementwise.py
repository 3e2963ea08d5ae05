"""Groups of one operator and the element-wise ones behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.importer import infer_shapes
from wsec.compiler.operators import KERNEL_KEY
from wsec.passes.fuse_elementwise import FuseElementwise

if TYPE_CHECKING:
    from collections.abc import Callable

    Apply = Callable[..., ir.Model]

WEIGHTS = "<float[4, 4, 1, 1] w = {1, 2, 3, 4, 5, 6, 7, 8, 9, 8, 7, 6, 5, 4, 3, 2}, float[4, 1, 1] c = {1, 2, 3, 4}, float s = {2}>"


def _groups(model: ir.Model) -> list[list[str]]:
    """The names of the nodes of each group, of those that have several."""
    groups: dict[str, list[str]] = {}
    for node in model.graph:
        if KERNEL_KEY in node.metadata_props:
            groups.setdefault(node.metadata_props[KERNEL_KEY], []).append(str(node.name))
    return list(groups.values())


@pytest.mark.parametrize(
    ("body", "groups"),
    [
        ("[a] p = Conv(x, w) [b] q = Add(p, c) [d] y = Relu(q)", [["a", "b", "d"]]),
        ("[a] p = Conv(x, w) [b] q = Sigmoid(p) [d] y = Mul(p, q)", [["a", "b", "d"]]),
        ("[a] p = Relu(x) [b] q = Mul(p, s) [d] y = Add(q, x)", [["a", "b", "d"]]),
        # x * tanh(softplus(x)) and the hard swish: branches that close again
        ("[a] p = Conv(x, w) [b] q = Softplus(p) [d] r = Tanh(q) [e] y = Mul(p, r)", [["a", "b", "d", "e"]]),
        # a value that another operator reads ends the group
        ("[a] p = Conv(x, w) [b] q = Relu(p) [d] r = Conv(q, w) [e] y = Add(r, q)", [["a", "b"], ["d", "e"]]),
        # two branches meet: the later operator takes the sum
        ("[a] p = Conv(x, w) [b] q = Conv(x, w) [d] y = Add(p, q)", [["b", "d"]]),
        # the operand from outside is computed from the group: merging would make a cycle
        ("[a] p = Conv(x, w) [b] q = Conv(p, w) [d] y = Add(p, q)", [["b", "d"]]),
        # the shape grows: the broadcast operand is no member
        ("[a] p = ReduceMean<keepdims=1>(x) [b] q = Sigmoid(p) [d] y = Mul(x, q)", [["a", "b"]]),
        # movements of data and operators without a kernel are no anchors
        ("[a] p = Transpose(x) [b] q = Relu(p) [d] y = Neg(q)", [["b", "d"]]),
        ("[a] p = LRN<size=3>(x) [b] q = Relu(p) [d] y = Neg(q)", [["b", "d"]]),
        ("[a] p = Conv(x, w) [b] q = Transpose(p) [d] y = Neg(q)", []),
        # comparisons change the type and not the shape
        ("[a] p = Conv(x, w) [b] q = Greater(p, x) [d] y = Where(q, p, x)", [["a", "b", "d"]]),
    ],
)
def test_what_is_grouped(apply: Apply, body: str, groups: list[list[str]]) -> None:
    """The conditions of a group, one by one."""
    model = apply(FuseElementwise(), f"g (float[1, 4, 4, 4] x) => (float[] y) {WEIGHTS} {{ {body} }}")
    assert _groups(model) == groups


def test_a_group_is_called_after_its_first_node(apply: Apply) -> None:
    """The name is unique because node names are."""
    model = apply(
        FuseElementwise(),
        f"g (float[1, 4, 4, 4] x) => (float[] y) {WEIGHTS} {{ [first] p = Conv(x, w) [second] y = Relu(p) }}",
    )
    assert [node.metadata_props[KERNEL_KEY] for node in model.graph] == ["first", "first"]


def test_an_output_of_the_model_ends_its_group(apply: Apply) -> None:
    """Only the last value may leave."""
    model = apply(
        FuseElementwise(),
        "g (float[2] x) => (float[] y, float[] z) { [a] y = Neg(x) [b] p = Relu(y) [d] z = Abs(p) }",
    )
    assert _groups(model) == [["b", "d"]]


def test_a_value_read_inside_a_body_ends_its_group(apply: Apply) -> None:
    """The body of an If is another kernel."""
    model = apply(
        FuseElementwise(),
        """g (float[2] x, bool k) => (float[] y, float[] z) { [a] p = Neg(x) [b] q = Relu(p) [d] z = Abs(q)
        y = If (k) <then_branch = t () => (float[2] r) { r = Relu(q) }, else_branch = e () => (float[2] r2) { r2 = Abs(q) }> }""",
    )
    assert _groups(model) == [["a", "b"]]


def test_an_operator_with_two_used_outputs_is_no_anchor(apply: Apply) -> None:
    """A group has one value that leaves."""
    model = apply(
        FuseElementwise(),
        "g (float[1, 1, 4] x) => (float[] y, int64[] i) { p, i = MaxPool<kernel_shape=[2]>(x) [b] q = Relu(p) [d] y = Neg(q) }",
    )
    assert _groups(model) == [["b", "d"]]


def test_a_group_reads_no_more_than_its_core_has_queues_for(apply: Apply) -> None:
    """The seventh activation begins another kernel."""
    inputs = ", ".join(f"float[2] x{index}" for index in range(9))
    sums = " ".join(f"[a{index}] s{index + 1} = Add(s{index}, x{index + 1})" for index in range(7))
    model = apply(
        FuseElementwise(), f"g ({inputs}) => (float[] y) {{ [a] s0 = Neg(x0) {sums} [z] y = Add(s7, x8) }}"
    )
    assert [len(group) for group in _groups(model)] == [6, 3]


def test_stale_annotations_are_replaced(build: Callable[[str], ir.Model]) -> None:
    """A model that was compiled before may be compiled again."""
    model = build("g (float[2] x) => (float[] y) { [a] p = Neg(x) [b] q = Transpose(p) [d] y = Neg(q) }")
    model.graph[0].metadata_props[KERNEL_KEY] = "old"
    assert FuseElementwise().run(model).modified
    assert _groups(model) == []


def test_the_limit_of_a_group_is_an_option(apply: Apply) -> None:
    """A kernel that is too long does not fit into a core."""
    body = " ".join(f"[n{index}] v{index} = Neg({f'v{index - 1}' if index else 'x'})" for index in range(7))
    model = apply(
        FuseElementwise(group_limit=3), f"g (float[2] x) => (float[] y) {{ {body} y = Identity(v6) }}"
    )
    assert _groups(model) == [["n0", "n1", "n2"], ["n3", "n4", "n5"]]


@st.composite
def _graphs(draw: st.DrawFn) -> ir.Model:
    """Random graphs of element-wise operators, products and reductions over values of one or two shapes."""
    inputs = [ir.Value(name="x", shape=ir.Shape([4, 4]), type=ir.TensorType(ir.DataType.FLOAT))]
    values = list(inputs)
    nodes = []
    for index in range(draw(st.integers(1, 14))):
        operator = draw(st.sampled_from(["Relu", "Neg", "Add", "Mul", "MatMul", "Transpose", "Softmax"]))
        arity = 2 if operator in {"Add", "Mul", "MatMul"} else 1
        operands = [values[draw(st.integers(max(0, len(values) - 4), len(values) - 1))] for _ in range(arity)]
        node = ir.node(operator, operands, name=f"n{index}")
        node.outputs[0].name = f"v{index}"
        nodes.append(node)
        values.append(node.outputs[0])
    used = {id(operand) for node in nodes for operand in node.inputs}
    outputs = [value for value in values[1:] if id(value) not in used]
    graph = ir.Graph(inputs, outputs, nodes=nodes, opset_imports={"": 21}, name="g")
    model = ir.Model(graph, ir_version=10)
    infer_shapes(model)
    return model


def _reachable(start: set[str], successors: dict[str, set[str]]) -> set[str]:
    seen: set[str] = set()
    stack = sorted(start)
    while stack:
        name = stack.pop()
        for following in sorted(successors[name] - seen):
            seen.add(following)
            stack.append(following)
    return seen


@given(model=_graphs())
def test_no_grouping_breaks_the_rules(model: ir.Model) -> None:
    """In any graph: one value leaves, at most one anchor and that first, one shape, and no cycle between kernels."""
    FuseElementwise().run(model)
    kernel: dict[Any, str] = {
        node: node.metadata_props.get(KERNEL_KEY, str(node.name)) for node in model.graph
    }
    members: dict[str, list[ir.Node]] = {}
    for node in model.graph:
        members.setdefault(kernel[node], []).append(node)
    successors: dict[str, set[str]] = {name: set() for name in members}
    for name, nodes in members.items():
        leaving = [
            node
            for node in nodes
            if node.outputs[0].is_graph_output()
            or any(kernel[use.node] != name for use in node.outputs[0].uses())
        ]
        assert leaving == [nodes[-1]]
        assert all(node.op_type in {"Relu", "Neg", "Add", "Mul"} for node in nodes[1:])
        assert len({str(node.outputs[0].shape) for node in nodes}) == 1
        assert name == nodes[0].name
        for node in nodes:
            successors[name] |= {kernel[use.node] for use in node.outputs[0].uses()} - {name}
    for name in members:
        assert name not in _reachable({name}, successors)
