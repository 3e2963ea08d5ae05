"""Checks that the operands of each operator fit it: element types, shapes, attributes, and the values of small constants.

Each distinct use of an operator is judged once, alone: by the strict shape inference of ONNX; where its tensors are small,
by running it; where they are not, by the relations between extents that inference leaves out. Weights are not read.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnx_ir as ir

from wsec.compiler.importer.extent_relations import broken_relation
from wsec.compiler.importer.node_checks import misused
from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.importer.single_node import single_node_model
from wsec.compiler.node_runner import make_node_runner, readable
from wsec.compiler.onnxruntime_session import SESSION_ERRORS
from wsec.compiler.operators import NON_DETERMINISTIC, SHAPE_OPERANDS
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_DOMAINS = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_RUN_ELEMENTS = 1 << 16  # of all operands and results: at most a few milliseconds
_KEY_BYTES = 1 << 10  # of constants whose values tell uses of an operator apart
_DIVIDES = frozenset({"Div", "Mod"})  # of whole numbers: by zero, or the least by -1, ends the process
_OTHER_TYPE = "elem type differs"
_CONDITIONS = {"If": 0, "Loop": 1}
_BODIES = frozenset({ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS})


def check_operands(model: ir.Model) -> None:
    """Check every node of the main graph, as far as the types and shapes of its operands are known.

    Bodies are left out but for the conditions in them: exporters put behind an `If` what would not fit, and never take that
    branch. So is what reads the result of an `If`, of which inference only knows the branches; once the passes have selected
    one, it is checked too.

    Raises:
        WsecError: WSEC119 lists every operator that its operands do not fit.
    """
    verdicts: dict[tuple[object, ...], tuple[str, str] | None] = {}
    findings = list(_conditions_of_other_types(model))
    uncertain: set[ir.Value] = set()
    for index, node in enumerate(model.graph):
        if node.op_type == "If" or any(value in uncertain for value in node.inputs):
            uncertain.update(node.outputs)
            continue
        if node.domain not in _DOMAINS or not _is_judged(node):
            continue
        key = _key(node)
        if key not in verdicts:
            verdicts[key] = _judge(node, model)
        verdict = verdicts[key]
        if verdict is not None:
            findings.append((f"{_place(node, index)}: {_described(node.inputs)}", *verdict))
    if findings:
        raise misused(findings)


def _conditions_of_other_types(model: ir.Model) -> Iterator[tuple[str, str, str]]:
    """Every conditional and loop, those in bodies too, whose condition is known to be no truth value."""
    for index, node in enumerate(all_nodes(model.graph)):
        slot = _CONDITIONS.get(node.op_type)
        if slot is None or node.domain not in _DOMAINS or slot >= len(node.inputs):
            continue
        condition = node.inputs[slot]
        if condition is not None and condition.dtype not in {None, ir.DataType.BOOL}:
            yield _place(node, index), "a condition of type bool", _described([condition])


def _is_judged(node: ir.Node) -> bool:
    given = [value for value in node.inputs if value is not None]
    tensors = all(isinstance(value.type, ir.TensorType) for value in given)
    tensors &= all(value.type is None or isinstance(value.type, ir.TensorType) for value in node.outputs)
    return tensors and not any(attribute.type in _BODIES for attribute in node.attributes.values())


def _key(node: ir.Node) -> tuple[object, ...]:
    return (
        node.op_identifier(),
        len(node.outputs),
        *(
            (
                a.name,
                str(a.value) if a.type != ir.AttributeType.TENSOR else (a.value.dtype, str(a.value.shape)),
            )
            for a in node.attributes.values()
        ),
        *(
            None if value is None else (value.dtype, str(value.shape), _content(node, slot))
            for slot, value in enumerate(node.inputs)
        ),
    )


def _content(node: ir.Node, slot: int) -> bytes:
    """What tells two small constants apart: whole numbers, which may be axes or indices, and what decides a shape."""
    value = node.inputs[slot]
    tensor = None if value is None else value.const_value
    if (
        tensor is None
        or tensor.nbytes > _KEY_BYTES
        or isinstance(tensor, ir.ExternalTensor | ir.StringTensor)
        or (tensor.dtype.is_floating_point() and slot not in SHAPE_OPERANDS.get(node.op_type, ()))
    ):
        return b""
    return tensor.tobytes()


def _judge(node: ir.Node, model: ir.Model) -> tuple[str, str] | None:
    """What was expected and what was found; None where nothing speaks against the node."""
    serialised, inputs = single_node_model(node, model)
    try:
        onnx.shape_inference.infer_shapes(serialised, check_type=True, strict_mode=True, data_prop=False)
    except onnx.shape_inference.InferenceError as error:
        # Inference of operators that are functions fails where nothing is wrong; the reference loads any type.
        if _OTHER_TYPE in str(error) or not _loads(serialised):
            return _expectation(node), _inference_message(str(error))
    broken = broken_relation(node)
    if broken is not None:
        return broken
    if _may_run(node):
        return _run(node, serialised, list(inputs.values()))
    return None


def _loads(serialised: bytes) -> bool:
    try:
        make_node_runner(onnx.ModelProto.FromString(serialised))
    except SESSION_ERRORS:
        return False
    return True


def _may_run(node: ir.Node) -> bool:
    """Whether the node is small, and no operand that decides its shapes is still to be computed."""
    values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
    shapes = [static_shape(value) for value in values]
    if any(shape is None for shape in shapes) or node.op_type in NON_DETERMINISTIC | _DIVIDES:
        return False
    slots = SHAPE_OPERANDS.get(node.op_type, ())
    decided = all(
        value is None or value.const_value is not None or slot not in slots
        for slot, value in enumerate(node.inputs)
    )
    known = all(value.dtype not in {None, ir.DataType.STRING, ir.DataType.UNDEFINED} for value in values)
    return (
        decided and known and sum(math.prod(shape) for shape in shapes if shape is not None) <= _RUN_ELEMENTS
    )


def _run(node: ir.Node, serialised: bytes, inputs: list[ir.Value]) -> tuple[str, str] | None:
    """A use that fails on ones and on zeros alike is wrong; what nothing has implemented is listed by `support`."""
    try:
        runner = make_node_runner(onnx.ModelProto.FromString(serialised))
    except SESSION_ERRORS:
        return None
    message = ""
    for fill in (1, 0):
        try:
            results = runner.run(_filled(inputs, fill))
        except SESSION_ERRORS as error:
            message = readable(error)
            continue
        return _compared(node, results)
    return _expectation(node), message.rpartition("Status Message: ")[2]


def _compared(node: ir.Node, results: list[np.ndarray[Any, Any]]) -> tuple[str, str] | None:
    """A result of another shape than inferred: what is laid out for the one cannot hold the other."""
    named = [value for value in node.outputs if value.name]
    for value, result in zip(named, results, strict=True):
        shape = static_shape(value)
        if shape != np.shape(result):
            found = f"{value.name} {list(np.shape(result))} when it runs"
            return f"{value.name} {list(shape or ())}, as shape inference says", found
    return None


def _filled(inputs: Iterable[ir.Value], fill: int) -> dict[str, np.ndarray[Any, Any]]:
    return {
        str(value.name): np.full(static_shape(value) or (), fill, dtype=value.dtype.numpy())
        for value in inputs
        if value.dtype is not None
    }


def _expectation(node: ir.Node) -> str:
    return f"operands and attributes that fit {node.op_type}"


def _inference_message(text: str) -> str:
    """The reason alone, out of `[ShapeInferenceError] Inference error(s): (op_type:Add, node name: n): [...] reason`."""
    line = text.strip().splitlines()[0]
    return line.rpartition("Error] ")[2].rpartition("): ")[2] or line


def _place(node: ir.Node, index: int) -> str:
    return f"node {index} {node.name!r} ({node.op_type})" if node.name else f"node {index} ({node.op_type})"


def _described(values: Iterable[ir.Value | None]) -> str:
    parts = []
    for value in values:
        if value is not None:
            kind = "unknown" if value.dtype is None else value.dtype.name.lower()
            extents = (
                "[?]"
                if value.shape is None
                else "[" + ", ".join(str(d if isinstance(d, int) else "?") for d in value.shape) + "]"
            )
            parts.append(f"{value.name} {kind} {extents}")
    return ", ".join(parts) or "no operands"
