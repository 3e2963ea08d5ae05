"""Runs small models of a few nodes: through onnxruntime, and what its CPU build lacks through `onnx.reference`.

Guarantees: which of the two computes depends on the model alone. The reference takes over where onnxruntime has no
implementation for the element types or attributes, and where it is known to compute another thing than ONNX says.
A model that ONNX itself forbids is refused as before.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from wsec.compiler.guarded_division import guard_divisions
from wsec.compiler.onnxruntime_session import LOOP_SECONDS, SESSION_ERRORS, make_session, run_session
from wsec.compiler.original_model import has_loops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Array = np.ndarray[Any, Any]
    Run = Callable[[Mapping[str, Array]], list[Array]]

_LACKING: tuple[type[Exception], ...] = (
    ort_errors.Fail,
    ort_errors.NotImplemented,
    ort_errors.RuntimeException,
)
"""What onnxruntime raises for what it has not implemented; other errors say that the model is at fault."""

_CONTRADICTIONS = ("InferenceError]", "Type Error:")
"""Marks of its messages on types or shapes that do not fit each other: the standard forbids them."""

_REFERENCE_ERRORS: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)

_DEVIATING: dict[str, str] = {
    "Attention": "onnxruntime masks the scores that it returns in another order",
    "DFT": "onnxruntime loses four digits",
    "STFT": "onnxruntime loses four digits",
    "MaxUnpool": "onnxruntime ignores where the larger output puts the maxima",
}
"""Operators of ai.onnx whose results on the CPU are not what the standard says, as its own tests show."""

MIXTURES = frozenset({"MoE", "QMoE"})
"""Operators of com.microsoft that `wsec.compiler.reference_experts` defines where onnxruntime lacks a form of them."""

_NO_NUMPY_TYPE = "onnxruntime does not exchange bfloat16 with numpy"


@dataclass(frozen=True, slots=True)
class NodeRunner:
    """A model ready to run.

    Attributes:
        run: Inputs by name to outputs in the order of the model. Raises `SESSION_ERRORS`.
        reference: Why `onnx.reference` runs it; empty where onnxruntime does.
    """

    run: Run
    reference: str


def make_node_runner(model: onnx.ModelProto) -> NodeRunner:
    """What runs the model.

    Raises:
        SESSION_ERRORS: Neither onnxruntime nor the reference can load it.
    """
    preferred = _why_reference(model)
    if preferred and (found := _load_reference(model)) is not None:
        return NodeRunner(found, preferred)
    guarded = onnx.ModelProto()
    guarded.CopyFrom(model)
    guard_divisions(guarded)
    try:
        session = make_session(guarded.SerializeToString(deterministic=True))
    except _LACKING as error:
        found = None if is_contradiction(error) else _load_reference(model)
        if found is None:
            raise
        return NodeRunner(found, readable(error))
    limit = LOOP_SECONDS if has_loops(model.graph) else None
    return NodeRunner(
        _with_second_try(lambda inputs: run_session(session, inputs, limit_seconds=limit), model), ""
    )


def is_contradiction(error: Exception) -> bool:
    """Whether onnxruntime refuses a model because its types or shapes do not fit each other."""
    return any(mark in str(error) for mark in _CONTRADICTIONS)


def readable(error: Exception) -> str:
    """A message of onnxruntime without its numeric prefix, on one line."""
    text = " ".join(str(error).split())
    marker = "[ONNXRuntimeError] : "
    return text.removeprefix(marker).split(" : ", 2)[-1] if text.startswith(marker) else text


def deviations(nodes: Iterable[onnx.NodeProto]) -> tuple[str, ...]:
    """Why onnxruntime is not asked for some of these nodes, each reason once."""
    found = (_deviation(node) for node in nodes)
    return tuple(dict.fromkeys(reason for reason in found if reason))


def _is_mixture(node: onnx.NodeProto) -> bool:
    return node.domain == "com.microsoft" and node.op_type in MIXTURES


def _deviation(node: onnx.NodeProto) -> str:
    if _is_mixture(node):
        return _lacking_form(node) or _rounds_rows(node)
    if node.domain != "":
        return ""
    if node.op_type == "Resize" and _attribute(node, "coordinate_transformation_mode") == b"align_corners":
        return "onnxruntime aligns corners by the rounded size"
    return _DEVIATING.get(node.op_type, "")


def _lacking_form(node: onnx.NodeProto) -> str:
    """What of a mixture of experts onnxruntime's kernel for CPUs refuses, often only when it runs."""
    name = (_attribute(node, "activation_type") or b"relu").decode()
    numbers = {item.name: item.i for item in node.attribute}
    third = 8 if node.op_type == "QMoE" else 6
    forms = (
        (name == "swiglu" and numbers.get("swiglu_fusion", 0) != 1, "gates that are not in pairs"),
        (name in {"geglu", "relu2"}, f"the activation {name}"),
        (len(node.input) > third and bool(node.input[third]), "a third matrix"),
        (
            numbers.get("swiglu_limit_after_activation", 0) == 1,
            "gates that are limited behind the activation",
        ),
        ((_attribute(node, "quant_type") or b"int") != b"int", "weights of MXFP4"),
    )
    found = next((what for holds, what in forms if holds), "")
    return f"onnxruntime has no mixture of experts with {found} on the CPU" if found else ""


