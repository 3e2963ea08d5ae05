"""The chain: every element-wise operator against onnxruntime, operands that broadcast, types that change."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from plan_records import (
    Loops,
    Operand,
    assert_same_as_onnxruntime,
    loops_of,
    make_kernel,
    make_model,
    normal,
    reading,
)

from wsec.compiler.operators import ELEMENTWISE
from wsec.compiler.plan import ChainStep
from wsec.runtime.ordered import elementwise
from wsec.runtime.programs.kinds import formulas

if TYPE_CHECKING:
    from plan_records import Array

    from wsec.compiler.plan import Argument

LOOPS = Loops({"d0": 5, "d1": 7}, {"d0": 2, "d1": 3}, ("d1", "d0"))
FLOATS = normal(1, 5, 7)
OTHERS = normal(2, 5, 7)
POSITIVE = np.abs(FLOATS) + np.float32(0.5)
FRACTIONS = np.tanh(FLOATS)
INTEGERS = np.random.default_rng(1).integers(-9, 10, (5, 7)).astype(np.int32)
NATURALS = np.random.default_rng(2).integers(1, 7, (5, 7)).astype(np.int32)
BYTES = NATURALS.astype(np.uint8)
TRUTHS = FLOATS > 0
SPECIAL = np.where(TRUTHS, np.float32(np.inf), np.float32(np.nan))

# Each operator with the operands and attributes it is tried on; several entries where types make a difference.
CASES: list[tuple[str, list[Array], dict[str, Argument]]] = [
    ("Abs", [INTEGERS], {}),
    ("Acos", [FRACTIONS], {}),
    ("Acosh", [POSITIVE + 1], {}),
    ("Add", [FLOATS, OTHERS], {}),
    ("And", [TRUTHS, OTHERS > 0], {}),
    ("Asin", [FRACTIONS], {}),
    ("Asinh", [FLOATS], {}),
    ("Atan", [FLOATS], {}),
    ("Atanh", [FRACTIONS * np.float32(0.9)], {}),
    ("BitShift", [BYTES, BYTES], {"direction": "LEFT"}),
    ("BitwiseAnd", [INTEGERS, NATURALS], {}),
    ("BitwiseNot", [INTEGERS], {}),
    ("BitwiseOr", [INTEGERS, NATURALS], {}),
    ("BitwiseXor", [INTEGERS, NATURALS], {}),
    ("Cast", [FLOATS * 5], {"to": 6}),
    ("Cast", [INTEGERS], {"to": 9}),
    ("Ceil", [FLOATS], {}),
    ("Celu", [FLOATS], {"alpha": 0.7}),
    ("Clip", [FLOATS, np.array(-0.5, np.float32), np.array(0.5, np.float32)], {}),
    ("Clip", [INTEGERS, np.array(-3, np.int32)], {}),
    ("Cos", [FLOATS], {}),
    ("Cosh", [FLOATS], {}),
    ("Div", [FLOATS, POSITIVE], {}),
    ("Div", [INTEGERS, NATURALS], {}),
    ("Div", [INTEGERS, -NATURALS], {}),
    ("Div", [BYTES + np.uint8(20), BYTES], {}),
    ("Elu", [FLOATS], {"alpha": 0.7}),
    ("Equal", [INTEGERS, INTEGERS[::-1].copy()], {}),
    ("Erf", [FLOATS], {}),
    ("Exp", [FLOATS], {}),
    ("Floor", [FLOATS], {}),
    ("Gelu", [FLOATS], {"approximate": "tanh"}),
    ("Greater", [FLOATS, OTHERS], {}),
    ("GreaterOrEqual", [INTEGERS, NATURALS], {}),
    ("HardSigmoid", [FLOATS * 3], {"alpha": 0.3}),
    ("HardSwish", [FLOATS * 3], {}),
    ("IsInf", [SPECIAL], {}),
    ("IsNaN", [SPECIAL], {}),
    ("LeakyRelu", [FLOATS], {}),
    ("LeakyRelu", [FLOATS], {"alpha": 0.3}),
    ("Less", [FLOATS, OTHERS], {}),
    ("LessOrEqual", [FLOATS, OTHERS], {}),
    ("Log", [POSITIVE], {}),
    ("Max", [FLOATS, OTHERS, POSITIVE], {}),
    ("Mean", [FLOATS, OTHERS, POSITIVE], {}),
    ("Min", [FLOATS, OTHERS, POSITIVE], {}),
    ("Mish", [FLOATS], {}),
    ("Mod", [INTEGERS, NATURALS], {}),
    ("Mod", [INTEGERS, -NATURALS], {}),
    ("Mod", [FLOATS, POSITIVE], {"fmod": 1}),
    ("Mul", [FLOATS, OTHERS], {}),
    ("Neg", [FLOATS], {}),
    ("Not", [TRUTHS], {}),
    ("Or", [TRUTHS, OTHERS > 0], {}),
    ("PRelu", [FLOATS, OTHERS], {}),
    ("Pow", [POSITIVE, OTHERS], {}),
    ("Pow", [FLOATS, np.array(2, np.float32)], {}),
    ("Pow", [INTEGERS, NATURALS], {}),
    ("Reciprocal", [POSITIVE], {}),
    ("Relu", [FLOATS], {}),
    ("Round", [np.round(FLOATS * 2) / 2], {}),
    ("Selu", [FLOATS], {}),
    ("Shrink", [FLOATS], {"lambd": 0.4}),
    ("Sigmoid", [FLOATS * 50], {}),
    ("Sign", [FLOATS], {}),
    ("Sin", [FLOATS], {}),
    ("Sinh", [FLOATS], {}),
    ("Softplus", [FLOATS * 10], {}),
    ("Softsign", [FLOATS], {}),
    ("Sqrt", [POSITIVE], {}),
    ("Sub", [FLOATS, OTHERS], {}),
    ("Sum", [FLOATS, OTHERS, POSITIVE], {}),
    ("Tan", [FRACTIONS], {}),
    ("Tanh", [FLOATS], {}),
    ("ThresholdedRelu", [FLOATS], {"alpha": 0.3}),
    ("Where", [TRUTHS, FLOATS, OTHERS], {}),
    ("Xor", [TRUTHS, OTHERS > 0], {}),
]
NOT_IN_ONNXRUNTIME = {"Swish"}  # of operator set 24, which its release does not run yet


def follow(array: Array) -> tuple[tuple[int, str], ...]:
    """The extents of an operand, padded to two dimensions, and the loops that they follow."""
    shape = (1,) * (2 - array.ndim) + array.shape
    return tuple((size, f"d{i}" if size > 1 else "") for i, size in enumerate(shape))


@pytest.mark.parametrize(("operator", "arrays", "attributes"), CASES)
def test_operator(operator: str, arrays: list[Array], attributes: dict[str, Argument]) -> None:
    """Whether numpy computes it or onnxruntime, on blocks or whole: the same numbers."""
    inputs = {f"e{i}": array for i, array in enumerate(arrays)}
    node = helper.make_node(operator, list(inputs), ["y"])
    node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
    model = make_model([node], inputs, ["y"])
    dtype = helper.tensor_dtype_to_np_dtype(model.graph.output[0].type.tensor_type.elem_type).name
    kernel = make_kernel(
        "k",
        "elementwise",
        LOOPS,
        [
            Operand(name, name, array.dtype.name, tuple(reading(*item) for item in follow(array)))
            for name, array in inputs.items()
        ],
        Operand("", "y", dtype, (reading(5, "d0"), reading(7, "d1"))),
        chain=[ChainStep(operator, tuple(inputs), "y", dtype, attributes)],
    )
    assert_same_as_onnxruntime(model, [kernel], inputs, 1e-5)


def test_every_elementwise_operator_is_tried() -> None:
    """An operator that the compiler may put in a chain is one that the runtime computes."""
    assert {operator for operator, _, _ in CASES} == ELEMENTWISE - NOT_IN_ONNXRUNTIME


def test_programs_and_ordered_arithmetic_have_the_same_operators() -> None:
    """Both say the formulas of docs/core-programs.md; the tests above hold them against each other."""
    assert set(formulas.FORMULAS) == set(elementwise.FORMULAS)
    page = (Path(__file__).parents[2] / "docs" / "core-programs.md").read_text()
    engine = {
        "Abs",
        "Add",
        "Ceil",
        "Cos",
        "Div",
        "Equal",
        "Erf",
        "Exp",
        "Floor",
        "Greater",
        "GreaterOrEqual",
        "Identity",
    }
    engine |= {"IsNaN", "Log", "Mul", "Neg", "Pow", "Round", "Sign", "Sin", "Sqrt", "Sub", "Tanh"}
    written = set(re.findall(r"\w+", page))
    assert set(elementwise.FORMULAS) - engine <= written


@given(st.data())
def test_operands_that_broadcast(data: st.DataObject) -> None:
    """Each dimension of an extra operand has the output's extent or 1; blocks meet their own part of it."""
    shape = data.draw(st.tuples(*[st.integers(1, 6)] * 3))
    extents = {f"d{i}": size for i, size in enumerate(shape)}
    shapes = [shape, *([data.draw(st.sampled_from((size, 1))) for size in shape] for _ in range(2))]
    inputs = {f"e{i}": normal(i, *item) for i, item in enumerate(shapes)}
    operands = [
        Operand(
            name,
            name,
            "float32",
            tuple(reading(n, f"d{i}" if n == shape[i] else "") for i, n in enumerate(array.shape)),
        )
        for name, array in inputs.items()
    ]
    nodes = [helper.make_node("Mul", ["e0", "e1"], ["t"]), helper.make_node("Add", ["t", "e2"], ["y"])]
    kernel = make_kernel(
        "k",
        "elementwise",
        data.draw(loops_of(extents)),
        operands,
        Operand("", "y", "float32", tuple(reading(size, name) for name, size in extents.items())),
        chain=[
            ChainStep("Mul", ("e0", "e1"), "t", "float32", {}),
            ChainStep("Add", ("t", "e2"), "y", "float32", {}),
        ],
    )
    assert_same_as_onnxruntime(make_model(nodes, inputs, ["y"]), [kernel], inputs)


