"""Which operators may run although the branch they stand in was not taken, and how they are kept from failing.

Where a condition is known only at run time, both branches run and their results are selected. An operator that gives a
result for all values of its inputs may run in vain. Those of `GUARDED` fail for some values of one input: a branch that
is not taken gives them a harmless one. Branches with anything else that can fail, or need not end, are not placed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.importer.shapes import static_shape
from wsec.compiler.operators import DATA_DEPENDENT_SHAPE, SHAPE_OPERANDS
from wsec.compiler.walks import all_nodes
from wsec.passes.rewriting import constant_of

if TYPE_CHECKING:
    from collections.abc import Iterator

GUARDED: dict[str, tuple[int, int]] = {
    "CumSum": (1, 0),
    "Div": (1, 1),
    "GRU": (4, 1),
    "Gather": (1, 0),
    "GatherElements": (1, 0),
    "GatherND": (1, 0),
    "LSTM": (4, 1),
    "MaxUnpool": (1, 0),
    "Mod": (1, 1),
    "NegativeLogLikelihoodLoss": (1, 0),
    "RNN": (4, 1),
    "ReverseSequence": (1, 1),
    "RoiAlign": (2, 0),
    "RotaryEmbedding": (3, 0),
    "ScatterElements": (1, 0),
    "ScatterND": (1, 0),
    "SoftmaxCrossEntropyLoss": (1, 0),
    "TensorScatter": (2, 0),
}
"""By operator of ai.onnx: the input for whose values it may fail, where these are whole numbers, and one that is safe."""

_REPEATING = frozenset({"Loop"})
_TOTAL_DOMAINS = frozenset({"", "ai.onnx.ml"})
_TOTAL_CONTRIB = frozenset(
    {
        "BiasGelu", "FastGelu", "FusedConv", "FusedGemm", "FusedMatMul", "Gelu", "LayerNormalization", "MatMulNBits",
        "QuickGelu", "SimplifiedLayerNormalization", "SkipLayerNormalization", "SkipSimplifiedLayerNormalization",
    }
)  # fmt: skip
"""Of com.microsoft: operators that look nothing up."""


def guarded_input(node: ir.Node) -> tuple[int, int] | None:
    """The input that needs a safe value while the branch of the node is not taken, and that value; None for none."""
    if node.domain != "" or node.op_type not in GUARDED:
        return None
    slot, safe = GUARDED[node.op_type]
    value = node.inputs[slot] if slot < len(node.inputs) else None
    if value is None or (value.dtype is not None and not value.dtype.is_integer()):
        return None
    return None if constant_of(value) is not None and not _divides_by_zero(node) else (slot, safe)


def why_it_may_fail(branch: ir.Graph) -> str:
    """Why a branch may not run unless it is taken; empty where it may."""
    return next(_hazards(branch), "")


def _hazards(branch: ir.Graph) -> Iterator[str]:
    own = set(branch)
    for node in all_nodes(branch):
        label = f"{node.name} ({node.op_type})"
        total = node.domain in _TOTAL_DOMAINS or (
            node.domain == "com.microsoft" and node.op_type in _TOTAL_CONTRIB
        )
        if not total:
            yield f"{label} may fail where its branch is not taken"
        if (
            node.op_type == "Cast"
            and node.inputs[0] is not None
            and node.inputs[0].dtype == ir.DataType.STRING
        ):
            yield f"{label} reads text, which may be no number where its branch is not taken"
        if node.domain == "" and node.op_type in _REPEATING:
            yield f"{label} may have no end where its branch is not taken"
        if node.op_type in DATA_DEPENDENT_SHAPE or _reads_a_shape(node):
            yield f"{label} has a shape that depends on data"
        for value in node.outputs if node in own else ():
            if value.name and not _is_placed(value):
                yield f"{label} gives {value.name}, which is no tensor of a known shape"
        guarded = guarded_input(node)
        if guarded is not None and (index := node.inputs[guarded[0]]) is not None and index.dtype is None:
            yield f"{label} reads {index.name}, whose type is unknown"


def _is_placed(value: ir.Value) -> bool:
    tensor = value.type is None or isinstance(value.type, ir.TensorType)
    return tensor and value.dtype not in {None, ir.DataType.STRING} and static_shape(value) is not None


def _reads_a_shape(node: ir.Node) -> bool:
    slots = SHAPE_OPERANDS.get(node.op_type, ()) if node.domain == "" and node.op_type != "If" else ()
    operands = [value for slot, value in enumerate(node.inputs) if slot in slots and value is not None]
    return any(constant_of(value) is None for value in operands)


def _divides_by_zero(node: ir.Node) -> bool:
    divisor = constant_of(node.inputs[1]) if node.op_type in {"Div", "Mod"} else None
    return divisor is not None and divisor.size <= 1 << 12 and not divisor.numpy().all()
