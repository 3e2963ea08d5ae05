"""How a command ends when something goes wrong: the message, the stream it goes to, the status."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import wsec.driver
from wsec.compiler.errors import ExitStatus, WsecError

if TYPE_CHECKING:
    from tests.cli.conftest import Wsec


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler in which a pass fails with everything an error can carry, and something nasty from the model."""

    def fail(*_arguments: object) -> None:
        error = WsecError("WSEC402", "the pass broke the model", "node\nline 2", "a", "b\x1b[2J", "mend it")
        error.add_note("in pass 2 of 3: my-pass")
        raise error

    monkeypatch.setattr(wsec.driver, "compile_model", fail)


def test_an_error_is_text_on_stderr(wsec: Wsec, failing: None) -> None:
    """People read what, where, expected, found, what to try and the notes; control characters do not get through."""
    result = wsec("compile", "m.onnx")
    assert result.exit_code == ExitStatus.PASS
    assert result.stdout == ""
    assert result.stderr == (
        "error[WSEC402]: the pass broke the model\n"
        "  where:    node\n"
        "            line 2\n"
        "  expected: a\n"
        "  found:    b\\x1b[2J\n"
        "  try:      mend it\n"
        "  note:     in pass 2 of 3: my-pass\n"
    )


def test_an_error_is_an_object_for_scripts(wsec: Wsec, failing: None) -> None:
    """With --json the same parts are on stdout, and stderr stays empty."""
    result = wsec("compile", "m.onnx", "--json")
    assert result.exit_code == ExitStatus.PASS
    assert result.stderr == ""
    assert json.loads(result.stdout) == {
        "error": {
            "code": "WSEC402",
            "what": "the pass broke the model",
            "where": "node\nline 2",
            "expected": "a",
            "found": "b\x1b[2J",
            "try": "mend it",
            "notes": ["in pass 2 of 3: my-pass"],
        }
    }


