"""What onnxruntime refuses in a file, though it changes no number, is mended in a copy."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper, numpy_helper

from wsec.compiler.onnxruntime_session import LOOP_SECONDS, SESSION_ERRORS, make_session, run_session
from wsec.compiler.original_model import original_session, sort_nodes

if TYPE_CHECKING:
    from pathlib import Path

HEAD = '<ir_version: 10, opset_import: ["" : 21]>'


@given(size=st.integers(2, 12), seed=st.integers(0, 1 << 16))
def test_shuffled_nodes_come_into_an_order_that_runs(size: int, seed: int) -> None:
    """Each node stands behind those it reads, none is lost, and sorting again moves none."""
    source = Random(seed)  # noqa: S311 - repeatable, not secret
    nodes = [
        helper.make_node("Add", [f"v{source.randrange(i + 1)}", f"v{source.randrange(i + 1)}"], [f"v{i + 1}"])
        for i in range(size)
    ]
    source.shuffle(nodes)
    proto = helper.make_model(helper.make_graph(nodes, "g", [], []))
    sort_nodes(proto)
    known = {"v0"}
    for node in proto.graph.node:
        assert known.issuperset(node.input)
        known.update(node.output)
    assert len(known) == size + 1
    assert not sort_nodes(proto)


def test_what_a_body_reads_from_around_it_comes_first() -> None:
    """Branches read outer values without naming them as operands of the If."""
    proto = onnx.parser.parse_model(
        f"""{HEAD} g (bool c, float[2] x) => (float[2] y) {{
        y = If (c) <then_branch = t () => (float[2] r) {{ r = Relu(q) \n q = Neg(a) }},
                    else_branch = e () => (float[2] r) {{ r = Abs(x) }}>
        a = Neg(x) }}"""
    )
    assert sort_nodes(proto)
    assert [node.op_type for node in proto.graph.node] == ["Neg", "If"]
    branch = next(a.g for a in proto.graph.node[1].attribute if a.name == "then_branch")
    assert [node.op_type for node in branch.node] == ["Neg", "Relu"]


def test_a_cycle_stays_as_it_is() -> None:
    """No order is right; the importer says so with the names of the file."""
    proto = onnx.parser.parse_model(
        f"{HEAD} g (float[2] x) => (float[2] y) {{ y = Add(x, z) \n z = Neg(y) }}"
    )
    before = proto.SerializeToString()
    assert not sort_nodes(proto)
    assert proto.SerializeToString() == before


def test_unsorted_nodes_of_one_name_with_weights_beside_them(tmp_path: Path) -> None:
    """The file is refused by onnxruntime; its copy reads the same weights, and the file is not touched."""
    weights = np.arange(1024, dtype=np.float32)
    proto = onnx.parser.parse_model(
        f"{HEAD} g (float[1024] x) => (float[1024] y) {{ y = Add(a, w) \n a = Neg(x) }}"
    )
    proto.graph.initializer.append(numpy_helper.from_array(weights, "w"))
    for node in proto.graph.node:
        node.name = "same"
    path = tmp_path / "model.onnx"
    onnx.save(proto, path, save_as_external_data=True, location="weights", size_threshold=0)
    before = path.read_bytes()
    with pytest.raises(SESSION_ERRORS):
        make_session(path)
    session, limit = original_session(path)
    (found,) = run_session(session, {"x": weights})
    np.testing.assert_array_equal(found, 0)
    assert limit is None
    assert path.read_bytes() == before


def test_loops_get_a_limit(tmp_path: Path) -> None:
    """A Loop in a branch counts, too."""
    branches = (
        "<then_branch = t () => (float[2] r) {{ {} }}, else_branch = e () => (float[2] r) {{ r = Abs(x) }}>"
    )
    loop = "r = Loop (, c, x) <body = b (int64 i, bool on, float[2] s) => (bool off, float[2] s) { off = Not(on) }>"
    path = tmp_path / "model.onnx"
    for inside, limit in (("r = Relu(x)", None), (loop, LOOP_SECONDS)):
        text = f"{HEAD} g (bool c, float[2] x) => (float[2] y) {{ y = If (c) {branches.format(inside)} }}"
        path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
        assert original_session(path)[1] == limit
