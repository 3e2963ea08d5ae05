"""What a compilation that fails leaves behind: how far it came, beside the place of the plan."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from wsec.cli.failure_report import Progress, write_failure
from wsec.compiler.errors import ExitStatus, WsecError
from wsec.driver import StageEvent

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from tests.cli.conftest import Wsec


def test_what_does_not_fit_leaves_its_inequality(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """Stages that ended, the one in which it failed, and the error as --json has it; the older plan is as it was."""
    folder = tmp_path / "p"
    arguments = ("compile", small_model, "-o", folder, "--target", "mesh16", "--effort", "0")
    assert wsec(*arguments).exit_code == ExitStatus.OK
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    result = wsec(*arguments, "--region", "1x2")
    assert result.exit_code == ExitStatus.DOES_NOT_FIT
    path = tmp_path / "p.failed.json"
    assert result.stderr.endswith(f"  note:     how far it came is in {path}\n")
    report = json.loads(path.read_text())
    assert list(report) == ["model", "target", "plan", "stages", "stopped_in", "details", "error"]
    assert (report["model"], report["target"], report["plan"]) == (str(small_model), "mesh16", str(folder))
    assert [entry["stage"] for entry in report["stages"]][:2] == ["import", "passes"]
    assert report["stopped_in"] not in {entry["stage"] for entry in report["stages"]}
    assert report["error"]["code"].startswith("WSEC3")
    assert "<=" in report["error"]["expected"]
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_success_removes_it(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """A file about a failure that is over would mislead."""
    arguments = ("compile", small_model, "-o", tmp_path / "p", "--target", "mesh16", "--effort", "0", "-q")
    assert wsec(*arguments, "--region", "1x2").exit_code == ExitStatus.DOES_NOT_FIT
    assert (tmp_path / "p.failed.json").is_file()
    assert wsec(*arguments).exit_code == ExitStatus.OK
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_what_fails_at_once_leaves_nothing(wsec: Wsec, tmp_path: Path) -> None:
    """A model that cannot be read got nowhere."""
    result = wsec("compile", tmp_path / "none.onnx", "-o", tmp_path / "p")
    assert result.exit_code == ExitStatus.MODEL
    assert list(tmp_path.iterdir()) == []


def test_the_last_word_of_each_stage_is_kept(tmp_path: Path) -> None:
    """Placement says interval and bound as it goes; the last is what it came to."""
    progress = Progress()
    for event in (
        StageEvent("import"),
        StageEvent("import", seconds=0.5),
        StageEvent("placement", detail="interval 9, bound 5"),
        StageEvent("placement", detail="interval 7, bound 5"),
    ):
        progress.watch(event)
    error = WsecError("WSEC323", "no arrangement")
    write_failure(tmp_path / "p", tmp_path / "m.onnx", "wse2", progress, error)
    report = json.loads((tmp_path / "p.failed.json").read_text())
    assert report["stages"] == [{"stage": "import", "seconds": 0.5}]
    assert report["stopped_in"] == "placement"
    assert report["details"] == {"placement": "interval 7, bound 5"}


def test_a_place_that_cannot_be_written_does_not_hide_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk is said in a note; the error of the compilation stays the one that is raised."""
    progress = Progress(stages={"import": 0.1})
    error = WsecError("WSEC323", "no arrangement")

    def fail(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", fail)
    write_failure(tmp_path / "p", tmp_path / "m.onnx", "wse2", progress, error)
    assert error.__notes__ == [
        f"how far it came cannot be written to {tmp_path / 'p.failed.json'}: No space left on device"
    ]
    assert list(tmp_path.iterdir()) == []
