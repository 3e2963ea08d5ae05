"""What the makers of models share: a graph under construction, its weights, and the file they are written to.

Weights are declared with a shape and a way to make their values, and the values are made one by one as the file is
written. A *weight-free* model declares them as external data of a file that is never written: offsets and lengths are
those of a real export, so that tools which do not need the values take the model, at a few megabytes for any size.
Only onnx and numpy are needed. Equal arguments give equal bytes.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import BinaryIO

Array: TypeAlias = NDArray[Any]

ONNXRUNTIME = "com.microsoft"
WEIGHTS = ("seeded", "none")

_ALIGNMENT = 4096  # of a tensor in a file of external data, so that it can be mapped into memory
_INLINE_BYTES = 1 << 30  # a protobuf holds 2 GiB; larger models keep their weights in a file beside
_IR_VERSIONS = {23: 11, 24: 12}  # the first that has the element types of an opset
_BITS: dict[int, int] = {TensorProto.INT4: 4, TensorProto.UINT4: 4, TensorProto.FLOAT4E2M1: 4}


@dataclass(frozen=True, slots=True)
class Weight:
    """A tensor of the model: its name, element type, shape, and the function that makes its bytes."""

    name: str
    kind: int
    shape: tuple[int, ...]
    make: Callable[[], bytes]

    @property
    def size_bytes(self) -> int:
        """Of the tensor as ONNX stores it, two elements of 4 bits in a byte."""
        bits = _BITS.get(self.kind) or 8 * helper.tensor_dtype_to_np_dtype(self.kind).itemsize
        return (int(np.prod(self.shape, dtype=np.int64)) * bits + 7) // 8


@dataclass(slots=True)
class GraphMaker:
    """Appends nodes to a graph; values are named after their node."""

    graph: onnx.GraphProto = field(default_factory=onnx.GraphProto)
    weights: list[Weight] = field(default_factory=list)
    _constants: dict[tuple[str, tuple[int, ...], bytes], str] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)

    def apply(
        self, scope: str, operator: str, *inputs: str, outputs: int | Sequence[str] = 1, **attributes: Any
    ) -> str:
        """The first output of a new node `scope/operator`; `domain` among the attributes is the node's domain."""
        return self.outputs_of(scope, operator, *inputs, outputs=outputs, **attributes)[0]

    def outputs_of(
        self, scope: str, operator: str, *inputs: str, outputs: int | Sequence[str] = 1, **attributes: Any
    ) -> tuple[str, ...]:
        """All outputs of a new node; `outputs` is their number or their names, empty for one not given."""
        node = self.graph.node.add()
        node.op_type = operator
        node.domain = attributes.pop("domain", "")
        node.name = self._unique(f"{scope}/{operator}")
        names = _names_of_outputs(node.name, outputs)
        node.input.extend(inputs)
        node.output.extend(names)
        node.attribute.extend(helper.make_attribute(key, value) for key, value in attributes.items())
        return names

    def constant(self, value: Array) -> str:
        """A small tensor in the graph itself; equal ones are one."""
        key = (value.dtype.str, value.shape, value.tobytes())
        if key not in self._constants:
            name = f"constant_{len(self._constants)}"
            self.graph.initializer.append(numpy_helper.from_array(value, name))
            self._constants[key] = name
        return self._constants[key]

    def integers(self, *values: int) -> str:
        """A constant int64 vector: a shape, axes, indices."""
        return self.constant(np.asarray(values, dtype=np.int64))

    def weight(self, name: str, kind: int, shape: Sequence[int], make: Callable[[], bytes]) -> str:
        """Declares a weight; `make` gives its bytes as ONNX stores them and is called only when they are written."""
        self.weights.append(Weight(name, kind, tuple(shape), make))
        return name

    def input(self, name: str, kind: int, *shape: int) -> str:
        """A graph input."""
        self.graph.input.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, kind: int, *shape: int) -> str:
        """Declares that the value `name` is a graph output."""
        self.graph.output.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def _unique(self, name: str) -> str:
        count = self._names.get(name, 0)
        self._names[name] = count + 1
        return f"{name}_{count}" if count else name


