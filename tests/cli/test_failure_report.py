"""What a compilation that fails leaves behind: how far it came, beside the place of the plan."""

from __future__ import annotations

import html
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
    assert result.stderr.endswith(
        f"  note:     how far it came is in {path}; wsec report makes a page of it\n"
    )
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


def test_a_mistyped_name_leaves_nothing(wsec: Wsec, tmp_path: Path) -> None:
    """Where there is no model nothing was compiled."""
    result = wsec("compile", tmp_path / "none.onnx", "-o", tmp_path / "p")
    assert result.exit_code == ExitStatus.MODEL
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_cannot_be_imported_leaves_its_error(wsec: Wsec, tmp_path: Path) -> None:
    """No stage ended, and the file says in which one it failed."""
    model = tmp_path / "m.onnx"
    model.write_bytes(b"no model")
    result = wsec("compile", model, "-o", tmp_path / "p")
    assert result.exit_code == ExitStatus.MODEL
    report = json.loads((tmp_path / "p.failed.json").read_text())
    assert (report["stages"], report["stopped_in"]) == ([], "import")
    assert report["error"]["code"] in result.stderr


def test_a_bug_leaves_its_traceback(
    wsec: Wsec, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody foresaw is written too, with the stage and where in wsec it was; the message says where the file is."""

    def fail(*_: object) -> None:
        raise RuntimeError("a <b>wrong</b> turn")

    monkeypatch.setattr("wsec.driver._decide", fail)
    result = wsec("compile", small_model, "-o", tmp_path / "p", "--target", "mesh16")
    assert result.exit_code == ExitStatus.INTERNAL
    path = tmp_path / "p.failed.json"
    assert f"  note:     how far it came is in {path}; wsec report makes a page of it\n" in result.stderr
    report = json.loads(path.read_text())
    assert report["error"]["code"] == "WSEC600"
    assert "RuntimeError: a <b>wrong</b> turn" in report["traceback"]
    page = tmp_path / "bug.html"
    assert wsec("report", path, "-o", page).exit_code == ExitStatus.OK
    assert "RuntimeError: a &lt;b&gt;wrong&lt;/b&gt; turn" in page.read_text(encoding="utf-8")


def test_the_page_says_how_far_and_why(
    wsec: Wsec, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stages with what they took, the one that failed, the parts of the error, and what its code means; its name follows the plan's."""
    monkeypatch.chdir(tmp_path)
    compiled = wsec(
        "compile", small_model, "-o", "p.plan", "--target", "mesh16", "--effort", "0", "--region", "1x2"
    )
    assert compiled.exit_code == ExitStatus.DOES_NOT_FIT
    result = wsec("report", "p.plan.failed.json")
    assert (result.exit_code, result.stdout) == (ExitStatus.OK, "report  p.failed.html\n")
    page = (tmp_path / "p.failed.html").read_text(encoding="utf-8")
    report = json.loads((tmp_path / "p.plan.failed.json").read_text())
    for text in (report["error"]["what"], report["error"]["expected"], report["error"]["try"]):
        assert html.escape(text) in page
    for entry in report["stages"]:
        assert f"<td>{entry['stage']}</td>" in page
    assert "failed here" in page
    assert f"What {report['error']['code']} means" in page
    assert "<script" not in page


def test_a_plan_that_is_not_there_because_it_failed(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """Who asks for the report of the plan is told of the file; pictures of a failure are a usage error."""
    plan = tmp_path / "p.plan"
    wsec("compile", small_model, "-o", plan, "--target", "mesh16", "--effort", "0", "--region", "1x2")
    result = wsec("report", plan, "-o", tmp_path / "p.html")
    assert result.exit_code == ExitStatus.PLAN
    assert f"its last compilation failed; wsec report {plan}.failed.json says why" in result.stderr
    result = wsec("report", f"{plan}.failed.json", "--png", tmp_path / "p.png")
    assert result.exit_code == ExitStatus.USAGE
    assert "has no floorplan" in result.stderr


def test_what_is_no_failure_is_said(wsec: Wsec, tmp_path: Path) -> None:
    """Other files of that name, whole message; nothing is written."""
    path = tmp_path / "p.failed.json"
    for contents, found in (
        (b"[1", "Expecting ',' delimiter: line 1 column 3 (char 2)"),
        (b"{}", "error is missing, or not what it should be"),
        (b"\xff", "'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (None, "No such file or directory"),
    ):
        path.unlink(missing_ok=True)
        if contents is not None:
            path.write_bytes(contents)
        result = wsec("report", path, "-o", tmp_path / "p.html")
        assert result.exit_code == ExitStatus.PLAN
        assert result.stderr == (
            "error[WSEC528]: the file does not tell of a failed compilation\n"
            f"  where:    {path}\n"
            "  expected: what `wsec compile` leaves at PLAN.failed.json\n"
            f"  found:    {found}\n"
            "  try:      compile the model again: a compilation that fails writes the file anew\n"
        )
        assert not (tmp_path / "p.html").exists()


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

    monkeypatch.setattr("pathlib.Path.write_bytes", fail)
    write_failure(tmp_path / "p", tmp_path / "m.onnx", "wse2", progress, error)
    assert error.__notes__ == [
        f"how far it came cannot be written to {tmp_path / 'p.failed.json'}: No space left on device"
    ]
    assert list(tmp_path.iterdir()) == []
