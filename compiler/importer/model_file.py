"""Reads the bytes of a model file and tells a model from everything else a user might name by mistake.

Guarantees: what is returned is a ModelProto with a graph; external weights are not read. A damaged file is
told apart from a foreign one by walking the outermost protobuf fields (https://protobuf.dev/programming-guides/encoding).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
from google.protobuf.message import DecodeError

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from pathlib import Path

_MODEL_FIELDS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 14, 20, 25, 26})
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_EXPORT_HINT = "export the model to ONNX, for example with torch.onnx.export"
_FETCH_HINT = "fetch or copy the file again"


def read_model_proto(path: Path) -> onnx.ModelProto:
    """Read and decode `path`.

    Raises:
        WsecError: WSEC101 no such file, WSEC102 not an ONNX model, WSEC103 cut short, WSEC104 no graph.
    """
    data = _read_bytes(path)
    _check_fields(path, data)
    try:
        proto: onnx.ModelProto = onnx.ModelProto.FromString(data)
    except DecodeError as error:
        raise WsecError(
            "WSEC102",
            "the file is not an ONNX model",
            where=str(path),
            expected="a protobuf that holds an onnx.ModelProto",
            found=f"{len(data):,} bytes that do not decode",
            hint=f"{_FETCH_HINT}; or {_EXPORT_HINT}",
        ) from error
    if not proto.HasField("graph"):
        raise WsecError(
            "WSEC104",
            "the model has no graph",
            where=str(path),
            expected="a ModelProto with a graph",
            found="a ModelProto without one",
            hint=_EXPORT_HINT,
        )
    return proto


def _read_bytes(path: Path) -> bytes:
    if path.is_dir():
        raise WsecError(
            "WSEC101",
            "the model is a folder, not a file",
            where=str(path),
            expected="the path of an .onnx file",
            found="a folder",
            hint=_onnx_files_in(path),
        )
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise WsecError(
            "WSEC101",
            "the model file does not exist",
            where=str(path),
            expected="the path of an .onnx file",
            found="nothing at this path",
            hint=_onnx_files_in(path.parent),
        ) from error
    except OSError as error:
        raise WsecError(
            "WSEC101",
            "the model file cannot be read",
            where=str(path),
            expected="a file that this user may read",
            found=error.strerror or type(error).__name__,
            hint="check the permissions of the file",
        ) from error


def _onnx_files_in(folder: Path) -> str:
    if not folder.is_dir():
        return f"check the path: the folder {folder} does not exist either"
    names = sorted(entry.name for entry in folder.glob("*.onnx"))
    if not names:
        return "check the path: the folder holds no .onnx file"
    shown = ", ".join(names[:5])
    return f"the folder holds {shown}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _check_fields(path: Path, data: bytes) -> None:
    """Walk the outermost fields without decoding what they hold."""
    position, seen = 0, 0
    while position < len(data):
        start = position
        tag, position = _varint(data, position)
        field, wire = tag >> 3, tag & 7
        if field not in _MODEL_FIELDS or wire not in {_VARINT, _FIXED64, _BYTES, _FIXED32}:
            raise _not_a_model(path, data, start)
        seen += 1
        length = 0
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire == _VARINT:
            _, position = _varint(data, position)
        else:
            length = 8 if wire == _FIXED64 else 4
        position += length
        if position > len(data):
            raise WsecError(
                "WSEC103",
                "the model file is cut short",
                where=f"{path}, field {field} of ModelProto at byte {start:,}",
                expected=f"at least {position:,} bytes",
                found=f"{len(data):,} bytes",
                hint=_FETCH_HINT,
            )
    if not seen:
        raise WsecError(
            "WSEC102",
            "the file is empty",
            where=str(path),
            expected="a protobuf that holds an onnx.ModelProto",
            found="0 bytes",
            hint=_FETCH_HINT,
        )


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Value and next position; a position past the end where the data stop inside the number."""
    value, shift = 0, 0
    while position < len(data) and shift < 64:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    return value, len(data) + 1


def _not_a_model(path: Path, data: bytes, position: int) -> WsecError:
    if data.startswith(b"version https://git-lfs"):
        found, hint = "a Git LFS pointer, not the file it points to", "run `git lfs pull` in its repository"
    elif data[:2] == b"PK":
        found, hint = "a zip archive", f"unpack it if it holds an .onnx file, or {_EXPORT_HINT}"
    else:
        found = f"bytes {data[position : position + 8].hex(' ')} at byte {position:,}"
        hint = _EXPORT_HINT
    return WsecError(
        "WSEC102",
        "the file is not an ONNX model",
        where=str(path),
        expected="a protobuf that holds an onnx.ModelProto",
        found=found,
        hint=hint,
    )
