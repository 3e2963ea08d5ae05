"""Checks the tensors of a freshly decoded model: a known element type, and as many bytes as type and shape say.

Works on the protobuf, before anything trusts it. Of weights in other files it checks where they say they are; `external_data` looks at the files.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_ELEMENT_TYPES = frozenset(onnx.TensorProto.DataType.values()) - {onnx.TensorProto.UNDEFINED}


def check_tensors(proto: onnx.ModelProto, path: Path) -> None:
    """Check every weight and every tensor of an attribute of the model that was read from `path`.

    Raises:
        WsecError: WSEC102 the first one that is broken.
    """
    for where, tensor in _tensors(proto):
        found = _what_is_wrong(tensor)
        if found is not None:
            raise WsecError(
                "WSEC102",
                "the file is not a valid ONNX model",
                where=f"{where} in {path}",
                expected="a known element type, and the bytes that type and shape ask for",
                found=found,
                hint="fetch or copy the file again, or export the model again",
            )


def _what_is_wrong(tensor: onnx.TensorProto) -> str | None:
    if tensor.data_type not in _ELEMENT_TYPES:
        return f"element type {tensor.data_type}"
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return _what_is_wrong_outside(tensor)
    try:
        onnx.checker.check_tensor(tensor)
    except onnx.checker.ValidationError as error:
        return str(error).partition("\n")[0]
    return None


def _what_is_wrong_outside(tensor: onnx.TensorProto) -> str | None:
    for entry in tensor.external_data:
        if entry.key in {"offset", "length"} and not entry.value.isdecimal():
            return f"{entry.key} {entry.value!r} of the data in another file"
        if entry.key == "location" and "\0" in entry.value:
            return f"location {entry.value!r}"
    if any(extent < 0 for extent in tensor.dims):
        return f"shape {list(tensor.dims)}"
    return None


def _tensors(proto: onnx.ModelProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    yield from _tensors_of_graph(proto.graph)
    for function in proto.functions:
        yield from _tensors_of_nodes(function.node)


def _tensors_of_graph(graph: onnx.GraphProto) -> Iterator[tuple[str, onnx.TensorProto]]:
    for tensor in graph.initializer:
        yield f"initializer {tensor.name!r}", tensor
    yield from _tensors_of_nodes(graph.node)


def _tensors_of_nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[tuple[str, onnx.TensorProto]]:
    for index, node in enumerate(nodes):
        for attribute in node.attribute:
            where = f"attribute {attribute.name!r} of node {index} ({node.op_type})"
            if attribute.HasField("t"):
                yield where, attribute.t
            for tensor in attribute.tensors:
                yield where, tensor
            for body in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _tensors_of_graph(body)
