"""`wsec check`: what is a regression, what is an error, and what a baseline says."""

from __future__ import annotations

import errno
import json
import os
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checking.conftest import OPTIONS, write_model

import wsec
from wsec.checking.limits import Limits, parse_cycles, parse_requirement, parse_share, regressions
from wsec.checking.records import CheckStatus, Figures
from wsec.runtime.executor import Executor

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.checking.conftest import Check

FIGURES = Figures(
    interval_cycles=1000,
    latency_cycles=5000,
    memory_bytes=900,
    sram_bytes=1000,
    split_share=0.95,
    wafer_share=1.0,
    utilisation=0.5,
    kernels=4,
)


def _kinds(figures: Figures, limits: Limits, baseline: Figures | None = None) -> list[str]:
    return [finding.kind for finding in regressions(figures, limits, baseline)]


def test_limits_on_figures() -> None:
    """What is at a limit passes, what is beyond it does not, and messages say by how much."""
    assert (
        _kinds(FIGURES, Limits(cycles=1000, memory_share=0.9, shares=(("split", 0.95), ("wafer", 1.0)))) == []
    )
    tight = Limits(
        cycles=999,
        memory_share=0.899,
        shares=(("split", 0.951), ("utilisation", 0.51)),
    )
    assert [(found.kind, found.expected, found.found) for found in regressions(FIGURES, tight, None)] == [
        ("interval", "at most 999 cycles", "1,000 cycles"),
        ("memory", "at most 89.9% of 1,000 bytes", "90.0%, 900 bytes"),
        ("split", "at least 95.10%", "95.00%"),
        ("utilisation", "at least 51.00%", "50.00%"),
    ]


@given(older=st.integers(1, 10**12), growth=st.integers(0, 100))
def test_growth_is_counted_from_the_baseline(older: int, growth: int) -> None:
    """Exactly so many hundredths more pass, one cycle more does not; less is never a regression."""
    baseline = replace(FIGURES, interval_cycles=older, latency_cycles=older)
    most = older + older * growth // 100
    limits = Limits(growth=parse_cycles(f"+{growth}%"))
    for interval, kinds in ((most, []), (most + 1, ["interval"]), (older - 1, [])):
        now = replace(baseline, interval_cycles=interval)
        assert _kinds(now, limits, baseline) == kinds


def test_a_smaller_split_share_than_before_is_a_regression() -> None:
    """An operator that is no longer cut shows, even where cycles did not grow."""
    assert _kinds(replace(FIGURES, split_share=0.9), Limits(), FIGURES) == ["split"]
    assert _kinds(replace(FIGURES, split_share=0.9499), Limits(), FIGURES) == []


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_cycles, "+2"),
        (parse_cycles, "-2%"),
        (parse_cycles, "2%"),
        (parse_cycles, ""),
        (parse_cycles, "+1e3%"),
        (parse_share, "90"),
        (parse_share, "101%"),
        (parse_share, "nan%"),
        (parse_requirement, "split"),
        (parse_requirement, "splat=95%"),
        (parse_requirement, "=95%"),
    ],
)
def test_limits_that_are_none(parse: Callable[[str], object], text: str) -> None:
    """A typo in a pipeline is refused; it does not become a limit that everything passes."""
    with pytest.raises(ValueError, match="is n"):
        parse(text)


def test_a_larger_model_is_a_regression(check: Check, model: Path, tmp_path: Path) -> None:
    """The baseline accepts the model, then a wider layer fails by name; with room to grow it passes, with a note."""
    baseline = tmp_path / "wsec-baseline.json"
    assert check(model, baseline=baseline, update=True).updated == str(baseline)
    assert check(model, baseline=baseline).passed
    write_model(model, width=512)
    result = check(model, baseline=baseline)
    assert result.status is CheckStatus.REGRESSION
    assert "interval" in [finding.kind for finding in result.models[0].findings]
    assert result.models[0].notes == ("the model has changed since the baseline was written",)
    assert check(model, baseline=baseline, limits=Limits(growth=1000.0)).passed


