"""A damaged lowered model is said, whoever reads it, and is never a traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from wsec.compiler.errors import WsecError
from wsec.compiler.lowered_model_file import read_lowered_model
from wsec.compiler.plan_checker.model_facts import read_model

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (float[2] operand) => (float[2] y) {
    [first] a = Relu(operand)
    [other] y = Neg(a)
}"""


def _bytes() -> bytes:
    data: bytes = onnx.parser.parse_model(TEXT).SerializeToString()
    return data


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (
            lambda data: data[: len(data) // 2],
            "DecodeError: Error parsing message with type 'onnx.ModelProto'",
        ),
        (lambda data: data.replace(b"first", b"f\xbcrst"), "b'f\\xbcrst', which is no name"),
        (lambda data: data.replace(b"Neg", b"N\xbcg"), "b'N\\xbcg', which is no name"),
        (
            lambda data: data.replace(b"operand", b"operant", 1),
            "'operant', which node 'first' reads and nothing defines",
        ),
    ],
    ids=["cut short", "name", "operator", "undefined"],
)
def test_message_lowered_model_cannot_be_read(
    tmp_path: Path, damage: Callable[[bytes], bytes], found: str
) -> None:
    """WSEC567, whole."""
    path = tmp_path / "model.onnx"
    path.write_bytes(damage(_bytes()))
    with pytest.raises(WsecError) as caught:
        read_lowered_model(path)
    assert str(caught.value) == (
        "error[WSEC567]: the lowered model of the plan cannot be read\n"
        f"  where:    {path}\n"
        "  expected: the files as `wsec compile` wrote them\n"
        f"  found:    {found}\n"
        "  try:      a plan is its whole folder: copy it whole, or compile the model again"
    )


def test_the_checker_says_it_too(tmp_path: Path) -> None:
    """`wsec check-plan` of a plan whose model was cut short is no bug."""
    (tmp_path / "model.onnx").write_bytes(_bytes()[:40])
    with pytest.raises(WsecError, match="the lowered model of the plan cannot be read"):
        read_model(tmp_path)


def test_a_sound_model_is_read(tmp_path: Path) -> None:
    """Nothing of what `wsec compile` writes is refused."""
    path = tmp_path / "model.onnx"
    path.write_bytes(_bytes())
    assert [node.name for node in read_lowered_model(path).graph] == ["first", "other"]
