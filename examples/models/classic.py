"""Makes a classic network whose numbers mean something, out of the topologies inside the onnx package.

    python examples/models/classic.py resnet50 -o build/models/resnet50.onnx

The package ships nine networks with constant weights: their output is the same for every input, so that comparing
numbers on them proves nothing. Random weights alone do not help, because a deep network lets its signal die or grow
without limit. Here the weights are random and then calibrated layer by layer on one random image: the output of each
convolution and matrix product gets about zero mean and unit variance. Equal seeds give equal bytes.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import onnx
import onnx.backend.test
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from wsec.compiler.onnxruntime_session import make_session, run_session

if TYPE_CHECKING:
    from collections.abc import Sequence

Array: TypeAlias = NDArray[np.float32]

_TOPOLOGIES = Path(onnx.backend.test.__file__).parent / "data" / "light"
_PREFIX = "light_"
_IR_VERSION = 8  # the first in which weights need not be inputs is 4; 8 is the oldest that today's tools are tested with
_SPREAD = np.float32(1 / 8)  # of scales around 1 and biases around 0, in batch normalisations
_LEAST_DEVIATION = 1e-6
_LEAST_SHARE = 1 / 8  # a channel that this image hardly excites is not blown up for the next one


def list_networks() -> tuple[str, ...]:
    """The topologies that the installed onnx package has, sorted."""
    return tuple(sorted(path.stem.removeprefix(_PREFIX) for path in _TOPOLOGIES.glob(f"{_PREFIX}*.onnx")))


def make_network(name: str, seed: int = 0) -> onnx.ModelProto:
    """The topology `name` with seeded weights, each layer calibrated to unit variance."""
    model = onnx.load(_TOPOLOGIES / f"{_PREFIX}{name}.onnx")
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values: dict[str, Array] = {entry.name: numpy_helper.to_array(entry) for entry in model.graph.initializer}
    _draw_weights(model.graph, values, rng)
    image = next(entry for entry in model.graph.input if entry.name not in values)
    weights = set(values)
    values[image.name] = rng.standard_normal(_shape_of(image), dtype=np.float32)
    _calibrate(model, values)
    used = [name for node in model.graph.node for name in node.input if name in weights]
    del model.graph.input[:], model.graph.initializer[:], model.graph.value_info[:]
    model.graph.input.append(image)
    model.graph.initializer.extend(
        numpy_helper.from_array(values[name], name) for name in dict.fromkeys(used)
    )
    model.ir_version = _IR_VERSION
    onnx.checker.check_model(model)
    return model


def _draw_weights(graph: onnx.GraphProto, values: dict[str, Array], rng: np.random.Generator) -> None:
    """Replaces the nodes that fill weights with a constant by random values."""
    for node in list(graph.node):
        if node.op_type == "ConstantOfShape":
            shape = [int(size) for size in values[node.input[0]]]
            values[node.output[0]] = rng.standard_normal(shape, dtype=np.float32)
            graph.node.remove(node)


def _calibrate(model: onnx.ModelProto, values: dict[str, Array]) -> None:
    """Walks the graph with one image; `values` gets every activation, and new weights where a layer has some."""
    _require_own_weights(model.graph)
    reshaped = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Reshape"}
    normalised = {node.input[0] for node in model.graph.node if node.op_type == "BatchNormalization"}
    for node in model.graph.node:
        if node.op_type == "BatchNormalization":
            _calibrate_normalisation(node, values)
        result = _evaluate(node, model, values)
        if node.op_type in {"Conv", "Gemm"}:
            by_channel = node.op_type == "Conv" and node.output[0] not in normalised
            weight = reshaped.get(node.input[1], node.input[1])
            result = _calibrate_layer(weight, node.input[2:], values, result, by_channel=by_channel)
        values[node.output[0]] = result


def _require_own_weights(graph: onnx.GraphProto) -> None:
    """Calibrating a layer must not undo another one."""
    uses = Counter(name for node in graph.node for name in node.input)
    for node in graph.node:
        if node.op_type in {"Conv", "Gemm", "BatchNormalization"} and any(
            uses[name] > 1 for name in node.input[1:]
        ):
            raise ValueError(f"{node.op_type} {node.output[0]} shares its weights with another layer")


def _calibrate_normalisation(node: onnx.NodeProto, values: dict[str, Array]) -> None:
    """Gives a batch normalisation the statistics of its input, and a scale and a bias near 1 and 0."""
    data, scale, bias, mean, variance = node.input[:5]
    deviation, centre = _statistics(values[data], by_channel=True)
    values[scale] = np.abs(1 + _SPREAD * values[scale])
    values[bias] = _SPREAD * values[bias]
    values[mean] = centre.ravel()
    values[variance] = np.square(deviation.ravel(), dtype=np.float32)


def _calibrate_layer(
    weight: str, biases: Sequence[str], values: dict[str, Array], result: Array, *, by_channel: bool
) -> Array:
    """Scales weights so that the output has unit variance, and moves the bias for zero mean; returns that output.

    Without `by_channel` (the layer's channels must keep their differences) one factor and one shift serve them all.
    """
    deviation, centre = _statistics(result, by_channel=by_channel and result[0, 0].size > 1)
    values[weight] = values[weight] / deviation.reshape([-1] + [1] * (values[weight].ndim - 1))
    if not biases:
        return result / deviation
    values[biases[0]] = (values[biases[0]] - centre.ravel()) / deviation.ravel()
    return (result - centre) / deviation


def _statistics(data: Array, *, by_channel: bool) -> tuple[Array, Array]:
    """Standard deviation and mean, of each channel or of all, shaped to broadcast against `data`.

    Both are rounded, to a power of two and to a quarter of the deviation: the last bits of a convolution differ from
    one processor to another, and must not reach the weights.
    """
    axes = tuple(axis for axis in range(data.ndim) if axis != 1) if by_channel else None
    least = max(float(data.std(dtype=np.float64)) * _LEAST_SHARE, _LEAST_DEVIATION)
    exact = np.maximum(data.std(axis=axes, keepdims=True, dtype=np.float64), least)
    deviation = np.exp2(np.round(np.log2(exact)))
    centre = np.round(data.mean(axis=axes, keepdims=True, dtype=np.float64) / deviation * 4) / 4 * deviation
    return deviation.astype(np.float32), centre.astype(np.float32)


def _evaluate(node: onnx.NodeProto, model: onnx.ModelProto, values: dict[str, Array]) -> Array:
    """The first output of one node."""
    inputs = {name: values[name] for name in node.input if name}
    declared = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)
        for name, value in inputs.items()
    ]
    graph = helper.make_graph([node], "node", declared, [onnx.ValueInfoProto(name=node.output[0])])
    single = helper.make_model(graph, opset_imports=list(model.opset_import), ir_version=_IR_VERSION)
    return run_session(make_session(single.SerializeToString()), inputs)[0]


def _shape_of(value: onnx.ValueInfoProto) -> list[int]:
    return [dim.dim_value for dim in value.type.tensor_type.shape.dim]


def main(arguments: Sequence[str] | None = None) -> int:
    """Writes the network asked for, in one step."""
    parser = argparse.ArgumentParser(description="make a classic network with calibrated random weights")
    parser.add_argument("network", choices=list_networks())
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .onnx file to write")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    model = make_network(options.network, options.seed)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    partial = options.output.with_name(options.output.name + ".partial")
    partial.write_bytes(model.SerializeToString(deterministic=True))
    size = partial.replace(options.output).stat().st_size
    print(f"{options.output}: {options.network}, {len(model.graph.node)} nodes, {size / 1e6:.1f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
