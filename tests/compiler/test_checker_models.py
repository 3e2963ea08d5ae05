"""The plan checker on nodes that need more of the model: subgraphs, chains of several shapes, odd values."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_ir
import pytest
from kind_examples import EXAMPLES
from legal_plans import activation, model_proto, result, single_kernel, weight
from onnx import TensorProto, helper

from wsec.compiler.plan import ChainStep, Kernel
from wsec.compiler.plan_checker.model_facts import ModelFacts, item_bytes, read_model
from wsec.compiler.plan_checker.operators import check_operators
from wsec.compiler.plan_checker.shardings import check_kernel_shardings
from wsec.compiler.sharding import DimensionSharding, Sharding, cut, whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx


def facts(nodes: Sequence[onnx.NodeProto], *arguments: Any, **options: Any) -> ModelFacts:
    """The checker's view of a model."""
    return read_model(onnx_ir.from_proto(model_proto(nodes, *arguments, **options)))


def findings(kernel: Kernel, model: ModelFacts) -> list[str]:
    """What the checker says of the kernel by itself."""
    return [str(item) for item in (*check_kernel_shardings(kernel, model), *check_operators(kernel, model))]


def spread(elements: int) -> DimensionSharding:
    """A dimension in four blocks over an unsplit kernel's rows and columns."""
    return cut(elements, 4, ("row", "column"))


UNSPLIT = {"row": 2, "column": 2}


@pytest.fixture
def conditional() -> tuple[Kernel, ModelFacts]:
    """An If whose branches read `x` and `z` of the outer graph, the second in a graph inside, and a Relu behind it."""

    def branch(name: str, nodes: list[onnx.NodeProto]) -> onnx.GraphProto:
        output = helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [8])
        return helper.make_graph(nodes, name, [], [output])

    inner = branch("inner", [helper.make_node("Neg", ["z"], ["inner_y"])])
    nested = helper.make_node(
        "If", ["flag"], ["t"], then_branch=inner, else_branch=branch_of_constant("deep")
    )
    node = helper.make_node(
        "If",
        ["flag"],
        ["y"],
        "node",
        then_branch=branch("then", [nested, helper.make_node("Add", ["t", "x"], ["then_y"])]),
        else_branch=branch_of_constant("else"),
    )
    behind = helper.make_node("Relu", ["y"], ["out"], "relu")
    inputs = {"flag": (1,), "x": (8,), "z": (8,)}
    proto = model_proto([node, behind], inputs, {}, {"out": (8,)}, values={"y": (8,)})
    proto.graph.input[0].type.tensor_type.elem_type = TensorProto.BOOL
    operands = (
        activation("in0", "flag", spread(1), dtype="bool"),
        activation("in1", "z", spread(8)),
        activation("in2", "x", spread(8)),
    )
    kernel = single_kernel(node, "unsplit", list(UNSPLIT.items()), operands, result("y", spread(8)))
    return kernel, read_model(onnx_ir.from_proto(proto))


def branch_of_constant(name: str) -> onnx.GraphProto:
    """A branch that reads nothing from outside."""
    constant = helper.make_tensor("c", TensorProto.FLOAT, [8], np.zeros(8, dtype=np.float32))
    node = helper.make_node("Constant", [], [f"{name}_y"], value=constant)
    return helper.make_graph(
        [node], name, [], [helper.make_tensor_value_info(f"{name}_y", TensorProto.FLOAT, [8])]
    )


def test_tensors_captured_by_subgraphs_are_inputs(conditional: tuple[Kernel, ModelFacts]) -> None:
    """What a branch reads from outside has to be brought as any input."""
    kernel, model = conditional
    assert findings(kernel, model) == []
    less = replace(kernel, inputs=kernel.inputs[:2])
    assert findings(less, model) == [
        "WSEC545 kernel kernel: inputs are the tensors that the nodes read; expected flag, z, x, found flag, z"
    ]


def test_outputs_of_an_unsplit_kernel_that_are_read_must_be_there(
    conditional: tuple[Kernel, ModelFacts],
) -> None:
    """An output that another node reads cannot be left out, and no other tensor can be an output."""
    kernel, model = conditional
    assert findings(replace(kernel, outputs=()), model) == [
        "WSEC545 kernel kernel: outputs are the tensors that the nodes give; expected y, found nothing"
    ]
    assert findings(replace(kernel, outputs=(*kernel.outputs, result("out", spread(8)))), model) == [
        "WSEC545 kernel kernel: outputs are the tensors that the nodes give; expected y, found y, out"
    ]


