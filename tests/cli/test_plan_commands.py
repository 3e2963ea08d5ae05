"""`wsec run`, `wsec estimate` and `wsec check-plan` on the plan of a small network."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import onnx
import pytest
from trace_reader import read_trace

from wsec.compiler.errors import ExitStatus
from wsec.compiler.plan_checker import Finding
from wsec.compiler.plan_files import write_file_list
from wsec.loaded_plan import Plan, load_plan

if TYPE_CHECKING:
    from tests.cli.conftest import Wsec


@pytest.fixture
def broken_plan(small_plan: Path, tmp_path: Path) -> Path:
    """The plan with one weight of its lowered model changed: legal, and wrong."""
    folder = tmp_path / "broken.plan"
    shutil.copytree(small_plan, folder)
    model = onnx.load(folder / "model.onnx")
    weights = next(entry for entry in model.graph.initializer if list(entry.dims) == [16, 3, 3, 3])
    array = onnx.numpy_helper.to_array(weights).copy()
    array[0] += 1
    weights.CopyFrom(onnx.numpy_helper.from_array(array, weights.name))
    onnx.save(model, folder / "model.onnx")
    write_file_list(folder)
    return folder


@pytest.fixture
def illegal_plan(small_plan: Path, tmp_path: Path) -> Path:
    """The plan with its second kernel moved onto the first."""
    folder = tmp_path / "illegal.plan"
    shutil.copytree(small_plan, folder)
    record = json.loads((folder / "plan.json").read_text())
    first, second = record["wafers"][0]["phases"][0]["kernels"][:2]
    second["rectangle"].update(x=first["rectangle"]["x"], y=first["rectangle"]["y"])
    (folder / "plan.json").write_text(json.dumps(record))
    return folder


def test_run_verifies_against_the_original_model(wsec: Wsec, small_plan: Path) -> None:
    """Each output has its error and its tolerance; the verdict and the ratio of times are said."""
    result = wsec("run", small_plan, "--verify")
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0] == "inputs  random, seed 0"
    assert lines[1].split() == ["output", "max", "error", "of", "range", "tolerance", "equal"]
    assert (lines[2].split()[0], lines[2].split()[-2:]) == ("scores", ["1e-04", "yes"])
    assert lines[-1] == "verdict  passed: the outputs are those of onnxruntime on the original model"
    assert "for onnxruntime at one thread: " in result.stdout


@pytest.mark.parametrize("columns", [40, 80])
def test_a_verification_fits_the_terminal(wsec: Wsec, small_plan: Path, columns: int) -> None:
    """The table loses columns, not the verdict."""
    output = wsec("run", small_plan, "--verify", columns=columns).stdout
    assert max(map(len, output.splitlines())) <= columns
    assert "yes" in output


def test_run_says_no_where_numbers_differ(wsec: Wsec, broken_plan: Path) -> None:
    """Weights that are not the model's show in the outputs: status 1, and what to look at."""
    result = wsec("run", broken_plan, "--verify")
    assert result.exit_code == ExitStatus.FAILED_CHECK
    assert result.stderr == ""
    assert " NO\n" in result.stdout
    assert "verdict  FAILED: every kernel computes what the lowered model says:" in result.stdout