@pytest.mark.parametrize("parts", [1, 3])
def test_a_chain_behind_a_product_works_at_the_root(parts: int) -> None:
    """Bias, x * sigmoid(x) and a residual, applied once, after the partial sums are whole."""
    loops = Loops({"m": 4, "n": 5, "k": 7}, {"m": 2, "n": 1, "k": parts}, ("k", "m", "n"))
    inputs = {"a": normal(1, 4, 7), "r": normal(2, 4, 5)}
    weights = {"b": normal(3, 7, 5), "c": normal(4, 5)}
    nodes = [
        helper.make_node("MatMul", ["a", "b"], ["p"]),
        helper.make_node("Add", ["p", "c"], ["q"]),
        helper.make_node("Sigmoid", ["q"], ["s"]),
        helper.make_node("Mul", ["q", "s"], ["t"]),
        helper.make_node("Add", ["t", "r"], ["y"]),
    ]
    kernel = make_kernel(
        "k",
        "matmul",
        loops,
        [
            Operand("a", "a", "float32", (reading(4, "m"), reading(7, "k"))),
            Operand("b", "b", "float32", (reading(7, "k"), reading(5, "n"))),
            Operand("e0", "c", "float32", (reading(1), reading(5, "n"))),
            Operand("e1", "r", "float32", (reading(4, "m"), reading(5, "n"))),
        ],
        Operand("", "y", "float32", (reading(4, "m"), reading(5, "n"))),
        constants=("b", "c"),
        reduced="k",
        chain=[
            ChainStep("Add", ("result", "e0"), "q", "float32", {}),
            ChainStep("Sigmoid", ("q",), "s", "float32", {}),
            ChainStep("Mul", ("q", "s"), "t", "float32", {}),
            ChainStep("Add", ("t", "e1"), "y", "float32", {}),
        ],
    )
    assert_same_as_onnxruntime(make_model(nodes, inputs, ["y"], weights), [kernel], inputs)
