"""Puts the two models of a plan into its folder, and every weights file that they refer to, without reading weights.

Weights of the original that lie in files stay in files, under the same relative names. Weights that are in memory go
into `model.onnx`, or into one file beside it where they are more than a model file can hold. Weights that nobody has
given keep their shape and type, and the name of the file that they are declared in.
"""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import onnx
import onnx.external_data_helper
import onnx_ir

from wsec.compiler.absent_weights import is_absent
from wsec.compiler.errors import WsecError
from wsec.compiler.walks import all_graphs

if TYPE_CHECKING:
    from collections.abc import Iterator

LOWERED_WEIGHTS_FILE = "lowered.weights"
ABSENT_WEIGHTS = "weights-not-given"  # the location of weights that no file is said to have
INLINE_LIMIT_BYTES = 1 << 30  # a protobuf file ends at 2 GB
_RESERVED = ("plan.json", "model.onnx", "original.onnx", "files.json", "prefill", LOWERED_WEIGHTS_FILE)
_RESERVED_PARTS = tuple((name,) for name in _RESERVED)
_ALIGNMENT = 64
_FICLONE = 0x40049409  # linux/fs.h: shares the blocks of a file, where the file system can


def write_models(
    folder: Path, lowered: onnx_ir.Model, original: Path, *, inline_limit_bytes: int = INLINE_LIMIT_BYTES
) -> None:
    """Writes `model.onnx`, `original.onnx` and their weights files into the empty `folder`.

    Raises:
        WsecError: WSEC508 a weights file has a place that a plan folder cannot give it.
        OSError: Something cannot be read or written.
    """
    clone_file(original, folder / "original.onnx")
    places = _weights_of_original(original)
    tensors = _with_places(lowered, places)
    for source, location in places.items():
        if source.is_file():  # a weight-free model names files that nobody has
            (folder / location).parent.mkdir(parents=True, exist_ok=True)
            clone_file(source, folder / location)
    if _inline_bytes(tensors) > inline_limit_bytes:
        tensors = _into_file(folder / LOWERED_WEIGHTS_FILE, tensors)
    with _weights_replaced(tensors):
        proto = onnx_ir.to_proto(lowered)
    (folder / "model.onnx").write_bytes(proto.SerializeToString(deterministic=True))


def clone_file(source: Path, target: Path) -> None:
    """Copies a file; shares its blocks where the file system can, which takes neither time nor room.

    Raises:
        OSError: The file cannot be read or the copy not written.
    """
    source = source.resolve()
    try:
        import fcntl

        with source.open("rb") as reader, target.open("wb") as writer:
            fcntl.ioctl(writer.fileno(), _FICLONE, reader.fileno())
    except (ImportError, OSError):
        shutil.copyfile(source, target)


def _weights_of_original(original: Path) -> dict[Path, str]:
    """Every weights file that the original refers to: where it lies -> its location as the model says it."""
    proto = onnx.load_model(original, load_external_data=False)
    root = original.resolve().parent
    places: dict[Path, str] = {}
    for tensor in onnx.external_data_helper._get_all_tensors(proto):  # noqa: SLF001 onnx has no public walk over tensors
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            location = next((entry.value for entry in tensor.external_data if entry.key == "location"), "")
            _check_location(location, original)
            places.setdefault(root / location, location)
    return places


def _check_location(location: str, original: Path) -> None:
    path = PurePosixPath(location)
    if (
        location
        and not path.is_absolute()
        and ".." not in path.parts
        and path.parts[:1] not in _RESERVED_PARTS
    ):
        return
    raise WsecError(
        code="WSEC508",
        what="a weights file of the model cannot lie in a plan folder",
        where=str(original),
        expected=f"a name inside the model's folder, and none of {', '.join(_RESERVED)}",
        found=location or "no name",
        hint="save the model with its weights in a file of another name",
    )


Tensors = list[tuple["onnx_ir.Value", "onnx_ir.TensorProtocol | None"]]


def _with_places(lowered: onnx_ir.Model, places: dict[Path, str]) -> Tensors:
    """Every initializer with the tensor to save; adds to `places` the files that only the lowered model refers to."""
    tensors: Tensors = []
    for graph in all_graphs(lowered):
        for value in graph.initializers.values():
            tensor = value.const_value
            if tensor is None:
                tensor = _absent(value)
            elif isinstance(tensor, onnx_ir.ExternalTensor):
                path = Path(tensor.path).resolve()
                location = places.setdefault(path, f"lowered-{len(places)}.weights")
                if is_absent(tensor) and tensor.offset is None:
                    location = ABSENT_WEIGHTS
                tensor = _moved(tensor, location, tensor.offset)
            tensors.append((value, tensor))
    return tensors


def _absent(value: onnx_ir.Value) -> onnx_ir.TensorProtocol | None:
    if value.shape is None or value.dtype is None or not value.shape.is_static():
        return None
    return onnx_ir.ExternalTensor(
        ABSENT_WEIGHTS,
        None,
        None,
        value.dtype,
        shape=onnx_ir.Shape(value.shape.numpy()),
        name=value.name or "",
    )


def _moved(tensor: onnx_ir.TensorProtocol, location: str, offset: int | None) -> onnx_ir.ExternalTensor:
    length = tensor.length if isinstance(tensor, onnx_ir.ExternalTensor) else tensor.nbytes
    return onnx_ir.ExternalTensor(
        location,
        offset,
        length,
        tensor.dtype,
        shape=onnx_ir.Shape(tensor.shape.numpy()),
        name=tensor.name or "",
        doc_string=tensor.doc_string,
        metadata_props=dict(tensor.metadata_props),
    )


def _is_inline(tensor: onnx_ir.TensorProtocol | None) -> bool:
    return tensor is not None and not isinstance(tensor, onnx_ir.ExternalTensor | onnx_ir.StringTensor)


def _inline_bytes(tensors: Tensors) -> int:
    return sum(tensor.nbytes for _, tensor in tensors if tensor is not None and _is_inline(tensor))


def _into_file(path: Path, tensors: Tensors) -> Tensors:
    """Writes the tensors that are in memory to `path`, one at a time, and gives what refers to them."""
    moved: Tensors = []
    with path.open("wb") as file:
        for value, tensor in tensors:
            if tensor is None or not _is_inline(tensor):
                moved.append((value, tensor))
                continue
            file.seek(-(-file.tell() // _ALIGNMENT) * _ALIGNMENT)
            moved.append((value, _moved(tensor, path.name, file.tell())))
            file.write(tensor.tobytes())
    return moved


@contextlib.contextmanager
def _weights_replaced(tensors: Tensors) -> Iterator[None]:
    before = [(value, value.const_value) for value, _ in tensors]
    try:
        for value, tensor in tensors:
            value.const_value = tensor
        yield
    finally:
        for value, tensor in before:
            value.const_value = tensor
