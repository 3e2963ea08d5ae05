"""Kinds that only move elements: gather, transpose, reshape, slice, pad, concat and expand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.plan_checker.expectation import (
    Expectation,
    Loop,
    Operand,
    Read,
    aligned,
    along,
    broadcast,
    output_loops,
    strided,
)

if TYPE_CHECKING:
    from wsec.compiler.plan import Argument
    from wsec.compiler.plan_checker.model_facts import ModelFacts, OperatorFacts


def expect_gather(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Gather: x [P, v, Q], indices [I]; output [P, I, Q]."""
    x, indices = model.shape(node.input(0)), model.shape(node.input(1))
    axis = node.integer("axis", 0)
    axis = axis + len(x) if axis < 0 else axis
    before = tuple(Loop(f"p{i}", extent) for i, extent in enumerate(x[:axis]))
    inner = tuple(Loop(f"i{i}", extent) for i, extent in enumerate(indices))
    after = tuple(Loop(f"q{i}", extent) for i, extent in enumerate(x[axis + 1 :]))
    return Expectation(
        operands=(
            Operand("x", node.input(0), (*_along(before), along("v", x[axis]), *_along(after))),
            Operand("indices", node.input(1), _along(inner)),
        ),
        output=(*before, *inner, *after),
        reductions={"v": x[axis]},
        arguments={"axis": axis, "extent": x[axis]},
    )


