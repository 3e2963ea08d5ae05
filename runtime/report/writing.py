"""Writes the report and its pictures, each whole or not at all: an older file stays as it is where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.compiler.errors import WsecError
from wsec.runtime.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Plan
    from wsec.runtime.estimate import Estimate
    from wsec.runtime.report.picture import PictureKind


def write_page(path: Path, plan: Plan, estimate: Estimate) -> None:
    """Write the report of a plan as one HTML file that needs nothing beside it.

    Raises:
        WsecError: WSEC565 kernels wait for each other, WSEC585 the file cannot be written.
    """
    from wsec.runtime.report.contents import contents_of
    from wsec.runtime.report.page import make_page

    check_place(path)
    _write(path, make_page(contents_of(plan, estimate)).encode())


def write_picture(path: Path, estimate: Estimate, kind: PictureKind) -> None:
    """Write the floorplan as a picture.

    Raises:
        WsecError: WSEC585 the file cannot be written.
    """
    from wsec.runtime.report.picture import floorplan_picture

    check_place(path)
    _write(path, floorplan_picture(estimate, kind))


def check_place(path: Path) -> None:
    """Refuses a folder and a place in none, so that it is known before the work.

    Raises:
        WsecError: WSEC585.
    """
    if path.is_dir():
        raise _unwritable(path, "a folder")
    if not path.absolute().parent.is_dir():
        raise _unwritable(path, "no such folder")


def _write(path: Path, data: bytes) -> None:
    try:
        write_whole(path, data)
    except OSError as error:
        raise _unwritable(path, error.strerror or type(error).__name__) from error


def _unwritable(path: Path, found: str) -> WsecError:
    return WsecError(
        code="WSEC585",
        what="the report cannot be written",
        where=str(path),
        expected="a file that can be written, in a folder that exists, on a disk with room",
        found=found,
        hint="choose another place, or free some room; an older file is as it was",
    )
