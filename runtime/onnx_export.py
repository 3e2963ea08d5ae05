"""The lowered model of a plan as one ONNX file that says, in ONNX's own words, on which cores each tensor lies.

The words are those of IR version 11: a device configuration, and for each node shardings of its tensors and its stage of the pipeline
(`DeviceConfigurationProto`, `ShardingSpecProto`, `NodeDeviceConfigurationProto` of onnx.proto). What they cannot say (routes, halos,
roots) stays in the plan, which is canonical; docs/export.md has the mapping.

Guarantees: the numbers of the model are those of the lowered model, as only annotations are added. The file is written whole or not at all.
"""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.compiler.sharding import parts
from wsec.runtime.whole_file import OutputFile

if TYPE_CHECKING:
    from collections.abc import Iterator

    import onnx
    import onnx_ir
    from numpy.typing import NDArray

    from wsec.compiler.plan import Kernel, Plan
    from wsec.compiler.plan_io import LoadedPlan
    from wsec.compiler.sharding import DimensionSharding, Sharding

Devices = Literal["cores", "kernels"]

CONFIGURATION = "wsec"
MODEL_FILE = OutputFile("WSEC589", "the model cannot be written")
_IR_VERSION = 11  # the first with device configurations
_LARGEST_INLINE = 1 << 30  # protobuf ends at 2 GiB; annotations need room too
_LARGEST_FILE = (1 << 31) - (1 << 26)  # names of kernels and the heads of messages need room too


@dataclass(frozen=True, slots=True)
class Export:
    """What an exported model says.

    Attributes:
        path: The model.
        data: The file of its weights beside it; None where they are in it, and where they are not present.
        devices: How many there are.
        nodes: Nodes that have a configuration.
        shardings: Tensors of nodes whose sharding is in the file.
        left_out: Tensors of nodes whose sharding ONNX cannot say: views over several dimensions, and partial results.
    """

    path: Path
    data: Path | None
    devices: int
    nodes: int
    shardings: int
    left_out: int


@dataclass(frozen=True, slots=True)
class _Place:
    """A kernel, and where its rectangle is among the devices: `origin + y * stride + x`; its number among the kernels."""

    kernel: Kernel
    number: int
    wafer: int
    phase: int
    origin: int
    stride: int


def export_onnx(loaded: LoadedPlan, path: Path, devices: Devices = "cores") -> Export:
    """Write the lowered model with its placement to `path`.

    Args:
        loaded: The plan.
        path: The file to write; weights of more than 1 GiB go to `path` with `.data` behind it.
        devices: `cores` counts every core of the region as a device and gives the sharding of each tensor; `kernels` makes one device
            of each rectangle, for readers that cannot take long lists.

    Raises:
        WsecError: WSEC529 shardings name more cores than a file can hold, WSEC567 the lowered model cannot be read, WSEC589
            the file cannot be written.
    """
    import onnx_ir

    from wsec.compiler.lowered_model_file import read_lowered_model

    MODEL_FILE.check_place(path)
    model = read_lowered_model(loaded.lowered_path)
    try:
        with tempfile.TemporaryDirectory(dir=path.absolute().parent, prefix=f".{path.name}.") as folder:
            data = _gather_weights(model, loaded.plan, Path(folder), f"{path.name}.data")
            proto = onnx_ir.to_proto(model)
            counts = annotate(proto, loaded.plan, devices)
            whole = Path(folder) / path.name
            whole.write_bytes(proto.SerializeToString(deterministic=True))
            if data is not None:
                data.replace(path.with_name(data.name))
            whole.replace(path)
    except OSError as error:
        raise MODEL_FILE.error(path, error.strerror or type(error).__name__) from error
    return Export(path, None if data is None else path.with_name(data.name), *counts)


