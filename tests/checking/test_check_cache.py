"""The cache of `wsec check`: what it is keyed by, that nothing damaged is used, and that it never stands in the way."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from tests.checking.conftest import OPTIONS, write_model

import wsec.driver
from wsec.checking.cache import Cache
from wsec.checking.check import compile_cached
from wsec.checking.identity import is_cacheable
from wsec.passes.dead_code import EliminateDeadCode

if TYPE_CHECKING:
    from pathlib import Path

    from tests.checking.conftest import Check


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The models that were compiled, in order."""
    seen: list[str] = []
    compile_model = wsec.driver.compile_model

    def count(model: Path, *arguments: object) -> object:
        seen.append(model.name)
        return compile_model(model, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(wsec.driver, "compile_model", count)
    return seen


def test_an_unchanged_model_is_compiled_and_verified_once(
    check: Check, model: Path, compilations: list[str]
) -> None:
    """The second check gives the same figures and the same verdict out of the cache; touching the file changes nothing."""
    first = check(model)
    os.utime(model, (1, 1))
    second = check(model)
    assert compilations == ["small.onnx"]
    assert [result.models[0].cached for result in (first, second)] == [False, True]
    assert first.models[0].figures == second.models[0].figures is not None
    assert [result.models[0].verified for result in (first, second)] == [True, True]


def test_the_key_has_all_that_a_plan_depends_on(
    check: Check, model: Path, compilations: list[str], tmp_path: Path
) -> None:
    """Other weights, another name, options or a file that they name: each is compiled."""
    check(model)
    write_model(model, seed=1)
    check(model)
    check(write_model(tmp_path / "other.onnx", seed=1))
    check(model, options=replace(OPTIONS, effort=0.1))
    check(model, options=replace(OPTIONS, region=(8, 8)))
    constraints = tmp_path / "demands.toml"
    for columns in (8, 12):
        constraints.write_text(
            f'[[region]]\noperators = ["gemm"]\nx = 0\ny = 0\nwidth = {columns}\nheight = 8\n'
        )
        check(model, options=replace(OPTIONS, constraints=constraints))
    assert len(compilations) == 7


def test_weights_beside_the_model_are_part_of_the_key(
    check: Check, compilations: list[str], tmp_path: Path
) -> None:
    """A weights file that changes in place, with the same size and the same time, is another model."""
    model = write_model(tmp_path / "small.onnx", external="weights.bin")
    check(model)
    weights = tmp_path / "weights.bin"
    stat = weights.stat()
    data = bytearray(weights.read_bytes())
    data[0] ^= 1
    weights.write_bytes(data)
    os.utime(weights, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert weights.stat().st_size == stat.st_size
    assert not check(model).models[0].cached
    assert check(model).models[0].cached
    assert len(compilations) == 2


def test_a_verdict_is_added_to_a_plan_that_has_none(
    check: Check, model: Path, compilations: list[str]
) -> None:
    """A plan that was not executed is executed when somebody asks, and not compiled again."""
    assert check(model, verify=False).models[0].verified is None
    later = check(model)
    assert (later.models[0].verified, later.models[0].cached, len(compilations)) == (True, True, 1)


def test_a_damaged_entry_is_not_used(
    check: Check, model: Path, compilations: list[str], tmp_path: Path
) -> None:
    """A flipped figure is a warning with the file's name, and the model is compiled again; then all is well again."""
    good = check(model)
    (entry,) = (path for path in (tmp_path / "cache").glob("*.json") if "weights" not in path.name)
    entry.write_bytes(entry.read_bytes().replace(b'"kernels": 1', b'"kernels": 9'))
    for plan in (tmp_path / "cache").glob("*.plan"):
        (plan / "plan.json").write_text("{}")
    cache = Cache(tmp_path / "cache")
    again = check(model, cache=cache)
    assert again.models[0].figures == good.models[0].figures
    assert [str(warning).replace(str(tmp_path), "TMP") for warning in again.warnings] == [
        "error[WSEC527]: an entry of the cache is damaged and was not used\n"
        f"  where:    TMP/cache/{name}\n"
        "  expected: what wsec wrote, with its checksum\n"
        f"  found:    {found}\n"
        "  try:      nothing: the model was compiled again"
        for name, found in (
            (entry.name, "its checksum is another"),
            (entry.with_suffix(".plan").name, "other contents than were written"),
        )
    ]
    assert len(compilations) == 2
    assert check(model).warnings == ()
    assert len(compilations) == 2


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"{}", b"\n"])
def test_any_other_contents_are_damage(check: Check, model: Path, tmp_path: Path, content: bytes) -> None:
    """Files cut to nothing or replaced by something else never end a check."""
    check(model)
    for path in (tmp_path / "cache").glob("*.json"):
        path.write_bytes(content)
    again = check(model)
    assert again.passed
    assert {warning.code for warning in again.warnings} == {"WSEC527"}


