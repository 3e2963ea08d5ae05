"""Reads the lowered model of a plan back: what judges and executes plans must survive a damaged file.

Guarantees of what is returned: names are text, every operand is defined, and none that an operator requires is left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnx_ir
from google.protobuf.message import DecodeError

from wsec.compiler.errors import WsecError
from wsec.compiler.plan_files import find_damage
from wsec.compiler.walks import all_nodes

if TYPE_CHECKING:
    from pathlib import Path


def read_lowered_model(path: Path) -> onnx_ir.Model:
    """The model in the file `path`; its weights stay in their files.

    Raises:
        WsecError: WSEC567 it cannot be read, is no graph, or is not what the list of the plan's files says.
    """
    damage = (
        find_damage(path.parent, hashed=(path.name, "lowered.weights")) if path.name == "model.onnx" else None
    )
    if damage is not None:
        raise unreadable(str(path.parent), damage)
    try:
        model = onnx_ir.load(path)
    except (OSError, DecodeError, ValueError, onnx_ir.serde.SerdeError) as error:
        raise unreadable(str(path), f"{type(error).__name__}: {error}") from error
    found = _what_is_wrong(model)
    if found is not None:
        raise unreadable(str(path), found)
    return model


def unreadable(where: str, found: str) -> WsecError:
    """The error for a lowered model, or a weight of it, that cannot be read."""
    return WsecError(
        code="WSEC567",
        what="the lowered model of the plan cannot be read",
        where=where,
        expected="the files as `wsec compile` wrote them",
        found=found,
        hint="a plan is its whole folder: copy it whole, or compile the model again",
    )


def _what_is_wrong(model: onnx_ir.Model) -> str | None:
    for node in all_nodes(model.graph):
        values = [value for value in (*node.inputs, *node.outputs) if value is not None]
        texts = [node.name, node.op_type, node.domain, *(value.name for value in values), *node.attributes]
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None:
            return f"{wrong!r}, which is no name"
        for value in node.inputs:
            if value is not None and not _is_defined(value):
                return f"{value.name!r}, which node {node.name!r} reads and nothing defines"
        missing = _missing_operand(node, model.opset_imports.get("", 0))
        if missing is not None:
            return f"node {node.name!r} ({node.op_type}) without its operand {missing}"
    return None


def _missing_operand(node: onnx_ir.Node, version: int) -> str | None:
    """The first operand that ai.onnx requires and the node has not."""
    if node.domain not in {"", "ai.onnx"} or not onnx.defs.has(node.op_type, version, ""):
        return None
    single = onnx.defs.OpSchema.FormalParameterOption.Single
    for slot, parameter in enumerate(onnx.defs.get_schema(node.op_type, version, "").inputs):
        if parameter.option == single and (slot >= len(node.inputs) or node.inputs[slot] is None):
            return str(parameter.name)
    return None


def _is_defined(value: onnx_ir.Value) -> bool:
    return value.producer() is not None or value.is_graph_input() or value.is_initializer()