def annotate(proto: onnx.ModelProto, plan: Plan, devices: Devices) -> tuple[int, int, int, int]:
    """Add the configuration to a lowered model: numbers of devices, nodes, shardings and tensors left out.

    Raises:
        WsecError: WSEC529 shardings name more cores than a file can hold.
    """
    proto.ir_version = max(proto.ir_version, _IR_VERSION)
    places = {name: place for place in _places(plan) for name in place.kernel.operators}
    shapes = _shapes(proto.graph)
    configuration = proto.configuration.add(name=CONFIGURATION)
    cores = plan.region_width * plan.region_height
    if devices == "kernels":
        names = [kernel.name for kernel in plan.kernels()]
        configuration.num_devices = len(names)
        configuration.device.extend(names)
    else:
        configuration.num_devices = cores * len(plan.wafers)
        number_bytes = -(-configuration.num_devices.bit_length() // 7)  # as protobuf writes numbers
        _check_size(number_bytes * _numbers_of_cores(proto.graph, places, shapes), proto.ByteSize())
    _describe(proto, "wsec.region", f"{plan.region_width}x{plan.region_height}")
    _describe(proto, "wsec.wafers", str(len(plan.wafers)))
    _describe(proto, "wsec.target", plan.target.name)
    counts = [0, 0, 0]
    for node in proto.graph.node:
        if node.name in places:
            given, left_out = _annotate_node(
                node, places[node.name], devices, configuration.num_devices, shapes
            )
            counts = [counts[0] + 1, counts[1] + given, counts[2] + left_out]
    return (configuration.num_devices, *counts)


def _numbers_of_cores(
    graph: onnx.GraphProto, places: dict[str, _Place], shapes: dict[str, tuple[int, ...]]
) -> int:
    """In all shardings together: each names every core that holds a part."""
    named = 0
    for node in graph.node:
        if node.name in places:
            kernel = places[node.name].kernel
            shardings = {tensor.tensor: tensor.sharding for tensor in kernel.inputs}
            shardings |= {tensor.tensor: tensor.sharding for tensor in kernel.outputs}
            names = [name for name in dict.fromkeys((*node.input, *node.output)) if name in shardings]
            said = sum(1 for name in names if _view_of(shapes.get(name), shardings[name]) is not None)
            named += said * kernel.rectangle.width * kernel.rectangle.height
    return named


def _check_size(shardings: int, model: int) -> None:
    """Refuse what protobuf cannot hold, by bytes, before gigabytes of numbers are made."""
    room = max(_LARGEST_FILE - model, 0)
    if shardings > room:
        raise WsecError(
            code="WSEC529",
            what="the shardings of the plan are too large for an ONNX file",
            where="numbers of cores in the device configurations",
            expected=f"at most {room:,} bytes beside {model:,} of the model: protobuf ends at 2 GiB",
            found=f"{shardings:,} bytes",
            hint="make a device of each kernel: --devices kernels",
        )


def _places(plan: Plan) -> Iterator[_Place]:
    cores = plan.region_width * plan.region_height
    number = 0
    for wafer, contents in enumerate(plan.wafers):
        for phase, together in enumerate(contents.phases):
            for kernel in together.kernels:
                corner = kernel.rectangle.y * plan.region_width + kernel.rectangle.x
                yield _Place(kernel, number, wafer, phase, wafer * cores + corner, plan.region_width)
                number += 1


def _shapes(graph: onnx.GraphProto) -> dict[str, tuple[int, ...]]:
    """Shapes of the tensors that have a whole one."""
    shapes: dict[str, tuple[int, ...]] = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.output, *graph.value_info):
        dimensions = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(
            extent.HasField("dim_value") for extent in dimensions
        ):
            shapes[value.name] = tuple(extent.dim_value for extent in dimensions)
    return shapes


def _annotate_node(
    node: onnx.NodeProto, place: _Place, devices: Devices, total: int, shapes: dict[str, tuple[int, ...]]
) -> tuple[int, int]:
    kernel, area = place.kernel, place.kernel.rectangle
    _describe(node, "wsec.kernel", kernel.name)
    _describe(node, "wsec.rectangle", f"{area.x},{area.y},{area.width},{area.height}")
    _describe(node, "wsec.wafer", str(place.wafer))
    _describe(node, "wsec.phase", str(place.phase))
    configuration = node.device_configurations.add(
        configuration_id=CONFIGURATION, pipeline_stage=place.number
    )
    shardings = {tensor.tensor: tensor.sharding for tensor in kernel.inputs}
    shardings |= {tensor.tensor: tensor.sharding for tensor in kernel.outputs}
    given = left_out = 0
    for name in dict.fromkeys((*node.input, *node.output)):
        if not name or name not in shardings:
            continue  # between the operators of one kernel: it lies nowhere for itself
        if devices == "kernels":
            configuration.sharding_spec.add(tensor_name=name, device=[place.number])
            given += 1
            continue
        view = _view_of(shapes.get(name), shardings[name])
        if view is None:
            left_out += 1
            continue
        spec = configuration.sharding_spec.add(tensor_name=name)
        _add_sharding(spec, shardings[name], view, place, total)
        given += 1
    return given, left_out


