"""Text files that take the place of older ones whole or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from pathlib import Path


def write_whole(path: Path, text: str, what: str) -> None:
    """Write beside `path`, and rename; `what` is the subject of the error.

    Raises:
        WsecError: WSEC525, and an older file is as it was.
    """
    check_file_place(path, what)
    try:
        replace_file(path, text.encode())
    except OSError as error:
        raise _unwritable(path, what, error.strerror or type(error).__name__) from error


def check_file_place(path: Path, what: str) -> None:
    """Refuse a folder and a place in none, so that it is known before the work.

    Raises:
        WsecError: WSEC525.
    """
    if path.is_dir():
        raise _unwritable(path, what, "a folder")
    if not path.absolute().parent.is_dir():
        raise _unwritable(path, what, "no such folder")


def replace_file(path: Path, data: bytes) -> None:
    """The same without words.

    Raises:
        OSError: It cannot be written; an older file is as it was.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _unwritable(path: Path, what: str, found: str) -> WsecError:
    return WsecError(
        code="WSEC525",
        what=f"{what} cannot be written",
        where=str(path),
        expected="a file that can be written, in a folder that exists, on a disk with room",
        found=found,
        hint="choose another place, or free some room; an older file is as it was",
    )
