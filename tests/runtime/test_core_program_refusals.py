"""What core programs cannot do is refused by name, by the programs and by ordered arithmetic."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from onnx import helper
from plan_records import Loops, Operand, make_kernel, make_model, make_plan, normal, reading

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import ChainStep, Kernel
from wsec.runtime.executor import Executor
from wsec.runtime.programs.context import KernelContext
from wsec.runtime.programs.kinds.registry import COMPUTE

if TYPE_CHECKING:
    from pathlib import Path

LOOPS = Loops({"m": 2, "n": 3, "k": 4}, {"m": 1, "n": 1, "k": 1}, ("m", "n", "k"))


def product(dtype: str = "float32", *extra: str, chain: tuple[ChainStep, ...] = ()) -> Kernel:
    """A matrix product with further inputs of one element."""
    operands = [
        Operand("a", "a", dtype, (reading(2, "m"), reading(4, "k"))),
        Operand("b", "b", dtype, (reading(4, "k"), reading(3, "n"))),
        *(Operand(role, role, "float32", (reading(1), reading(1))) for role in extra),
    ]
    result = Operand("", "y", dtype, (reading(2, "m"), reading(3, "n")))
    return make_kernel("product", "matmul", LOOPS, operands, result, chain=chain, reduced=["k"])


@pytest.mark.parametrize(
    ("kernel", "found"),
    [
        (product("float32", "b_scale"), "quantised factors (b_scale)"),
        (product("int32"), "matmul of int32"),
        (product("int64"), "matmul of int64"),
        (product(chain=(ChainStep("Div", ("result", "result"), "y", "int64", {}),)), "Div of float32, int64"),
        (product(chain=(ChainStep("Mod", ("result", "result"), "y", "float32", {}),)), "operator Mod"),
        (product(chain=(ChainStep("Relu", ("result",), "y", "float16", {}),)), "Relu of float16, float32"),
    ],
    ids=["quantised", "whole numbers", "long whole numbers", "quotients of them", "operator", "narrow type"],
)
def test_programs_name_what_they_lack(kernel: Kernel, found: str) -> None:
    """The error says the kernel and what it has that no program has."""
    with pytest.raises(WsecError) as caught:
        COMPUTE[kernel.kind](KernelContext(kernel))
    assert caught.value.code == "WSEC596"
    assert caught.value.where == "kernel product of kind matmul"
    assert caught.value.found == found


def test_ordered_arithmetic_refuses_kinds_without_an_order(tmp_path: Path) -> None:
    """Before anything runs: an operator that runs whole has no order of its own."""
    inputs = {"a": normal(1, 2, 4), "b": normal(2, 4, 3)}
    model = make_model([helper.make_node("MatMul", ["a", "b"], ["y"])], inputs, ["y"])
    plan = make_plan(model, [replace(product(), kind="unsplit")], tmp_path)
    with pytest.raises(WsecError, match="kind unsplit") as caught:
        Executor(plan, "ordered")
    assert caught.value.code == "WSEC596"


def test_ordered_arithmetic_refuses_operators_without_a_formula(tmp_path: Path) -> None:
    """A remainder has none."""
    inputs = {"a": normal(1, 2, 4), "b": normal(2, 4, 3)}
    nodes = [
        helper.make_node("MatMul", ["a", "b"], ["p"]),
        helper.make_node("Mod", ["p", "p"], ["y"], fmod=1),
    ]
    model = make_model(nodes, inputs, ["y"])
    chain = (ChainStep("Mod", ("result", "result"), "y", "float32", {"fmod": 1}),)
    plan = make_plan(model, [product(chain=chain)], tmp_path)
    with pytest.raises(WsecError, match="operator Mod") as caught:
        Executor(plan, "ordered").run(inputs)
    assert caught.value.code == "WSEC596"
