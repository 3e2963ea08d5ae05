"""Reads the lowered model of a plan back: what judges and executes plans must survive a damaged file.

Guarantees of what is returned: names are text, and every operand is defined.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir
from google.protobuf.message import DecodeError

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from pathlib import Path


def read_lowered_model(path: Path) -> onnx_ir.Model:
    """The model in the file `path`; its weights stay in their files.

    Raises:
        WsecError: WSEC567 it cannot be read, or is no graph.
    """
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
    for node in model.graph.all_nodes():
        values = [value for value in (*node.inputs, *node.outputs) if value is not None]
        texts = [node.name, node.op_type, node.domain, *(value.name for value in values), *node.attributes]
        wrong = next((text for text in texts if not isinstance(text, str)), None)
        if wrong is not None:
            return f"{wrong!r}, which is no name"
        for value in node.inputs:
            if value is not None and not _is_defined(value):
                return f"{value.name!r}, which node {node.name!r} reads and nothing defines"
    return None


def _is_defined(value: onnx_ir.Value) -> bool:
    return value.producer() is not None or value.is_graph_input() or value.is_initializer()
