"""Models and weights files in a plan folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir
import onnxruntime
import pytest
from legal_plans import network_proto
from onnx import numpy_helper

from wsec.compiler.errors import WsecError
from wsec.compiler.plan_weights import clone_file, write_models

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def weights() -> dict[str, np.ndarray]:
    """Values for the network's weights."""
    random = np.random.default_rng(0)
    shapes = {tensor.name: tuple(tensor.dims) for tensor in network_proto().graph.initializer}
    return {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


def save_network(path: Path, weights: dict[str, np.ndarray], location: str | None) -> None:
    """Saves the network with these weights, in a file of their own where `location` names one."""
    proto = network_proto()
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in weights.items())
    if location is None:
        onnx.save(proto, path)
    else:
        path.parent.joinpath(location).parent.mkdir(parents=True, exist_ok=True)
        onnx.save(proto, path, save_as_external_data=True, location=location, size_threshold=0)


def weight(model: onnx_ir.Model, name: str) -> np.ndarray:
    """The value of an initializer."""
    tensor = model.graph.initializers[name].const_value
    assert tensor is not None
    return tensor.numpy()


def run(path: Path) -> np.ndarray:
    """The output of a model file for an input of ones, by a fresh onnxruntime."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"x": np.ones((1, 4, 8, 8), np.float32)})
    return np.asarray(output)


@pytest.mark.parametrize("location", [None, "net.onnx.data", "parts/weights.bin"])
def test_both_models_of_a_plan_folder_run(
    tmp_path: Path, weights: dict[str, np.ndarray], location: str | None
) -> None:
    """A plan folder is complete: both models give the original's numbers after the original is gone."""
    source, folder = tmp_path / "net.onnx", tmp_path / "plan"
    save_network(source, weights, location)
    expected = run(source)
    folder.mkdir()
    lowered = onnx_ir.load(source)
    write_models(folder, lowered, source)
    moved = tmp_path / "moved"
    folder.rename(moved)
    source.unlink()
    if location:
        (tmp_path / location).unlink()
    for name in ("model.onnx", "original.onnx"):
        np.testing.assert_array_equal(run(moved / name), expected)
    assert (moved / "model.onnx").stat().st_size < 5000 or location is None