def test_a_verification_as_json(wsec: Wsec, broken_plan: Path) -> None:
    """Scripts read the same answer, with the same status."""
    result = wsec("run", broken_plan, "--verify", "--seed", "3", "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == ExitStatus.FAILED_CHECK
    assert found["inputs"] == "random, seed 3"
    assert found["outputs"] == [
        {"name": "scores", "dtype": "float32", "shape": [1, 10], "container": "tensor"}
    ]
    assert found["verification"]["passed"] is False
    assert found["verification"]["outputs"][0]["name"] == "scores"


def test_run_reads_inputs_and_writes_outputs(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """What is written is what the plan computes from what was read, to the last bit."""
    image = np.random.default_rng(7).standard_normal((1, 3, 16, 16)).astype(np.float32)
    np.savez(tmp_path / "in.npz", image=image)
    result = wsec("run", small_plan, "--inputs", tmp_path / "in.npz", "-o", tmp_path / "out.npz", columns=300)
    assert result.exit_code == 0
    assert f"inputs  {tmp_path / 'in.npz'}\n" in result.stdout
    assert f"written  {tmp_path / 'out.npz'}\n" in result.stdout
    with np.load(tmp_path / "out.npz", allow_pickle=False) as written:
        assert written.files == ["scores"]
        np.testing.assert_array_equal(
            written["scores"], load_plan(small_plan).run({"image": image})["scores"]
        )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.npz", "out.npz"]


def test_the_seed_decides_the_random_inputs(wsec: Wsec, small_plan: Path) -> None:
    """Equal seeds give equal outputs, other seeds others; without --verify their range is shown."""
    first, again, other = (wsec("run", small_plan, "--seed", seed).stdout for seed in (1, 1, 2))
    assert first == again
    assert first.splitlines()[1].split() == ["output", "type", "shape", "least", "greatest"]
    assert first.splitlines()[2].split()[:5] == ["scores", "float32", "1", "x", "10"]
    assert first.splitlines()[2] != other.splitlines()[2]


def test_wrong_inputs_are_an_error(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """An array of another name is said with what the model wants; nothing is executed."""
    np.savez(tmp_path / "in.npz", picture=np.zeros(3))
    result = wsec("run", small_plan, "--inputs", tmp_path / "in.npz", "-o", tmp_path / "out.npz")
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr.startswith("error[WSEC560]: the inputs are not those of the model\n")
    assert not (tmp_path / "out.npz").exists()


def test_estimate_lists_the_kernels(wsec: Wsec, small_plan: Path) -> None:
    """Each kernel has its cycles, as the plan records them, and what bounds it."""
    output = wsec("estimate", small_plan).stdout
    header, *rows = output.split("\n\n")[0].splitlines()
    kernels = list(load_plan(small_plan).record.kernels())
    assert header.split() == ["kernel", "kind", "compute", "communic.", "memory", "total", "bound", "by"]
    assert [row.split()[0] for row in rows] == [kernel.name for kernel in kernels]
    assert [row.split()[-2] for row in rows] == [f"{kernel.cycles.total:,}" for kernel in kernels]
    assert max(map(len, output.splitlines())) <= 80


def test_estimate_shows_splits_and_rectangles_where_there_is_room(wsec: Wsec, small_plan: Path) -> None:
    """A wide terminal says how each kernel is cut and where it sits; a narrow one what it costs."""
    wide = wsec("estimate", small_plan, columns=160).stdout
    narrow = wsec("estimate", small_plan, columns=40).stdout
    box = next(iter(load_plan(small_plan).record.kernels())).rectangle
    assert f"{box.width} x {box.height} at {box.x},{box.y}" in wide.splitlines()[1]
    assert narrow.splitlines()[0].split() == ["kernel", "total", "bound", "by"]
    assert max(map(len, narrow.splitlines())) <= 40


def test_every_key_of_the_estimate_is_in_the_manual(wsec: Wsec, small_plan: Path) -> None:
    """Keys that scripts rely on are written down."""
    found = json.loads(wsec("estimate", small_plan, "--json").stdout)
    manual = (Path(__file__).parents[2] / "docs" / "cli.md").read_text(encoding="utf-8")
    keys = [*found, *found["kernels"][0], *found["links"][0], *found["bottleneck"]]
    assert [key for key in keys if f"`{key}`" not in manual] == []


def test_estimate_top_shows_the_slowest(wsec: Wsec, small_plan: Path) -> None:
    """--top N is what to look at first; the rest is counted."""
    kernels = json.loads(wsec("estimate", small_plan, "--json").stdout)["kernels"]
    slowest = max(kernels, key=lambda kernel: int(kernel["total_cycles"]))
    assert json.loads(wsec("estimate", small_plan, "--top", "1", "--json").stdout)["kernels"] == [slowest]
    output = wsec("estimate", small_plan, "--top", "1").stdout
    assert output.splitlines()[1].split()[0] == slowest["name"]
    assert output.splitlines()[2] == "3 faster kernels not shown"


def test_check_plan_of_a_legal_plan(wsec: Wsec, small_plan: Path) -> None:
    """One line says so."""
    result = wsec("check-plan", small_plan, columns=300)
    assert (result.exit_code, result.stdout) == (0, f"{small_plan}: 4 kernels, 5 links: legal\n")
    assert json.loads(wsec("check-plan", small_plan, "--json").stdout) == {"legal": True, "findings": []}


def test_check_plan_lists_every_finding(wsec: Wsec, illegal_plan: Path) -> None:
    """Each finding has its code, its rule, the place, what was expected and what is there; the status is 1."""
    result = wsec("check-plan", illegal_plan)
    entries = json.loads(wsec("check-plan", illegal_plan, "--json").stdout)
    findings = load_plan(illegal_plan).check()
    assert result.exit_code == ExitStatus.FAILED_CHECK
    assert entries["legal"] is False
    assert [entry["rule"] for entry in entries["findings"]] == [finding.rule for finding in findings]
    assert set(entries["findings"][0]) == {"code", "rule", "where", "expected", "found"}
    by_rule = Counter((finding.code, finding.rule) for finding in findings)
    assert result.stdout.count("\n  expected  ") == sum(min(times, 3) for times in by_rule.values())
    assert result.stdout.endswith(f": illegal, {len(findings)} findings\n")


def test_check_plan_stays_readable(wsec: Wsec, illegal_plan: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a thousand findings of one rule the first three are written out, and how many more there are."""
    many = [
        Finding("WSEC554", "routers lie inside the region", f"circuit {n}", "inside", "x")
        for n in range(1000)
    ]
    monkeypatch.setattr(Plan, "check", lambda *_, **__: (*many, replace(many[0], rule="another rule")))
    result = wsec("check-plan", illegal_plan)
    assert result.stdout.count("\n  where  ") == 4
    assert "\n  and 997 more of this kind\nWSEC554: another rule\n" in result.stdout
    assert result.stdout.endswith(": illegal, 1,001 findings\n")
    assert len(json.loads(wsec("check-plan", illegal_plan, "--json").stdout)["findings"]) == 1001


def test_inputs_of_another_byte_order(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """A file written on another machine holds the same numbers."""
    image = np.random.default_rng(5).standard_normal((1, 3, 16, 16)).astype(np.float32)
    np.savez(tmp_path / "here.npz", image=image)
    np.savez(tmp_path / "there.npz", image=image.astype(image.dtype.newbyteorder()))
    results = []
    for name in ("here", "there"):
        output = tmp_path / f"{name}-out.npz"
        assert wsec("run", small_plan, "--inputs", tmp_path / f"{name}.npz", "-o", output).exit_code == 0
        with np.load(output) as archive:
            results.append(archive["scores"])
    np.testing.assert_array_equal(*results)


def test_an_interrupted_verification_writes_no_outputs(
    wsec: Wsec, small_plan: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The message says that nothing was written, so nothing may be there."""

    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("wsec.loaded_plan.Plan.verify", interrupt)
    result = wsec("run", small_plan, "--verify", "-o", tmp_path / "out.npz")
    assert (result.exit_code, result.stderr) == (ExitStatus.INTERRUPTED, "interrupted: nothing was written\n")
    assert list(tmp_path.iterdir()) == []


def test_estimate_writes_a_trace(wsec: Wsec, small_plan: Path, tmp_path: Path) -> None:
    """Every kernel and link of the plan has a track; a place that cannot be written is told."""
    path = tmp_path / "trace.json"
    result = wsec("estimate", small_plan, "--trace", path)
    assert result.exit_code == 0
    assert f"\ntrace        {path}"[:20] in result.stdout
    tracks = set(read_trace(json.loads(path.read_text())).tracks.values())
    record = load_plan(small_plan).record
    assert {kernel.name for kernel in record.kernels()} <= tracks
    assert {f"link {link.name}" for link in record.links()} <= tracks
    refused = wsec("estimate", small_plan, "--trace", tmp_path)
    assert refused.exit_code == ExitStatus.PLAN
    assert refused.stderr.startswith("error[WSEC584]: the trace cannot be written\n")
