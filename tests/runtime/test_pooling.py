"""Pooling against onnxruntime: what lies outside is ignored, or counted, as ONNX says."""

from __future__ import annotations

import numpy as np
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


@given(st.data())
def test_pooling_cut_along_any_loop(data: st.DataObject) -> None:
    """Halos, pads, strides, dilations; maxima of negative numbers and averages near the edge."""
    maximum = data.draw(st.booleans())
    spatial = data.draw(st.integers(1, 2))
    window = [data.draw(st.integers(1, 3)) for _ in range(spatial)]
    strides = [data.draw(st.integers(1, 3)) for _ in range(spatial)]
    dilations = [data.draw(st.integers(1, 2)) if maximum else 1 for _ in range(spatial)]
    reach = [(size - 1) * dilation for size, dilation in zip(window, dilations, strict=True)]
    begins = [data.draw(st.integers(0, size - 1)) for size in window]
    ends = [data.draw(st.integers(0, size - 1)) for size in window]
    shape = [data.draw(st.integers(most + 1, most + 7)) for most in reach]
    padded = data.draw(st.booleans())
    extents = {"n": data.draw(st.integers(1, 2)), "c": data.draw(st.integers(1, 4))}
    for i in range(spatial):
        extents[f"d{i}"] = (shape[i] + begins[i] + ends[i] - reach[i] - 1) // strides[i] + 1
    x = normal(1, extents["n"], extents["c"], *shape) - 3
    attributes = {"dilations": dilations} if maximum else {"count_include_pad": int(padded)}
    node = helper.make_node(
        "MaxPool" if maximum else "AveragePool",
        ["x"],
        ["y"],
        kernel_shape=window,
        strides=strides,
        pads=[*begins, *ends],
        **attributes,
    )
    kernel = make_kernel(
        "k",
        "pooling",
        data.draw(loops_of(extents)),
        [
            Operand(
                "x",
                "x",
                "float32",
                (
                    reading(extents["n"], "n"),
                    reading(extents["c"], "c"),
                    *(
                        reading(shape[i], f"d{i}", scale=strides[i], offset=-begins[i], reach=reach[i] + 1)
                        for i in range(spatial)
                    ),
                ),
            )
        ],
        Operand("", "y", "float32", tuple(reading(size, name) for name, size in extents.items())),
        arguments={
            "mode": "max" if maximum else "average",
            "window": tuple(window),
            "strides": tuple(strides),
            "dilations": tuple(dilations),
            "pads_begin": tuple(begins),
            "pads_end": tuple(ends),
            "count_include_pad": padded,
        },
    )
    assert_same_as_onnxruntime(make_model([node], {"x": x}, ["y"]), [kernel], {"x": x})


def test_maximum_of_bytes() -> None:
    """The least value of the type stands outside, not an infinity."""
    extents = {"n": 1, "c": 1, "d0": 6}
    x = np.arange(1, 7, dtype=np.uint8).reshape(1, 1, 6)
    node = helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3], pads=[1, 1])
    for parts in (1, 4):
        loops = Loops(extents, {"n": 1, "c": 1, "d0": parts}, ("n", "c", "d0"))
        kernel = make_kernel(
            "k",
            "pooling",
            loops,
            [
                Operand(
                    "x",
                    "x",
                    "uint8",
                    (reading(1, "n"), reading(1, "c"), reading(6, "d0", offset=-1, reach=3)),
                )
            ],
            Operand("", "y", "uint8", (reading(1, "n"), reading(1, "c"), reading(6, "d0"))),
            arguments={
                "mode": "max",
                "window": (3,),
                "strides": (1,),
                "dilations": (1,),
                "pads_begin": (1,),
                "pads_end": (1,),
                "count_include_pad": False,
            },
        )
        assert_same_as_onnxruntime(make_model([node], {"x": x}, ["y"]), [kernel], {"x": x}, 0)