def _view_of(shape: tuple[int, ...] | None, sharding: Sharding) -> list[list[DimensionSharding]] | None:
    """The dimensions of the view that each dimension of the tensor consists of; None for what ONNX cannot say.

    ONNX cuts dimensions, or factors of one, into equal parts, each element in one: no overlap, no gaps, no partial results, and no
    part of several dimensions together.
    """
    if shape is None or sharding.partial or not all(dimension.plain for dimension in sharding.dimensions):
        return None
    left = list(sharding.dimensions)
    view: list[list[DimensionSharding]] = []
    for extent in shape:
        factors: list[DimensionSharding] = []
        while left and (
            math.prod(factor.extent for factor in factors) < extent or left[0].extent == extent == 1
        ):
            factors.append(left.pop(0))
            if extent == 1:
                break
        if math.prod(factor.extent for factor in factors) != extent:
            return None
        view.append(factors)
    return None if any(dimension.extent != 1 for dimension in left) else view


def _add_sharding(
    spec: onnx.ShardingSpecProto,
    sharding: Sharding,
    view: list[list[DimensionSharding]],
    place: _Place,
    total: int,
) -> None:
    """The devices of each part, parts in row-major order of the dimensions; cores that hold the same part are a group."""
    mesh = place.kernel.mesh
    for axis, factors in enumerate(view):
        if any(factor.axes for factor in factors):
            dimension = spec.sharded_dim.add(axis=axis)
            for factor in factors:
                dimension.simple_sharding.add(dim_value=factor.extent, num_shards=parts(factor, mesh))
    holders = _holders(sharding, place)
    if holders.shape[1] == 1:
        spec.device.extend(holders[:, 0].tolist())
        return
    for index, group in enumerate(holders.tolist()):
        key = total + index  # no device has this number
        spec.device.append(key)
        spec.index_to_device_group_map.add(key=key, value=group)


def _holders(sharding: Sharding, place: _Place) -> NDArray[np.int64]:
    """Numbers of the devices that hold each part, [parts, copies]."""
    mesh, area = place.kernel.mesh, place.kernel.rectangle
    rows = [axis for axis in mesh.axes if axis.side == "rows"]
    columns = [axis for axis in mesh.axes if axis.side == "columns"]
    grid = place.origin + place.stride * np.arange(area.height)[:, None] + np.arange(area.width)[None, :]
    by_axis = grid.reshape([axis.size for axis in (*rows, *columns)])
    names = [axis.name for axis in (*rows, *columns)]
    cut = [name for dimension in sharding.dimensions for name in dimension.axes]
    if sharding.root:  # it lies at index 0 of these alone
        by_axis = by_axis[tuple(slice(0, 1) if name in sharding.root else slice(None) for name in names)]
    rest = [name for name in names if name not in cut]
    ordered = by_axis.transpose([names.index(name) for name in (*cut, *rest)])
    return ordered.reshape(math.prod(mesh.size(name) for name in cut), -1)


def _describe(proto: onnx.ModelProto | onnx.NodeProto, key: str, value: str) -> None:
    proto.metadata_props.add(key=key, value=value)


def _gather_weights(model: onnx_ir.Model, plan: Plan, folder: Path, name: str) -> Path | None:
    """Weights come into the model, or into a file of `folder` where they are large; absent ones stay references."""
    import onnx_ir

    if plan.absent_weights:
        return None
    sizes = (value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value)
    if sum(sizes) <= _LARGEST_INLINE:
        onnx_ir.external_data.load_to_model(model)
        return None
    onnx_ir.external_data.unload_from_model(model, folder, name)
    return folder / name