def test_a_cache_that_cannot_be_written_is_a_warning(
    check: Check, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a read-only or full disk the check goes on, says once what is wrong, and leaves nothing half written."""
    file = tmp_path / "file"
    file.write_text("")
    result = check(model, cache=Cache(file / "cache"))
    assert result.passed
    assert str(result.warnings[0]) == (
        "error[WSEC526]: the folder of the cache cannot be used\n"
        f"  where:    {file / 'cache'}\n"
        "  expected: a folder that can be read and written, on a disk with room\n"
        "  found:    Not a directory\n"
        "  try:      choose another with --cache-dir, or --no-cache; models are compiled each time"
    )

    def no_room(_path: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.replace", no_room)
    full = Cache(tmp_path / "full", limit_bytes=0)
    result = check(model, cache=full)
    assert result.passed
    assert [warning.found for warning in result.warnings] == ["No space left on device"]
    assert list((tmp_path / "full").iterdir()) == []


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    """Within the bound nothing goes; beyond it the oldest use goes, and a plan that is larger than all of it is not kept."""
    cache = Cache(tmp_path / "cache", limit_bytes=1 << 20)
    models = [write_model(tmp_path / f"m{number}.onnx", seed=number) for number in range(2)]
    for model in models:
        compile_cached(model, OPTIONS, cache)
    plans = sorted((tmp_path / "cache").glob("*.plan"), key=lambda path: path.stat().st_mtime_ns)
    assert len(plans) == 2
    os.utime(plans[0], (1, 1))
    total = sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file())
    tight = Cache(tmp_path / "cache", limit_bytes=total - 1)
    compile_cached(models[0], replace(OPTIONS, seed=3), tight)
    assert not plans[0].exists()
    assert sum(path.stat().st_size for path in (tmp_path / "cache").rglob("*") if path.is_file()) < total
    tiny = Cache(tmp_path / "tiny", limit_bytes=4096)
    compile_cached(models[0], OPTIONS, tiny)
    assert list((tmp_path / "tiny").glob("*.plan")) == []


def test_jobs_share_a_cache(model: Path, tmp_path: Path) -> None:
    """Jobs that compile the same model at once all get it; no partial folder stays, and what is kept is whole."""
    plans: list[object] = []

    def job() -> None:
        plans.append(compile_cached(model, OPTIONS, Cache(tmp_path / "cache")).record)

    jobs = [threading.Thread(target=job) for _ in range(3)]
    for each in jobs:
        each.start()
    for each in jobs:
        each.join()
    assert len(plans) == 3
    assert plans[0] == plans[1] == plans[2]
    assert not list((tmp_path / "cache").glob(".*"))
    cache = Cache(tmp_path / "cache")
    assert compile_cached(model, OPTIONS, cache).record == plans[0]
    assert cache.warnings == []


def test_a_plan_of_the_cache_is_a_copy(model: Path, tmp_path: Path) -> None:
    """A plan stays whole when the cache is emptied under it, and writing into it harms nobody."""
    cache = Cache(tmp_path / "cache")
    compile_cached(model, OPTIONS, cache)
    plan = compile_cached(model, OPTIONS, cache)
    assert tmp_path not in plan.folder.parents
    for path in (tmp_path / "cache").glob("*.plan"):
        path.rename(tmp_path / "gone")
    assert plan.verify().passed


def test_passes_of_the_callers_own_are_never_cached(
    model: Path, tmp_path: Path, compilations: list[str]
) -> None:
    """Their code has no digest, so plans with them are made each time."""
    options = replace(OPTIONS, passes=(EliminateDeadCode(),))
    assert is_cacheable(OPTIONS)
    assert not is_cacheable(options)
    for _ in range(2):
        compile_cached(model, options, Cache(tmp_path / "cache"))
    assert len(compilations) == 2
    assert not (tmp_path / "cache").exists()
