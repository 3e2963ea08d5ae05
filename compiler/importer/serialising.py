"""A model as a protobuf without its large weights: for tools that need the graph and may not read 60 GB."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx_ir as ir

from wsec.compiler.absent_weights import is_absent

if TYPE_CHECKING:
    import onnx


def serialise_without_weights(
    model: ir.Model, kept_bytes: int
) -> tuple[onnx.ModelProto, dict[str, ir.TensorProtocol]]:
    """Serialise the model, initializers of more than `kept_bytes` and absent ones turned into inputs of their type and shape.

    The model itself is as before when this returns.

    Returns:
        The protobuf, whose added inputs come after those of the model; and the tensors left out, by name.
    """
    graph = model.graph
    values = list(graph.initializers.values())
    tensors = [value.const_value for value in values]
    large = {
        str(value.name): tensor
        for value, tensor in zip(values, tensors, strict=True)
        if tensor is not None and (tensor.nbytes > kept_bytes or is_absent(tensor))
    }
    inputs = len(graph.inputs)
    for value in values:
        if value.const_value is not None and str(value.name) not in large:
            value.const_value = in_memory(value.const_value)
        if str(value.name) in large:
            del graph.initializers[str(value.name)]
            value.const_value = None
            graph.inputs.append(value)
    try:
        proto: onnx.ModelProto = ir.serde.serialize_model(model)
    finally:
        while len(graph.inputs) > inputs:
            graph.inputs.pop()  # unlike `del`, this makes the value forget that it was an input
        graph.initializers.clear()
        for value, tensor in zip(values, tensors, strict=True):
            value.const_value = tensor
            graph.initializers.add(value)
    return proto, large


def in_memory(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    """A small tensor without the file that it lies in, which a model of bytes alone could not find."""
    if not isinstance(tensor, ir.ExternalTensor):
        return tensor
    copy = ir.Tensor(np.array(tensor.numpy()), dtype=tensor.dtype, name=tensor.name)
    tensor.release()  # the map of the file, so that later readers decide on their own
    return copy
