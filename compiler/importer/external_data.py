"""Checks the weight files that a model refers to, without reading them.

Guarantees: every external tensor lies in a file inside the model's folder (links followed) that is long enough, or in one
that does not exist, and is then marked as absent. A model file is hostile input: a location may not lead anywhere else.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

import onnx_ir as ir

from wsec.compiler.absent_weights import absent
from wsec.compiler.errors import WsecError
from wsec.compiler.walks import all_graphs

if TYPE_CHECKING:
    from collections.abc import Iterator


def check_external_data(model: ir.Model, path: Path) -> None:
    """Check every external tensor of the model loaded from `path`; those of a file that does not exist become absent.

    Raises:
        WsecError: WSEC105 no file but something else, WSEC106 file too short, WSEC107 outside the model's folder.
    """
    folder = path.parent.resolve()
    sizes: dict[str, int | None] = {}
    for value, tensor in _external_tensors(model):
        location = str(tensor.location)
        if location not in sizes:
            sizes[location] = _size_of(folder, location, tensor)
        _check_extent(folder, location, tensor, sizes[location])
        if sizes[location] is None:
            value.const_value = absent(tensor)


def _external_tensors(model: ir.Model) -> Iterator[tuple[ir.Value, ir.ExternalTensor]]:
    """The initializers; a Constant whose tensor lies elsewhere has been refused by the check of its node."""
    for graph in all_graphs(model):
        for value in graph.initializers.values():
            if isinstance(value.const_value, ir.ExternalTensor):
                yield value, value.const_value


def _size_of(folder: Path, location: str, tensor: ir.ExternalTensor) -> int | None:
    """Bytes of the file; None where there is none."""
    relative = PurePosixPath(location)
    windows = PureWindowsPath(location)
    outside = relative.is_absolute() or windows.is_absolute() or windows.drive or ".." in windows.parts
    target = (folder / location).resolve() if not outside else folder
    if outside or folder not in target.parents:
        raise WsecError(
            "WSEC107",
            "the model's weights lie outside the model's folder",
            where=f"tensor {tensor.name!r}",
            expected=f"a file inside {folder}",
            found=(location or "no name") if outside or not location else f"{location}, a link to {target}",
            hint="copy the weights beside the model and save the model with a relative location",
        )
    try:
        status = target.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise _missing(folder / location, tensor, error.strerror or type(error).__name__) from error
    if not target.is_file():
        raise _missing(folder / location, tensor, "no file, but a folder or a device")
    if status.st_nlink > 1:
        raise WsecError(
            "WSEC107",
            "a weights file of the model is a hard link",
            where=f"tensor {tensor.name!r}",
            expected="a file of its own: a second name may stand for any file of this machine",
            found=f"{location} with {status.st_nlink} names",
            hint=f"copy it: cp {location} copy && mv copy {location}",
        )
    return status.st_size


def _missing(expected: Path, tensor: ir.ExternalTensor, found: str) -> WsecError:
    return WsecError(
        "WSEC105",
        "a weights file of the model cannot be used",
        where=f"tensor {tensor.name!r}",
        expected=str(expected),
        found=found,
        hint="put the weights file beside the model; exporters write it together with the .onnx file",
    )


def _check_extent(folder: Path, location: str, tensor: ir.ExternalTensor, size: int | None) -> None:
    if tensor.length is not None and tensor.length != tensor.nbytes:
        raise WsecError(
            "WSEC106",
            "a weights file of the model has another number of bytes for a tensor than it needs",
            where=f"tensor {tensor.name!r} in {folder / location}",
            expected=f"{tensor.nbytes:,} bytes for {tensor.dtype.name.lower()} {list(tensor.shape.numpy())}",
            found=f"length {tensor.length:,}",
            hint="save the model and its weights again, together",
        )
    offset = tensor.offset or 0
    needed = max(tensor.length or 0, tensor.nbytes)
    if size is None or (offset >= 0 and offset + needed <= size):
        return
    raise WsecError(
        "WSEC106",
        "a weights file of the model is too short",
        where=f"tensor {tensor.name!r} in {folder / location}",
        expected=f"at least {offset + needed:,} bytes ({needed:,} from byte {offset:,} on)",
        found=f"{size:,} bytes",
        hint="fetch or copy the weights file again",
    )
