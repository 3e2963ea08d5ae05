"""Relations between the extents of an operator's operands that the standard states and ONNX's shape inference does not check.

A table by operator. Each row says in the words of the standard what has to hold and computes both sides; a relation on
operands that are not given, or whose shapes are open, holds.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.absent_weights import is_absent
from wsec.compiler.importer.shapes import static_shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import onnx_ir as ir

    Shapes = list[tuple[int, ...] | None]
    Relations = Callable[[ir.Node, Shapes], Iterator[tuple[str, object, object]]]

_READ_BYTES = 1 << 10  # of constants whose values are looked at


def broken_relation(node: ir.Node) -> tuple[str, str] | None:
    """What was expected and what was found, of the first relation that does not hold; None where all do."""
    relations = _RELATIONS.get(node.op_type) if node.domain in {"", "ai.onnx"} else None
    if relations is None:
        return None
    shapes: Shapes = [None if value is None else static_shape(value) for value in node.inputs]
    shapes += [None] * 8  # optional operands that are left out at the end
    try:
        for what, expected, found in relations(node, shapes):
            if expected != found:
                return f"{what}: {expected}", str(found)
    except IndexError:
        return f"operands of the rank that {node.op_type} takes", ", ".join(
            str(list(s)) for s in shapes if s is not None
        )
    return None


def _integer(node: ir.Node, name: str, default: int) -> int:
    return node.attributes[name].as_int() if name in node.attributes else default


def _text(node: ir.Node, name: str, default: str) -> str:
    return node.attributes[name].as_string() if name in node.attributes else default


def _convolution(x: int, w: int, bias: int) -> Relations:
    """Conv and its relatives, whose data, weights and bias stand at these places."""

    def relations(node: ir.Node, shapes: Shapes) -> Iterator[tuple[str, object, object]]:
        data, weights, group = shapes[x], shapes[w], _integer(node, "group", 1)
        yield "a group of 1 or more", True, group >= 1
        if data is None or weights is None:
            return
        yield "weights of the rank of the data", len(data), len(weights)
        yield (
            f"channels of the data: {weights[1]} of the weights times group {group}",
            weights[1] * group,
            data[1],
        )
        yield f"kernels in {group} equal groups, remainder", 0, weights[0] % group
        if (given := shapes[bias]) is not None:
            yield "a bias for each kernel", (weights[0],), given
        yield from _window(node, weights)

    return relations


def _transposed_convolution(node: ir.Node, shapes: Shapes) -> Iterator[tuple[str, object, object]]:
    data, weights, group = shapes[0], shapes[1], _integer(node, "group", 1)
    yield "a group of 1 or more", True, group >= 1
    if data is None or weights is None:
        return
    yield "weights of the rank of the data", len(data), len(weights)
    yield "channels of the data", weights[0], data[1]
    yield f"channels in {group} equal groups, remainder", 0, data[1] % group
    if shapes[2] is not None:
        yield "a bias for each kernel", (weights[1] * group,), shapes[2]
    yield from _window(node, weights)


def _window(node: ir.Node, weights: tuple[int, ...]) -> Iterator[tuple[str, object, object]]:
    if "kernel_shape" in node.attributes:
        yield "kernel_shape", weights[2:], tuple(node.attributes["kernel_shape"].as_ints())


def _reshape(node: ir.Node, _: Shapes) -> Iterator[tuple[str, object, object]]:
    before, after = node.inputs[0], node.outputs[0]
    if (
        before is not None
        and (a := static_shape(before)) is not None
        and (b := static_shape(after)) is not None
    ):
        yield f"as many elements as {list(a)}", math.prod(a), math.prod(b)


def _gemm(node: ir.Node, shapes: Shapes) -> Iterator[tuple[str, object, object]]:
    a, b, c = shapes[:3]
    if a is None or b is None or c is None:
        return
    rows = a[1] if _integer(node, "transA", 0) else a[0]
    columns = b[0] if _integer(node, "transB", 0) else b[1]
    padded = (1,) * (2 - len(c)) + c
    yield "C of rank 2 or less", True, len(c) <= 2
    fits = padded[0] in {1, rows} and padded[1] in {1, columns}
    yield "C", [rows, columns], [rows, columns] if fits else list(c)


def _vectors(count: int) -> Relations:
    """Operands from the second on that have one number for each channel of the first."""

    def relations(_: ir.Node, shapes: Shapes) -> Iterator[tuple[str, object, object]]:
        if shapes[0] is None:
            return
        for shape in shapes[1 : 1 + count]:
            if shape is not None:
                yield "a number for each channel", (shapes[0][1],), shape

    return relations


def _layer_normalization(node: ir.Node, shapes: Shapes) -> Iterator[tuple[str, object, object]]:
    if shapes[0] is None:
        return
    normalised = shapes[0][_integer(node, "axis", -1) :]
    for shape in shapes[1:3]:
        if shape is not None:
            fits = len(shape) <= len(shapes[0]) and all(
                have in {1, want} for have, want in zip(shape[::-1], shapes[0][::-1], strict=False)
            )
            yield (
                "a scale and bias over the normalised axes",
                list(normalised),
                list(normalised) if fits else list(shape),
            )


def _right_aligned(_: ir.Node, shapes: Shapes) -> Iterator[tuple[str, object, object]]:
    """PRelu: the slope is broadcast to the data, and not the data to the slope."""
    data, slope = shapes[0], shapes[1]
    if data is None or slope is None:
        return
    fits = all(have in {1, want} for have, want in zip(slope[::-1], data[::-1], strict=False))
    yield f"a slope that fits {list(data)}", True, fits and len(slope) <= len(data)


def _recurrent(gates: int) -> Relations:
    def relations(node: ir.Node, shapes: Shapes) -> Iterator[tuple[str, object, object]]:
        x, w, r, b = shapes[:4]
        if x is None or w is None or r is None:
            return
        directions = 2 if _text(node, "direction", "forward") == "bidirectional" else 1
        hidden = _integer(node, "hidden_size", r[2])
        yield "weights W", [directions, gates * hidden, x[2]], list(w)
        yield "weights R", [directions, gates * hidden, hidden], list(r)
        if b is not None:
            yield "bias B", [directions, 2 * gates * hidden], list(b)

    return relations


def _division(node: ir.Node, _: Shapes) -> Iterator[tuple[str, object, object]]:
    divisor = node.inputs[1] if len(node.inputs) > 1 else None
    tensor = None if divisor is None else divisor.const_value
    if tensor is None or is_absent(tensor):
        return
    if tensor.dtype.is_integer() and tensor.nbytes <= _READ_BYTES:
        yield "a divisor without zeros", 0, int((tensor.numpy() == 0).sum())


def _blocks(node: ir.Node, shapes: Shapes) -> Iterator[tuple[str, object, object]]:
    size = _integer(node, "blocksize", 1)
    yield "a blocksize of 1 or more", True, size >= 1
    if shapes[0] is None:
        return
    if node.op_type == "DepthToSpace":
        yield f"channels in blocks of {size} x {size}, remainder", 0, shapes[0][1] % (size * size)
    else:
        yield f"rows and columns in blocks of {size}, remainders", [0, 0], [e % size for e in shapes[0][2:4]]


_RELATIONS: dict[str, Relations] = {
    "Conv": _convolution(0, 1, 2),
    "ConvInteger": _convolution(0, 1, 7),
    "ConvTranspose": _transposed_convolution,
    "DepthToSpace": _blocks,
    "Div": _division,
    "GRU": _recurrent(3),
    "Gemm": _gemm,
    "InstanceNormalization": _vectors(2),
    "LSTM": _recurrent(4),
    "LayerNormalization": _layer_normalization,
    "Mod": _division,
    "PRelu": _right_aligned,
    "QLinearConv": _convolution(0, 3, 8),
    "RNN": _recurrent(1),
    "Reshape": _reshape,
    "SpaceToDepth": _blocks,
}
