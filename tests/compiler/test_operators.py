"""The sets of operators name operators that exist and do not contradict each other."""

from __future__ import annotations

import subprocess
import sys

import onnx
import pytest

from wsec.compiler import operators

SETS = ["ANCHORS", "DATA_DEPENDENT_SHAPE", "DATA_MOVEMENT", "ELEMENTWISE", "NON_DETERMINISTIC", "REDUCTIONS"]


@pytest.mark.parametrize("name", SETS)
def test_every_name_is_an_operator(name: str) -> None:
    """A typing error in a set would silently leave an operator out."""
    assert [op for op in sorted(getattr(operators, name)) if not onnx.defs.has(op)] == []


def test_no_operator_is_of_two_kinds() -> None:
    """What starts a group does not follow in one, and data movement does neither."""
    kinds = [operators.ANCHORS, operators.ELEMENTWISE, operators.DATA_MOVEMENT, operators.NON_DETERMINISTIC]
    assert sum(map(len, kinds)) == len(frozenset().union(*kinds))


def test_broadcasting_operators_take_several_inputs() -> None:
    """Unary ones have one tensor input, the others two or more."""
    for name in sorted(operators.BROADCAST_ELEMENTWISE):
        schema = onnx.defs.get_schema(name)
        assert schema.max_input >= 2, name
    for name in sorted(operators.UNARY_ELEMENTWISE - {"Clip"}):
        assert onnx.defs.get_schema(name).max_input == 1, name


def test_only_operators_of_onnx_count() -> None:
    """A Relu of another domain may be anything."""
    assert operators.is_elementwise("", "Relu")
    assert operators.is_elementwise("ai.onnx", "Relu")
    assert not operators.is_elementwise("com.microsoft", "Relu")
    assert not operators.is_elementwise("", "MatMul")


def test_the_module_is_light() -> None:
    """Whatever imports it may be imported by `wsec --help`."""
    code = "import sys, wsec.compiler.operators; print([m for m in ('onnx', 'onnx_ir', 'numpy') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)
    assert found.stdout == "[]\n"