def test_other_numbers_are_a_regression(
    check: Check, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plan that computes something else fails with where it parts, and no baseline is written of it."""
    run = Executor.run

    def run_wrongly(executor: Executor, inputs: object, *observe: object) -> dict[str, object]:
        return {name: value + 1 for name, value in run(executor, inputs, *observe).items()}  # type: ignore[arg-type]

    monkeypatch.setattr(Executor, "run", run_wrongly)
    baseline = tmp_path / "wsec-baseline.json"
    result = check(model, baseline=baseline, update=True)
    assert result.status is CheckStatus.REGRESSION
    assert [finding.kind for finding in result.models[0].findings] == ["numbers"]
    assert result.models[0].findings[0].found
    assert (result.updated, baseline.exists()) == ("", False)
    monkeypatch.undo()
    assert check(model).status is CheckStatus.REGRESSION  # the verdict is kept with the plan


def test_a_broken_model_does_not_keep_others_from_being_checked(
    check: Check, model: Path, tmp_path: Path
) -> None:
    """Each model has its own result; the whole is an error."""
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    result = check(broken, tmp_path / "missing.onnx", model)
    assert [item.status.name for item in result.models] == ["ERROR", "ERROR", "PASSED"]
    assert all(item.errors[0].code.startswith("WSEC1") for item in result.models[:2])
    assert result.status is CheckStatus.ERROR


def _message(result: object, folder: Path) -> str:
    errors = [*result.errors, *(error for item in result.models for error in item.errors)]  # type: ignore[attr-defined]
    assert len(errors) == 1
    return str(errors[0]).replace(str(folder), "TMP")


AGAIN = "write it again with --update-baseline, and look at what changed"


def test_baselines_that_cannot_be_compared_with(check: Check, model: Path, tmp_path: Path) -> None:
    """Each says what is wrong and what to do; whole messages."""
    baseline = tmp_path / "b.json"
    assert _message(check(model, baseline=baseline), tmp_path) == (
        "error[WSEC520]: the baseline is missing\n"
        "  where:    TMP/b.json\n"
        "  expected: a file that `wsec check --update-baseline` wrote\n"
        "  found:    nothing\n"
        "  try:      make it with --update-baseline, and keep it with the models"
    )
    check(model, baseline=baseline, update=True)
    good = json.loads(baseline.read_text())
    other = write_model(tmp_path / "other.onnx")
    assert _message(check(other, baseline=baseline), tmp_path) == (
        "error[WSEC524]: the baseline does not know this model\n"
        "  where:    TMP/b.json: other.onnx\n"
        "  expected: figures of the model\n"
        "  found:    figures of small.onnx\n"
        "  try:      add it with --update-baseline"
    )
    assert _message(check(model, baseline=baseline, options=replace(OPTIONS, effort=0.1)), tmp_path) == (
        "error[WSEC523]: the baseline is stale: the model was compiled with other options\n"
        "  where:    TMP/b.json: small.onnx\n"
        "  expected: the options of this check\n"
        "  found:    other options, or other contents of the files that they name\n"
        f"  try:      give the same options, or {AGAIN}"
    )
    assert _message(check(model, baseline=baseline, options=replace(OPTIONS, target="wse2")), tmp_path) == (
        "error[WSEC522]: the baseline is for another target\n"
        "  where:    TMP/b.json\n"
        "  expected: figures of wse2\n"
        "  found:    figures of mesh16\n"
        f"  try:      keep a file for each target: --baseline; or {AGAIN}"
    )
    baseline.write_text(json.dumps({**good, "target_sha256": "0"}))
    assert "figures of mesh16, described otherwise" in _message(check(model, baseline=baseline), tmp_path)
    baseline.write_text(json.dumps({**good, "plan_format": 3, "wsec": "0.0.9"}))
    assert _message(check(model, baseline=baseline), tmp_path) == (
        "error[WSEC523]: the baseline is stale: figures of plans of another format are not comparable\n"
        "  where:    TMP/b.json\n"
        f"  expected: plan format {good['plan_format']}\n"
        "  found:    plan format 3, of wsec 0.0.9\n"
        f"  try:      {AGAIN}"
    )
    baseline.write_text(json.dumps({**good, "wsec": "0.0.9"}))
    assert check(model, baseline=baseline).models[0].notes == (
        f"wsec 0.0.9 wrote the baseline, this is {good['wsec']}",
    )


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"format": 7}', "format 7"),
        ("[]", "no format"),
        ('{"format": 1}', "at"),
        ("{", "Expecting"),
        ("[" * 100_000, "recursion"),
    ],
)
def test_a_baseline_that_is_none(check: Check, model: Path, tmp_path: Path, text: str, found: str) -> None:
    """A file that a merge or an editor broke is refused by name."""
    baseline = tmp_path / "b.json"
    baseline.write_text(text)
    result = check(model, baseline=baseline)
    assert result.status is CheckStatus.ERROR
    assert result.errors[0].code == "WSEC521"
    assert found in result.errors[0].found
    assert str(result.errors[0]).splitlines()[-1] == (
        "  try:      take it from version control again, or write it with --update-baseline"
    )


def test_an_update_keeps_other_models(check: Check, model: Path, tmp_path: Path) -> None:
    """Two steps may keep one file; figures for another target are not carried over. Folders do not matter to names."""
    baseline = tmp_path / "b.json"
    other = write_model(tmp_path / "other.onnx")
    check(model, baseline=baseline, update=True)
    check(other, baseline=baseline, update=True)
    assert [*json.loads(baseline.read_text())["models"]] == ["other.onnx", "small.onnx"]
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in (model, other, baseline):
        shutil.copy(path, moved)
    assert check(moved / "small.onnx", moved / "other.onnx", baseline=moved / "b.json").passed
    check(model, baseline=baseline, update=True, options=replace(OPTIONS, target="mesh64"))
    assert [*json.loads(baseline.read_text())["models"]] == ["small.onnx"]


def test_a_baseline_that_cannot_be_written(
    check: Check, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder is refused before the work; where the disk is full the older file is as it was."""
    error = check(model, baseline=tmp_path, update=True).errors[0]
    assert (error.code, error.found) == ("WSEC525", "a folder")
    baseline = tmp_path / "b.json"
    check(model, baseline=baseline, update=True)
    older = baseline.read_bytes()
    write_model(model, seed=1)

    def no_room(_path: Path, _target: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("pathlib.Path.replace", no_room)
    result = check(model, baseline=baseline, update=True)
    assert _message(result, tmp_path) == (
        "error[WSEC525]: the baseline cannot be written\n"
        "  where:    TMP/b.json\n"
        "  expected: a file that can be written, in a folder that exists, on a disk with room\n"
        "  found:    No space left on device\n"
        "  try:      choose another place, or free some room; an older file is as it was"
    )
    assert (result.status, baseline.read_bytes()) == (CheckStatus.ERROR, older)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.json", "cache", "small.onnx"]


def test_check_from_python(model: Path, tmp_path: Path) -> None:
    """`wsec.check` takes limits as the command line does, and refuses those that are none."""
    result = wsec.check(
        model, max_memory="90%", require={"split": "95%"}, options=OPTIONS, cache_dir=tmp_path / "c"
    )
    assert result.passed
    assert not wsec.check([model], max_cycles="1", options=OPTIONS, cache_dir=tmp_path / "c").passed
    with pytest.raises(ValueError, match="need a baseline"):
        wsec.check(model, max_cycles="+2%")
