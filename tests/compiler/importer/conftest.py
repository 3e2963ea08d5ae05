"""Builds small model files for the tests of the importer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import pytest

from wsec.compiler.errors import ExitStatus, WsecError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def model_file(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a model given as ONNX text to `model.onnx` in a folder of its own."""

    def write(text: str) -> Path:
        path = tmp_path / "model.onnx"
        path.write_bytes(onnx.parser.parse_model(text).SerializeToString())
        return path

    return write


@pytest.fixture
def refusal() -> Callable[[Callable[[], object]], str]:
    """The whole message of the model error that a call ends with."""

    def run(call: Callable[[], object]) -> str:
        with pytest.raises(WsecError) as caught:
            call()
        assert caught.value.exit_status is ExitStatus.MODEL
        return str(caught.value)

    return run
