"""`wsec simulate` on the plan of a small network."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from wsec.compiler.errors import ExitStatus

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Wsec


def test_simulate_prints_cycles_beside_the_estimate(wsec: Wsec, small_full_plan: Path) -> None:
    """A row for each kernel, then the phase, the use of its links, stalls by cause, and the verdict on the numbers."""
    result = wsec("simulate", small_full_plan, columns=120)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert lines[0].split() == [
        *("kernel", "kind", "cores", "arrived", "ramp", "exchange", "compute", "cycles", "estimate", "error")
    ]
    assert lines[1].split()[1] == "convolution"
    labels = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert labels[-5:] == ["links", "stalls", "latency", "estimate", "numbers"]
    assert lines[-1].startswith("numbers   equal, bit for bit, to the executor's in the same order: ")


@pytest.mark.parametrize("columns", [40, 80])
def test_simulate_fits_the_terminal(wsec: Wsec, small_full_plan: Path, columns: int) -> None:
    """No line is wider than the terminal."""
    result = wsec("simulate", small_full_plan, columns=columns)
    assert max(len(line) for line in result.stdout.splitlines()) <= columns


def test_simulate_as_json(wsec: Wsec, small_full_plan: Path) -> None:
    """The keys that the manual lists; cycles of phases add up."""
    answer = json.loads(wsec("simulate", small_full_plan, "--samples", 2, "--json").stdout)
    assert set(answer) == {
        *("plan", "samples", "cycles", "seconds", "equal", "phases", "comparisons"),
        *("estimated_latency_cycles", "estimated_interval_cycles"),
    }
    assert answer["equal"] is True
    assert answer["cycles"] == sum(phase["cycles"] for phase in answer["phases"])
    assert answer["phases"][0]["interval"] > 0
    kernel = answer["phases"][0]["kernels"][0]
    assert [len(kernel["samples"]), set(kernel["samples"][0])] == [
        2,
        {"arrived", "exchanged", "computed", "sent"},
    ]


def test_simulate_writes_a_trace(wsec: Wsec, small_full_plan: Path, tmp_path: Path) -> None:
    """The file is JSON that viewers of traces read."""
    result = wsec("simulate", small_full_plan, "--trace", tmp_path / "trace.json")
    assert result.exit_code == 0
    assert "\ntrace " in result.stdout
    assert json.loads((tmp_path / "trace.json").read_text())["traceEvents"]


def test_a_trace_that_cannot_be_written(wsec: Wsec, small_full_plan: Path, tmp_path: Path) -> None:
    """The message says where it was to go."""
    result = wsec("simulate", small_full_plan, "--trace", tmp_path / "none" / "trace.json")
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr.startswith("error[WSEC584]: the trace cannot be written\n")


def test_a_simulation_that_is_cut_off(wsec: Wsec, small_full_plan: Path) -> None:
    """What was still waiting is told, with the names of the plan."""
    result = wsec("simulate", small_full_plan, "--max-cycles", 50)
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr.startswith("error[WSEC595]: the simulation was cut off before it was over\n")
    assert "kernel conv" in result.stderr
    told = json.loads(wsec("simulate", small_full_plan, "--max-cycles", 50, "--json").stdout)["error"]
    lines = told["found"].splitlines()
    waiting = [each for each in told["details"] if each["kernel"] == "conv"]
    assert waiting
    for each in told["details"]:
        assert set(each) == {"what", "core", "colour", "circuit", "kernel"}
        assert any(line.startswith(each["what"]) for line in lines)
        assert each["core"] is None or f"core ({each['core'][0]}, {each['core'][1]})" in each["what"]


def test_a_plan_with_a_broken_route(wsec: Wsec, small_full_plan: Path, tmp_path: Path) -> None:
    """A router that was left out of a circuit is named, and nothing is simulated."""
    folder = tmp_path / "broken.plan"
    shutil.copytree(small_full_plan, folder)
    record = json.loads((folder / "plan.json").read_text())
    circuits = record["wafers"][0]["phases"][0]["circuits"]
    circuit = next(each for each in circuits if each["purpose"] == "link" and len(each["areas"]) > 1)
    del circuit["areas"][0]
    (folder / "plan.json").write_text(json.dumps(record))
    result = wsec("simulate", folder)
    assert result.exit_code == ExitStatus.PLAN
    assert result.stderr.startswith("error[WSEC59")


def test_a_plan_of_lanes_cannot_be_simulated(wsec: Wsec, small_plan: Path) -> None:
    """It has no circuits; the message says how to get some."""
    result = wsec("simulate", small_plan)
    assert result.exit_code != 0
    assert "error[WSEC596]" in result.stderr
    assert "compile the model with --fabric full" in result.stderr


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_turns_are_shown_one_by_one(wsec: Wsec, small_turns_plan: Path, tmp_path: Path, columns: int) -> None:
    """A row for each turn with estimate, simulation and difference, sums, and the verdict; in any terminal."""
    trace = tmp_path / "t.json"
    result = wsec("simulate", small_turns_plan, "--trace", trace, columns=columns)
    lines = result.stdout.splitlines()
    assert result.exit_code == 0
    assert max(len(line) for line in lines) <= columns
    head = lines[0].split()
    assert (head[0], head[-1]) == ("turn", "simulated" if columns == 40 else "error")
    labels = [line.split()[0] for line in lines if line and not line.startswith(" ")]
    assert [label for label in labels if label in {"latency", "estimate", "turns", "host", "numbers"}][
        -5:
    ] == [*("latency", "estimate", "turns", "host", "numbers")]
    assert "equal, bit for bit" in " ".join(result.stdout.split())
    assert json.loads(trace.read_text())["traceEvents"]


def test_turns_work_on_one_sample(wsec: Wsec, small_turns_plan: Path) -> None:
    """More samples are refused before anything is computed."""
    result = wsec("simulate", small_turns_plan, "--samples", 3)
    assert result.exit_code == ExitStatus.USAGE
    assert result.stderr == (
        "error[WSEC388]: turns cannot be simulated in this way\n"
        "  where:    the plan\n"
        "  expected: one sample: turns work on one at a time\n"
        "  found:    3 samples\n"
        "  try:      leave out --samples\n"
    )