@pytest.fixture
def crashing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A compiler with a bug."""

    def crash(*_arguments: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(wsec.driver, "compile_model", crash)
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "1.2.3")
    monkeypatch.setattr("platform.python_version", lambda: "3.99")
    monkeypatch.setattr("platform.system", lambda: "Linux")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")


def test_a_bug_says_how_to_report_it(wsec: Wsec, crashing: None) -> None:
    """Nobody is left alone with a traceback; it follows for those who mend the bug."""
    result = wsec("compile", "m.onnx")
    message, traceback = result.stderr.split("\n\n", 1)
    assert result.exit_code == ExitStatus.INTERNAL
    assert message == (
        "error[WSEC600]: this is a bug in wsec\n"
        "  where:    wsec 1.2.3, Python 3.99, Linux x86_64\n"
        "  expected: a result, or an error that says what to do\n"
        "  found:    ZeroDivisionError: division by zero\n"
        "  try:      please report it with this text, the command line and, where you can, the model"
    )
    assert traceback.startswith("Traceback (most recent call last):\n")
    assert traceback.endswith("ZeroDivisionError: division by zero\n")


def test_a_bug_is_an_object_for_scripts(wsec: Wsec, crashing: None) -> None:
    """A pipeline that reads JSON reads it in this case too, traceback included."""
    error = json.loads(wsec("compile", "m.onnx", "--json").stdout)["error"]
    assert error["code"] == "WSEC600"
    assert error["traceback"].endswith("ZeroDivisionError: division by zero\n")


def test_an_interrupt_ends_with_its_own_status(wsec: Wsec, monkeypatch: pytest.MonkeyPatch) -> None:
    """Shells expect 128 plus the number of the signal, and no traceback."""

    def interrupt(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(wsec_driver(), "compile_model", interrupt)
    result = wsec("compile", "m.onnx")
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "interrupted: nothing was written\n"


def wsec_driver() -> object:
    """The driver module; the fixture `wsec` hides the package of that name."""
    return wsec.driver


def test_a_missing_model(wsec: Wsec, tmp_path: Path) -> None:
    """The most frequent mistake has a short message, and leaves nothing behind."""
    result = wsec("compile", tmp_path / "m.onnx", "-o", tmp_path / "m.plan")
    assert result.exit_code == ExitStatus.MODEL
    assert result.stderr.startswith("error[WSEC101]: ")
    assert str(tmp_path / "m.onnx") in result.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("option", "code"),
    [("--region=64", "WSEC206"), ("--region=9999x1", "WSEC205"), ("--target=wse9", "WSEC201")],
)
def test_a_wrong_target_or_region(
    wsec: Wsec, small_model: Path, tmp_path: Path, option: str, code: str
) -> None:
    """What is wrong with the machine is found before anything is compiled."""
    result = wsec("compile", small_model, "-o", tmp_path / "p", option)
    assert result.stderr.startswith(f"error[{code}]: ")
    assert result.exit_code == ExitStatus.TARGET
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize("command", ["run", "estimate", "check-plan"])
def test_a_plan_that_is_not_there(wsec: Wsec, tmp_path: Path, command: str) -> None:
    """Each command that reads a plan says the same of a missing one."""
    result = wsec(command, tmp_path / "none")
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr == (
        "error[WSEC501]: there is no such plan folder\n"
        f"  where:    {tmp_path / 'none'}\n"
        "  expected: a folder that `wsec compile` wrote\n"
        "  found:    nothing\n"
        "  try:      give the folder that was named with -o when compiling\n"
    )


def _write_nothing(_path: Path) -> None:
    """The file is not there."""


def _write_text(path: Path) -> None:
    path.write_text("image: 1, 2, 3")


def _write_array(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _write_objects(path: Path) -> None:
    np.savez(path, image=np.array([{}], dtype=object))


def _write_half(path: Path) -> None:
    np.savez(path, image=np.zeros(3))
    path.write_bytes(path.read_bytes()[:100])


def _write_damaged(path: Path) -> None:
    np.savez(path, image=np.zeros(3))
    data = bytearray(path.read_bytes())
    data[data.index(b"NUMPY") + 130] ^= 1  # behind the header, in the numbers
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("write", "found"),
    [
        (_write_nothing, "No such file or directory"),
        (_write_text, "no archive: a file of another kind, or one that was cut short"),
        (_write_array, "no archive: a file of another kind, or one that was cut short"),
        (_write_objects, "Object arrays cannot be loaded when allow_pickle=False"),
        (_write_damaged, "Bad CRC-32 for file 'image.npy'"),
        (_write_half, "no archive: a file of another kind, or one that was cut short"),
    ],
)
def test_unreadable_inputs(wsec: Wsec, small_plan: Path, tmp_path: Path, write: object, found: str) -> None:
    """Whatever the file is, it is never executed and the message says what is expected of it."""
    path = tmp_path / "inputs.npz"
    assert callable(write)
    write(path)
    result = wsec("run", small_plan, "--inputs", path)
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr.startswith(
        f"error[WSEC580]: the inputs cannot be read\n  where:    {path}\n"
        "  expected: an .npz file with one array for each input, as numpy.savez writes it\n"
        f"  found:    {found}\n"
        "  try:      write it with numpy.savez(path, **{name: array}), or leave --inputs out for random inputs\n"
    )


def test_outputs_that_cannot_be_written(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """A missing folder is said, and nothing is left behind."""
    path = tmp_path / "missing" / "out.npz"
    result = wsec("run", small_plan, "-o", path)
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr == (
        "error[WSEC581]: the outputs cannot be written\n"
        f"  where:    {path}\n"
        "  expected: a file that can be written, in a folder that exists, on a disk with room\n"
        "  found:    no such folder\n"
        "  try:      choose another place with -o, or free some room; nothing was left behind\n"
    )
    assert list(tmp_path.iterdir()) == []


def test_outputs_that_name_a_folder(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """`-o .` and `-o /` are slips of the hand, not bugs."""
    for place in (tmp_path, "/"):
        result = wsec("run", small_plan, "-o", place)
        assert result.exit_code == ExitStatus.PLAN
        assert result.stderr == (
            "error[WSEC581]: the outputs cannot be written\n"
            f"  where:    {place}\n"
            "  expected: a file that can be written, in a folder that exists, on a disk with room\n"
            "  found:    a folder\n"
            "  try:      choose another place with -o, or free some room; nothing was left behind\n"
        )


def test_a_plan_named_as_the_root_folder(wsec: Wsec, small_model: Path) -> None:
    """The root has no parent and holds something else."""
    result = wsec("compile", small_model, "-o", "/")
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr.startswith(
        "error[WSEC507]: the plan would replace something that is not a plan\n  where:    /\n"
    )


@pytest.mark.parametrize("arguments", [["targets"], ["kernels", "--json"]])
def test_results_that_find_no_room(arguments: list[str]) -> None:
    """A full disk behind `>` is said on stderr, as text, with --json too."""
    with Path("/dev/full").open("wb") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "wsec", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == ExitStatus.PLAN
    assert ended.stderr == (
        "error[WSEC582]: the results cannot be printed\n"
        "  where:    standard output\n"
        "  expected: a place with room\n"
        "  found:    No space left on device\n"
        "  try:      free some room; a plan or file that was asked for is written nevertheless\n"
    )


@pytest.mark.parametrize("command", ["passes", "kernels", "targets"])
def test_a_reader_that_went_away_ends_the_program_quietly(command: str) -> None:
    """As in `wsec passes | head -1`: no message, and the status that shells show for it."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        ended = subprocess.run(
            [sys.executable, "-m", "wsec", command],
            stdout=pipe,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert (ended.returncode, ended.stderr) == (ExitStatus.NO_READER, b"")
