"""Tensors by name in .npz files: what `wsec run` reads and writes. Nothing in such a file is ever executed.

Text is held as arrays of numpy's text type. A sequence `s` is held as arrays `s.0`, `s.1` ...; an empty one, an optional
that is not given, and maps have no place in such a file.
"""

from __future__ import annotations

import itertools
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from wsec.compiler.errors import WsecError
from wsec.runtime.whole_file import OutputFile

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from wsec.compiler.plan import Value

OUTPUTS_FILE = OutputFile(
    "WSEC581",
    "the outputs cannot be written",
    "choose another place with -o, or free some room; nothing was left behind",
)


def read_tensors(path: Path) -> dict[str, NDArray[np.generic]]:
    """The arrays of an .npz file, by name.

    Raises:
        WsecError: WSEC580 where there is no such file, or it is none of that kind.
    """
    try:
        with path.open("rb") as file:
            if not zipfile.is_zipfile(file):
                raise _unreadable(path, "no archive: a file of another kind, or one that was cut short")
            file.seek(0)
            with np.load(file, allow_pickle=False) as archive:
                return {name: _native(archive[name]) for name in archive.files}
    except OSError as error:
        raise _unreadable(path, error.strerror or str(error)) from error
    except (ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, str(error)) from error


def with_sequences(arrays: dict[str, NDArray[np.generic]], inputs: Sequence[Value]) -> dict[str, Any]:
    """The arrays, with the elements of each input that is a sequence put together."""
    given: dict[str, Any] = dict(arrays)
    for value in inputs:
        if "sequence" in value.container:
            elements = itertools.takewhile(
                given.__contains__, (f"{value.name}.{i}" for i in itertools.count())
            )
            given[value.name] = [given.pop(name) for name in list(elements)]
    return given


def _arrays(tensors: Mapping[str, Any]) -> Iterator[tuple[str, NDArray[np.generic]]]:
    """What is written: an array for each tensor and each element of a sequence."""
    for name, value in tensors.items():
        if isinstance(value, list):
            yield from _arrays({f"{name}.{index}": item for index, item in enumerate(value)})
        elif value is not None and not isinstance(value, dict):
            array = np.asanyarray(value)
            yield name, array.astype(str) if array.dtype.kind == "O" else array


def check_output(path: Path | None) -> None:
    """Refuse a place that no file can be written to, where one is asked for, before the work.

    Raises:
        WsecError: WSEC581.
    """
    if path is not None:
        OUTPUTS_FILE.check_place(path)


def write_tensors(path: Path, tensors: Mapping[str, Any]) -> None:
    """Write an .npz file, whole or not at all.

    Raises:
        WsecError: WSEC581 where it cannot be written.
    """
    with OUTPUTS_FILE.partial(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for name, tensor in _arrays(tensors):
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, tensor, allow_pickle=False)


def _native(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The array in this machine's byte order: a file may come from another."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _unreadable(path: Path, found: str) -> WsecError:
    return WsecError(
        code="WSEC580",
        what="the inputs cannot be read",
        where=str(path),
        expected="an .npz file with one array for each input, as numpy.savez writes it",
        found=found,
        hint="write it with numpy.savez(path, **{name: array}), or leave --inputs out for random inputs",
    )
