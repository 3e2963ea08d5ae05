"""`wsec export`: what it says of the file that it wrote."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import onnx

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Wsec


def test_the_file_is_written_and_described(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """Text names devices, nodes and what was left out; JSON has the same numbers."""
    path = tmp_path / "placed.onnx"
    text = wsec("export", small_plan, "--onnx", "-o", path)
    assert text.exit_code == 0, text.output
    result = wsec("export", small_plan, "--onnx", "-o", path, "--json")
    numbers = json.loads(result.stdout)
    model = onnx.load(path)
    specs = [len(entry.sharding_spec) for node in model.graph.node for entry in node.device_configurations]
    assert numbers == {
        "plan": str(small_plan),
        "onnx": str(path),
        "data": None,
        "devices": 256,
        "nodes": len(specs),
        "shardings": sum(specs),
        "left_out": numbers["left_out"],
    }
    assert numbers["left_out"] > 0  # the convolution reads with a halo
    lines = text.stdout.splitlines()
    assert [line.split()[0] for line in lines[:2]] == ["devices", "placed"]
    assert f"{numbers['left_out']} shardings that ONNX has no words for" in text.stdout


def test_a_device_for_each_kernel(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """`--devices kernels` is for readers that cannot take long lists."""
    path = tmp_path / "placed.onnx"
    result = wsec("export", small_plan, "-o", path, "--devices", "kernels", "--json")
    numbers = json.loads(result.stdout)
    assert numbers["devices"] == len(onnx.load(path).configuration[0].device) < 10
    assert numbers["left_out"] == 0
