"""Kernels with more links than queues are refused by name."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import onnx
import pytest

import wsec
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from pathlib import Path


def _mean(folder: Path, count: int) -> Path:
    names = [f"x{index}" for index in range(count)]
    inputs = ", ".join(f"float[4, 4] {name}" for name in names)
    text = (
        f'<ir_version: 10, opset_import: ["" : 21]> g ({inputs}) => (float[4, 4] y) '
        f"{{ [mean] y = Mean({', '.join(names)}) }}"
    )
    path = folder / "mean.onnx"
    onnx.save(onnx.parser.parse_model(text), path)
    return path


def test_an_operator_that_cannot_be_split_is_refused(tmp_path: Path) -> None:
    """Nine inputs, six queues: the message counts both."""
    with pytest.raises(WsecError) as caught:
        wsec.compile(_mean(tmp_path, 9), target="mesh16", effort=0, fabric="full")
    assert caught.value.exit_status == ExitStatus.DOES_NOT_FIT
    assert str(caught.value) == (
        "error[WSEC341]: more tensors come to a kernel than its cores have queues for\n"
        "  where:    kernel mean\n"
        "  expected: at most 6: 8 queues of the target, less 2 of the kernel's own traffic\n"
        "  found:    9 links\n"
        "  try:      split the operator, or run the pass limit-connections with fewer inputs and outputs behind the others"
    )


def test_queues_are_the_target_s(tmp_path: Path) -> None:
    """With more queues the same model compiles."""
    target = load_target("mesh16")
    wide = replace(target, fabric=replace(target.fabric, input_queues=11))
    assert wsec.compile(_mean(tmp_path, 9), target=wide, effort=0).verify().passed
