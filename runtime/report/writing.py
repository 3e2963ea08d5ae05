"""Writes the report and its pictures, each whole or not at all: an older file stays as it is where that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsec.runtime.whole_file import OutputFile

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Plan
    from wsec.runtime.estimate import Estimate
    from wsec.runtime.report.failure import Failure
    from wsec.runtime.report.picture import PictureKind

REPORT_FILE = OutputFile("WSEC585", "the report cannot be written")


def write_page(path: Path, plan: Plan, estimate: Estimate) -> None:
    """Write the report of a plan as one HTML file that needs nothing beside it.

    Raises:
        WsecError: WSEC565 kernels wait for each other, WSEC585 the file cannot be written.
    """
    from wsec.runtime.report.contents import contents_of
    from wsec.runtime.report.page import make_page

    REPORT_FILE.check_place(path)
    REPORT_FILE.write(path, make_page(contents_of(plan, estimate)).encode())


def write_picture(path: Path, estimate: Estimate, kind: PictureKind) -> None:
    """Write the floorplan as a picture.

    Raises:
        WsecError: WSEC585 the file cannot be written.
    """
    from wsec.runtime.report.picture import floorplan_picture

    REPORT_FILE.check_place(path)
    REPORT_FILE.write(path, floorplan_picture(estimate, kind))


def write_failure_page(path: Path, failure: Failure, explanation: str) -> None:
    """Write the report of a compilation that failed; `explanation` is the page of its error's code.

    Raises:
        WsecError: WSEC585 the file cannot be written.
    """
    from wsec.runtime.report.failure import failure_page

    REPORT_FILE.write(path, failure_page(failure, explanation).encode())
