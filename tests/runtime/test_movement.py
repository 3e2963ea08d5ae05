"""Data movement against onnxruntime: exact, whatever is cut."""

from __future__ import annotations

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

from wsec.runtime.kernels import BLOCK_PROGRAMS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from plan_records import Array, Reading

    from wsec.compiler.plan import Argument

SHAPES = st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple)


def outputs_of(shape: Sequence[int]) -> dict[str, int]:
    """One loop for each dimension of the output."""
    return {f"d{i}": size for i, size in enumerate(shape)}


def check(
    data: st.DataObject,
    node: tuple[str, dict[str, Any]],
    kind: str,
    *,
    arrays: dict[str, Array],
    views: Mapping[str, Sequence[Reading]],
    shape: Sequence[int],
    arguments: dict[str, Argument],
    weights: dict[str, Array] | None = None,
) -> None:
    """One operator that moves the arrays into an output of that shape, whose loops are cut in any way."""
    extents = outputs_of(shape)
    dtype = next(iter(arrays.values())).dtype.name
    kernel = make_kernel(
        "k",
        kind,
        data.draw(loops_of(extents)),
        [Operand(role, role, arrays[role].dtype.name, tuple(view)) for role, view in views.items()],
        Operand("", "y", dtype, tuple(reading(size, name) for name, size in extents.items())),
        arguments=arguments,
    )
    made = helper.make_node(node[0], [*arrays, *(weights or {})], ["y"], **node[1])
    model = make_model([made], arrays, ["y"], weights)
    assert_same_as_onnxruntime(model, [kernel], arrays, 0)


