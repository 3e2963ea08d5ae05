"""The list of a plan's files: damage to a model is found, whoever reads it; weights in files are not read for that."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from wsec.compiler.errors import WsecError
from wsec.compiler.lowered_model_file import read_lowered_model
from wsec.compiler.plan_files import FILES, find_damage, write_file_list

if TYPE_CHECKING:
    from pathlib import Path

MODEL = """<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) <float[2] w = {1, 2}> {
    [add] y = Add(x, w) }"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a lowered model, weights in another file, and the list of both."""
    (tmp_path / "model.onnx").write_bytes(onnx.parser.parse_model(MODEL).SerializeToString())
    (tmp_path / "w.bin").write_bytes(b"1234")
    write_file_list(tmp_path)
    return tmp_path


def test_nothing_is_wrong_with_what_was_written(folder: Path) -> None:
    """Without this, the tests below would prove nothing."""
    assert find_damage(folder, hashed=("model.onnx",)) is None
    assert read_lowered_model(folder / "model.onnx").graph[0].name == "add"


def test_a_changed_weight_is_found(folder: Path) -> None:
    """One bit of a weight decodes as well as before; only the digest tells."""
    data = bytearray((folder / "model.onnx").read_bytes())
    place = data.find(b"\0\0\x80\x3f")
    data[place + 2] ^= 1
    (folder / "model.onnx").write_bytes(bytes(data))
    with pytest.raises(WsecError) as raised:
        read_lowered_model(folder / "model.onnx")
    assert str(raised.value) == (
        "error[WSEC567]: the lowered model of the plan cannot be read\n"
        f"  where:    {folder}\n"
        "  expected: the files as `wsec compile` wrote them\n"
        "  found:    model.onnx: other contents than were written\n"
        "  try:      a plan is its whole folder: copy it whole, or compile the model again"
    )


@pytest.mark.parametrize(
    ("name", "contents", "found"),
    [
        ("w.bin", b"123", "w.bin: 3 bytes instead of 4"),
        (FILES, b"[]", "files.json lists no files"),
        (FILES, b'{"model.onnx": 3}', "model.onnx: no size in files.json"),
        (
            FILES,
            b"{",
            "files.json: JSONDecodeError",
        ),
    ],
)
def test_what_differs_is_named(name: str, contents: bytes, found: str, folder: Path) -> None:
    """Files that were cut short, and a list that is none."""
    (folder / name).write_bytes(contents)
    said = find_damage(folder, hashed=())
    assert said is not None
    assert said.startswith(found)


def test_a_missing_file_is_found(folder: Path) -> None:
    """Weights that were not copied along."""
    (folder / "w.bin").unlink()
    found = find_damage(folder, hashed=())
    assert found == "w.bin: no such file; 4 bytes were written"


def test_a_plan_without_a_list_is_read(folder: Path) -> None:
    """Plans of earlier versions have none."""
    (folder / FILES).unlink()
    assert find_damage(folder, hashed=("model.onnx",)) is None


def test_a_node_without_an_operand_is_found(tmp_path: Path) -> None:
    """The checker and the runtime may rely on operands that an operator requires."""
    proto = onnx.parser.parse_model(MODEL)
    proto.graph.node[0].input[1] = ""
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(WsecError, match="cannot be read") as raised:
        read_lowered_model(tmp_path / "model.onnx")
    assert raised.value.found == "node 'add' (Add) without its operand B"
