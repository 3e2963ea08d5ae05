"""Matrix products against onnxruntime, every loop cut, batches broadcast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from plan_records import (
    Array,
    Loops,
    Operand,
    assert_same_as_onnxruntime,
    loops_of,
    make_kernel,
    make_model,
    make_plan,
    reading,
)

from wsec.runtime.executor import execute

if TYPE_CHECKING:
    from pathlib import Path


def check(
    loops: Loops,
    broadcast: dict[str, str],
    *,
    constant: bool,
    dtype: str = "float32",
    tolerance: float = 1e-5,
) -> None:
    """One product; `broadcast` says in which operand (a, b or neither) a batch loop has extent 1."""
    size = loops.extents
    batch = [name for name in size if name.startswith("b")]
    generator = np.random.default_rng(0)

    def batch_of(operand: str) -> list[str]:
        return ["" if broadcast[name] == operand else name for name in batch]

    def make(labels: list[str]) -> Array:
        shape = [size.get(name, 1) for name in labels]
        return (
            generator.integers(-9, 9, shape).astype(dtype)
            if dtype[0] == "i"
            else generator.standard_normal(shape).astype(dtype)
        )

    views = {"a": [*batch_of("a"), "m", "k"], "b": [*batch_of("b"), "k", "n"]}
    arrays = {name: make(labels) for name, labels in views.items()}
    kernel = make_kernel(
        "k",
        "matmul",
        loops,
        [
            Operand(n, n, dtype, tuple(reading(size.get(i, 1), i) for i in labels))
            for n, labels in views.items()
        ],
        Operand("", "y", dtype, tuple(reading(size[i], i) for i in (*batch, "m", "n"))),
        constants=("b",) if constant else (),
        reduced="k",
    )
    inputs = {name: array for name, array in arrays.items() if name not in ("b" if constant else "")}
    weights = {"b": arrays["b"]} if constant else {}
    model = make_model([helper.make_node("MatMul", ["a", "b"], ["y"])], inputs, ["y"], weights)
    assert_same_as_onnxruntime(model, [kernel], inputs, tolerance)


@given(st.data())
def test_matmul_cut_along_any_loop(data: st.DataObject) -> None:
    """Batches, rows, columns and the sum, with ragged blocks; weights or activations on the right."""
    batch = {f"b{i}": data.draw(st.integers(1, 3)) for i in range(data.draw(st.integers(0, 2)))}
    extents = batch | {name: data.draw(st.integers(1, 9)) for name in "mnk"}
    broadcast = {name: data.draw(st.sampled_from(("a", "b", "neither"))) for name in batch}
    for name in batch:  # a batch that one operand repeats needs the other to have it
        if extents[name] == 1:
            broadcast[name] = "neither"
    check(data.draw(loops_of(extents)), broadcast, constant=data.draw(st.booleans()))


@pytest.mark.parametrize(("dtype", "tolerance"), [("int32", 0), ("int64", 0), ("float64", 1e-12)])
def test_matmul_of_other_types(dtype: str, tolerance: float) -> None:
    """Whole numbers are exact, double precision stays double."""
    loops = Loops(
        {"b0": 2, "m": 5, "n": 7, "k": 11}, {"b0": 2, "m": 2, "n": 3, "k": 4}, ("k", "n", "b0", "m")
    )
    check(loops, {"b0": "b"}, constant=False, dtype=dtype, tolerance=tolerance)


def test_bfloat16_is_accumulated_in_float32(tmp_path: Path) -> None:
    """A type that onnxruntime's CPU build cannot multiply: one rounding of the whole sum, three cores or one."""
    generator = np.random.default_rng(0)
    a, b = (generator.standard_normal(shape).astype(ml_dtypes.bfloat16) for shape in ((3, 300), (300, 4)))
    exact = a.astype(np.float64) @ b.astype(np.float64)
    model = make_model([helper.make_node("MatMul", ["a", "b"], ["y"])], {"a": a, "b": b}, ["y"])
    for parts in (1, 3):
        kernel = make_kernel(
            "k",
            "matmul",
            Loops({"m": 3, "n": 4, "k": 300}, {"m": 1, "n": 2, "k": parts}, ("k", "n", "m")),
            [
                Operand("a", "a", "bfloat16", (reading(3, "m"), reading(300, "k"))),
                Operand("b", "b", "bfloat16", (reading(300, "k"), reading(4, "n"))),
            ],
            Operand("", "y", "bfloat16", (reading(3, "m"), reading(4, "n"))),
            reduced="k",
        )
        found = execute(make_plan(model, [kernel], tmp_path), {"a": a, "b": b})["y"]
        assert found.dtype == ml_dtypes.bfloat16
        np.testing.assert_allclose(found.astype(np.float64), exact, rtol=2**-8, atol=1e-4)
