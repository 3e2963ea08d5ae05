"""How many steps a Loop takes, where that can be known before the model runs.

A loop that counts to a constant knows it at once. One whose condition is computed in the body (`i < n`, a counter that
is carried) is run with only the operators that its condition needs, on constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir

from wsec.compiler.kernels.unsplit import captured_values
from wsec.compiler.node_runner import make_node_runner
from wsec.compiler.onnxruntime_session import SESSION_ERRORS
from wsec.compiler.operators import DATA_DEPENDENT_SHAPE, NON_DETERMINISTIC, SHAPE_OPERANDS
from wsec.passes.rewriting import constant_of, is_cheap

if TYPE_CHECKING:
    from wsec.passes.rewriting import Array

_READ_BYTES = 1 << 16
_GIVES_SHAPES = frozenset({"Shape", "Size"})


class UnknownStepsError(Exception):
    """The number of steps is not known; the message says why."""


def trip_count(loop: ir.Node, model: ir.Model, limit: int) -> int:
    """The steps of a Loop; one more than `limit` stands for any number above it.

    Raises:
        UnknownStepsError: They depend on the data, or cannot be computed.
    """
    most = _scalar(loop, 0, "its number of steps")
    start = _scalar(loop, 1, "whether it starts")
    steps = limit + 1 if most is None else min(most, limit + 1)
    if steps <= 0 or start == 0:
        return 0
    body = loop.attributes["body"].as_graph()
    going = _origin(body.outputs[0])
    constant = constant_of(going)
    if going is body.inputs[1] or (constant is not None and constant.numpy().all()):
        if most is None:
            raise UnknownStepsError("it never ends")
        return steps
    return 1 if constant is not None else _count(loop, body, model, steps)


def depends_on_data(node: ir.Node, body: ir.Graph) -> str:
    """Why a body has a shape that the data decide; empty where all shapes follow from the number of the step."""
    known = _known_values(node, body, through_shapes=True)
    for inner in body:
        if inner.domain != "":
            continue
        slots = () if inner.op_type == "If" else SHAPE_OPERANDS.get(inner.op_type, ())
        operands = [value for slot, value in enumerate(inner.inputs) if slot in slots and value is not None]
        if inner.op_type in DATA_DEPENDENT_SHAPE or any(not _is_known(v, known) for v in operands):
            return f"the shape of {inner.outputs[0].name} depends on data"
    return ""


def _scalar(loop: ir.Node, index: int, what: str) -> int | None:
    value = loop.inputs[index] if index < len(loop.inputs) else None
    if value is None:
        return None
    constant = constant_of(value)
    if constant is None or constant.size != 1:
        raise UnknownStepsError(f"{what} ({value.name}) is computed at run time")
    return int(constant.numpy().reshape(()))


def _origin(value: ir.Value) -> ir.Value:
    """What a value is a copy of."""
    node = value.producer()
    while (
        node is not None and node.op_type == "Identity" and node.domain == "" and node.inputs[0] is not None
    ):
        value = node.inputs[0]
        node = value.producer()
    return value


def _carried(node: ir.Node) -> list[ir.Value | None]:
    """The initial values of what a Loop or Scan carries from step to step."""
    if node.op_type == "Loop":
        return list(node.inputs[2:])
    return list(node.inputs[: len(node.inputs) - node.attributes["num_scan_inputs"].as_int()])


def _known_values(node: ir.Node, body: ir.Graph, *, through_shapes: bool) -> set[ir.Value]:
    """Values of a body that are the same for all data; with `through_shapes` all shapes count as that."""
    first, offset = (2, 1) if node.op_type == "Loop" else (0, 0)
    initial = _carried(node)
    carried = {
        index for index, value in enumerate(initial) if value is not None and constant_of(value) is not None
    }
    while True:
        known = {*body.inputs[:first], *(body.inputs[first + index] for index in sorted(carried))}
        for inner in body:
            read = [value for value in (*inner.inputs, *captured_values(inner)) if value is not None]
            shape_only = through_shapes and inner.op_type in _GIVES_SHAPES and inner.domain == ""
            drawn = inner.op_type in NON_DETERMINISTIC
            if shape_only or (not drawn and all(_is_known(value, known) for value in read)):
                known.update(inner.outputs)
        lost = {index for index in carried if not _is_known(body.outputs[offset + index], known)}
        if not lost:
            return known
        carried -= lost


def _is_known(value: ir.Value, known: set[ir.Value]) -> bool:
    return value in known or constant_of(value) is not None


def _count(loop: ir.Node, body: ir.Graph, model: ir.Model, most: int) -> int:
    """Run what the condition needs until it says stop, at most so often."""
    known = _known_values(loop, body, through_shapes=False)
    if body.outputs[0] not in known:
        raise UnknownStepsError("its condition depends on data")
    nodes, leaves, carried = _slice(body)
    constants = [value for value in leaves if value not in known]
    if not all(is_cheap(tensor, _READ_BYTES, _READ_BYTES) for v in constants if (tensor := constant_of(v))):
        raise UnknownStepsError("its condition reads weights")
    names = [str(body.inputs[2 + index].name) for index in carried]
    initial = _carried(loop)
    state = [tensor.numpy() for index in carried if (tensor := constant_of(initial[index])) is not None]
    outputs = [body.outputs[0], *(body.outputs[1 + index] for index in carried)]
    inputs = [*body.inputs[:2], *(body.inputs[2 + index] for index in carried)]
    types = [ir.DataType.INT64, ir.DataType.BOOL, *(ir.DataType.from_numpy(array.dtype) for array in state)]
    proto = _model(nodes, constants, dict(zip(inputs, types, strict=True)), outputs, model)
    return _run(proto, [str(v.name) for v in body.inputs[:2]], names, state, most)


def _run(proto: onnx.ModelProto, fixed: list[str], names: list[str], state: list[Array], most: int) -> int:
    try:
        runner = make_node_runner(proto)
        for step in range(most):
            feeds = dict(zip(fixed, (np.asarray(step, np.int64), np.ones((), np.bool_)), strict=True))
            feeds |= dict(zip(names, state, strict=True))
            going, *state = runner.run(feeds)
            if not np.all(going):
                return step + 1
    except SESSION_ERRORS as error:
        raise UnknownStepsError("its condition cannot be computed") from error
    return most


def _slice(body: ir.Graph) -> tuple[list[ir.Node], list[ir.Value], list[int]]:
    """What the condition of a body needs: its nodes in order, what they read from elsewhere, and what is carried."""
    places = {value: index for index, value in enumerate(body.inputs[2:])}
    needed: dict[ir.Node, None] = {}
    leaves: dict[ir.Value, None] = {}
    carried: dict[int, None] = {}
    waiting = [body.outputs[0]]
    while waiting:
        value = waiting.pop()
        node = value.producer()
        if node is not None and node.graph is body:
            if node not in needed:
                needed[node] = None
                waiting += [item for item in (*node.inputs, *captured_values(node)) if item is not None]
        elif value not in leaves:
            leaves[value] = None
            if value in places:
                carried[places[value]] = None
                waiting.append(body.outputs[1 + places[value]])
    return [node for node in body if node in needed], list(leaves), sorted(carried)


def _model(
    nodes: list[ir.Node],
    constants: list[ir.Value],
    inputs: dict[ir.Value, ir.DataType],
    outputs: list[ir.Value],
    model: ir.Model,
) -> onnx.ModelProto:
    """A model of one step: copies of the outputs, since a value may be given twice or be an input."""
    graph = onnx.GraphProto(name="condition")
    graph.input.extend(
        onnx.helper.make_tensor_value_info(str(value.name), int(dtype), None)
        for value, dtype in inputs.items()
    )
    for value in constants:
        tensor = constant_of(value)
        if tensor is not None:
            entry = ir.serde.serialize_tensor(ir.Tensor(tensor.numpy(), dtype=tensor.dtype, name=value.name))
            graph.initializer.append(entry)
    graph.node.extend(ir.serde.serialize_node(node) for node in nodes)
    for index, value in enumerate(outputs):
        name = f"{index}/of the condition"
        graph.node.append(onnx.helper.make_node("Identity", [str(value.name)], [name]))
        graph.output.append(onnx.ValueInfoProto(name=name))
    opsets = [onnx.helper.make_opsetid(domain, version) for domain, version in model.opset_imports.items()]
    return onnx.ModelProto(ir_version=model.ir_version, opset_import=opsets, graph=graph)
