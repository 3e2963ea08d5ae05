"""`wsec compile`: what it prints, where, and what it leaves on disk."""

from __future__ import annotations

import dataclasses
import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from wsec.cli.summary import Summary, summarize, write_summary
from wsec.compiler.layouts import LayoutShare
from wsec.loaded_plan import load_plan
from wsec.runtime.estimate import HostShare

if TYPE_CHECKING:
    from tests.cli.conftest import Wsec

_OPTIONS = ("--target", "mesh16", "--effort", "0")
_STAGES = ["import", "passes", "kernels", "placement", "routing", "check", "write"]


def test_the_summary_says_what_came_out(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """Every line has its fact, nothing is wider than the terminal, and stderr stays empty in a pipe."""
    folder = tmp_path / "p"
    result = wsec("compile", small_model, "-o", folder, *_OPTIONS)
    labels = [
        line[2:].split("  ")[0]
        for line in result.stdout.splitlines()[1:]
        if line.startswith("  ") and line[2] != " "
    ]
    assert result.exit_code == 0
    assert result.stderr == ""
    assert result.stdout.startswith("small.onnx on mesh16, 16 x 16 cores\n  kernels     4 kernels, 5 links\n")
    assert labels == [
        "kernels", "layouts", "split", "cores", "mode", "interval", "bottleneck", "ideal", "placement", "latency", "throughput", "memory", "took", "plan", "next",
    ]  # fmt: skip
    assert (folder / "plan.json").is_file()


@pytest.mark.parametrize("columns", [40, 80])
def test_the_summary_fits_the_terminal(
    wsec: Wsec, small_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, columns: int
) -> None:
    """Long lines go on below themselves."""
    monkeypatch.chdir(tmp_path)
    output = wsec("compile", small_model, "-o", "p", *_OPTIONS, columns=columns).stdout
    assert max(map(len, output.splitlines())) <= columns


def test_the_json_agrees_with_the_plan(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """The object has the documented keys, and its numbers are those of the plan on disk."""
    folder = tmp_path / "p"
    result = wsec("compile", small_model, "-o", folder, *_OPTIONS, "--region", "12x10", "--json")
    summary = json.loads(result.stdout)
    plan = load_plan(folder)
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    assert [key for key in summary if f"`{key}`" not in manual] == []
    assert summary["plan"] == str(folder)
    assert (summary["columns"], summary["rows"], summary["cores"]) == (12, 10, 120)
    assert summary["kernels"] == len(list(plan.record.kernels()))
    assert summary["interval_cycles"] == plan.estimate().interval_cycles
    assert summary["interval_bound_cycles"] == plan.estimate().interval_bound_cycles
    assert summary["placement_bound_cycles"] == plan.record.placement.interval_bound
    assert list(summary["stage_seconds"]) == _STAGES
    assert summary["unsplit"] == []
    assert summary["interrupted"] is False


def test_the_plan_is_named_after_the_model(
    wsec: Wsec, small_model: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Without -o the plan stands in the current folder, not beside the model."""
    monkeypatch.chdir(tmp_path)
    wsec("compile", small_model, *_OPTIONS)
    assert [path.name for path in tmp_path.iterdir()] == ["small.plan"]


def test_quiet_prints_nothing(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """Scripts that only want the plan get only the plan."""
    result = wsec("compile", small_model, "-o", tmp_path / "p", *_OPTIONS, "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_quiet_json_is_still_json(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """What was asked for by name is printed."""
    result = wsec("compile", small_model, "-o", tmp_path / "p", *_OPTIONS, "-q", "--json")
    assert json.loads(result.output)["model"] == "small.onnx"


def test_verbose_tells_the_stages_in_a_pipe(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """One plain line for each stage that ended, in order, and where placement stood."""
    result = wsec("compile", small_model, "-o", tmp_path / "p", *_OPTIONS, "-v")
    ended = [line.split(":")[0] for line in result.stderr.splitlines() if line.endswith("s")]
    assert ended == _STAGES
    assert "placement: slicing: interval " in result.stderr


def test_dump_passes_writes_the_models(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """The folder has the imported model and one for each pass that changed it."""
    wsec("compile", small_model, "-o", tmp_path / "p", *_OPTIONS, "--dump-passes", tmp_path / "dumps")
    names = sorted(path.name for path in (tmp_path / "dumps").iterdir())
    assert names[:2] == ["00-imported.onnx", "00-imported.txt"]
    assert any(name.endswith("canonicalize-gemm.onnx") for name in names)


def test_an_older_plan_is_replaced_and_other_folders_are_not(
    wsec: Wsec, small_model: Path, tmp_path: Path
) -> None:
    """A second compilation takes the place of the first; a folder of somebody's files is left alone."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    refused = wsec("compile", small_model, "-o", tmp_path / "mine", *_OPTIONS)
    assert refused.stderr.startswith("error[WSEC507]: the plan would replace something that is not a plan\n")
    assert [wsec("compile", small_model, "-o", tmp_path / "p", *_OPTIONS).exit_code for _ in range(2)] == [
        0,
        0,
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine", "p"]


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_progress_on_a_terminal(
    small_model: Path, tmp_path: Path, environment: dict[str, str], *, coloured: bool
) -> None:
    """A person sees the stages go by; with NO_COLOR they are plain lines, without a single escape sequence."""
    seen, terminal = pty.openpty()
    inherited = {name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "FORCE_COLOR"}}
    process = subprocess.run(
        [sys.executable, "-m", "wsec", "compile", str(small_model), "-o", str(tmp_path / "p"), *_OPTIONS],
        stdout=subprocess.PIPE,
        stderr=terminal,
        env={
            **inherited,
            "TERM": "xterm-256color",
            "COLUMNS": "40",
            "WSEC_CACHE_DIR": str(tmp_path / "cache"),
            **environment,
        },
        check=True,
    )
    os.close(terminal)
    text = _read_all(seen)
    stages = ("passes", "kernels", "placement", "routing", "check", "write")
    shown = [stage for stage in stages if stage in text]
    assert (
        shown if coloured else shown == list(stages)
    )  # a live line is drawn now and then, and short stages pass between
    assert ("\x1b[" in text) == coloured
    assert (tmp_path / "cache" / "stage-times").is_file() == coloured  # what the next live line tells time by
    assert b"\x1b[" not in process.stdout


def _read_all(descriptor: int) -> str:
    """What a pseudo-terminal has to say; reading past its end is an error on Linux."""
    parts = []
    while True:
        try:
            part = os.read(descriptor, 65_536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(descriptor)
    return b"".join(parts).decode()


def _summary_of(folder: Path) -> Summary:
    return summarize(load_plan(folder), folder, {"import": 1.5})


def test_the_summary_names_what_is_unusual(small_plan: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Operators on one core, operators on the host, an interrupt and notes are said, the first of many by name."""
    names = tuple(f"lstm{index}" for index in range(6))
    notes = tuple(f"note {index}" for index in range(10))
    summary = dataclasses.replace(
        _summary_of(small_plan),
        unsplit=names,
        host=HostShare(1, 2, 1200, 30),
        host_operators=("tokens",),
        interrupted=True,
        notes=notes,
    )
    write_summary(summary, as_json=False)
    lines = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert "unsplit 6 operators on one core each: lstm0, lstm1, lstm2, lstm3, 2 more" in lines
    on_host = f"on the host 1 of {1 + summary.split.operators} operators"
    assert on_host in " ".join(lines)
    assert "2 tensors to and fro, 1,200 words, 30 cycles of its link: tokens" in " ".join(lines)
    assert "interrupted the search was stopped; this is the best legal plan it had found" in " ".join(lines)
    notes_shown = [line for line in lines if line.startswith("note ")]
    assert notes_shown == [*(f"note note {index}" for index in range(8)), "note 2 more notes: see --json"]


@pytest.mark.parametrize(
    ("share", "line"),
    [
        (LayoutShare(73, 34, 1000, 443), "layouts 34 of 73 links between kernels straight, 44.3% of the words; 39 redistribute"),
        (LayoutShare(1, 1, 0, 0), "layouts 1 of 1 link between kernels straight, 0.0% of the words; 0 redistribute"),
    ],
)  # fmt: skip
def test_the_summary_says_how_many_links_are_straight(
    small_plan: Path, capsys: pytest.CaptureFixture[str], share: LayoutShare, line: str
) -> None:
    """With and without redistribution, in links and in words; nothing where no link joins two kernels."""
    summary = dataclasses.replace(_summary_of(small_plan), layouts=share)
    write_summary(summary, as_json=False)
    assert f"{line} split" in " ".join(capsys.readouterr().out.split())
    write_summary(dataclasses.replace(summary, layouts=LayoutShare(0, 0, 0, 0)), as_json=False)
    assert "layouts" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("interval", "placement", "line"),
    [
        (1000, 1000, "placement 1,000 cycles for kernels and edges alone, which is its bound"),
        (2000, 1029, "placement 1,029 cycles for kernels and edges alone, 2.9% above its bound of 1,000"),
        (900, 1010, "placement 1,010 cycles for kernels and edges alone, 1.0% above its bound of 1,000"),
    ],
)
def test_what_placement_reached_stands_beside_its_bound(
    small_plan: Path, capsys: pytest.CaptureFixture[str], interval: int, placement: int, line: str
) -> None:
    """A reader sees how much a better placement could gain, and what of it is not the fault of placement."""
    summary = dataclasses.replace(
        _summary_of(small_plan),
        interval_cycles=interval,
        interval_bound_cycles=1000,
        gap=placement / 1000 - 1,
        placement_interval_cycles=placement,
        placement_bound_cycles=1000,
    )
    write_summary(summary, as_json=False)
    text = " ".join(capsys.readouterr().out.split())
    bottleneck = summary.bottleneck
    assert (
        f"interval {interval:,} cycles: {bottleneck.kind} {bottleneck.name} bottleneck {bottleneck.reason}"
        in text
    )
    assert line in text


def test_constraints_of_a_file_are_kept_and_recorded(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """The plan says what was demanded, and the checker agrees."""
    file = tmp_path / "wanted.toml"
    file.write_text('[[edge]]\nname = "out"\noperator = "gemm"\nsides = ["left"]\n')
    folder = tmp_path / "small.plan"
    options = ("--target", "mesh16", "--effort", "0", "-q")
    assert wsec("compile", small_model, "-o", folder, "--constraints", file, *options).exit_code == 0
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["constraints"] == [
        {"area": None, "kind": "edge", "name": "out", "operators": ["gemm"], "sides": ["left"]}
    ]
    placed = {kernel["name"]: kernel["rectangle"] for kernel in plan["wafers"][0]["phases"][0]["kernels"]}
    assert placed["gemm_matmul"]["x"] == 0
    assert wsec("check-plan", folder).exit_code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            '[[edge]]\nname = "out"\noperator = "gem"\nsides = ["left"]\n',
            (
                "error[WSEC334]: a constraint names something that is not placed\n"
                "  where:    constraint 'out' (wanted.toml, line 1)\n"
                "  expected: the name of an operator on the wafer; nearest: 'gemm'\n"
                "  found:    'gem'\n"
                "  try:      docs/constraints.md says how to list the operators on the wafer; what runs on the host "
                "has no place there\n"
            ),
        ),
        (
            '[[adjacent]]\noperators = ["conv", "relu"]\n',
            (
                "error[WSEC335]: a constraint cannot be kept\n"
                "  where:    the adjacency of 'conv' and 'relu' (wanted.toml, line 1)\n"
                "  expected: operators of two different kernels\n"
                "  found:    kernel 'conv' computes both\n"
                "  try:      leave the constraint out: they are on the same cores\n"
            ),
        ),
        (
            '[[region]]\noperator = "conv"\nx = 10\ny = 0\nwidth = 10\nheight = 2\n',
            (
                "error[WSEC335]: a constraint cannot be kept\n"
                "  where:    the region 10 x 2 at column 10, row 0 of 'conv' (wanted.toml, line 1)\n"
                "  expected: cores of the grid, columns 0 ... 15 and rows 0 ... 15\n"
                "  found:    columns 10 ... 19 and rows 0 ... 1\n"
                "  try:      change one of them, or leave one out\n"
            ),
        ),
        (
            '[[forbid]]\nname = "all"\nx = 0\ny = 0\nwidth = 16\nheight = 16\n[[edge]]\noperator = "conv"\nsides = ["left"]\n',
            (
                "error[WSEC323]: no arrangement of the kernels was found that keeps the constraints\n"
                "  where:    constraint 'all' (wanted.toml, line 1)\n"
                "  expected: an arrangement of 4 kernels that keeps the constraint named\n"
                "  found:    none; the kernels do not fit: no core of the region is free\n"
                "  try:      leave it out, or give it more room\n"
            ),
        ),
    ],
)
def test_a_constraint_that_cannot_be_kept_is_named(
    wsec: Wsec, small_model: Path, tmp_path: Path, text: str, message: str
) -> None:
    """With file and line, and nothing is written."""
    file = tmp_path / "wanted.toml"
    file.write_text(text)
    folder = tmp_path / "small.plan"
    result = wsec("compile", small_model, "-o", folder, "--target", "mesh16", "-q", "--constraints", file)
    note = f"  note:     how far it came is in {folder}.failed.json; wsec report makes a page of it\n"
    assert (result.exit_code, result.stderr) == (5, message + note)
    assert not folder.exists()
