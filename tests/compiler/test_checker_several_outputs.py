"""Kernels with several outputs: all of them are there, cut alike, and along nothing that the operator looks across."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx_ir
from legal_plans import activation, model_proto, result, single_kernel, weight
from onnx import helper

from wsec.compiler.plan_checker.model_facts import read_model
from wsec.compiler.plan_checker.operators import check_operators
from wsec.compiler.plan_checker.shardings import check_kernel_shardings
from wsec.compiler.sharding import DimensionSharding, cut, whole

if TYPE_CHECKING:
    import onnx

    from wsec.compiler.plan import Kernel, KernelOutput

NODE = helper.make_node("TopK", ["x", "k"], ["y", "i"], "node")
ROWS = cut(6, 3, ("d0",))


def best_of_rows(rows: DimensionSharding = ROWS, columns: DimensionSharding | None = None) -> Kernel:
    """The 4 best of each of 6 rows of 8, over 3 cores."""
    kept = whole(4) if columns is None else columns
    kernel = single_kernel(
        NODE,
        "batched",
        [("d0", 3)],
        (activation("in0", "x", rows, whole(8)), weight("in1", "k", whole(1), dtype="int64")),
        result("y", rows, kept),
    )
    return replace(kernel, outputs=(*kernel.outputs, result("i", rows, kept, dtype="int64")))


def model() -> onnx.ModelProto:
    """Its model."""
    return model_proto(
        [NODE],
        {"x": (6, 8)},
        {"k": np.array([4], dtype=np.int64)},
        {"y": (6, 4), "i": (6, 4)},
        dtypes={"i": "int64"},
    )


def findings(kernel: Kernel) -> list[str]:
    """What the checker says of it."""
    facts = read_model(onnx_ir.from_proto(model()))
    return [str(item) for item in (*check_kernel_shardings(kernel, facts), *check_operators(kernel, facts))]


def second(kernel: Kernel, output: KernelOutput) -> Kernel:
    """The kernel with another second output."""
    return replace(kernel, outputs=(kernel.outputs[0], output))


def test_a_legal_kernel_of_two_outputs_has_no_findings() -> None:
    """Values and places of the best, cut by rows."""
    assert findings(best_of_rows()) == []


def test_an_output_left_out_is_found() -> None:
    """A kernel gives every output that its node names."""
    kernel = best_of_rows()
    assert findings(replace(kernel, outputs=kernel.outputs[:1])) == [
        "WSEC545 kernel kernel: a kernel gives the output of its last node; expected y, i, found y"
    ]


def test_outputs_in_other_blocks_are_found() -> None:
    """A core computes the same positions of a loop for all outputs."""
    wide = result("i", cut(6, 2, ("d0",)), whole(4), dtype="int64")
    assert findings(second(best_of_rows(), wide)) == [
        "WSEC544 kernel kernel, output i, dimension 0: all outputs are cut alike; expected blocks of 2, found blocks of 3"
    ]


def test_a_cut_along_what_is_looked_across_is_found() -> None:
    """The best of a part of a row are not the best of the row."""
    kernel = best_of_rows(whole(6), cut(4, 2, ("d1",)))
    axes = (replace(kernel.mesh.axes[0], name="d1", size=2),)
    moved = replace(kernel, mesh=replace(kernel.mesh, axes=axes), split={"d1": 2})
    assert findings(moved)[0] == (
        "WSEC544 kernel kernel: mesh axes are loops of the kind; expected axes among d0, found d1"
    )
    read = activation("in0", "x", whole(6), cut(8, 2, ("d1",)))
    assert findings(replace(moved, inputs=(read, *moved.inputs[1:])))


def test_rows_of_another_core_are_found() -> None:
    """Each core reads the rows that it computes."""
    kernel = best_of_rows()
    shifted = DimensionSharding(6, 2, 2, ("d0",), 1)
    entry = replace(
        kernel.inputs[0], sharding=replace(kernel.inputs[0].sharding, dimensions=(shifted, whole(8)))
    )
    (found,) = findings(replace(kernel, inputs=(entry, *kernel.inputs[1:])))
    assert found == (
        "WSEC544 kernel kernel, input in0, dimension 0, block 0: a core holds every element that it reads; "
        "expected elements [0, 2), found elements [1, 3)"
    )
