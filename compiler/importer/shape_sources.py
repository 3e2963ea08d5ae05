"""Where shapes come from that inference leaves open: values of the model's inputs, and data.

A wafer is laid out for one shape of every tensor. Where an axis, a size or a number of repetitions is an input of
the model, that shape is open until the input has a value. ONNX says how to give it one: an initializer of the same name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.operators import (
    CONTRIBUTED_SHAPE_OPERANDS,
    DATA_DEPENDENT_SHAPE,
    DATA_MOVEMENT,
    SHAPE_OPERANDS,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

_CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
_SHAPE_ONLY = frozenset({"Shape", "Size"})
_MOVES = DATA_MOVEMENT | {"Cast", "Gather", "Identity", "Squeeze", "Unsqueeze"}


def deciding_inputs(model: ir.Model, opened: Collection[ir.Value]) -> tuple[str, ...]:
    """Names of the inputs on whose values the shapes of the values `opened` depend, in the order of the model."""
    found = {
        source
        for value in opened
        for operand in _shape_operands(value.producer())
        for source in _sources(operand, _keeps_values)
    }
    return tuple(str(value.name) for value in model.graph.inputs if value in found)


def shapes_of_the_run(model: ir.Model, opened: Collection[ir.Value]) -> set[ir.Value]:
    """Of the values `opened`, those whose shape nobody can know before the model runs, so that the host has them.

    They are what data-dependent operators, and operators on strings, sequences and optionals give; what takes its shape from
    a computed value or a branch; and what is computed from any of these. A size that is an input of the model is
    none: it can be made a constant.
    """
    excused: set[ir.Value] = set()
    for node in model.graph:
        if _is_shaped_by_the_run(node, excused):
            excused.update(value for value in node.outputs if value in opened or not _is_dense(value))
    return excused


def _is_shaped_by_the_run(node: ir.Node, excused: Collection[ir.Value]) -> bool:
    operands = [value for value in node.inputs if value is not None]
    if any(value in excused or not _is_dense(value) for value in operands):
        return True
    if any(not _is_dense(value) for value in node.outputs if value.name):
        return True
    if _reads_its_shape_from_an_input(node):
        return False
    computed = any(operand.const_value is None for operand in _shape_operands(node))
    standard = node.domain in {"", "ai.onnx"}
    return computed or (standard and node.op_type in DATA_DEPENDENT_SHAPE | _CONTROL_FLOW)


def _is_dense(value: ir.Value) -> bool:
    """Whether the value is a tensor of numbers."""
    return isinstance(value.type, ir.TensorType) and value.dtype != ir.DataType.STRING


def varying_values(model: ir.Model, opened: Collection[ir.Value]) -> set[ir.Value]:
    """Values whose shape follows the data, and all that is computed from them.

    They are those of the values `opened` whose operator gives as many elements as its data say, or reads a size from an
    input of the model. No run of the model and no inference may decide them.
    """
    varying: set[ir.Value] = set()
    for node in model.graph:
        here = any(value in opened for value in node.outputs) and (
            node.op_type in DATA_DEPENDENT_SHAPE or _reads_its_shape_from_an_input(node)
        )
        if here or any(value in varying for value in node.inputs):
            varying.update(node.outputs)
    return varying


def _reads_its_shape_from_an_input(node: ir.Node) -> bool:
    """Whether a shape operand of the node is an input of the model, perhaps moved or cast.

    Or, where it says how much there is and not which branch is taken, is computed from a scalar or a list of numbers.
    """
    operands = _shape_operands(node)
    moved = (source for item in operands for source in _sources(item, lambda one: one.op_type in _MOVES))
    computed = (source for item in operands for source in _sources(item, _keeps_values))
    return any(True for _ in moved) or (node.op_type != "If" and any(_is_list(source) for source in computed))


def _keeps_values(node: ir.Node) -> bool:
    return node.op_type not in _SHAPE_ONLY


def _is_list(value: ir.Value) -> bool:
    return value.shape is not None and len(value.shape) <= 1


def computed_shapes(model: ir.Model, opened: Collection[ir.Value]) -> set[ir.Value]:
    """Of the values `opened`, those with a size that floats or a Loop decide, and all that is computed from them.

    Symbolic inference knows whole numbers only: of -4.0 / -3.0 it makes 1.
    """
    computed: set[ir.Value] = set()
    for node in model.graph:
        here = any(value in opened for value in node.outputs) and (
            node.op_type == "Loop"
            or any(_is_floating(item) for operand in _shape_operands(node) for item in _ancestors(operand))
        )
        if here or any(value in computed for value in node.inputs):
            computed.update(node.outputs)
    return computed


def _is_floating(value: ir.Value) -> bool:
    return value.dtype is not None and value.dtype.is_floating_point()


def _ancestors(start: ir.Value) -> Iterator[ir.Value]:
    """A value and what it is computed from, but for what only gives its shape."""
    seen, waiting = {start}, [start]
    while waiting:
        value = waiting.pop()
        yield value
        node = value.producer()
        if node is not None and _keeps_values(node):
            new = [item for item in node.inputs if item is not None and item not in seen]
            seen.update(new)
            waiting += new


def _shape_operands(node: ir.Node | None) -> list[ir.Value]:
    table = {"": SHAPE_OPERANDS, "ai.onnx": SHAPE_OPERANDS, "com.microsoft": CONTRIBUTED_SHAPE_OPERANDS}
    if node is None or node.domain not in table:
        return []
    slots = table[node.domain].get(node.op_type, ())
    return [operand for slot, operand in enumerate(node.inputs) if slot in slots and operand is not None]


def _sources(start: ir.Value, through: Callable[[ir.Node], bool]) -> Iterator[ir.Value]:
    """Inputs of the model that a value is computed from, by nodes that `through` lets pass."""
    seen, waiting = {start}, [start]
    while waiting:
        value = waiting.pop()
        node = value.producer()
        if node is None:
            if value.is_graph_input() and not value.is_initializer():
                yield value
        elif through(node):
            new = [item for item in node.inputs if item is not None and item not in seen]
            seen.update(new)
            waiting += new
