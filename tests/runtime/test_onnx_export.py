"""The exported model: onnxruntime computes the same, onnx accepts it, and every core is where the plan says."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnxruntime
import pytest

import wsec
from wsec.compiler.errors import WsecError
from wsec.runtime import onnx_export

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from wsec.compiler.sharding import Mesh

WIDTH, HEIGHT = 12, 10


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> wsec.Plan:
    """Two products, a chain, and a sum of rows, on 12 x 10 cores."""
    folder = tmp_path_factory.mktemp("export")
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[24, 40] x, float[40, 30] v, float[30, 20] w) => (float[24, 20] y) {
        a = MatMul(x, v) b = Relu(a) c = MatMul(b, w) y = Softmax(c) }"""
    model = onnx.parser.parse_model(text)
    draw = np.random.default_rng(0).standard_normal
    for name, shape in (("v", (40, 30)), ("w", (30, 20))):
        model.graph.initializer.append(onnx.numpy_helper.from_array(draw(shape).astype(np.float32), name))
    del model.graph.input[1:]
    onnx.save(model, folder / "model.onnx")
    return wsec.compile(
        folder / "model.onnx", target="mesh16", region=(WIDTH, HEIGHT), output=folder / "p", effort=0.0
    )


def _inputs() -> dict[str, NDArray[np.float32]]:
    return {"x": np.random.default_rng(1).standard_normal((24, 40)).astype(np.float32)}


def _run(path: Path) -> NDArray[np.float32]:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (result,) = session.run(None, _inputs())
    return np.asarray(result)


@pytest.mark.parametrize("devices", ["cores", "kernels"])
def test_onnx_accepts_it_and_onnxruntime_computes_the_same(
    plan: wsec.Plan, tmp_path: Path, devices: onnx_export.Devices
) -> None:
    """The annotations change no number, and the file is valid by the rules of its IR version."""
    written = plan.export_onnx(tmp_path / "placed.onnx", devices=devices)
    onnx.checker.check_model(tmp_path / "placed.onnx", full_check=True)
    np.testing.assert_allclose(_run(written.path), _run(plan.folder / "original.onnx"), rtol=1e-5, atol=1e-6)
    assert [entry.name for entry in tmp_path.iterdir()] == ["placed.onnx"]


def test_every_core_holds_the_part_that_the_plan_gives_it(plan: wsec.Plan, tmp_path: Path) -> None:
    """Parts are counted through as ONNX defines it, and compared with the block that the plan's sharding gives a core."""
    written = plan.export_onnx(tmp_path / "placed.onnx")
    model = onnx.load(written.path)
    assert model.configuration[0].num_devices == WIDTH * HEIGHT
    kernels = {name: kernel for kernel in plan.record.kernels() for name in kernel.operators}
    compared = 0
    for node in model.graph.node:
        kernel = kernels[node.name]
        shardings = {tensor.tensor: tensor.sharding for tensor in kernel.inputs}
        shardings |= {tensor.tensor: tensor.sharding for tensor in kernel.outputs}
        for spec in node.device_configurations[0].sharding_spec:
            sharding = shardings[spec.tensor_name]
            groups = {entry.key: list(entry.value) for entry in spec.index_to_device_group_map}
            cut = {dimension.axis: dimension.simple_sharding for dimension in spec.sharded_dim}
            counts = [part.num_shards for axis in sorted(cut) for part in cut[axis]]
            assert len(spec.device) == math.prod(counts)
            axes = [axis for dimension in sharding.dimensions for axis in dimension.axes]
            for part, device in enumerate(spec.device):
                for core in groups.get(device, [device]):
                    x, y = core % WIDTH - kernel.rectangle.x, core // WIDTH - kernel.rectangle.y
                    assert 0 <= x < kernel.rectangle.width
                    assert 0 <= y < kernel.rectangle.height
                    assert part == _part_of(kernel.mesh, axes, x, y)
                    compared += 1
    assert written.shardings >= 4
    assert compared >= 100


def _part_of(mesh: Mesh, axes: list[str], x: int, y: int) -> int:
    """The number of the block of a core, counted in mixed radix over the axes that cut the tensor."""
    number = 0
    for axis in axes:
        along = np.broadcast_to(mesh.coordinate(axis), (mesh.height, mesh.width))
        number = number * mesh.size(axis) + int(along[y, x])
    return number


