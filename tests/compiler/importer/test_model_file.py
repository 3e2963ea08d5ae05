"""What a user may name by mistake instead of a model, each with its whole message."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.compiler.importer.model_file import read_model_proto

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Refusal = Callable[[Callable[[], object]], str]

TEXT = '<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) { y = Relu(x) }'


def test_a_missing_file_names_what_is_there(tmp_path: Path, refusal: Refusal) -> None:
    """A wrong file name is most often a typing error: the folder's models are listed."""
    (tmp_path / "resnet.onnx").write_bytes(b"")
    assert refusal(lambda: read_model_proto(tmp_path / "resnt.onnx")) == (
        "error[WSEC101]: the model file does not exist\n"
        f"  where:    {tmp_path}/resnt.onnx\n"
        "  expected: the path of an .onnx file\n"
        "  found:    nothing at this path\n"
        "  try:      the folder holds resnet.onnx"
    )


def test_a_missing_folder_is_said(tmp_path: Path, refusal: Refusal) -> None:
    """Where the folder is wrong too, the message says so."""
    assert refusal(lambda: read_model_proto(tmp_path / "no" / "m.onnx")) == (
        "error[WSEC101]: the model file does not exist\n"
        f"  where:    {tmp_path}/no/m.onnx\n"
        "  expected: the path of an .onnx file\n"
        "  found:    nothing at this path\n"
        f"  try:      check the path: the folder {tmp_path}/no does not exist either"
    )


def test_a_folder_is_not_a_model(tmp_path: Path, refusal: Refusal) -> None:
    """Exporters make folders; the message counts the models in one."""
    for index in range(7):
        (tmp_path / f"m{index}.onnx").write_bytes(b"")
    assert refusal(lambda: read_model_proto(tmp_path)) == (
        "error[WSEC101]: the model is a folder, not a file\n"
        f"  where:    {tmp_path}\n"
        "  expected: the path of an .onnx file\n"
        "  found:    a folder\n"
        "  try:      the folder holds m0.onnx, m1.onnx, m2.onnx, m3.onnx, m4.onnx and 2 more"
    )


@pytest.mark.parametrize(
    ("data", "found", "hint"),
    [
        (b"hello, world", "bytes 68 65 6c 6c 6f 2c 20 77 at byte 0", "export the model to ONNX"),
        (
            b"PK\x03\x04rest",
            "a zip archive",
            "unpack it if it holds an .onnx file, or export the model to ONNX",
        ),
    ],
)
def test_a_foreign_file_is_told_from_a_damaged_one(
    tmp_path: Path, refusal: Refusal, data: bytes, found: str, hint: str
) -> None:
    """Text, archives and checkpoints are not reported as damaged models."""
    path = tmp_path / "m.onnx"
    path.write_bytes(data)
    assert refusal(lambda: read_model_proto(path)) == (
        "error[WSEC102]: the file is not an ONNX model\n"
        f"  where:    {path}\n"
        "  expected: a protobuf that holds an onnx.ModelProto\n"
        f"  found:    {found}\n"
        f"  try:      {hint}, for example with torch.onnx.export"
    )


def test_a_git_lfs_pointer_is_recognised(tmp_path: Path, refusal: Refusal) -> None:
    """The commonest foreign file of all: a clone without its large files."""
    path = tmp_path / "m.onnx"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n")
    assert refusal(lambda: read_model_proto(path)) == (
        "error[WSEC102]: the file is not an ONNX model\n"
        f"  where:    {path}\n"
        "  expected: a protobuf that holds an onnx.ModelProto\n"
        "  found:    a Git LFS pointer, not the file it points to\n"
        "  try:      run `git lfs pull` in its repository"
    )


def test_an_empty_file_is_said_to_be_empty(tmp_path: Path, refusal: Refusal) -> None:
    """Zero bytes decode as an empty protobuf; the user must hear the cause."""
    path = tmp_path / "m.onnx"
    path.write_bytes(b"")
    assert refusal(lambda: read_model_proto(path)) == (
        "error[WSEC102]: the file is empty\n"
        f"  where:    {path}\n"
        "  expected: a protobuf that holds an onnx.ModelProto\n"
        "  found:    0 bytes\n"
        "  try:      fetch or copy the file again"
    )


def test_a_truncated_file_says_how_much_is_missing(
    model_file: Callable[[str], Path], refusal: Refusal
) -> None:
    """An interrupted download is told by its length."""
    path = model_file(TEXT)
    whole = path.read_bytes()
    path.write_bytes(whole[:20])
    assert refusal(lambda: read_model_proto(path)) == (
        "error[WSEC103]: the model file is cut short\n"
        f"  where:    {path}, field 7 of ModelProto at byte 2\n"
        "  expected: at least 57 bytes\n"
        "  found:    20 bytes\n"
        "  try:      fetch or copy the file again"
    )


def test_a_damaged_inside_is_said(model_file: Callable[[str], Path], refusal: Refusal) -> None:
    """Fields of the right lengths with rubbish inside still end in a message."""
    path = model_file(TEXT)
    data = bytearray(path.read_bytes())
    data[4:12] = b"\xff" * 8
    path.write_bytes(data)
    assert refusal(lambda: read_model_proto(path)) == (
        "error[WSEC102]: the file is not an ONNX model\n"
        f"  where:    {path}\n"
        "  expected: a protobuf that holds an onnx.ModelProto\n"
        f"  found:    {len(data)} bytes that do not decode\n"
        "  try:      fetch or copy the file again; or export the model to ONNX, for example with torch.onnx.export"
    )


def test_a_model_without_a_graph(tmp_path: Path, refusal: Refusal) -> None:
    """A ModelProto may be well-formed and still empty."""
    path = tmp_path / "m.onnx"
    path.write_bytes(onnx.ModelProto(ir_version=10).SerializeToString())
    assert refusal(lambda: read_model_proto(path)) == (
        "error[WSEC104]: the model has no graph\n"
        f"  where:    {path}\n"
        "  expected: a ModelProto with a graph\n"
        "  found:    a ModelProto without one\n"
        "  try:      export the model to ONNX, for example with torch.onnx.export"
    )


@given(cut=st.integers(min_value=0))
def test_every_prefix_of_a_model_is_refused(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """No prefix of a model file gets past the reader, and none ends in a traceback."""
    whole = onnx.parser.parse_model(TEXT).SerializeToString()
    path = tmp_path_factory.mktemp("prefix") / "m.onnx"
    path.write_bytes(whole[: cut % (whole.index(b"Relu") + 4)])
    with pytest.raises(WsecError) as caught:
        read_model_proto(path)
    assert caught.value.code in {"WSEC102", "WSEC103", "WSEC104"}


@given(data=st.binary(max_size=200))
def test_any_bytes_are_refused_or_decoded(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """A model file is hostile input: arbitrary bytes give a coded message or a model with a graph."""
    path = tmp_path_factory.mktemp("bytes") / "m.onnx"
    path.write_bytes(data)
    with contextlib.suppress(WsecError):
        assert read_model_proto(path).HasField("graph")
