"""Convolution kernels against onnxruntime, over random shapes and every way of cutting their loops."""

from __future__ import annotations

from itertools import product
from typing import Any

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


@st.composite
def convolutions(draw: st.DrawFn, *, transposed: bool = False) -> tuple[dict[str, Any], Loops]:
    """Arguments of a convolution, and a cut of its loops."""
    spatial = draw(st.integers(1, 2))
    window = tuple(draw(st.integers(1, 3)) for _ in range(spatial))
    strides = tuple(draw(st.integers(1, 3)) for _ in range(spatial))
    dilations = tuple(draw(st.integers(1, 2)) for _ in range(spatial))
    reach = [(size - 1) * dilation for size, dilation in zip(window, dilations, strict=True)]
    begins = tuple(draw(st.integers(0, min(2, most))) for most in reach)
    ends = tuple(draw(st.integers(0, min(2, most))) for most in reach)
    shape = tuple(draw(st.integers(most + 1, most + 7)) for most in reach)
    if transposed:
        sizes = [
            (size - 1) * stride + most + 1 - begin - end
            for size, stride, most, begin, end in zip(shape, strides, reach, begins, ends, strict=True)
        ]
    else:
        sizes = [
            (size + begin + end - most - 1) // stride + 1
            for size, stride, most, begin, end in zip(shape, strides, reach, begins, ends, strict=True)
        ]
    extents = {name: draw(st.integers(1, most)) for name, most in (("n", 2), ("g", 3), ("k", 5), ("c", 6))}
    extents |= {f"d{i}": size for i, size in enumerate(sizes)}
    arguments = {"window": window, "strides": strides, "dilations": dilations, "pads": begins}
    return {
        "arguments": arguments,
        "shape": shape,
        "ends": ends,
        "bias": draw(st.booleans()),
        "relu": draw(st.booleans()),
    }, draw(loops_of(extents))


def readings(case: dict[str, Any], *, transposed: bool) -> list[Any]:
    """What a position of each spatial loop needs of the input."""
    arguments = case["arguments"]
    result = []
    for i, (window, stride, dilation, pad) in enumerate(
        zip(*(arguments[name] for name in ("window", "strides", "dilations", "pads")), strict=True)
    ):
        reach = (window - 1) * dilation
        if transposed:
            terms = {"offset": pad - reach, "divisor": stride, "reach": reach + 1}
        else:
            terms = {"scale": stride, "offset": -pad, "reach": reach + 1}
        result.append(reading(case["shape"][i], f"d{i}", **terms))
    return result


def check(
    case: dict[str, Any], loops: Loops, *, transposed: bool, tolerance: float = 1e-5, dtype: str = "float32"
) -> None:
    """One convolution, executed in shards and by onnxruntime."""
    n, g, k, c = (loops.extents[name] for name in "ngkc")
    arguments = case["arguments"]
    outer = [name for name in loops.extents if name.startswith("d")]
    order = "gck" if transposed else "gkc"
    rows = (g * c, k) if transposed else (g * k, c)
    x = normal(1, n, g * c, *case["shape"], dtype=dtype)
    weights = {"w": normal(2, *rows, *arguments["window"], dtype=dtype)}
    if case["bias"]:
        weights["bias"] = normal(3, g * k, dtype=dtype)
    node = helper.make_node(
        "ConvTranspose" if transposed else "Conv",
        ["x", *weights],
        ["y"],
        group=g,
        strides=arguments["strides"],
        dilations=arguments["dilations"],
        pads=[*arguments["pads"], *case["ends"]],
    )
    operands = [
        Operand(
            "x",
            "x",
            dtype,
            (*(reading(loops.extents[i], i) for i in "ngc"), *readings(case, transposed=transposed)),
        ),
        Operand(
            "w",
            "w",
            dtype,
            (*(reading(loops.extents[i], i) for i in order), *map(reading, arguments["window"])),
        ),
    ]
    if case["bias"]:
        operands.append(Operand("bias", "bias", dtype, (reading(g, "g"), reading(k, "k"))))
    output = Operand("", "y", dtype, tuple(reading(loops.extents[i], i) for i in ("n", "g", "k", *outer)))
    kind = "transposed_convolution" if transposed else "convolution"
    kernel = make_kernel(
        "k", kind, loops, operands, output, arguments=arguments, constants=tuple(weights), reduced="c"
    )
    assert_same_as_onnxruntime(make_model([node], {"x": x}, ["y"], weights), [kernel], {"x": x}, tolerance)


@given(convolutions())
def test_convolution_cut_along_any_loop(case: tuple[dict[str, Any], Loops]) -> None:
    """Halos, ragged blocks, groups, dilation and partial sums over channels give what onnxruntime gives."""
    check(*case, transposed=False)


@given(convolutions(transposed=True))
def test_transposed_convolution_cut_along_any_loop(case: tuple[dict[str, Any], Loops]) -> None:
    """Blocks that begin anywhere between two strides receive the taps that meet them."""
    check(*case, transposed=True)


def test_depthwise_convolution() -> None:
    """One channel for each group, groups and rows cut."""
    extents = {"n": 1, "g": 10, "k": 1, "c": 1, "d0": 9, "d1": 7}
    split = {"n": 1, "g": 4, "k": 1, "c": 1, "d0": 2, "d1": 3}
    case = {
        "arguments": {"window": (3, 3), "strides": (1, 2), "dilations": (1, 1), "pads": (1, 1)},
        "shape": (9, 14),
        "ends": (1, 1),
        "bias": True,
    }
    for order in (("g", "d0", "d1"), ("d1", "g", "d0")):
        check(case, Loops(extents, split, (*order, "n", "k", "c")), transposed=False)


def test_narrow_floats_are_accumulated_in_float32() -> None:
    """A sum of 512 products in float16 is rounded once, not 512 times."""
    extents = {"n": 1, "g": 1, "k": 2, "c": 512, "d0": 4}
    case = {
        "arguments": {"window": (1,), "strides": (1,), "dilations": (1,), "pads": (0,)},
        "shape": (4,),
        "ends": (0,),
        "bias": False,
    }
    for cut in product((1, 2), (1, 7)):
        loops = Loops(
            extents, {"n": 1, "g": 1, "k": cut[0], "c": cut[1], "d0": 1}, ("c", "k", "n", "g", "d0")
        )
        check(case, loops, transposed=False, tolerance=2e-2, dtype="float16")