def test_kernels_as_devices_have_their_names(plan: wsec.Plan, tmp_path: Path) -> None:
    """One device for each kernel, stages in their order, and every tensor on the device of its kernel."""
    model = onnx.load(plan.export_onnx(tmp_path / "p.onnx", devices="kernels").path)
    names = [kernel.name for kernel in plan.record.kernels()]
    assert list(model.configuration[0].device) == names
    for node in model.graph.node:
        (placed,) = node.device_configurations
        kernel = {entry.key: entry.value for entry in node.metadata_props}["wsec.kernel"]
        assert names[placed.pipeline_stage] == kernel
        assert {device for spec in placed.sharding_spec for device in spec.device} <= {placed.pipeline_stage}


def test_large_weights_lie_in_a_file_beside_it(
    plan: wsec.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Protobuf ends at 2 GiB: beyond a limit the weights are a file of their own, which onnxruntime finds."""
    monkeypatch.setattr(onnx_export, "_LARGEST_INLINE", 100)
    written = plan.export_onnx(tmp_path / "placed.onnx")
    assert written.data == tmp_path / "placed.onnx.data"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["placed.onnx", "placed.onnx.data"]
    np.testing.assert_allclose(_run(written.path), _run(plan.folder / "original.onnx"), rtol=1e-5, atol=1e-6)


def test_a_place_that_cannot_be_written_is_named(plan: wsec.Plan, tmp_path: Path) -> None:
    """A folder in its place, or no folder to put it in; nothing is left behind."""
    with pytest.raises(wsec.WsecError) as raised:
        plan.export_onnx(tmp_path)
    assert str(raised.value).splitlines() == [
        "error[WSEC589]: the model cannot be written",
        f"  where:    {tmp_path}",
        "  expected: a file that can be written, in a folder that exists, on a disk with room",
        "  found:    a folder",
        "  try:      choose another place, or free some room; an older file is as it was",
    ]
    with pytest.raises(wsec.WsecError, match="no such folder"):
        plan.export_onnx(tmp_path / "none" / "x.onnx")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_the_older_file(
    plan: wsec.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model is renamed to its place when it is whole."""
    path = tmp_path / "placed.onnx"
    path.write_bytes(b"older")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    with pytest.raises(wsec.WsecError, match="No space left on device"):
        plan.export_onnx(path)
    assert path.read_bytes() == b"older"
    assert [entry.name for entry in tmp_path.iterdir()] == ["placed.onnx"]


def test_shardings_beyond_protobuf_are_refused_at_once(
    plan: wsec.Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the bytes that the numbers of cores would take, which are those of the file; a device of each kernel goes on."""
    written = plan.export_onnx(tmp_path / "placed.onnx").path
    monkeypatch.setattr(onnx_export, "_LARGEST_FILE", 100)
    with pytest.raises(WsecError) as raised:
        plan.export_onnx(tmp_path / "too-large.onnx")
    found = int(raised.value.found.removesuffix(" bytes").replace(",", ""))
    named = sum(
        len(spec.device) + sum(len(group.value) for group in spec.index_to_device_group_map)
        for node in onnx.load(written).graph.node
        for configuration in node.device_configurations
        for spec in configuration.sharding_spec
    )
    assert 0.5 * named < found <= named  # of a byte each, on 120 cores; groups have a number of their own
    room = re.search(r"at most 0 bytes beside ([\d,]+) of the model", raised.value.expected)
    assert room is not None
    assert str(raised.value) == (
        "error[WSEC529]: the shardings of the plan are too large for an ONNX file\n"
        "  where:    numbers of cores in the device configurations\n"
        f"  expected: at most 0 bytes beside {room[1]} of the model: protobuf ends at 2 GiB\n"
        f"  found:    {found:,} bytes\n"
        "  try:      make a device of each kernel: --devices kernels"
    )
    assert not (tmp_path / "too-large.onnx").exists()
    assert plan.export_onnx(tmp_path / "kernels.onnx", devices="kernels").path.is_file()
