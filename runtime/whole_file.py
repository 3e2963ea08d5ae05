"""Files that are written whole or not at all, and what is said where one cannot be."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class OutputFile:
    """A kind of file that wsec writes, by what its error says.

    Attributes:
        code: Of the error.
        what: What it says.
        hint: What to do.
    """

    code: str
    what: str
    hint: str = "choose another place, or free some room; an older file is as it was"

    def check_place(self, path: Path) -> None:
        """Refuse a folder, a place in none, and devices and pipes, whose place a file would take; so that it is known before the work.

        Raises:
            WsecError: With `code`.
        """
        if path.is_dir():
            raise self.error(path, "a folder")
        if not path.absolute().parent.is_dir():
            raise self.error(path, "no such folder")
        if path.exists() and not path.is_file():
            raise self.error(path, "a device or a pipe")

    def write(self, path: Path, data: bytes) -> None:
        """Write the file; an older one stays as it is where that fails.

        Raises:
            WsecError: With `code`.
        """
        with self.partial(path) as file:
            file.write_bytes(data)

    @contextlib.contextmanager
    def partial(self, path: Path) -> Iterator[Path]:
        """A file beside `path` that takes its place once the block has written it.

        Raises:
            WsecError: With `code`.
        """
        self.check_place(path)
        try:
            with partial_file(path) as file:
                yield file
        except OSError as error:
            raise self.error(path, error.strerror or type(error).__name__) from error

    def error(self, path: Path, found: str) -> WsecError:
        """The error of a file that cannot be written."""
        return WsecError(
            code=self.code,
            what=self.what,
            where=str(path),
            expected="a file that can be written, in a folder that exists, on a disk with room",
            found=found,
            hint=self.hint,
        )


@contextlib.contextmanager
def partial_file(path: Path) -> Iterator[Path]:
    """A file beside `path` that the block writes; then it is brought to the disk and takes the place of an older one.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that an older one stays as it is until the new one is on the disk.

    Raises:
        OSError: It cannot be written; nothing is left behind.
    """
    with partial_file(path) as partial:
        partial.write_bytes(data)