def test_an_unsplit_kernel_has_no_chain(conditional: tuple[Kernel, ModelFacts]) -> None:
    """Element-wise steps behind an unsplit operator are kernels of their own."""
    kernel, model = conditional
    chain = (ChainStep("Relu", ("result",), "out", "float32", {}),)
    assert findings(replace(kernel, chain=chain), model) == [
        "WSEC545 kernel kernel: an unsplit kernel has no chain; expected no steps, found 1 step"
    ]


@pytest.mark.parametrize(
    ("sharding", "found"),
    [
        (Sharding((whole(2), cut(4, 4, ("row", "column")))), "view [2, 4], blocks [2, 1]"),
        (Sharding((DimensionSharding(8, 3, 2, ("row", "column")),)), "view [8], blocks [3]"),
        (Sharding((DimensionSharding(8, 1, 1, ("row", "column")),)), "view [8], blocks [1]"),
        (Sharding((cut(8, 2, ("row",)),), root=("column",)), "view [8], blocks [4]"),
    ],
)
def test_data_of_an_unsplit_kernel_is_spread_whole(
    conditional: tuple[Kernel, ModelFacts], sharding: Sharding, found: str
) -> None:
    """Flat, without gap or overlap, and on every core: the one that computes has to find all of it."""
    kernel, model = conditional
    inputs = (*kernel.inputs[:2], replace(kernel.inputs[2], sharding=sharding))
    assert findings(replace(kernel, inputs=inputs), model) == [
        (
            "WSEC544 kernel kernel, tensor x: data of an unsplit kernel is spread whole over its cores; "
            f"expected one dimension in plain blocks that hold all elements, found {found}"
        )
    ]


def test_all_steps_of_a_chain_have_one_shape() -> None:
    """A step on a smaller tensor would be computed on blocks of another shape."""
    nodes = [
        helper.make_node("Relu", ["a"], ["r"], "relu"),
        helper.make_node("Add", ["r", "x"], ["y"], "add"),
    ]
    model = facts(nodes, {"a": (8,), "x": (6, 8)}, {}, {"y": (6, 8)}, values={"r": (8,)})
    halves = (cut(6, 2, ("d0",)), whole(8))
    kernel = single_kernel(
        nodes[0],
        "elementwise",
        [("d0", 2)],
        (activation("e0", "a", whole(1), whole(8)), activation("e1", "x", *halves)),
        result("y", *halves),
    )
    chain = (
        ChainStep("Relu", ("e0",), "r", "float32", {}),
        ChainStep("Add", ("r", "e1"), "y", "float32", {}),
    )
    assert findings(replace(kernel, operators=("relu", "add"), chain=chain), model) == [
        (
            "WSEC545 kernel kernel, chain step 0: a step has the shape of the kernel's output; "
            "expected [6, 8], found [8]"
        ),
        (
            "WSEC545 kernel kernel, input e0: an operand of a chain broadcasts to the output's view as its tensor to the "
            "output; expected a view of [8] over [6, 8], found [1, 8]"
        ),
    ]


def test_optional_inputs_and_attributes_of_a_step() -> None:
    """An input that is not given is wired to nothing; attributes of every plain type are compared."""
    node = helper.make_node("Clip", ["x", "", "high"], ["y"], "clip")
    model = facts([node], {"x": (8,)}, {"high": np.array(6, dtype=np.float32)}, {"y": (8,)})
    kernel = single_kernel(
        node,
        "elementwise",
        [("d0", 2)],
        (activation("e0", "x", cut(8, 2, ("d0",))), weight("e1", "high", whole(1))),
        result("y", cut(8, 2, ("d0",))),
    )
    legal = replace(kernel, chain=(ChainStep("Clip", ("e0", "", "e1"), "y", "float32", {}),))
    assert findings(legal, model) == []
    swapped = replace(kernel, chain=(ChainStep("Clip", ("e0", "e1", ""), "y", "float32", {}),))
    assert findings(swapped, model) == [
        (
            "WSEC545 kernel kernel, chain step 0: a step is wired as its node; "
            "expected an input that reads x, , an input that reads high, found e0, e1, "
        ),
        "WSEC545 kernel kernel, input e1: inputs are the tensors that the nodes read; expected nothing, found high",
    ]


