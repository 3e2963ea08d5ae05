"""Text files that take the place of older ones whole or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.runtime.whole_file import OutputFile

if TYPE_CHECKING:
    from pathlib import Path


def write_text(path: Path, text: str, what: str) -> None:
    """Write a file; `what` is the subject of the error.

    Raises:
        WsecError: WSEC525, and an older file is as it was.
    """
    _file(what).write(path, text.encode())


def check_file_place(path: Path, what: str) -> None:
    """Refuse a folder and a place in none, so that it is known before the work.

    Raises:
        WsecError: WSEC525.
    """
    _file(what).check_place(path)


def _file(what: str) -> OutputFile:
    return OutputFile("WSEC525", f"{what} cannot be written")