def _names_of_outputs(node: str, outputs: int | Sequence[str]) -> tuple[str, ...]:
    if not isinstance(outputs, int):
        return tuple(outputs)
    return (node,) if outputs == 1 else tuple(f"{node}:{index}" for index in range(outputs))


def random_values(seed: int, name: str, shape: Sequence[int], deviation: float) -> NDArray[np.float32]:
    """Normal values; a name has its own stream, so that every form of a model gets the same weights."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    values: NDArray[np.float32] = rng.standard_normal(tuple(shape), dtype=np.float32)
    return values * np.float32(deviation)


def finish_model(
    maker: GraphMaker, name: str, *, weights: str = "seeded", opset: int, location: str = ""
) -> onnx.ModelProto:
    """The model: with its weights inside (`seeded`), or declared as external data of the file `location` (`none`).

    Raises:
        ValueError: The weights are wanted inside and are more than a protobuf holds; use `write_model`.
    """
    if weights == "seeded":
        total = sum(weight.size_bytes for weight in maker.weights)
        if total > _INLINE_BYTES:
            raise ValueError(f"{total} bytes of weights do not fit in the model: write them beside it")
        for weight in maker.weights:
            _declare(maker.graph, weight).raw_data = weight.make()
    else:
        _refer(maker, location)
    maker.graph.name = name
    domains = {node.domain for node in maker.graph.node}
    imports = [helper.make_opsetid("", opset)]
    imports += [helper.make_opsetid(domain, 1) for domain in sorted(domains - {""})]
    options: dict[str, Any] = {"ir_version": _IR_VERSIONS[opset], "producer_name": "wsec examples"}
    return helper.make_model(maker.graph, opset_imports=imports, **options)


def write_model(maker: GraphMaker, path: Path, *, weights: str = "seeded", opset: int) -> int:
    """Writes the model, and large weights to a file beside it; returns the bytes of the model file.

    With `weights="none"` the file beside is only referred to.
    """
    total = sum(weight.size_bytes for weight in maker.weights)
    beside = path.name + ".data"
    inside = weights == "seeded" and total <= _INLINE_BYTES
    path.parent.mkdir(parents=True, exist_ok=True)
    if weights == "seeded" and not inside:
        partial_data = path.with_name(beside + ".partial")
        with partial_data.open("wb") as file:
            _write_weights(maker.weights, file)
        partial_data.replace(path.with_name(beside))
    model = finish_model(
        maker, path.stem, weights="seeded" if inside else "none", opset=opset, location=beside
    )
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(model.SerializeToString(deterministic=True))
    return partial.replace(path).stat().st_size


def _declare(graph: onnx.GraphProto, weight: Weight) -> TensorProto:
    tensor: TensorProto = graph.initializer.add()
    tensor.name, tensor.data_type = weight.name, weight.kind
    tensor.dims.extend(weight.shape)
    return tensor


def _refer(maker: GraphMaker, location: str) -> None:
    offset = 0
    for weight in maker.weights:
        tensor = _declare(maker.graph, weight)
        tensor.data_location = TensorProto.EXTERNAL
        where = {"location": location, "offset": str(offset), "length": str(weight.size_bytes)}
        for key, value in where.items():
            entry = tensor.external_data.add()
            entry.key, entry.value = key, value
        offset = _aligned(offset + weight.size_bytes)


def _write_weights(weights: Sequence[Weight], file: BinaryIO) -> None:
    offset = 0
    for weight in weights:
        file.seek(offset)
        file.write(weight.make())
        offset = _aligned(offset + weight.size_bytes)


def _aligned(offset: int) -> int:
    return -(-offset // _ALIGNMENT) * _ALIGNMENT
