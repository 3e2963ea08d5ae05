"""The original model once more, where onnxruntime is known to compute another thing than ONNX says.

It is run node by node: operators that deviate through the reference of ONNX, all others through onnxruntime as before.
Only a model whose numbers differ from the plan's is run so, since the reference is slow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from wsec.compiler.node_runner import deviations
from wsec.compiler.original_model import sort_nodes
from wsec.runtime.node_sessions import NodeSessions

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from wsec.runtime.element_types import Array


def second_opinion(
    path: Path, inputs: Mapping[str, Array], names: Sequence[str]
) -> tuple[dict[str, Array], tuple[str, ...]] | None:
    """The outputs `names` of the model, and why onnxruntime was not asked for all of them.

    None where none of its operators is known to deviate, or one gives something else than tensors.

    Raises:
        SESSION_ERRORS: A node cannot be run.
    """
    proto = onnx.load(path)
    reasons = deviations(proto.graph.node)
    if not reasons:
        return None
    sort_nodes(proto)
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    sessions = NodeSessions(opsets, proto.ir_version, proto.functions)
    values = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    values |= inputs
    for node in proto.graph.node:
        made = [name for name in node.output if name]
        given = {name: values[name] for name in _reads(node) if name in values}
        results = sessions.run_nodes([node], given, dict.fromkeys(made, ""), dict.fromkeys(made))
        values.update(zip(made, results, strict=True))
        if not all(isinstance(result, np.ndarray) for result in results):
            return None
    return {name: values[name] for name in names}, reasons


def _reads(node: onnx.NodeProto) -> list[str]:
    """Names that a node or a body of it reads; those that are defined inside are no values of the graph."""
    names = [name for name in node.input if name]
    for attribute in node.attribute:
        if attribute.HasField("g"):
            names += [name for inner in attribute.g.node for name in _reads(inner)]
            names += [value.name for value in attribute.g.output]
    return list(dict.fromkeys(names))