def test_only_element_wise_operators_are_steps() -> None:
    """An operator that needs more than one element at a time cannot be computed block by block."""
    node = helper.make_node("Softmax", ["x"], ["y"], "soft")
    model = facts([node], {"x": (8,)}, {}, {"y": (8,)})
    half = cut(8, 2, ("d0",))
    kernel = single_kernel(
        node, "elementwise", [("d0", 2)], (activation("e0", "x", half),), result("y", half)
    )
    kernel = replace(kernel, chain=(ChainStep("Softmax", ("e0",), "y", "float32", {}),))
    assert findings(kernel, model) == [
        (
            "WSEC545 kernel kernel, chain step 0: a step is its node, which is element-wise; "
            "expected Softmax of soft, element-wise, found Softmax"
        )
    ]


def test_groups_of_channels_broadcast_as_channels() -> None:
    """A number a channel lies over groups and channels of a group; along either alone it is another tensor."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "node", group=2),
        helper.make_node("Mul", ["c", "s"], ["y"], "scale"),
    ]
    shapes = {"c": (1, 4, 5)}
    model = facts(nodes, {"x": (1, 2, 5)}, {"w": (4, 1, 1), "s": (4, 1)}, {"y": (1, 4, 5)}, values=shapes)
    kernel = single_kernel(
        nodes[0],
        "convolution",
        [("g", 2)],
        (
            activation("x", "x", whole(1), cut(2, 2, ("g",)), whole(1), whole(5)),
            weight("w", "w", cut(2, 2, ("g",)), whole(2), whole(1), whole(1)),
            weight("e0", "s", whole(1), cut(2, 2, ("g",)), whole(2), whole(1)),
        ),
        result("y", whole(1), cut(2, 2, ("g",)), whole(2), whole(5)),
        arguments={"window": (1,), "strides": (1,), "dilations": (1,), "pads": (0,)},
    )
    chain = (ChainStep("Mul", ("result", "e0"), "y", "float32", {}),)
    kernel = replace(kernel, operators=("node", "scale"), chain=chain)
    assert findings(kernel, model) == []
    flat = weight("e0", "s", whole(1), whole(1), whole(4), whole(1))
    assert findings(replace(kernel, inputs=(*kernel.inputs[:2], flat)), model) == [
        (
            "WSEC545 kernel kernel, input e0: an operand of a chain broadcasts to the output's view as its tensor to the "
            "output; expected a view of [4, 1] over [1, 2, 2, 5], found [1, 1, 4, 1]"
        )
    ]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_odd_numbers_are_equal_to_themselves(value: float) -> None:
    """Padding with infinity, or with what is no number, is an argument like any other."""
    (item,) = (item for item in EXAMPLES if item.name == "Pad")
    item.model.graph.initializers["value"].const_value = onnx_ir.tensor(np.array([value], dtype=np.float32))
    model = read_model(item.model)
    kernel = replace(item.kernel, arguments={**item.kernel.arguments, "value": value})
    assert findings(kernel, model) == []
    kernel = replace(item.kernel, arguments={**item.kernel.arguments, "value": 0.0})
    assert findings(kernel, model) == [
        f"WSEC545 kernel kernel, argument value: arguments are those of the node; expected {value}, found 0.0"
    ]


def test_a_tensor_without_a_known_shape_has_no_facts() -> None:
    """Symbolic shapes are not taken for known ones."""
    node = helper.make_node("Relu", ["x"], ["y"], "relu")
    proto = model_proto([node], {"x": (8,)}, {}, {"y": (8,)})
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "n"
    model = read_model(onnx_ir.from_proto(proto))
    assert sorted(model.tensors) == ["y"]


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [("float32", 4), ("bfloat16", 2), ("float8_e4m3fn", 1), ("int4", 1), ("bool", 1), ("uint64", 8)],
)
def test_bytes_of_an_element(dtype: str, expected: int) -> None:
    """Types under a byte take one, as in the memory of a core."""
    assert item_bytes(dtype) == expected
