"""Reductions, softmax and normalizations against onnxruntime, reduced loops cut and not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper
from plan_records import (
    Loops,
    Operand,
    assert_same_as_onnxruntime,
    loops_of,
    make_kernel,
    make_model,
    normal,
    reading,
)

if TYPE_CHECKING:
    from wsec.compiler.plan import Kernel

OPERATORS = {
    "sum": "ReduceSum",
    "mean": "ReduceMean",
    "max": "ReduceMax",
    "min": "ReduceMin",
    "prod": "ReduceProd",
    "l1": "ReduceL1",
    "l2": "ReduceL2",
    "log_sum": "ReduceLogSum",
    "log_sum_exp": "ReduceLogSumExp",
    "sum_square": "ReduceSumSquare",
}


def extents_of(shape: tuple[int, ...]) -> dict[str, int]:
    """One loop for each dimension."""
    return {f"d{i}": size for i, size in enumerate(shape)}


def all_of(extents: dict[str, int], dtype: str, tensor: str, role: str = "x") -> Operand:
    """An operand that follows all the loops."""
    return Operand(role, tensor, dtype, tuple(reading(size, name) for name, size in extents.items()))


def check_reduction(
    loops: Loops, x: Any, operation: str, axes: tuple[int, ...], *, keep: bool, tolerance: float = 1e-5
) -> None:
    """One reduction, executed in shards and by onnxruntime."""
    dtype = x.dtype.name
    node = helper.make_node(OPERATORS[operation], ["x", "axes"], ["y"], keepdims=int(keep))
    view = [
        reading(1) if i in axes else reading(size, name)
        for i, (name, size) in enumerate(loops.extents.items())
        if keep or i not in axes
    ]
    kernel = make_kernel(
        "k",
        "reduction",
        loops,
        [all_of(loops.extents, dtype, "x")],
        Operand("", "y", dtype, tuple(view)),
        arguments={
            "operation": operation,
            "axes": axes,
            "keepdims": keep,
            "count": math.prod(x.shape[axis] for axis in axes),
        },
        reduced=[f"d{axis}" for axis in axes],
    )
    model = make_model([node], {"x": x}, ["y"], {"axes": np.array(axes, dtype=np.int64)})
    assert_same_as_onnxruntime(model, [kernel], {"x": x}, tolerance)


@given(st.data(), st.sampled_from(sorted(OPERATORS)))
def test_reductions_cut_along_any_loop(data: st.DataObject, operation: str) -> None:
    """What lies outside a ragged block is the neutral element of the operation."""
    shape = tuple(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    axes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    x = normal(1, *shape)
    if operation == "log_sum":
        x = np.abs(x) + np.float32(0.1)
    if operation == "log_sum_exp":
        x *= np.float32(100)
    loops = data.draw(loops_of(extents_of(shape)))
    check_reduction(loops, x, operation, axes, keep=data.draw(st.booleans()))


@pytest.mark.parametrize("operation", ["sum", "mean", "max", "min", "prod", "l1", "sum_square"])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_reductions_of_whole_numbers(operation: str, dtype: str) -> None:
    """Exact; a mean is rounded towards zero."""
    x = np.random.default_rng(0).integers(-5, 5, (3, 7)).astype(dtype)
    x[x == 0] = 1
    for parts in (1, 4):
        loops = Loops(extents_of((3, 7)), {"d0": 1, "d1": parts}, ("d0", "d1"))
        check_reduction(loops, x, operation, (1,), keep=True, tolerance=0)


@given(st.data(), st.booleans())
def test_softmax_cut_along_any_loop(data: st.DataObject, logarithm: bool) -> None:  # noqa: FBT001 - drawn
    """Maximum and sum are taken over all cores along the axis; large numbers do not overflow."""
    shape = tuple(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = normal(1, *shape) * np.float32(data.draw(st.sampled_from((1, 200))))
    extents = extents_of(shape)
    node = helper.make_node("LogSoftmax" if logarithm else "Softmax", ["x"], ["y"], axis=axis)
    kernel = make_kernel(
        "k",
        "softmax",
        data.draw(loops_of(extents)),
        [all_of(extents, "float32", "x")],
        all_of(extents, "float32", "y"),
        arguments={"axis": axis, "log": logarithm},
    )
    assert_same_as_onnxruntime(make_model([node], {"x": x}, ["y"]), [kernel], {"x": x})


def normalization(
    loops: Loops, views: dict[str, list[str]], axes: tuple[int, ...], *, centred: bool = True
) -> Kernel:
    """The record of a normalization; a parameter follows the loops of its view and is repeated along the others."""
    size = loops.extents
    parameters = [
        Operand(name, name, "float32", tuple(reading(size.get(loop, 1), loop) for loop in view))
        for name, view in views.items()
    ]
    return make_kernel(
        "k",
        "normalization",
        loops,
        [all_of(size, "float32", "x"), *parameters],
        all_of(size, "float32", "y"),
        arguments={
            "axes": axes,
            "epsilon": 1e-3,
            "centred": centred,
            "count": math.prod(list(size.values())[axis] for axis in axes),
        },
        constants=tuple(views),
    )


@given(st.data())
def test_layer_normalization_cut_along_any_loop(data: st.DataObject) -> None:
    """Mean and variance are those of the elements that are there, not of the padding."""
    shape = tuple(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    axis = data.draw(st.integers(0, len(shape) - 1))
    x = normal(1, *shape) + 5
    loops = data.draw(loops_of(extents_of(shape)))
    weights = {"scale": normal(2, *shape[axis:]), "bias": normal(3, *shape[axis:])}
    view = [f"d{i}" if i >= axis else "" for i in range(len(shape))]
    kernel = normalization(loops, {"scale": view, "bias": view}, tuple(range(axis, len(shape))))
    node = helper.make_node("LayerNormalization", ["x", *weights], ["y"], axis=axis, epsilon=1e-3)
    assert_same_as_onnxruntime(make_model([node], {"x": x}, ["y"], weights), [kernel], {"x": x}, 1e-4)


@given(st.data())
def test_instance_normalization_cut_along_any_loop(data: st.DataObject) -> None:
    """Statistics of each channel; scale and bias follow the channels."""
    shape = (
        data.draw(st.integers(1, 2)),
        data.draw(st.integers(1, 5)),
        *data.draw(st.tuples(*[st.integers(1, 6)] * 2)),
    )
    x = normal(1, *shape) + 5
    loops = data.draw(loops_of(extents_of(shape)))
    weights = {"scale": normal(2, shape[1]), "bias": normal(3, shape[1])}
    view = ["", "d1", "", ""]
    kernel = normalization(loops, {"scale": view, "bias": view}, (2, 3))
    node = helper.make_node("InstanceNormalization", ["x", *weights], ["y"], epsilon=1e-3)
    assert_same_as_onnxruntime(make_model([node], {"x": x}, ["y"], weights), [kernel], {"x": x}, 1e-4)


@given(st.data())
def test_rms_normalization_cut_along_any_loop(data: st.DataObject) -> None:
    """Not centred: the mean of the squares, and no bias."""
    shape = data.draw(st.tuples(st.integers(1, 4), st.integers(1, 7)))
    x = normal(1, *shape) + 5
    kernel = normalization(data.draw(loops_of(extents_of(shape))), {"scale": ["", "d1"]}, (1,), centred=False)
    weights = {"scale": normal(2, shape[1])}
    node = helper.make_node("RMSNormalization", ["x", "scale"], ["y"], epsilon=1e-3)
    model = make_model([node], {"x": x}, ["y"], weights, opset=23)
    assert_same_as_onnxruntime(model, [kernel], {"x": x}, 1e-4)
