"""ONNX's shape inference with the values of small whole-number tensors, kept from following huge ones.

It lists the elements of a vector that is added, sliced or joined, whatever its length: a file of a hundred bytes may ask for
10^12 of them. Such vectors, and those whose length is still to be found, are hidden from the operators that would list them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from wsec.compiler.operators import SHAPE_OPERANDS

if TYPE_CHECKING:
    from collections.abc import Collection

_LISTING = frozenset({"Add", "Cast", "Concat", "Gather", "Mul", "Slice", "Squeeze", "Sub", "Unsqueeze"})
_KEEPING = frozenset({"If", "Slice", "Split", "Squeeze", "TopK", "Unsqueeze"})
_GROWING = frozenset(
    name for name in SHAPE_OPERANDS if name not in _KEEPING and not name.startswith("Reduce")
)
_LISTED_TYPES = frozenset(
    {onnx.TensorProto.INT32, onnx.TensorProto.INT64, onnx.TensorProto.UNDEFINED}
)  # it knows no values of others
_LISTED_ELEMENTS = 1 << 16


def infer_bounded(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the types and shapes that inference finds.

    Raises:
        onnx.shape_inference.InferenceError: It gives up on the whole model.
    """
    plain = _infer(proto, values=False)
    if _knows_all(plain.graph):
        return plain  # values of tensors would tell nothing more
    hidden = _hidden(plain)
    if not hidden:
        return _infer(proto, values=True)
    while True:
        found = _infer(_without(proto, hidden), values=True) if hidden else _infer(proto, values=True)
        still = _hidden(found) & hidden
        if still == hidden:
            return _completed(found, plain) if hidden else found
        hidden = still


def _knows_all(graph: onnx.GraphProto) -> bool:
    """Whether the shape of every result is known, and no node has a body, of whose results nothing is said here."""
    known = {
        entry.name: entry.type.tensor_type
        for entry in (*graph.value_info, *graph.output)
        if entry.type.HasField("tensor_type")
    }
    return all(
        all(not name or (name in known and _is_static(known[name])) for name in node.output)
        and not any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)
        for node in graph.node
    )


def _infer(proto: onnx.ModelProto, *, values: bool) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(proto, check_type=False, strict_mode=False, data_prop=values)


def _hidden(proto: onnx.ModelProto) -> set[str]:
    """Vectors that are too long to list, and those of unknown length that come from operators which may make such ones."""
    graph = proto.graph
    hidden = {
        entry.name
        for entry in (*graph.input, *graph.value_info, *graph.output)
        if entry.type.HasField("tensor_type") and _is_long(entry.type.tensor_type)
    }
    known = {entry.name: entry.type.tensor_type for entry in (*graph.value_info, *graph.output)}
    for node in graph.node:
        if node.op_type in _GROWING or any(name in hidden for name in node.input):
            hidden.update(name for name in node.output if name and not _is_known(known.get(name)))
    return hidden


def _is_long(tensor: onnx.TypeProto.Tensor) -> bool:
    return len(tensor.shape.dim) == 1 and tensor.shape.dim[0].dim_value > _LISTED_ELEMENTS


def _is_known(tensor: onnx.TypeProto.Tensor | None) -> bool:
    """Whether the shape is known, or it is known that this is no vector of whole numbers."""
    if tensor is None:
        return False
    if tensor.elem_type not in _LISTED_TYPES:
        return True
    if not tensor.HasField("shape"):
        return False
    return len(tensor.shape.dim) != 1 or tensor.shape.dim[0].HasField("dim_value")


def _is_static(tensor: onnx.TypeProto.Tensor) -> bool:
    return tensor.HasField("shape") and all(dim.HasField("dim_value") for dim in tensor.shape.dim)


def _without(proto: onnx.ModelProto, hidden: Collection[str]) -> onnx.ModelProto:
    """A copy in which listing operators read hidden values under another name, of which nothing is known."""
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    for node in copy.graph.node:
        if node.op_type in _LISTING:
            for slot, name in enumerate(node.input):
                if name in hidden:
                    node.input[slot] = f"{name} hidden"
    return copy


def _completed(found: onnx.ModelProto, plain: onnx.ModelProto) -> onnx.ModelProto:
    """Adds, in place, what inference without values knows of the results that were computed from hidden ones."""
    entries = {entry.name: entry for entry in (*found.graph.value_info, *found.graph.output)}
    for entry in (*plain.graph.value_info, *plain.graph.output):
        if entry.name not in entries:
            found.graph.value_info.append(entry)
        elif _is_static(entry.type.tensor_type) and not _is_static(entries[entry.name].type.tensor_type):
            entries[entry.name].type.CopyFrom(entry.type)
    return found
