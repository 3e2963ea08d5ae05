"""Kernels that only move data: gather, transpose, reshape, slice, pad, concat, expand and resize."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING

from wsec.compiler.kernels.loop_nest import (
    DimensionMap,
    Loop,
    LoopNest,
    LoopRole,
    Operand,
    Work,
    fixed,
    follows,
)
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, operand, shape_of
from wsec.compiler.kernels.rearrangement import make_depth_and_space, make_tile, walks_of_transpose

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wsec.compiler.plan import Argument

_ROUNDING = 1e-5


def _nest(
    operator: OperatorView,
    kind: str,
    loops: tuple[Loop, ...],
    inputs: tuple[Operand, ...],
    arguments: dict[str, Argument],
) -> LoopNest:
    result = operand("result", operator.output, tuple(map(follows, loops)))
    work = Work(tuple(loop.name for loop in loops), operations=1, dtype=result.dtype)
    return LoopNest(kind, (operator.name,), loops, inputs, (result,), arguments, work)


def _output_loops(operator: OperatorView) -> tuple[Loop, ...]:
    shape = shape_of(operator.output)
    if 0 in shape:
        raise Unsplittable("its result is empty")
    return tuple(Loop(f"d{i}", extent) for i, extent in enumerate(shape))


def make_gather(operator: OperatorView) -> LoopNest:
    """The loop nest of a Gather node: the gathered dimension is a reduction loop, each part adds the rows it holds."""
    x, indices = shape_of(operator.input(0)), shape_of(operator.input(1))
    axis = operator.integer("axis", 0) % len(x)
    summable = str(operator.input(0).dtype) not in ("BOOL", "STRING")
    before = tuple(Loop(f"p{i}", extent) for i, extent in enumerate(x[:axis]))
    rows = Loop("v", x[axis], LoopRole.REDUCTION, cuttable=summable)
    inner = tuple(Loop(f"i{i}", extent) for i, extent in enumerate(indices))
    after = tuple(Loop(f"q{i}", extent) for i, extent in enumerate(x[axis + 1 :]))
    loops = (*before, rows, *inner, *after)
    if 0 in (loop.extent for loop in loops):
        raise Unsplittable("it has an empty dimension")
    result = operand("result", operator.output, tuple(map(follows, (*before, *inner, *after))))
    return LoopNest(
        kind="gather",
        operators=(operator.name,),
        loops=loops,
        inputs=(
            operator.operand("x", 0, tuple(map(follows, (*before, rows, *after)))),
            operator.operand("indices", 1, tuple(map(follows, inner))),
        ),
        outputs=(result,),
        arguments={"axis": axis, "extent": x[axis]},
        work=Work(
            tuple(loop.name for loop in (*before, *inner, *after)),
            operations=1,
            dtype=result.dtype,
            walks=tuple(tuple(loop.name for loop in part) for part in (before, inner, after)),
            row=True,
        ),
        further_work=(Work(tuple(loop.name for loop in inner), operations=4, dtype=result.dtype),),  # rows
    )


def make_transpose(operator: OperatorView) -> LoopNest:
    """The loop nest of a Transpose node, or of one that is a transpose in another view."""
    if operator.op_type != "Transpose":
        return make_depth_and_space(operator)
    rank = len(shape_of(operator.input(0)))
    perm = operator.integers("perm", tuple(reversed(range(rank))))
    loops = _output_loops(operator)
    maps = tuple(follows(loops[perm.index(i)]) for i in range(rank))
    nest = _nest(operator, "transpose", loops, (operator.operand("x", 0, maps),), {"perm": perm})
    return replace(nest, work=replace(nest.work, walks=walks_of_transpose(loops, perm)))


def make_reshape(operator: OperatorView) -> LoopNest:
    """The loop nest of a Reshape or Identity node: its input is brought in the view of its output."""
    loops = _output_loops(operator)
    return _nest(operator, "reshape", loops, (operator.operand("x", 0, tuple(map(follows, loops))),), {})


def make_slice(operator: OperatorView) -> LoopNest:
    """The loop nest of a Slice node with constant bounds."""
    x = shape_of(operator.input(0))
    starts, axes, steps = _slice_bounds(operator, len(x))
    loops = _output_loops(operator)
    begin, stride = [0] * len(x), [1] * len(x)
    for start, axis, step in zip(starts, axes, steps, strict=True):
        extent = x[axis]
        clamped = start + extent if start < 0 else start
        begin[axis] = min(max(clamped, 0), extent if step > 0 else extent - 1)
        stride[axis] = step
    maps = tuple(DimensionMap(x[i], loops[i].name, stride[i], begin[i]) for i in range(len(x)))
    arguments: dict[str, Argument] = {"starts": tuple(begin), "steps": tuple(stride)}
    return _nest(operator, "slice", loops, (operator.operand("x", 0, maps),), arguments)


def _slice_bounds(
    operator: OperatorView, rank: int
) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    starts = operator.constant_integers(1)
    axes = operator.constant_integers(3) if operator.has_input(3) else tuple(range(len(starts)))
    steps = operator.constant_integers(4) if operator.has_input(4) else (1,) * len(starts)
    return starts, tuple(axis % rank for axis in axes), steps


def make_pad(operator: OperatorView) -> LoopNest:
    """The loop nest of a Pad node; negative pads crop, in mode constant."""
    mode = operator.text("mode", "constant")
    x, output = shape_of(operator.input(0)), shape_of(operator.output)
    pads = operator.constant_integers(1)
    axes = operator.constant_integers(3) if operator.has_input(3) else tuple(range(len(x)))
    begins = [0] * len(x)
    for position, axis in enumerate(axes):
        begins[axis % len(x)] = pads[position]
    value = 0.0
    if mode == "constant" and operator.has_input(2):
        value = float(operator.constant(2).reshape(-1)[0])
    loops = _output_loops(operator)
    maps = tuple(
        _padded(mode, x[i], begins[i], output[i] - x[i] - begins[i], loop) for i, loop in enumerate(loops)
    )
    arguments: dict[str, Argument] = {"mode": mode, "pads_begin": tuple(begins), "value": value}
    return _nest(operator, "pad", loops, (operator.operand("x", 0, maps),), arguments)


def _padded(mode: str, extent: int, begin: int, end: int, loop: Loop) -> DimensionMap:
    """What a range of padded positions reads.

    Beside the elements under it, those that lie as far inside the tensor as the range may reach out of it: a mirror
    image of `pad` elements is read up to `2 pad` from its position, the nearest edge up to `pad`. Wrapping reads the
    other end, so that the dimension is needed whole.
    """
    if mode == "constant":
        return DimensionMap(extent, loop.name, offset=-begin)
    if min(begin, end) < 0 or (mode == "reflect" and max(begin, end) >= extent):
        raise Unsplittable(f"mode {mode} with pads {begin} and {end}")
    if begin == end == 0:
        return follows(loop)
    times = 2 if mode == "reflect" else 1
    if mode == "wrap" or times * (begin + end) >= extent:
        return fixed(extent)
    return DimensionMap(extent, loop.name, offset=-begin - times * end, reach=1 + times * (begin + end))


def make_concat(operator: OperatorView) -> LoopNest:
    """The loop nest of a Concat node."""
    loops = _output_loops(operator)
    axis = operator.integer("axis", 0) % len(loops)
    offsets, inputs, position = [], [], 0
    for index in range(len(operator.node.inputs)):
        extent = shape_of(operator.input(index))[axis]
        maps = tuple(
            DimensionMap(extent, loop.name, offset=-position) if i == axis else follows(loop)
            for i, loop in enumerate(loops)
        )
        inputs.append(operator.operand(f"x{index}", index, maps))
        offsets.append(position)
        position += extent
    return _nest(operator, "concat", loops, tuple(inputs), {"axis": axis, "offsets": tuple(offsets)})


def make_expand(operator: OperatorView) -> LoopNest:
    """The loop nest of an Expand node, or of Tile, which is one in another view."""
    if operator.op_type == "Tile":
        return make_tile(operator)
    loops = _output_loops(operator)
    x = shape_of(operator.input(0))
    padded = (1,) * (len(loops) - len(x)) + x
    maps = tuple(
        follows(loop) if extent == loop.extent else fixed(1)
        for loop, extent in zip(loops, padded, strict=True)
    )
    nest = _nest(operator, "expand", loops, (operator.operand("x", 0, maps),), {})
    runs = groupby(zip(loops, maps, strict=True), lambda pair: bool(pair[1].loop))
    walks = tuple(tuple(loop.name for loop, _ in run) for _, run in runs)
    return replace(nest, work=replace(nest.work, walks=walks))


def make_resize(operator: OperatorView) -> LoopNest:
    """The loop nest of a Resize node, modes nearest and linear.

    Output position `o` reads near `o * input / output`; every coordinate transformation of ONNX stays within
    `input / output + 2` elements of it.
    """
    x, output = shape_of(operator.input(0)), shape_of(operator.output)
    mode = operator.text("mode", "nearest")
    coordinates = operator.text("coordinate_transformation_mode", "half_pixel")
    _refuse_resize(operator, mode, coordinates)
    scales = _scales(operator, x, output)
    if coordinates == "align_corners" and not _whole(x, scales):
        raise Unsplittable("align_corners with scales that give no whole sizes")
    loops = _output_loops(operator)
    maps = []
    for i, loop in enumerate(loops):
        if x[i] == output[i]:
            maps.append(follows(loop))
            continue
        margin = -(-x[i] // output[i]) + 2
        maps.append(
            DimensionMap(
                x[i], loop.name, x[i], -margin * output[i], output[i], (2 * margin + 1) * output[i] + x[i]
            )
        )
    arguments: dict[str, Argument] = {
        "mode": mode,
        "coordinates": coordinates,
        "nearest": operator.text("nearest_mode", "round_prefer_floor"),
        "scales": scales,
        "input_shape": x,
        "output_shape": output,
    }
    nest = _nest(operator, "resize", loops, (operator.operand("x", 0, tuple(maps)),), arguments)
    if mode == "nearest":
        return nest
    resized = [i for i in range(len(x)) if x[i] != output[i]]
    return replace(nest, further_work=tuple(_blends(loops, maps, resized, nest.work.dtype)))


def _blends(
    loops: Sequence[Loop], maps: Sequence[DimensionMap], resized: Sequence[int], dtype: str
) -> Iterator[Work]:
    """One resized dimension after the other: two copies of neighbours, their products with shares along it, and their sum.

    Dimensions that are resized later are as long as they lie in the input.
    """
    names = tuple(loop.name for loop in loops)
    for i in resized:
        unread = tuple(maps[later] for later in resized if later > i)
        yield Work(names, operations=3, dtype=dtype, unread=unread)
        walks = tuple(walk for walk in (names[:i], names[i : i + 1], names[i + 1 :]) if walk)
        yield Work(names, operations=2, dtype=dtype, unread=unread, walks=walks)


def _refuse_resize(operator: OperatorView, mode: str, coordinates: str) -> None:
    if mode not in ("nearest", "linear"):
        raise Unsplittable(f"mode {mode}")
    if coordinates not in ("half_pixel", "pytorch_half_pixel", "asymmetric", "align_corners"):
        raise Unsplittable(f"coordinate_transformation_mode {coordinates}")
    if (
        operator.integer("antialias", 0)
        or operator.integer("exclude_outside", 0)
        or "axes" in operator.node.attributes
    ):
        raise Unsplittable("antialias, exclude_outside or axes is set")
    if operator.text("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsplittable("keep_aspect_ratio_policy is set")


def _whole(x: tuple[int, ...], scales: tuple[float, ...]) -> bool:
    """Whether scales give whole sizes, but for the rounding of whoever wrote them down."""
    sizes = [extent * scale for extent, scale in zip(x, scales, strict=True)]
    return all(abs(size - round(size)) < _ROUNDING * size for size in sizes)


def _scales(operator: OperatorView, x: tuple[int, ...], output: tuple[int, ...]) -> tuple[float, ...]:
    if operator.has_input(2):
        given = tuple(float(item) for item in operator.constant(2).reshape(-1))
        if len(given) == len(x):
            return given
    return tuple(out / extent for out, extent in zip(output, x, strict=True))
