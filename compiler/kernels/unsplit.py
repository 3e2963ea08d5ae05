"""The kernel of last resort: any operator that onnxruntime runs, its data spread, its arithmetic serial on one core."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.kernels.body_work import body_work, known_steps
from wsec.compiler.kernels.loop_nest import Loop, LoopNest, Operand, Work, fixed
from wsec.compiler.kernels.operator_view import OperatorView, dtype_of, operand, shape_of
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    import onnx_ir as ir

ROW, COLUMN = "row", "column"
_RECURRENT = frozenset({"LSTM", "GRU", "RNN"})


def make_unsplit(operator: OperatorView, reason: str) -> LoopNest:
    """The nest of a node that stays whole; `reason` says why, in the summary."""
    node = operator.node
    values = [value for value in node.inputs if value is not None]
    values += [value for value in captured_values(node) if value not in values]
    outputs = [value for value in node.outputs if value.name]
    inside = body_work(node)
    return LoopNest(
        kind="unsplit",
        operators=(operator.name,),
        loops=(Loop(ROW, 1), Loop(COLUMN, 1)),
        inputs=tuple(_flat(f"in{i}", value) for i, value in enumerate(dict.fromkeys(values))),
        outputs=tuple(_flat(f"out{i}", value) for i, value in enumerate(outputs)),
        arguments={},
        work=Work(
            (),
            operations=_serial_operations(operator, values, outputs) + inside.operations,
            divisions=inside.divisions,
            transcendentals=inside.transcendentals,
            dtype=dtype_of(outputs[0]),
            serial=True,
            weight_reads=_steps(operator),
        ),
        reason=f"{operator.op_type}: {reason}",
    )


def _flat(role: str, value: ir.Value) -> Operand:
    return operand(role, value, (fixed(math.prod(shape_of(value))),))


def captured_values(node: ir.Node) -> list[ir.Value]:
    """Values of the outer graph that the node's subgraphs use, in order of first use."""
    captured: dict[ir.Value, None] = {}
    for attribute in node.attributes.values():
        for graph in subgraphs(attribute):
            inner: set[ir.Value] = set(graph.inputs) | set(graph.initializers.values())
            for inside in all_nodes(graph):
                inner.update(inside.outputs)
                for attributes in inside.attributes.values():
                    for nested in subgraphs(attributes):
                        inner |= set(nested.inputs) | set(nested.initializers.values())
            used = [value for inside in all_nodes(graph) for value in inside.inputs] + list(graph.outputs)
            captured.update({value: None for value in used if value is not None and value not in inner})
    return list(captured)


def subgraphs(attribute: ir.Attr) -> list[ir.Graph]:
    """The graphs that an attribute holds; none where it is a parameter of a function."""
    if attribute.is_ref():
        return []
    if attribute.type.name == "GRAPH":
        return [attribute.as_graph()]
    return list(attribute.as_graphs()) if attribute.type.name == "GRAPHS" else []


def _steps(operator: OperatorView) -> int:
    """How many steps a recurrent layer or a loop takes; 1 for everything else."""
    if operator.op_type not in _RECURRENT:
        return max(1, known_steps(operator.node))
    return shape_of(operator.input(0))[operator.integer("layout", 0)]


def _serial_operations(operator: OperatorView, inputs: list[ir.Value], outputs: list[ir.Value]) -> int:
    """Operations on the one core: each element once; a recurrent layer walks its weights at every step."""
    sizes = [math.prod(shape_of(value)) for value in (*inputs, *outputs)]
    if operator.op_type in _RECURRENT:
        steps, batch = shape_of(operator.input(0))[:2]
        weights = sum(math.prod(shape_of(operator.input(index))) for index in (1, 2))
        return sum(sizes) + steps * batch * weights
    return max(1, sum(sizes))
