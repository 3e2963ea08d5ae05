"""The file in docs/constraints.md compiles, and its plan keeps it."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import onnx
from onnx import TensorProto, helper

import wsec

if TYPE_CHECKING:
    from wsec.compiler.placement import Constraint

PAGE = (Path(__file__).parents[2] / "docs" / "constraints.md").read_text(encoding="utf-8")


def _model(folder: Path) -> Path:
    nodes = [
        helper.make_node("Conv", ["image", "filters"], ["features"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node(
            "MaxPool", ["features"], ["pooled"], name="pool", kernel_shape=[2, 2], strides=[2, 2]
        ),
        helper.make_node("Flatten", ["pooled"], ["flat"], name="flatten"),
        helper.make_node("Gemm", ["flat", "matrix"], ["scores"], name="gemm"),
    ]
    sizes = {"filters": (16, 3, 3, 3), "matrix": (1024, 10)}
    graph = helper.make_graph(
        nodes,
        "page",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 10])],
        [
            helper.make_tensor(name, TensorProto.FLOAT, size, [0.5] * math.prod(size))
            for name, size in sizes.items()
        ],
    )
    path = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_the_examples_of_the_page_compile(tmp_path: Path) -> None:
    """Each kind of table once, then the records, and the listing."""
    (table,) = re.findall(r"^```toml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    listing, records = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "constraints.toml").write_text(table)
    model, folder = _model(tmp_path), tmp_path / "model.plan"
    plan = wsec.compile(
        model, target="mesh16", effort=0, constraints=tmp_path / "constraints.toml", output=folder
    )
    assert [each.kind for each in plan.record.constraints] == ["pin", "region", "forbid", "adjacent", "edge"]
    assert plan.check() == ()
    exec(compile(listing.replace("model.plan", str(folder)), "docs/constraints.md", "exec"), {})  # noqa: S102 - ours
    names: dict[str, tuple[Constraint, ...]] = {}
    exec(compile(records, "docs/constraints.md", "exec"), names)  # noqa: S102 - ours
    plan = wsec.compile(model, target="mesh16", effort=0, constraints=names["constraints"])
    assert [each.kind for each in plan.record.constraints] == ["region", "adjacent", "edge"]