def _rounds_rows(node: onnx.NodeProto) -> str:
    if node.op_type != "QMoE":
        return ""
    numbers = {item.name: item.i for item in node.attribute}
    bits = {
        numbers.get(f"fc{each}_expert_weight_bits", numbers.get("expert_weight_bits", 4)) for each in (1, 2)
    }
    level = numbers.get("accuracy_level", 0)
    if numbers.get("block_size", 0) > 0 and (8 in bits or level == 4):
        return "onnxruntime rounds what blocks of weights are multiplied with to 8 bits"
    return ""


def _why_reference(model: onnx.ModelProto) -> str:
    if found := deviations(model.graph.node):
        return found[0]
    values = (*model.graph.input, *model.graph.output)
    narrow = any(value.type.tensor_type.elem_type == onnx.TensorProto.BFLOAT16 for value in values)
    return _NO_NUMPY_TYPE if narrow else ""


def _attribute(node: onnx.NodeProto, name: str) -> bytes:
    return next((item.s for item in node.attribute if item.name == name), b"")


def _with_second_try(run: Run, model: onnx.ModelProto) -> Run:
    """Some of what onnxruntime lacks it notices only when it runs."""
    reference = cache(lambda: _load_reference(model))

    def run_either(inputs: Mapping[str, Array]) -> list[Array]:
        try:
            return run(inputs)
        except _LACKING:
            if (second := reference()) is None:
                raise
            try:
                return second(inputs)
            except SESSION_ERRORS:
                pass
            raise

    return run_either


def _load_reference(model: onnx.ModelProto) -> Run | None:
    """The model on `onnx.reference`; None where that has not all of its operators, and they are none of `MIXTURES` either."""
    if any(node.domain != "" and not _is_mixture(node) for node in _nodes(model.graph)):
        return None
    from onnx.reference import ReferenceEvaluator

    from wsec.compiler.reference_experts import reference_operators

    try:
        evaluator = ReferenceEvaluator(model, new_ops=reference_operators())
    except _REFERENCE_ERRORS:
        return None
    kinds = [
        o.type.tensor_type.elem_type if o.type.HasField("tensor_type") else 0 for o in model.graph.output
    ]

    def run(inputs: Mapping[str, Array]) -> list[Array]:
        try:
            with np.errstate(all="ignore"):
                results = evaluator.run(None, dict(inputs))
            return [_typed(item, kind) for item, kind in zip(results, kinds, strict=True)]
        except _REFERENCE_ERRORS as error:
            raise ort_errors.RuntimeException(f"onnx.reference: {type(error).__name__}: {error}") from error

    return run


def _typed(item: Any, kind: int) -> Any:
    """A tensor in its element type; anything else as it is."""
    return np.asarray(item, dtype=onnx.helper.tensor_dtype_to_np_dtype(kind)) if kind else item


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g)