def test_the_original_can_still_be_loaded(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """Weights files are no hard links, which would make loaders refuse the user's own model."""
    source, folder = tmp_path / "net.onnx", tmp_path / "plan"
    save_network(source, weights, "net.data")
    folder.mkdir()
    write_models(folder, onnx_ir.load(source), source)
    loaded = onnx_ir.load(source)
    np.testing.assert_array_equal(weight(loaded, "w"), weights["w"])
    assert (folder / "net.data").stat().st_nlink == 1


def test_weights_in_memory_go_to_a_file_where_they_are_too_many(
    tmp_path: Path, weights: dict[str, np.ndarray]
) -> None:
    """Beyond what a protobuf file can hold, weights lie beside the model, and the model in memory is as it was."""
    source, folder = tmp_path / "net.onnx", tmp_path / "plan"
    save_network(source, weights, None)
    lowered = onnx_ir.load(source)
    before = {name: value.const_value for name, value in lowered.graph.initializers.items()}
    folder.mkdir()
    write_models(folder, lowered, source, inline_limit_bytes=100)
    assert sorted(path.name for path in folder.iterdir()) == [
        "lowered.weights",
        "model.onnx",
        "original.onnx",
    ]
    np.testing.assert_array_equal(run(folder / "model.onnx"), run(source))
    assert {name: value.const_value for name, value in lowered.graph.initializers.items()} == before


def test_weights_of_mixed_places(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """Weights that a pass has computed lie in memory among those that stay in the original's file."""
    source, folder = tmp_path / "net.onnx", tmp_path / "plan"
    save_network(source, weights, "net.data")
    lowered = onnx_ir.load(source)
    lowered.graph.initializers["w"].const_value = onnx_ir.tensor(2 * weights["w"], name="w")
    folder.mkdir()
    write_models(folder, lowered, source, inline_limit_bytes=100)
    assert sorted(path.name for path in folder.iterdir()) == [
        "lowered.weights",
        "model.onnx",
        "net.data",
        "original.onnx",
    ]
    saved = onnx_ir.load(folder / "model.onnx")
    np.testing.assert_array_equal(weight(saved, "w"), 2 * weights["w"])
    np.testing.assert_array_equal(weight(saved, "v"), weights["v"])


def test_weights_from_a_file_of_another_model(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """A pass may bring in weights from elsewhere; their file comes along under a name of its own."""
    source, folder, other = tmp_path / "net.onnx", tmp_path / "plan", tmp_path / "other"
    other.mkdir()
    save_network(source, weights, "net.data")
    save_network(other / "net.onnx", {**weights, "w": 3 * weights["w"]}, "net.data")
    lowered = onnx_ir.load(source)
    lowered.graph.initializers["w"].const_value = (
        onnx_ir.load(other / "net.onnx").graph.initializers["w"].const_value
    )
    folder.mkdir()
    write_models(folder, lowered, source)
    saved = onnx_ir.load(folder / "model.onnx")
    np.testing.assert_array_equal(weight(saved, "w"), 3 * weights["w"])
    np.testing.assert_array_equal(weight(saved, "v"), weights["v"])


def test_weights_that_nobody_has_keep_shape_and_type(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """A weight-free graph stays weight-free: no initializer is lost, and none is made up."""
    source, folder = tmp_path / "net.onnx", tmp_path / "plan"
    save_network(source, weights, "net.data")
    (tmp_path / "net.data").unlink()
    lowered = onnx_ir.load(source)
    lowered.graph.initializers["v"].const_value = None
    lowered.graph.initializers["b"].const_value = None
    lowered.graph.initializers["b"].shape = None
    folder.mkdir()
    write_models(folder, lowered, source)
    assert sorted(path.name for path in folder.iterdir()) == ["model.onnx", "original.onnx"]
    saved = onnx_ir.load(folder / "model.onnx").graph.initializers
    assert sorted(saved) == ["scale", "v", "w"]  # nothing is known of b
    assert saved["v"].dtype == onnx_ir.DataType.FLOAT
    assert saved["v"].shape == [8, 8]


def test_a_string_tensor_stays_in_the_model(tmp_path: Path, weights: dict[str, np.ndarray]) -> None:
    """Strings have no bytes to put in a file."""
    source, folder = tmp_path / "net.onnx", tmp_path / "plan"
    save_network(source, weights, None)
    lowered = onnx_ir.load(source)
    words = onnx_ir.Value(name="words", const_value=onnx_ir.tensor(["a", "b"], name="words"))
    lowered.graph.initializers["words"] = words
    folder.mkdir()
    write_models(folder, lowered, source, inline_limit_bytes=100)
    saved = onnx.load(folder / "model.onnx", load_external_data=False)
    assert [list(t.string_data) for t in saved.graph.initializer if t.name == "words"] == [[b"a", b"b"]]


@pytest.mark.parametrize("location", ["", "../weights.bin", "/weights.bin", "plan.json", "./model.onnx"])
def test_a_weights_file_without_a_place_is_said(tmp_path: Path, location: str) -> None:
    """WSEC508: a model cannot make the compiler write outside of the plan or over the plan."""
    proto = network_proto()
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    source = tmp_path / "net.onnx"
    source.write_bytes(proto.SerializeToString())
    folder = tmp_path / "plan"
    folder.mkdir()
    with pytest.raises(WsecError) as caught:
        write_models(folder, onnx_ir.from_proto(network_proto()), source)
    assert str(caught.value) == (
        "error[WSEC508]: a weights file of the model cannot lie in a plan folder\n"
        f"  where:    {source}\n"
        "  expected: a name inside the model's folder, and none of plan.json, model.onnx, original.onnx, files.json, prefill, "
        "lowered.weights\n"
        f"  found:    {location or 'no name'}\n"
        "  try:      save the model with its weights in a file of another name"
    )


def test_a_clone_is_a_file_of_its_own(tmp_path: Path) -> None:
    """Changing the source later does not change the plan; a link is followed."""
    (tmp_path / "source").write_bytes(b"weights")
    (tmp_path / "link").symlink_to(tmp_path / "source")
    clone_file(tmp_path / "link", tmp_path / "clone")
    (tmp_path / "source").write_bytes(b"changed")
    assert (tmp_path / "clone").read_bytes() == b"weights"
    assert not (tmp_path / "clone").is_symlink()
