"""Weight files: missing, short and outside the folder, each with its whole message; and weights stay unread."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from wsec.compiler.absent_weights import AbsentTensor, absent_files, absent_notes
from wsec.compiler.importer import import_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Refusal = Callable[[Callable[[], object]], str]

TEXT = """<ir_version: 10, opset_import: ["" : 21]>
g (float[1, 4] x) => (float[1, 4] y) <float[4, 4] w> { y = MatMul(x, w) }"""


@pytest.fixture
def external_model(tmp_path: Path) -> Callable[[str], Path]:
    """A model in `folder/m.onnx` whose weight `w` of 64 bytes lies at byte 16 of the given location."""

    def write(location: str) -> Path:
        folder = tmp_path / "folder"
        folder.mkdir(exist_ok=True)
        proto = onnx.parser.parse_model(TEXT.replace("<float[4, 4] w>", ""))
        weight = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[4, 4])
        weight.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", location), ("offset", "16"), ("length", "64")):
            weight.external_data.add(key=key, value=value)
        proto.graph.initializer.append(weight)
        path = folder / "m.onnx"
        path.write_bytes(proto.SerializeToString())
        return path

    return write


def test_weights_beside_the_model_are_mapped_and_not_read(external_model: Callable[[str], Path]) -> None:
    """A model larger than memory must import: the weight stays a reference into its file."""
    path = external_model("w.bin")
    (path.parent / "w.bin").write_bytes(bytes(80))
    weight = import_model(path, {}).model.graph.initializers["w"].const_value
    assert isinstance(weight, ir.ExternalTensor)
    assert weight.raw is None
    assert weight.numpy().shape == (4, 4)


def test_a_missing_weights_file(external_model: Callable[[str], Path], refusal: Refusal) -> None:
    """A model without its weights imports; who reads one is told so, and nobody takes another file for it."""
    model = import_model(external_model("w.bin"), {}).model
    weight = model.graph.initializers["w"].const_value
    assert isinstance(weight, AbsentTensor)
    assert weight.shape == (4, 4)
    assert absent_files(model) == ("w.bin",)
    reads: list[Callable[[], object]] = [weight.numpy, weight.tobytes, lambda: np.asarray(weight)]
    said = {refusal(read) for read in reads}
    assert said == {
        (
            "error[WSEC130]: the values of a weight are needed to compile the model, and are not present\n"
            "  where:    tensor 'w'\n"
            "  expected: w.bin beside the model\n"
            "  found:    no such file\n"
            "  try:      put the weights file beside the model; only models whose structure is in the .onnx file compile without"
        )
    }


def test_what_is_said_of_absent_weights(external_model: Callable[[str], Path]) -> None:
    """An export whose weights were forgotten looks the same, so the note says what is missing, and how much."""
    model = import_model(external_model("w.bin"), {}).model
    assert list(absent_notes(model)) == [
        (
            "WEIGHTS NOT PRESENT: 1 weights of 64 bytes are declared in w.bin, which does not exist; passes left alone what "
            "depends on their values, and the plan can be checked and estimated but not run"
        )
    ]


def test_structure_that_is_absent(tmp_path: Path, refusal: Refusal) -> None:
    """Where the model cannot be understood without a value, the message names it."""
    text = """<ir_version: 10, opset_import: ["" : 21]>
    g (float[1, 4] x) => (float[N, 4] y) <int64[1] axes, bool[1] steps> { y = Loop <body = b (int64 i, bool c, float[1, 4] s)
        => (bool d, float[1, 4] t) { d = Identity(c) t = Identity(s) }> (axes, steps, x) }"""
    proto = onnx.parser.parse_model(text.replace(" <int64[1] axes, bool[1] steps>", ""))
    for name, kind in (("axes", onnx.TensorProto.INT64), ("steps", onnx.TensorProto.BOOL)):
        tensor = proto.graph.initializer.add(name=name, data_type=kind, dims=[])
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="w.bin")
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    assert "error[WSEC130]" in refusal(lambda: import_model(tmp_path / "m.onnx", {}))


def test_a_folder_in_place_of_the_weights_file(
    external_model: Callable[[str], Path], refusal: Refusal
) -> None:
    """A folder has several names on disk as well, but is no hard link to warn of."""
    path = external_model("w.bin")
    (path.parent / "w.bin").mkdir()
    assert "  found:    no file, but a folder or a device\n" in refusal(lambda: import_model(path, {}))


def test_a_short_weights_file(external_model: Callable[[str], Path], refusal: Refusal) -> None:
    """An interrupted copy is told by its length, before anything maps past the end of the file."""
    path = external_model("w.bin")
    (path.parent / "w.bin").write_bytes(bytes(79))
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC106]: a weights file of the model is too short\n"
        f"  where:    tensor 'w' in {path.parent}/w.bin\n"
        "  expected: at least 80 bytes (64 from byte 16 on)\n"
        "  found:    79 bytes\n"
        "  try:      fetch or copy the weights file again"
    )


@pytest.mark.parametrize("location", ["../w.bin", "/etc/passwd", "a/../../w.bin", "..\\w.bin", "C:\\w.bin"])
def test_weights_outside_the_folder(
    external_model: Callable[[str], Path], refusal: Refusal, location: str
) -> None:
    """A model may not make the compiler read any other file of the machine."""
    path = external_model(location)
    (path.parent.parent / "w.bin").write_bytes(bytes(80))
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC107]: the model's weights lie outside the model's folder\n"
        "  where:    tensor 'w'\n"
        f"  expected: a file inside {path.parent}\n"
        f"  found:    {location}\n"
        "  try:      copy the weights beside the model and save the model with a relative location"
    )


def test_a_link_out_of_the_folder(external_model: Callable[[str], Path], refusal: Refusal) -> None:
    """A symbolic link is followed before it is judged."""
    path = external_model("w.bin")
    target = path.parent.parent / "secret.bin"
    target.write_bytes(bytes(80))
    (path.parent / "w.bin").symlink_to(target)
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC107]: the model's weights lie outside the model's folder\n"
        "  where:    tensor 'w'\n"
        f"  expected: a file inside {path.parent}\n"
        f"  found:    w.bin, a link to {target}\n"
        "  try:      copy the weights beside the model and save the model with a relative location"
    )


def test_a_hard_link(external_model: Callable[[str], Path], refusal: Refusal) -> None:
    """A second name may stand for any file; onnx_ir would refuse it later, in the middle of a run."""
    path = external_model("w.bin")
    target = path.parent.parent / "secret.bin"
    target.write_bytes(bytes(80))
    os.link(target, path.parent / "w.bin")
    assert refusal(lambda: import_model(path, {})) == (
        "error[WSEC107]: a weights file of the model is a hard link\n"
        "  where:    tensor 'w'\n"
        "  expected: a file of its own: a second name may stand for any file of this machine\n"
        "  found:    w.bin with 2 names\n"
        "  try:      copy it: cp w.bin copy && mv copy w.bin"
    )


def test_a_relative_model_path_is_no_way_around_the_check(
    external_model: Callable[[str], Path], refusal: Refusal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Called from the model's own folder, the folder has the empty name."""
    path = external_model("../w.bin")
    (path.parent.parent / "w.bin").write_bytes(bytes(80))
    monkeypatch.chdir(path.parent)
    assert "error[WSEC107]" in refusal(lambda: import_model(path.relative_to(path.parent), {}))
