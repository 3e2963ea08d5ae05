"""Tensors by name in .npz files: what `wsec run` reads and writes. Nothing in such a file is ever executed."""

from __future__ import annotations

import os
import zipfile
import zlib
from typing import TYPE_CHECKING

import numpy as np

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray


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


def write_tensors(path: Path, tensors: Mapping[str, NDArray[np.generic]]) -> None:
    """Write an .npz file, whole or not at all.

    Raises:
        WsecError: WSEC581 where it cannot be written.
    """
    if path.is_dir():
        raise _unwritable(path, "a folder")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with zipfile.ZipFile(partial, "w") as archive:
            for name, tensor in tensors.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                    np.lib.format.write_array(file, np.asanyarray(tensor), allow_pickle=False)
        partial.replace(path)
    except OSError as error:
        raise _unwritable(path, error.strerror or type(error).__name__) from error
    finally:
        partial.unlink(missing_ok=True)


def _native(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """The array in this machine's byte order: a file may come from another."""
    return array.astype(array.dtype.newbyteorder("="), copy=False)


def _unwritable(path: Path, found: str) -> WsecError:
    return WsecError(
        code="WSEC581",
        what="the outputs cannot be written",
        where=str(path),
        expected="a file that can be written, in a folder that exists",
        found=found,
        hint="choose another place with -o, or free some room; nothing was left behind",
    )


def _unreadable(path: Path, found: str) -> WsecError:
    return WsecError(
        code="WSEC580",
        what="the inputs cannot be read",
        where=str(path),
        expected="an .npz file with one array for each input, as numpy.savez writes it",
        found=found,
        hint="write it with numpy.savez(path, **{name: array}), or leave --inputs out for random inputs",
    )
