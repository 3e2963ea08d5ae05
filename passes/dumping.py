"""Numbered dumps of the model between passes, as a callback of the pass manager.

Each step that changed the model leaves `NN-pass-name.onnx`, to open in a viewer, and `NN-pass-name.txt`, to diff.
Large weights are left out of both: in the former they are inputs. A file is complete or not there; WSEC583 says that one
cannot be written.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.serialising import serialise_without_weights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from wsec.passes.manager import PipelineStep

_KEPT_BYTES = 1 << 10


def dump_to(folder: Path) -> Callable[[PipelineStep], None]:
    """A callback that writes into `folder`, which is made if it is not there."""

    def callback(step: PipelineStep) -> None:
        if step.result is not None and not step.result.modified:
            return
        name = "imported" if step.previous is None else step.previous.name
        stem = f"{step.index:02d}-{name}"
        proto, _ = serialise_without_weights(step.model, _KEPT_BYTES)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            _write(folder / f"{stem}.txt", model_text(step.model).encode())
            _write(folder / f"{stem}.onnx", proto.SerializeToString())
        except OSError as error:
            raise _cannot_dump(folder, error.strerror or type(error).__name__) from error

    return callback


def model_text(model: ir.Model) -> str:
    """One line for each input, node and output, with shapes; initializers appear where they are used."""
    lines = [f"input  {_typed(value)}" for value in model.graph.inputs]
    for node in model.graph:
        results = ", ".join(_typed(value) for value in node.outputs if value.name)
        operands = ", ".join("-" if value is None else _operand(value) for value in node.inputs)
        operator = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
        attributes = " ".join(f"{name}={_attribute(a)}" for name, a in sorted(node.attributes.items()))
        metadata = " ".join(f"{key}={value}" for key, value in sorted(node.metadata_props.items()))
        parts = [f"{results} = {operator}({operands})", attributes, f"# {node.name} {metadata}".rstrip()]
        lines.append("  ".join(part for part in parts if part))
    lines.extend(f"output {_typed(value)}" for value in model.graph.outputs)
    return "\n".join(lines) + "\n"


def _typed(value: ir.Value) -> str:
    element = "?" if value.dtype is None else value.dtype.name.lower()
    return f"%{value.name}:{element}{'?' if value.shape is None else value.shape}"


def _operand(value: ir.Value) -> str:
    constant = value.const_value
    if constant is None:
        return f"%{value.name}"
    if constant.size <= 8 and not isinstance(constant, ir.ExternalTensor | ir.LazyTensor):
        return f"%{value.name}={constant.numpy().tolist()}"
    return _typed(value)


def _attribute(attribute: ir.Attr) -> str:
    if attribute.type in {ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS}:
        return "{...}"
    if attribute.type == ir.AttributeType.TENSOR:
        tensor = attribute.as_tensor()
        return f"tensor{tensor.shape}"
    return str(attribute.value).replace(" ", "")


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _cannot_dump(folder: Path, found: str) -> WsecError:
    return WsecError(
        "WSEC583",
        "the dumps of the passes cannot be written",
        where=str(folder),
        expected="a folder that can be written, on a disk with room",
        found=found,
        hint="choose another place for the dumps, or free some room",
    )
