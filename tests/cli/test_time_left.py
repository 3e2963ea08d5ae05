"""Time left in progress lines: from the last compilation of its kind or a share that is done, and nothing where nothing tells."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wsec.cli.time_left import ShareClock, StageClock, StageTimes
from wsec.driver import Options, StageEvent

if TYPE_CHECKING:
    from collections.abc import Callable


def clock() -> tuple[list[float], Callable[[], float]]:
    """A clock that stands where the list says."""
    time = [100.0]
    return time, lambda: time[0]


def test_stages_of_the_last_compilation_tell_what_is_left() -> None:
    """Stages that ended count no more, the one that runs by what it still takes, those to come in full."""
    time, now = clock()
    last = [("import", 2.0), ("kernels", 1.0), ("turns", 20.0), ("kernels", 4.0), ("write", 3.0)]
    stages = StageClock(last, now)
    assert stages.text() == ""
    for stage, took in (("import", 3), ("kernels", 1)):
        stages.watch(StageEvent(stage))
        time[0] += took
        stages.watch(StageEvent(stage, seconds=took))
    assert stages.left() == 20 + 4 + 3
    stages.watch(StageEvent("turns"))
    time[0] += 4
    stages.watch(StageEvent("turns", detail="interval 9"))
    time[0] += 4
    assert stages.left() == 20 - 8 + 4 + 3
    assert stages.text() == "12 s, about 19 s left"


def test_nothing_is_guessed_where_nothing_tells() -> None:
    """A first compilation, a stage that the last one had not, one that takes much longer now, and one more than there were."""
    time, now = clock()
    last = [("import", 2.0), ("placement", 20.0)]
    first, other, longer, more = StageClock([], now), *(StageClock(last, now) for _ in range(3))
    for stage, took in last:
        more.watch(StageEvent(stage, seconds=took))
    for each, stage in ((first, "import"), (other, "turns"), (longer, "import"), (more, "write")):
        each.watch(StageEvent(stage))
    time[0] += 9
    assert [each.left() for each in (first, other, longer, more)] == [None] * 4
    assert first.text() == "9 s"


def test_a_share_tells_what_is_left() -> None:
    """A quarter in 10 seconds: 30 are left. A first percent tells nothing."""
    time, now = clock()
    share = ShareClock(now=now)
    time[0] += 10
    share.share = 0.01
    assert share.text() == "10 s"
    share.share = 0.25
    assert share.text() == "10 s, about 30 s left"
    share.share = 1.0
    assert share.text() == "10 s"


def test_times_are_kept_by_model_and_options(tmp_path: Path) -> None:
    """The last of a kind; other options and another model have none; no more than the newest are kept."""
    model = tmp_path / "m.onnx"
    model.write_bytes(b"12")
    path = tmp_path / "cache" / "stage-times"
    times = StageTimes(path, model, Options())
    assert times.read() == []
    times.keep([("import", 1.5)])
    times.keep([("import", 2.5)])
    assert StageTimes(path, model, Options()).read() == [("import", 2.5)]
    assert StageTimes(path, model, Options(effort=2.0)).read() == []
    model.write_bytes(b"123")
    assert StageTimes(path, model, Options()).read() == []
    for seed in range(70):
        StageTimes(path, model, Options(seed=seed)).keep([("import", 1.0)])
    assert StageTimes(path, model, Options(seed=69)).read()
    assert StageTimes(path, model, Options(seed=5)).read() == []


@pytest.mark.parametrize("contents", [b"", b"[]", b'{"a": 1}', b"\xff", b'{"a": {"b": "c"}}'])
def test_a_file_of_something_else_tells_nothing(tmp_path: Path, contents: bytes) -> None:
    """It is no error: there is no guess, and the next compilation writes it anew."""
    path = tmp_path / "stage-times"
    path.write_bytes(contents)
    times = StageTimes(path, tmp_path / "m.onnx", Options())
    assert times.read() == []
    times.keep([("import", 1.0)])
    assert times.read() == [("import", 1.0)]


def test_a_full_disk_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compilation that succeeded does not fail for a guess."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    times = StageTimes(tmp_path / "stage-times", tmp_path / "m.onnx", Options())
    times.keep([("import", 1.0)])
    assert times.read() == []
    assert list(tmp_path.iterdir()) == []
