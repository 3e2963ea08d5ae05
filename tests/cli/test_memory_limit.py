"""`max_memory`: a compilation that would hold more memory than it may ends itself, says where, and leaves nothing behind."""

from __future__ import annotations

import itertools
import json
import threading
import time
from typing import TYPE_CHECKING

import pytest

from wsec.compiler.errors import ExitStatus, WsecError
from wsec.compiler.running_solvers import running, stop_solvers
from wsec.driver import Options, StageEvent, compile_model
from wsec.memory_limit import memory_limit, resident_bytes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.cli.conftest import Wsec

_PATIENCE_SECONDS = 60.0


@pytest.fixture
def resident(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the process is said to hold: its last entry."""
    sizes = [100]
    monkeypatch.setattr("wsec.memory_limit.resident_bytes", lambda: sizes[-1])
    return sizes


def _work() -> None:
    """Python code that takes longer than anybody waits."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while time.monotonic() < ends:
        pass


def test_what_is_resident_is_measured() -> None:
    """Memory that is written to counts."""
    before = resident_bytes()
    held = bytearray(b"1" * 50_000_000)
    assert resident_bytes() > before + len(held) // 2


def test_the_whole_message(resident: list[int]) -> None:
    """Stage, limit, what there was and what to do; where cores are placed also how to do without."""
    resident[:] = [120_000_000]

    def compile_something() -> None:
        with memory_limit(2_000_000_000) as watch:
            assert watch is not None
            watch.observe(StageEvent("placement", detail="slicing: interval 9"))
            watch.observe(StageEvent("import", seconds=1.0))
            resident.append(2_345_600_000)
            _work()

    with pytest.raises(WsecError) as caught:
        compile_something()
    assert str(caught.value) == (
        "error[WSEC376]: compiling takes more memory than it may\n"
        "  where:    stage placement, slicing: interval 9\n"
        "  expected: at most 2,000 MB\n"
        "  found:    2,346 MB, 120 MB of them before it began\n"
        "  try:      allow more with --max-memory, use fewer cores with --region, or let kernels take turns with --mode sequential, "
        "which places and routes none"
    )
    assert caught.value.exit_status is ExitStatus.DOES_NOT_FIT


def test_a_limit_below_what_there_is_ends_at_once(resident: list[int]) -> None:
    """Nothing is begun that cannot be ended well."""
    began = False
    with pytest.raises(WsecError, match="stage start"), memory_limit(resident[0] - 1):
        began = True
    assert not began


def test_nothing_happens_below_the_limit(resident: list[int]) -> None:
    """Exactly the limit may be held; afterwards nobody watches."""
    threads = threading.active_count()
    with memory_limit(resident[0]) as watch:
        assert watch is not None
        time.sleep(0.05)
        assert not watch.exceeded()
    resident.append(1 << 40)
    time.sleep(0.05)
    assert threading.active_count() == threads


def test_no_limit_starts_no_watch() -> None:
    """Who asks for none pays for none."""
    threads = threading.active_count()
    with memory_limit(None) as watch:
        assert watch is None
        assert threading.active_count() == threads


def test_code_that_swallows_the_exception_gets_another(resident: list[int]) -> None:
    """A handler of anything does not keep a compilation alive."""
    swallowed = 0

    def swallow() -> None:
        nonlocal swallowed
        try:
            _work()
        except BaseException:  # noqa: BLE001 - what the test is about
            swallowed += 1

    def compile_something() -> None:
        with memory_limit(200):
            resident.append(201)
            swallow()
            _work()

    with pytest.raises(WsecError, match="WSEC376"):
        compile_something()
    assert swallowed == 1


def test_another_error_after_the_limit_is_that_of_the_limit(resident: list[int]) -> None:
    """A search that was told to stop may say that nothing fits: that is not why it ended."""

    def compile_something() -> None:
        with memory_limit(200) as watch:
            assert watch is not None
            resident.append(201)
            _within(watch.exceeded)
            raise WsecError("WSEC323", "no arrangement")

    with pytest.raises(WsecError, match="WSEC376"):
        compile_something()


def test_errors_below_the_limit_stay_as_they_are(resident: list[int]) -> None:
    """A limit hides no other error."""
    with pytest.raises(WsecError, match="WSEC323"), memory_limit(resident[0]):
        raise WsecError("WSEC323", "no arrangement")


def test_solvers_are_ended(resident: list[int]) -> None:
    """A solver returns only when it is told to, and then the exception comes."""

    class Solver:
        """Works until it is told to stop."""

        def __init__(self) -> None:
            self.told = threading.Event()

        def stop_search(self) -> None:
            """Told."""
            self.told.set()

    first, second = Solver(), Solver()
    with running(second):
        pass

    def compile_something() -> None:
        with memory_limit(200), running(first):
            resident.append(201)
            _within(first.told.is_set)
            _work()

    with pytest.raises(WsecError, match="WSEC376"):
        compile_something()
    assert first.told.is_set()
    stop_solvers()
    assert not second.told.is_set()


def test_it_works_in_any_thread(resident: list[int]) -> None:
    """Services compile outside of the main thread, where signals do not come."""
    caught: list[str] = []

    def compile_something() -> None:
        try:
            with memory_limit(200):
                resident.append(201)
                _work()
        except WsecError as error:
            caught.append(error.code)

    thread = threading.Thread(target=compile_something)
    thread.start()
    thread.join(_PATIENCE_SECONDS / 2)
    assert caught == ["WSEC376"]


@pytest.mark.parametrize("stage", ["passes", "placement", "check", "write"])
def test_a_compilation_leaves_an_older_plan(
    small_model: Path, tmp_path: Path, resident: list[int], stage: str
) -> None:
    """Wherever it stands: what was there before stays, and nothing is beside it."""
    older = tmp_path / "p" / "plan.json"
    older.parent.mkdir()
    older.write_text("older")
    (tmp_path / "p" / "files.json").write_text("{}")

    def observe(event: StageEvent) -> None:
        if event.stage == stage:
            resident.append(1 << 40)
            _work()

    options = Options(target="mesh16", effort=0.0, max_memory=1 << 39)
    with pytest.raises(WsecError, match=f"WSEC376(?s:.*)stage {stage}"):
        compile_model(small_model, options, tmp_path / "p", observe)
    assert [path.name for path in tmp_path.iterdir()] == ["p"]
    assert older.read_text() == "older"


def test_a_limit_that_does_changes_nothing(small_model: Path) -> None:
    """Plans do not depend on it."""
    limited = compile_model(small_model, Options(target="mesh16", effort=0.0, max_memory=1 << 50))
    assert limited.record == compile_model(small_model, Options(target="mesh16", effort=0.0)).record


def test_the_command_line(
    wsec: Wsec, small_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Status, message, and how far it came beside the place of the plan."""
    sizes = itertools.chain([100], itertools.repeat(101))
    began = threading.Event()

    def measured() -> int:
        return next(sizes) if began.is_set() else 100

    def begin(*_: object, **__: object) -> None:
        began.set()
        _work()

    monkeypatch.setattr("wsec.memory_limit.resident_bytes", measured)
    monkeypatch.setattr("wsec.passes.run_pipeline", begin)
    result = wsec("compile", small_model, "-o", tmp_path / "p", "--max-memory", "100")
    assert result.exit_code == ExitStatus.DOES_NOT_FIT
    assert "stage passes" in result.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["p.failed.json"]
    report = json.loads((tmp_path / "p.failed.json").read_text())
    assert (report["stopped_in"], report["error"]["code"]) == ("passes", "WSEC376")


def test_wsec_check_has_the_same_limit(wsec: Wsec, small_model: Path) -> None:
    """Under another name, as `--max-memory` there is that of the cores; what is wrong is an error of the check."""
    arguments = ("--target", "mesh16", "--effort", "0", "--no-cache", "--no-verify")
    result = wsec("check", small_model, *arguments, "--max-compiler-memory", "1MB")
    assert result.exit_code == 2
    assert "WSEC376" in result.output
    assert wsec("check", small_model, *arguments, "--max-compiler-memory", "1TB").exit_code == 0


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GB", 4 * 10**9), ("500mb", 5 * 10**8), ("1.5 GiB", 3 << 29), ("123456789", 123456789), ("0", 0)],
)
def test_sizes(wsec: Wsec, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, size: int) -> None:
    """Decimal and binary units in letters of either case, and plain bytes."""
    taken: list[int | None] = []

    def keep(_model: Path, options: Options, *_: object) -> None:
        taken.append(options.max_memory)
        raise WsecError("WSEC101", "enough")

    monkeypatch.setattr("wsec.driver.compile_model", keep)
    wsec("compile", "m.onnx", "-o", tmp_path / "p", "--max-memory", text)
    assert taken == [size]


@pytest.mark.parametrize(
    "text", ["", "GB", "-1", "4XB", "1.5", "1e9", "nan", "4 apples", "9" * 16, "\u0661GB"]
)
def test_what_is_no_size(wsec: Wsec, text: str) -> None:
    """Said before anything is read."""
    result = wsec("compile", "m.onnx", "--max-memory", text)
    assert result.exit_code == ExitStatus.USAGE
    assert "is no size such as 4GiB, 500MB or a number of bytes" in " ".join(result.stderr.split())


def _within(happened: Callable[[], bool]) -> None:
    """Waits until something has happened, in code that hears of nothing else."""
    ends = time.monotonic() + _PATIENCE_SECONDS
    while not happened():
        assert time.monotonic() < ends
