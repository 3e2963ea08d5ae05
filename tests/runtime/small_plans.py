"""A small plan that several tests run, break and measure: two products with a fused chain, cut over 6 and 4 cores."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnx import helper
from plan_records import Loops, Operand, make_kernel, make_model, make_plan, normal, reading

from wsec.compiler.plan import ChainStep

if TYPE_CHECKING:
    from pathlib import Path

    import onnx
    from plan_records import Array

    from wsec.compiler.plan import Kernel
    from wsec.compiler.plan_io import LoadedPlan

INPUTS: dict[str, Array] = {"x": normal(1, 5, 8)}


def two_products_model() -> onnx.ModelProto:
    """Y = relu(x w0) w1."""
    nodes = [
        helper.make_node("MatMul", ["x", "w0"], ["p"], name="first"),
        helper.make_node("Relu", ["p"], ["h"], name="activation"),
        helper.make_node("MatMul", ["h", "w1"], ["y"], name="second"),
    ]
    return make_model(nodes, INPUTS, ["y"], {"w0": normal(2, 8, 9), "w1": normal(3, 9, 4)})


def two_products_kernels() -> list[Kernel]:
    """The first kernel sums over three cores, the second cuts rows and columns."""
    first = Loops({"m": 5, "n": 9, "k": 8}, {"m": 2, "n": 1, "k": 3}, ("k", "m", "n"))
    second = Loops({"m": 5, "n": 4, "k": 9}, {"m": 2, "n": 2, "k": 1}, ("m", "n", "k"))
    return [
        make_kernel(
            "first",
            "matmul",
            first,
            [
                Operand("a", "x", "float32", (reading(5, "m"), reading(8, "k"))),
                Operand("b", "w0", "float32", (reading(8, "k"), reading(9, "n"))),
            ],
            Operand("", "h", "float32", (reading(5, "m"), reading(9, "n"))),
            operators=("first", "activation"),
            constants=("w0",),
            reduced="k",
            chain=[ChainStep("Relu", ("result",), "h", "float32", {})],
        ),
        make_kernel(
            "second",
            "matmul",
            second,
            [
                Operand("a", "h", "float32", (reading(5, "m"), reading(9, "k"))),
                Operand("b", "w1", "float32", (reading(9, "k"), reading(4, "n"))),
            ],
            Operand("", "y", "float32", (reading(5, "m"), reading(4, "n"))),
            operators=("second",),
            constants=("w1",),
            reduced="k",
        ),
    ]


def two_products(folder: Path) -> LoadedPlan:
    """The plan of the model in that folder."""
    return make_plan(two_products_model(), two_products_kernels(), folder)
