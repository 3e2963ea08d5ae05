"""Where routing finds no colour for a link the kernels move; where that does not help either, the error says all of it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import wsec
from wsec.compiler.errors import WsecError
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.target import Target

_WIDTH = 32


def mesh_with_colours(count: int) -> Target:
    """The small mesh with that many colours for links."""
    target = load_target("mesh16")
    kept = target.fabric.reserved_colours + target.fabric.kernel_colours
    return replace(target, fabric=replace(target.fabric, colours=kept + count))


def dense_network(folder: Path, layers: int) -> Path:
    """Products in a row, each of the sum of the three tensors before it."""
    random = np.random.default_rng(0)
    tensors, nodes, weights = ["x"], [], []
    for layer in range(layers):
        weight = random.standard_normal((_WIDTH, _WIDTH), np.float32) / _WIDTH
        weights.append(numpy_helper.from_array(weight, f"w{layer}"))
        nodes.append(helper.make_node("Sum", tensors[-3:], [f"sum{layer}"], name=f"sum{layer}"))
        nodes.append(
            helper.make_node("MatMul", [f"sum{layer}", f"w{layer}"], [f"y{layer}"], name=f"product{layer}")
        )
        tensors.append(f"y{layer}")
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, _WIDTH]) for name in ("x", tensors[-1])
    ]
    graph = helper.make_graph(nodes, "dense", values[:1], values[1:], weights)
    path = folder / "dense.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return path


def test_kernels_move_until_every_link_has_a_colour(tmp_path: Path) -> None:
    """The plan is legal, keeps to the colours there are, gives right numbers, and says that kernels moved."""
    plan = wsec.compile(
        dense_network(tmp_path, 5), target=mesh_with_colours(6), region=(7, 9), effort=0, fabric="full"
    )
    assert [note for note in plan.record.notes if "colour" in note] == [
        "2 placements had links that found no colour: kernels moved, and have longer edges than they need otherwise"
    ]
    assert {route.colour for link in plan.record.links() for route in link.routes} <= set(range(6))
    assert plan.check() == ()
    assert plan.verify().passed


def test_links_that_never_find_a_colour_are_named_with_what_was_tried(tmp_path: Path) -> None:
    """Core, links, colours asked for and there, how many placements were tried, and what to change."""
    with pytest.raises(WsecError) as caught:
        wsec.compile(
            dense_network(tmp_path, 5), target=mesh_with_colours(4), region=(8, 8), effort=0, fabric="full"
        )
    assert str(caught.value) == (
        "error[WSEC340]: the links between kernels need more colours than the machine has\n"
        "  where:    core (0, 1) of the region, which most routes cross: x: host -> product0.a, x: host -> sum1.e0, "
        "y0: product0 -> sum1.e1, y0: product0 -> sum2.e1, y0: product0 -> sum3.e0\n"
        "  expected: at most 4 colours: 12 of the machine, less 0 of the host and 8 of the kernels\n"
        "  found:    5 routes through this core; no colour left for x: host -> product0.a, y2: product2 -> sum3.e2, "
        "y1: product1 -> product3.e0; 8 placements tried\n"
        "  try:      give a larger --region, or a target with more colours or fewer kernel_colours"
    )