@given(st.data(), SHAPES)
def test_transpose(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """Any permutation."""
    perm = tuple(data.draw(st.permutations(range(len(shape)))))
    view = [reading(size, f"d{perm.index(i)}") for i, size in enumerate(shape)]
    out = [shape[axis] for axis in perm]
    check(
        data,
        ("Transpose", {"perm": perm}),
        "transpose",
        arrays={"x": normal(1, *shape)},
        views={"x": view},
        shape=out,
        arguments={"perm": perm},
    )


@given(st.data(), SHAPES)
def test_reshape(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """Elements keep their row-major number."""
    out = (
        (int(np.prod(shape[:-1], dtype=int)), shape[-1])
        if data.draw(st.booleans())
        else (int(np.prod(shape)),)
    )
    view = [reading(size, f"d{i}") for i, size in enumerate(out)]
    weights = {"s": np.array(out, dtype=np.int64)}
    check(
        data,
        ("Reshape", {}),
        "reshape",
        arrays={"x": normal(1, *shape)},
        views={"x": view},
        shape=out,
        arguments={},
        weights=weights,
    )


@given(st.data(), SHAPES)
def test_slice_with_any_step(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """Steps forwards and backwards, from any start; blocks of reversed dimensions are held in rising order."""
    steps = tuple(data.draw(st.sampled_from((1, 2, 3, -1, -2))) for _ in shape)
    starts = tuple(data.draw(st.integers(0, size - 1)) for size in shape)
    most = [
        (size - 1 - start) // step + 1 if step > 0 else start // -step + 1
        for size, start, step in zip(shape, starts, steps, strict=True)
    ]
    out = [data.draw(st.integers(1, count)) for count in most]
    ends = [start + step * count for start, step, count in zip(starts, steps, out, strict=True)]
    ends = [end if end >= 0 else -(10**6) for end in ends]
    view = [reading(size, f"d{i}", scale=steps[i], offset=starts[i]) for i, size in enumerate(shape)]
    weights = {
        name: np.array(values, dtype=np.int64)
        for name, values in (
            ("starts", starts),
            ("ends", ends),
            ("axes", range(len(shape))),
            ("steps", steps),
        )
    }
    arguments: dict[str, Argument] = {"starts": starts, "steps": steps}
    check(
        data,
        ("Slice", {}),
        "slice",
        arrays={"x": normal(1, *shape)},
        views={"x": view},
        shape=out,
        arguments=arguments,
        weights=weights,
    )


@given(st.data(), SHAPES)
def test_pad_and_crop(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """A constant around the tensor; negative pads take away."""
    begins = tuple(data.draw(st.integers(1 - size if size > 1 else 0, 3)) for size in shape)
    ends = tuple(data.draw(st.integers(0, 3)) for _ in shape)
    out = [size + begin + end for size, begin, end in zip(shape, begins, ends, strict=True)]
    view = [reading(size, f"d{i}", offset=-begins[i]) for i, size in enumerate(shape)]
    weights: dict[str, Array] = {
        "pads": np.array([*begins, *ends], dtype=np.int64),
        "value": np.array(2.5, dtype=np.float32),
    }
    arguments: dict[str, Argument] = {"mode": "constant", "pads_begin": begins, "value": 2.5}
    check(
        data,
        ("Pad", {}),
        "pad",
        arrays={"x": normal(1, *shape)},
        views={"x": view},
        shape=out,
        arguments=arguments,
        weights=weights,
    )


@given(st.data(), SHAPES)
def test_concat(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """Cores whose block lies across the joint of two inputs take from both."""
    axis = data.draw(st.integers(0, len(shape) - 1))
    sizes = data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    offsets = tuple(sum(sizes[:i]) for i in range(len(sizes)))
    shapes = [tuple(size if i == axis else old for i, old in enumerate(shape)) for size in sizes]
    arrays = {f"x{i}": normal(i, *part) for i, part in enumerate(shapes)}
    views = {
        f"x{i}": [
            reading(size, f"d{j}", offset=-offsets[i] if j == axis else 0) for j, size in enumerate(part)
        ]
        for i, part in enumerate(shapes)
    }
    out = tuple(sum(sizes) if i == axis else old for i, old in enumerate(shape))
    arguments: dict[str, Argument] = {"axis": axis, "offsets": offsets}
    check(
        data, ("Concat", {"axis": axis}), "concat", arrays=arrays, views=views, shape=out, arguments=arguments
    )


@given(st.data(), SHAPES)
def test_expand(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """Dimensions of extent 1 are repeated."""
    out = tuple(data.draw(st.integers(1, 6)) if size == 1 else size for size in shape)
    view = [reading(size, f"d{i}" if size == out[i] else "") for i, size in enumerate(shape)]
    weights = {"s": np.array(out, dtype=np.int64)}
    check(
        data,
        ("Expand", {}),
        "expand",
        arrays={"x": normal(1, *shape)},
        views={"x": view},
        shape=out,
        arguments={},
        weights=weights,
    )


@given(st.data(), SHAPES)
def test_gather_cut_along_any_loop(data: st.DataObject, shape: tuple[int, ...]) -> None:
    """Rows come from the core that holds them; negative indices count from the end."""
    axis = data.draw(st.integers(0, len(shape) - 1))
    index_shape = tuple(data.draw(st.lists(st.integers(1, 4), max_size=2)))
    table = data.draw(st.sampled_from(("float32", "int64")))
    indices = np.random.default_rng(1).integers(-shape[axis], shape[axis], index_shape)
    names = [f"p{i}" for i in range(axis)], [f"q{i}" for i in range(len(shape) - axis - 1)]
    inner = [f"i{i}" for i in range(len(index_shape))]
    extents = dict(zip([*names[0], "v", *names[1]], shape, strict=True))
    extents |= dict(zip(inner, index_shape, strict=True))
    views = {"x": [*names[0], "v", *names[1]], "indices": inner}
    arrays = {
        "x": np.random.default_rng(2).integers(-9, 9, shape).astype(table),
        "indices": np.asarray(indices, dtype=np.int64),
    }
    kernel = make_kernel(
        "k",
        "gather",
        data.draw(loops_of(extents)),
        [
            Operand(role, role, arrays[role].dtype.name, tuple(reading(extents[i], i) for i in view))
            for role, view in views.items()
        ],
        Operand("", "y", table, tuple(reading(extents[i], i) for i in (*names[0], *inner, *names[1]))),
        arguments={"axis": axis, "extent": shape[axis]},
        reduced="v",
    )
    model = make_model([helper.make_node("Gather", list(arrays), ["y"], axis=axis)], arrays, ["y"])
    assert_same_as_onnxruntime(model, [kernel], arrays, 0)


@given(
    st.data(),
    st.sampled_from(
        ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners", "half_pixel_symmetric")
    ),
    st.sampled_from(("floor", "ceil", "round_prefer_floor", "round_prefer_ceil", "linear")),
)
def test_resize_cut_along_any_loop(data: st.DataObject, coordinates: str, rounding: str) -> None:
    """Enlarging and reducing by any factor, for all coordinate and rounding rules."""
    shape = (1, 2, data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6)))
    out = (1, 2, data.draw(st.integers(1, 9)), data.draw(st.integers(1, 9)))
    mode = "linear" if rounding == "linear" else "nearest"
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    if mode == "nearest":
        attributes["nearest_mode"] = rounding
    view = [
        reading(size, f"d{i}")
        if size == out[i]
        else reading(size, f"d{i}", scale=size, offset=-3 * size, divisor=out[i], reach=7 * size)
        for i, size in enumerate(shape)
    ]
    x = normal(1, *shape)
    extents = outputs_of(out)
    kernel = make_kernel(
        "k",
        "resize",
        data.draw(loops_of(extents)),
        [Operand("x", "x", "float32", tuple(view))],
        Operand("", "y", "float32", tuple(reading(size, name) for name, size in extents.items())),
        arguments={
            "mode": mode,
            "coordinates": coordinates,
            "nearest": rounding,
            "scales": tuple(new / old for new, old in zip(out, shape, strict=True)),
            "input_shape": shape,
            "output_shape": out,
        },
    )
    node = helper.make_node("Resize", ["x", "", "", "sizes"], ["y"], **attributes)
    model = make_model([node], {"x": x}, ["y"], {"sizes": np.array(out, dtype=np.int64)})
    assert_same_as_onnxruntime(model, [kernel], {"x": x}, 1e-5)


def test_a_block_that_holds_too_little_is_poison() -> None:
    """A record whose input blocks are too short gives NaN, not a wrong number that passes."""
    loops = Loops({"d0": 8}, {"d0": 2}, ("d0",))
    kernel = make_kernel(
        "k",
        "slice",
        loops,
        [Operand("x", "x", "float32", (reading(9, "d0"),))],
        Operand("", "y", "float32", (reading(8, "d0"),)),
        arguments={"starts": (1,), "steps": (1,)},
    )
    result = BLOCK_PROGRAMS["slice"].compute(kernel, {"x": np.arange(8, dtype=np.float32).reshape(2, 4)})
    np.testing.assert_array_equal(result, [[1, 2, 3, np.nan], [5, 6, 7, np.nan]])


@pytest.mark.parametrize("argument", ["coordinates", "nearest"])
def test_resize_refuses_rules_it_does_not_know(argument: str) -> None:
    """A rule that is not in the contract is an error, not a guess."""
    arguments: dict[str, Argument] = {
        "mode": "nearest",
        "coordinates": "half_pixel",
        "nearest": "floor",
        "scales": (2.0,),
        "input_shape": (2,),
        "output_shape": (4,),
    }
    kernel = make_kernel(
        "k",
        "resize",
        Loops({"d0": 4}, {"d0": 1}, ("d0",)),
        [Operand("x", "x", "float32", (reading(2),))],
        Operand("", "y", "float32", (reading(4, "d0"),)),
        arguments=arguments | {argument: "by_taste"},
    )
    with pytest.raises(ValueError, match="by_taste"):
        BLOCK_PROGRAMS["resize"].compute(kernel, {"x": np.zeros(2, dtype=np.float32)})
