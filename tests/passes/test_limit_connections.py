"""Kernels read and send no more tensors than cores have queues for."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING

import onnx
import pytest

import wsec
from wsec.passes.limit_connections import LimitConnections

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import onnx_ir as ir

    Apply = Callable[..., ir.Model]


def _wide(op: str, count: int, axis: str = "") -> str:
    inputs = ", ".join(f"float[2, 3] x{index}" for index in range(count))
    names = ", ".join(f"x{index}" for index in range(count))
    return f"g ({inputs}) => (float[] y) {{ [wide] y = {op}{axis}({names}) }}"


def _read_often(count: int) -> str:
    nodes = " ".join(f"[r{index}] y{index} = Transpose(p)" for index in range(count))
    outputs = ", ".join(f"float[] y{index}" for index in range(count))
    return f"g (float[2, 3] x) => ({outputs}) {{ [first] p = Relu(x) {nodes} }}"


@pytest.mark.parametrize("count", [2, 6, 7, 20, 40])
@pytest.mark.parametrize(("op", "axis"), [("Concat", "<axis = 1>"), ("Sum", ""), ("Max", "")])
def test_wide_operators_become_trees(apply: Apply, op: str, axis: str, count: int) -> None:
    """No operator reads more than six; one that reads fewer stays; the numbers stay (`apply` compares)."""
    model = apply(LimitConnections(), _wide(op, count, axis), tolerance=1e-6)  # sums in another order
    assert all(len(node.inputs) <= 6 for node in model.graph)
    if count <= 6:
        assert len(list(model.graph)) == 1


@pytest.mark.parametrize("count", [1, 5, 6, 13])
def test_values_with_many_readers_are_passed_on(apply: Apply, count: int) -> None:
    """No value has more than five readers."""
    model = apply(LimitConnections(), _read_often(count))
    readers = Counter(value for node in model.graph for value in node.inputs)
    assert max(readers.values()) <= 5
    copies = [node for node in model.graph if node.op_type == "Identity"]
    assert bool(copies) == (count > 5)


def test_what_passes_a_value_on_stands_by_its_readers(apply: Apply) -> None:
    """Kernels are laid out in the order of the graph: between the layers that read a value, not all behind what made it."""
    layers = " ".join(f"[r{index}] y{index} = Add(y{index - 1}, p)" for index in range(1, 14))
    text = f"g (float[2, 3] x) => (float[] y13) {{ [first] p = Neg(x) [r0] y0 = Relu(x) {layers} }}"
    names = [node.op_type for node in apply(LimitConnections(), text).graph]
    copies = [at for at, name in enumerate(names) if name == "Identity"]
    assert len(copies) >= 2
    assert min(after - before for before, after in pairwise(copies)) >= 4
    assert copies[0] >= 4


@pytest.mark.parametrize(("inputs", "outputs", "count"), [(2, 2, 9), (3, 2, 5), (6, 4, 14)])
def test_limits_are_options(apply: Apply, inputs: int, outputs: int, count: int) -> None:
    """Both sides are bounded as they say."""
    limits = LimitConnections(inputs=inputs, outputs=outputs)
    readers = Counter(value for node in apply(limits, _read_often(count)).graph for value in node.inputs)
    assert max(readers.values()) <= outputs
    wide = apply(limits, _wide("Concat", count, "<axis = 0>"))
    assert max(len(node.inputs) for node in wide.graph) <= inputs


def test_a_concatenation_of_twenty_compiles(tmp_path: Path) -> None:
    """From end to end: the plan is legal, and its numbers are right."""
    names = [f"p{index}" for index in range(20)]
    nodes = " ".join(f"{name} = MatMul(x, w{index})" for index, name in enumerate(names))
    weights = ", ".join(
        f"float[4, 4] w{index} = {{{', '.join(str(k + index) for k in range(16))}}}" for index in range(20)
    )
    text = (
        f'<ir_version: 10, opset_import: ["" : 21]> g (float[2, 4] x) => (float[2, 80] y) <{weights}> '
        f"{{ {nodes} y = Concat<axis = 1>({', '.join(names)}) }}"
    )
    path = tmp_path / "wide.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    plan = wsec.compile(path, target="mesh64", effort=0)
    coming = Counter(link.target for link in plan.record.links() if link.target != "host")
    assert max(coming.values()) <= 6
    assert plan.verify().passed
