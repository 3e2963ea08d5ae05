"""Says, all at once, what of a model cannot be compiled: types, operators and shapes.

Called on the lowered model. An operator is supported where onnxruntime's CPU provider, or else the reference
implementation of ONNX, can load it with the types it has here; each distinct operator is tried once, in a model of one node.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx
import onnx_ir as ir

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.shape_sources import deciding_inputs, shapes_of_the_run
from wsec.compiler.importer.shapes import static_shape, unshaped_values
from wsec.compiler.importer.single_node import single_node_model
from wsec.compiler.node_runner import make_node_runner, readable
from wsec.compiler.onnxruntime_session import SESSION_ERRORS
from wsec.compiler.operators import NON_DETERMINISTIC
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMED = 5


def check_supported(model: ir.Model) -> tuple[str, ...]:
    """Check types, operators and shapes of the whole model; returns notes on operators that the reference runs.

    Raises:
        WsecError: WSEC115 lists every value of an unsupported type and every operator that neither can run;
            WSEC116 lists every value whose shape is unknown and need not be.
    """
    notes: list[str] = []
    problems = [*_bad_types(model), *_bad_operators(model, notes)]
    if problems:
        count = len(problems)
        raise WsecError(
            "WSEC115",
            f"{count} part{'s' * (count != 1)} of the model {'are' if count != 1 else 'is'} not supported",
            where="\n".join(problems),
            expected="dense tensors, sequences and optionals of them, and operators that onnxruntime runs on the CPU or the reference of ONNX knows",
            found=f"{count} exception{'s' * (count != 1)}, listed above",
            hint="export the model without them; a registered custom pass may also replace an operator",
        )
    _check_shapes(model)
    return tuple(notes)


def _bad_types(model: ir.Model) -> Iterator[str]:
    for value in model.graph.inputs:
        if (reason := _bad_type(value)) is not None:
            yield f"input {value.name}: {reason}"
    for name, value in model.graph.initializers.items():
        if (reason := _bad_type(value)) is not None:
            yield f"initializer {name}: {reason}"
    for node in all_nodes(model.graph):
        for value in node.outputs:
            if value.name and (reason := _bad_type(value)) is not None:
                yield f"{node.name} ({_operator(node)}), output {value.name}: {reason}"


def _bad_type(value: ir.Value) -> str | None:
    """Why neither the wafer nor the host has the value; a value without a type may be of one onnx_ir has no word for."""
    if isinstance(value.type, ir.SparseTensorType):
        return "a sparse tensor"
    if value.type is None and value.is_graph_input():
        return "of a type that is no tensor, sequence or optional"
    return None


def _operator(node: ir.Node) -> str:
    return f"{node.domain}.{node.op_type}" if node.domain else node.op_type


def _bad_operators(model: ir.Model, notes: list[str]) -> Iterator[str]:
    verdicts: dict[tuple[object, ...], _Verdict] = {}
    through: dict[str, list[str]] = {}
    for node in all_nodes(model.graph):
        values = [*node.inputs, *node.outputs]
        if any(value is not None and value.name and _bad_type(value) is not None for value in values):
            continue
        if any(a.type in {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS} for a in node.attributes.values()):
            if node.domain:
                yield f"{node.name} ({_operator(node)}): an operator of another domain with bodies of its own"
            continue  # control flow runs wherever the nodes of its bodies do, and those are visited too
        if _draws_at_random(node):
            yield f"{node.name} ({_operator(node)}): draws random numbers; the same input has to give the same output"
            continue
        key = (
            node.op_identifier(),
            *((a.name, str(a.value)) for a in node.attributes.values() if a.type != ir.AttributeType.TENSOR),
            *((str(v.type), len(v.shape or ())) if v is not None else None for v in values),
        )
        if key not in verdicts:
            verdicts[key] = _judge(model, node)
        verdict = verdicts[key]
        if verdict.refused:
            yield f"{node.name} ({_operator(node)}): {verdict.refused}"
        elif verdict.reference:
            through.setdefault(verdict.reference, []).append(f"{node.name!r} ({_operator(node)})")
    notes.extend(_reference_note(reason, named) for reason, named in through.items())


def _reference_note(reason: str, named: list[str]) -> str:
    """One note for all operators that the reference runs for one reason: in a bfloat16 model that is each of them."""
    if len(named) == 1:
        return f"operator {named[0]} runs through onnx.reference: {reason}"
    rest = f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
    return f"{len(named)} operators run through onnx.reference: {reason}: {', '.join(named[:_NAMED])}{rest}"


@dataclass(frozen=True, slots=True)
class _Verdict:
    """Why nothing can load a model of one node, or why the reference has to; both empty where onnxruntime can."""

    refused: str = ""
    reference: str = ""


def _judge(model: ir.Model, node: ir.Node) -> _Verdict:
    if node.domain == "" and not onnx.defs.has(node.op_type, model.opset_imports[""], ""):
        return _Verdict(refused=f"ai.onnx {model.opset_imports['']} has no such operator")
    serialised, _ = single_node_model(node, model)
    try:
        runner = make_node_runner(onnx.ModelProto.FromString(serialised))
    except SESSION_ERRORS as error:
        return _Verdict(refused=readable(error))
    return _Verdict(reference=runner.reference)


def _draws_at_random(node: ir.Node) -> bool:
    """Whether runs differ: random operators, and a Dropout that is not known to be at inference."""
    if node.domain != "" or node.op_type != "Dropout":
        return node.domain == "" and node.op_type in NON_DETERMINISTIC
    training = node.inputs[2] if len(node.inputs) > 2 else None
    if training is None:
        return False
    return training.const_value is None or bool(training.const_value.numpy())


def _check_shapes(model: ir.Model) -> None:
    opened = dict.fromkeys(unshaped_values(model))
    excused = shapes_of_the_run(model, opened)
    refused = [value for value in opened if value not in excused]
    open_values = [
        f"{node.name} ({_operator(node)}), output {value.name}: its shape is unknown"
        for value in refused
        if (node := value.producer()) is not None
    ]
    open_values.extend(
        f"input {value.name}: its shape is unknown"
        for value in model.graph.inputs
        if isinstance(value.type, ir.TensorType) and static_shape(value) is None
    )
    if open_values:
        count = len(open_values)
        deciding = deciding_inputs(model, refused)
        raise WsecError(
            "WSEC116",
            f"the shape of {count} value{'s' * (count != 1)} cannot be known before the model runs",
            where="\n".join(open_values),
            expected="one shape for every value that does not depend on the data",
            found=f"{count} value{'s' * (count != 1)} without",
            hint=f"sizes are inputs of the model: make constants of {', '.join(deciding)} (initializers of the same names)"
            if deciding
            else "check that the inputs of these operators fit together, or export the model with fixed sizes",
        )
