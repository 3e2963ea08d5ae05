"""Reads the nodes of one attention: which tensors are query, key and value, and what happens to the scores.

The nodes are two products with a softmax between them, element-wise operators on the scores and on the probabilities,
a sink (columns appended before the softmax and cut off behind it), and around the products movements of data and
element-wise operators with scalars. Movements are read as layouts: the kernel takes the tensors as they are stored.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from wsec.compiler.kernels.attention_states import StateUpdate, read_update
from wsec.compiler.kernels.operator_view import OperatorView, Unsplittable, shape_of
from wsec.compiler.kernels.strided_layout import Layout, contiguous, expanded, reshaped
from wsec.compiler.operators import ATTENTION_STEPS, is_elementwise

if TYPE_CHECKING:
    from collections.abc import Sequence

    import onnx_ir as ir

MOVEMENTS = frozenset({"Expand", "Reshape", "Transpose"})


@dataclass(frozen=True, slots=True)
class MovedOperand:
    """A tensor from outside as a product or the softmax reads it.

    Attributes:
        value: The tensor as it is stored.
        layout: What is read, dimension by dimension.
        steps: Element-wise nodes with scalars on the way, in order.
    """

    value: ir.Value
    layout: Layout
    steps: tuple[ir.Node, ...] = ()


@dataclass(slots=True)
class AttentionBody:
    """What the nodes of an attention compute.

    Attributes:
        steps: The nodes on the way from the first product to the second, both included, without movements.
        same: A value on that way -> the value that it shows in another shape.
        shapes: The shape of every value on that way.
        query: [batch ..., m, d], the batch as that of the scores.
        key: [batch ..., d, t].
        value: [batch ..., t, n].
        sink: [batch ..., m, columns].
        output: The tensor that the kernel gives.
        output_layout: Its dimensions, as positions in the second product's row-major result.
        updates: By what they give, the updates of states among the nodes.
    """

    steps: list[ir.Node] = field(default_factory=list)
    same: dict[ir.Value, ir.Value] = field(default_factory=dict)
    shapes: dict[ir.Value, tuple[int, ...]] = field(default_factory=dict)
    query: MovedOperand | None = None
    key: MovedOperand | None = None
    value: MovedOperand | None = None
    sink: MovedOperand | None = None
    output: ir.Value | None = None
    output_layout: Layout = ()
    updates: dict[ir.Value, StateUpdate] = field(default_factory=dict)


def read_attention(nodes: Sequence[ir.Node]) -> AttentionBody:
    """What `nodes`, in topological order, compute. Raises Unsplittable where they are not one attention."""
    body = AttentionBody()
    moved: dict[ir.Value, MovedOperand] = {}
    updates = [update for node in nodes if (update := read_update(node)) is not None]
    body.updates = {update.present: update for update in updates}
    writing = {node for update in updates for node in update.nodes}
    for node in nodes:
        if node not in writing:
            _read(node, body, moved)
    if body.output is None:
        raise Unsplittable("it has no second product")
    held = {item.value for item in (body.key, body.value) if item is not None}
    if not held.issuperset(body.updates) or not writing.issubset(nodes):
        raise Unsplittable("it updates a state that is neither its keys nor its values")
    return body


def _read(node: ir.Node, body: AttentionBody, moved: dict[ir.Value, MovedOperand]) -> None:
    output = node.outputs[0]
    if node.domain not in {"", "ai.onnx"}:
        raise Unsplittable(f"{node.domain} {node.op_type} is no part of an attention")
    if node.op_type in MOVEMENTS:
        _read_movement(node, body, moved)
    elif body.value is not None:
        raise Unsplittable(f"{node.op_type} stands behind the second product")
    elif node.op_type == "MatMul":
        _read_product(node, body, moved)
    elif not any(value in body.shapes for value in node.inputs):
        moved[output] = _with_scalars(node, moved)
    else:
        _READERS.get(node.op_type, _read_step)(node, body, moved)
        body.steps.append(node)
        body.shapes[output] = shape_of(output)


def _read_movement(node: ir.Node, body: AttentionBody, moved: dict[ir.Value, MovedOperand]) -> None:
    source, output = OperatorView(node).input(0), node.outputs[0]
    shape = shape_of(output)
    if source is body.output:
        body.output, body.output_layout = output, _moved_layout(node, body.output_layout, shape)
    elif source in body.shapes:
        if node.op_type != "Reshape" or shape[-2:] != body.shapes[source][-2:]:
            raise Unsplittable(f"{node.op_type} moves rows or columns of the scores")
        body.shapes[output] = shape
        body.same[output] = body.same.get(source, source)
    else:
        operand = moved.get(source) or MovedOperand(source, contiguous(shape_of(source)))
        moved[output] = replace(operand, layout=_moved_layout(node, operand.layout, shape))


def _moved_layout(node: ir.Node, layout: Layout, shape: tuple[int, ...]) -> Layout:
    if node.op_type == "Transpose":
        order = OperatorView(node).integers("perm", tuple(range(len(shape)))[::-1])
        return tuple(layout[axis] for axis in order)
    return reshaped(layout, shape) if node.op_type == "Reshape" else expanded(layout, shape)


def _with_scalars(node: ir.Node, moved: dict[ir.Value, MovedOperand]) -> MovedOperand:
    """An operand behind one more element-wise node, whose other inputs are scalars."""
    _check_step(node)
    given = [value for value in node.inputs if value is not None]
    large = [value for value in given if math.prod(shape_of(value)) > 1] or given[:1]
    if len(large) != 1 or shape_of(large[0]) != shape_of(node.outputs[0]):
        raise Unsplittable(f"{node.op_type} in front of a product takes more than scalars")
    operand = moved.get(large[0]) or MovedOperand(large[0], contiguous(shape_of(large[0])))
    return replace(operand, steps=(*operand.steps, node))


def _read_product(node: ir.Node, body: AttentionBody, moved: dict[ir.Value, MovedOperand]) -> None:
    left, right = node.inputs[0], node.inputs[1]
    output = node.outputs[0]
    if left is None or right is None or right in body.shapes:
        raise Unsplittable("the probabilities are no left operand of a product")
    shape = shape_of(output)
    if min(len(shape_of(left)), len(shape_of(right)), len(shape)) < 2 or 0 in shape or 0 in shape_of(left):
        raise Unsplittable("a product of vectors, or of nothing")
    if body.query is None:
        body.query = _operand(left, moved, (*shape[:-1], shape_of(left)[-1]))
        body.key = _operand(right, moved, (*shape[:-2], *shape_of(right)[-2:]))
    elif left in body.shapes and _normalised(body):
        if math.prod(shape[:-1]) != math.prod(body.shapes[left][:-1]):
            raise Unsplittable("the values have a larger batch than the scores")
        if _sink_is_open(body):
            raise Unsplittable("the columns of the sink are not cut off")
        body.value = _operand(right, moved, (*shape[:-2], *shape_of(right)[-2:]))
        body.output, body.output_layout = output, contiguous(shape)
    else:
        raise Unsplittable("a product that is not of the probabilities")
    body.steps.append(node)
    body.shapes[output] = shape


def _operand(value: ir.Value, moved: dict[ir.Value, MovedOperand], shape: tuple[int, ...]) -> MovedOperand:
    operand = moved.get(value) or MovedOperand(value, contiguous(shape_of(value)))
    return replace(operand, layout=expanded(operand.layout, shape))


def _check_step(node: ir.Node) -> None:
    if node.op_type not in ATTENTION_STEPS or not is_elementwise(node.domain, node.op_type):
        raise Unsplittable(f"{node.op_type} is no step of an attention")


def _read_step(node: ir.Node, body: AttentionBody, moved: dict[ir.Value, MovedOperand]) -> None:
    """An element-wise node on the scores or probabilities."""
    _check_step(node)
    shapes = {body.shapes[value] for value in node.inputs if value in body.shapes}
    if shapes != {shape_of(node.outputs[0])}:
        raise Unsplittable(f"{node.op_type} changes the shape of the scores")
    if any(value in moved for value in node.inputs if value is not None):
        raise Unsplittable(f"an operand of {node.op_type} is moved")
    if _sink_is_open(body) and (node.op_type != "Cast" or not (_normalised(body) or _widens(node))):
        raise Unsplittable(f"{node.op_type} changes the sink")


def _normalised(body: AttentionBody) -> bool:
    return any(step.op_type == "Softmax" for step in body.steps)


def _sink_is_open(body: AttentionBody) -> bool:
    """Whether the columns of the sink are there: appended and not cut off yet."""
    return body.sink is not None and not any(step.op_type == "Slice" for step in body.steps)


def _widens(node: ir.Node) -> bool:
    source, result = OperatorView(node).input(0).dtype, node.outputs[0].dtype
    return source is not None and result is not None and result.itemsize >= source.itemsize


def _read_softmax(node: ir.Node, body: AttentionBody, _moved: dict[ir.Value, MovedOperand]) -> None:
    rank = len(shape_of(node.outputs[0]))
    if OperatorView(node).integer("axis", -1) % rank != rank - 1:
        raise Unsplittable("the softmax is not taken over the keys")
    if _normalised(body):
        raise Unsplittable("a second softmax")


def _read_concat(node: ir.Node, body: AttentionBody, moved: dict[ir.Value, MovedOperand]) -> None:
    """Columns appended to the scores, before or behind the keys."""
    view = OperatorView(node)
    outside = [value for value in node.inputs if value is not None and value not in body.shapes]
    rank = len(shape_of(node.outputs[0]))
    later = body.sink is not None or _normalised(body)
    if later or len(node.inputs) != 2 or len(outside) != 1 or view.integer("axis", 0) % rank != rank - 1:
        raise Unsplittable("Concat is no sink")
    body.sink = _operand(outside[0], moved, shape_of(outside[0]))


def _read_slice(node: ir.Node, body: AttentionBody, _moved: dict[ir.Value, MovedOperand]) -> None:
    """The columns of the sink cut off."""
    view = OperatorView(node)
    concat = next((step for step in body.steps if step.op_type == "Concat"), None)
    if concat is None or not _normalised(body):
        raise Unsplittable("Slice cuts off no sink")
    first = concat.inputs[0]
    keys_first = first in body.shapes
    before, after = shape_of(view.input(0)), shape_of(node.outputs[0])
    columns = before[-1] - after[-1]
    keys = before[-1] - shape_of(concat.inputs[1 if keys_first else 0])[-1]  # type: ignore[arg-type] # both are given
    axes = view.constant_integers(3) if view.has_input(3) else ()
    steps = view.constant_integers(4) if view.has_input(4) else (1,)
    starts = view.constant_integers(1)
    whole = len(axes) == 1 and axes[0] % len(before) == len(before) - 1 and steps == (1,)
    if not whole or starts[0] % before[-1] != (0 if keys_first else columns) or after[-1] != keys:
        raise Unsplittable("Slice does not cut off the sink")


_READERS = {"Concat": _read_concat, "Slice": _read_slice, "Softmax": _read_softmax}
