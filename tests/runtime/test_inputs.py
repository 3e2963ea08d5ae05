"""Seeded inputs that any model can take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from onnx import helper
from plan_records import Loops, Operand, make_kernel, make_model, make_plan, normal, reading

from wsec.compiler.plan import ChainStep
from wsec.runtime.inputs import make_inputs

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Plan

COUNT = 400


def plan_of(folder: Path) -> Plan:
    """Inputs of every sort: floats, truth values, numbers that index tables, are compared, or do neither."""
    inputs = {
        "floats": np.zeros(COUNT, np.float32),
        "truths": np.zeros(COUNT, np.bool_),
        "numbers": np.zeros(COUNT, np.int64),
        "indices": np.zeros(COUNT, np.int64),
        "classes": np.zeros(COUNT, np.int32),
    }
    weights = {"big": normal(1, 9, 2), "small": normal(2, 5, 2), "all": np.arange(7, dtype=np.int32)}
    nodes = [
        helper.make_node("Reshape", ["indices", "shape"], ["moved"]),
        helper.make_node("Gather", ["big", "indices"], ["g0"]),
        helper.make_node("Gather", ["small", "moved"], ["g1"]),
        helper.make_node("Reshape", ["classes", "column"], ["c0"]),
        helper.make_node("Equal", ["c0", "all"], ["c1"]),
    ]
    weights |= {"shape": np.array([COUNT, 1]), "column": np.array([COUNT, 1])}
    model = make_model(nodes, inputs, ["g0", "g1", "c1"], weights)
    flat = Loops({"d0": COUNT, "d1": 1}, {"d0": 2, "d1": 1}, ("d0", "d1"))
    wide = Loops({"d0": COUNT, "d1": 7}, {"d0": 2, "d1": 1}, ("d0", "d1"))
    pair = (reading(COUNT, "d0"), reading(1, "d1"))

    def gather(name: str, table: str, rows: int, indices: str, out: str) -> object:
        loops = Loops({"v": rows, "i0": COUNT, "q0": 2}, {"v": 2, "i0": 1, "q0": 1}, ("v", "i0", "q0"))
        return make_kernel(
            name,
            "gather",
            loops,
            [
                Operand("x", table, "float32", (reading(rows, "v"), reading(2, "q0"))),
                Operand("indices", indices, "int64", (reading(COUNT, "i0"),)),
            ],
            Operand("", out, "float32", (reading(COUNT, "i0"), reading(2, "q0"))),
            arguments={"axis": 0, "extent": rows},
            constants=("big", "small"),
            reduced="v",
        )

    kernels = [
        make_kernel(
            "move",
            "reshape",
            flat,
            [Operand("x", "indices", "int64", pair)],
            Operand("", "moved", "int64", pair),
        ),
        gather("g0", "big", 9, "indices", "g0"),
        gather("g1", "small", 5, "moved", "g1"),
        make_kernel(
            "c0", "reshape", flat, [Operand("x", "classes", "int32", pair)], Operand("", "c0", "int32", pair)
        ),
        make_kernel(
            "c1",
            "elementwise",
            wide,
            [
                Operand("e0", "c0", "int32", (reading(COUNT, "d0"), reading(1))),
                Operand("e1", "all", "int32", (reading(1), reading(7, "d1"))),
            ],
            Operand("", "c1", "bool", (reading(COUNT, "d0"), reading(7, "d1"))),
            constants=("all",),
            chain=[ChainStep("Equal", ("e0", "e1"), "c1", "bool", {})],
        ),
    ]
    return make_plan(model, kernels, folder).plan  # type: ignore[arg-type]


def test_every_input_has_its_type_shape_and_range(tmp_path: Path) -> None:
    """Indices stay inside the smallest table that they reach, through reshapes too; compared classes all occur."""
    inputs = make_inputs(plan_of(tmp_path))
    assert {name: (value.dtype.name, value.shape) for name, value in inputs.items()} == {
        "floats": ("float32", (COUNT,)),
        "truths": ("bool", (COUNT,)),
        "numbers": ("int64", (COUNT,)),
        "indices": ("int64", (COUNT,)),
        "classes": ("int32", (COUNT,)),
    }
    assert abs(inputs["floats"].mean()) < 0.2
    assert 0.8 < inputs["floats"].std() < 1.2
    assert set(inputs["truths"].tolist()) == {True, False}
    assert set(inputs["numbers"].tolist()) == {0, 1}
    assert set(inputs["indices"].tolist()) == set(range(5))
    assert set(inputs["classes"].tolist()) == set(range(7))


def test_the_seed_decides(tmp_path: Path) -> None:
    """The same seed gives the same numbers, another one others."""
    plan = plan_of(tmp_path)
    first, again, other = make_inputs(plan, 3), make_inputs(plan, 3), make_inputs(plan, 4)
    for name in ("floats", "truths", "indices"):
        np.testing.assert_array_equal(first[name], again[name])
        assert not np.array_equal(first[name], other[name])