def expect_transpose(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Transpose and its likes: dimension i of the output's view is dimension perm[i] of that of x."""
    x = model.shape(node.input(0))
    view, perm = x, node.integers("perm", tuple(reversed(range(len(x)))))
    if node.op_type != "Transpose":
        view, perm = _blocks_of_images(node, x)
    loops = output_loops(tuple(view[axis] for axis in perm))
    reads = tuple(along(loops[perm.index(axis)].name, extent) for axis, extent in enumerate(view))
    return _movement(node, loops, reads, {"perm": perm})


def _blocks_of_images(node: OperatorFacts, x: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The view of x and its permutation, as ONNX writes DepthToSpace and SpaceToDepth with Reshape and Transpose."""
    samples, channels, rows, columns = x
    size = node.integer("blocksize", 1)
    if node.op_type == "SpaceToDepth":
        order = (0, 1, 3, 5, 2, 4) if node.text("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
        return (samples, channels, rows // size, size, columns // size, size), order
    few = channels // (size * size)
    if node.text("mode", "DCR") == "CRD":
        return (samples, few, size, size, rows, columns), (0, 1, 4, 2, 5, 3)
    return (samples, size, size, few, rows, columns), (0, 3, 4, 1, 5, 2)


def expect_reshape(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Reshape and its likes: x in the view of the output."""
    loops = output_loops(model.shape(node.outputs[0]))
    return _movement(node, loops, _along(loops), {})


def expect_slice(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Slice with constant bounds: output o is x at starts + o * steps."""
    x, output = model.shape(node.input(0)), model.shape(node.outputs[0])
    given = [_integers(node, model, index) for index in range(1, 5)]
    bounds, axes, steps = given[0], given[2], given[3]
    axes = axes or tuple(range(len(bounds)))
    steps = steps or (1,) * len(bounds)
    begin, stride = [0] * len(x), [1] * len(x)
    for start, axis, step in zip(bounds, axes, steps, strict=True):
        extent = x[axis]
        start_inside = max(0, start + extent if start < 0 else start)
        begin[axis] = min(start_inside, extent if step > 0 else extent - 1)
        stride[axis] = step
    loops = output_loops(output)
    reads = tuple(
        strided(loop.name, loop.extent, x[i], stride=stride[i], offset=begin[i])
        for i, loop in enumerate(loops)
    )
    return _movement(node, loops, reads, {"starts": tuple(begin), "steps": tuple(stride)})


def expect_pad(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Pad: output o is x at o - pads_begin; beyond its ends the value, its mirror image, its edge, or its other end."""
    x = model.shape(node.input(0))
    mode = node.text("mode", "constant")
    pads = _integers(node, model, 1)
    axes = _integers(node, model, 3) or tuple(range(len(x)))
    begins = [0] * len(x)
    for axis, pad in zip(axes, pads[: len(axes)], strict=True):
        begins[axis] = pad
    value = (model.numbers(node.input(2)) if mode == "constant" else None) or (0.0,)
    loops = output_loops(model.shape(node.outputs[0]))
    reads = tuple(_padded_read(mode, loop, x[i], begins[i]) for i, loop in enumerate(loops))
    arguments: dict[str, Argument] = {"mode": mode, "pads_begin": tuple(begins), "value": value[0]}
    return _movement(node, loops, reads, arguments)


def _padded_read(mode: str, loop: Loop, extent: int, begin: int) -> Read:
    if mode == "constant":
        return strided(loop.name, loop.extent, extent, stride=1, offset=-begin)
    source = np.arange(loop.extent, dtype=np.int64) - begin
    if mode == "reflect":
        period = max(1, 2 * (extent - 1))
        source = source % period
        source = np.minimum(source, period - source) if extent > 1 else source * 0
    else:
        source = source % extent if mode == "wrap" else np.clip(source, 0, extent - 1)
    return Read(extent, loop.name, source, source + 1, anchored=False)


def expect_concat(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Concat: input i is the part of the output that begins at offsets[i]."""
    loops = output_loops(model.shape(node.outputs[0]))
    axis = node.integer("axis", 0)
    axis = axis + len(loops) if axis < 0 else axis
    operands, offsets, offset = [], [], 0
    for number, name in enumerate(node.inputs):
        shape = model.shape(name)
        reads = tuple(
            strided(loop.name, loop.extent, shape[i], stride=1, offset=-offset if i == axis else 0)
            for i, loop in enumerate(loops)
        )
        operands.append(Operand(f"x{number}", name, reads))
        offsets.append(offset)
        offset += shape[axis]
    return Expectation(tuple(operands), loops, {}, {"axis": axis, "offsets": tuple(offsets)})


def expect_expand(node: OperatorFacts, model: ModelFacts) -> Expectation:
    """Expand: x at the rank of the output, 1 where it broadcasts. Tile: 1 in front of each dimension it repeats."""
    x, output = model.shape(node.input(0)), model.shape(node.outputs[0])
    if node.op_type == "Tile":
        repeats = [after // before for before, after in zip(x, output, strict=True)]
        extents = [
            part for before, count in zip(x, repeats, strict=True) for part in _tiled(before, 1, count)
        ]
        output = tuple(
            part for before, count in zip(x, repeats, strict=True) for part in _tiled(before, count, count)
        )
        x = tuple(extents)
    loops = output_loops(output)
    reads = tuple(broadcast(loop, extent) for loop, extent in zip(loops, aligned(x, len(loops)), strict=True))
    return _movement(node, loops, reads, {})


def _tiled(extent: int, shown: int, repeats: int) -> tuple[int, ...]:
    """A dimension of a view, with one in front of it where it is repeated."""
    return (extent,) if repeats == 1 else (shown, extent)


def _movement(
    node: OperatorFacts, loops: tuple[Loop, ...], reads: tuple[Read, ...], arguments: dict[str, Argument]
) -> Expectation:
    return Expectation((Operand("x", node.input(0), reads),), loops, {}, arguments)


def _along(loops: tuple[Loop, ...]) -> tuple[Read, ...]:
    return tuple(along(loop.name, loop.extent) for loop in loops)


def _integers(node: OperatorFacts, model: ModelFacts, index: int) -> tuple[int, ...]:
    """A constant input as integers; empty where it is not given."""
    return tuple(int(item) for item in model.numbers(node.input(index)) or ())
