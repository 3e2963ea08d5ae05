"""What `wsec compile` and `wsec estimate` print of phases that take turns."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

from wsec.cli.summary import phase_facts
from wsec.runtime.phase_estimate import PhaseEstimate

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Wsec


def test_a_model_in_phases_from_the_command_line(wsec: Wsec, small_model: Path, tmp_path: Path) -> None:
    """Summary and estimate have a line for each phase and one for the batch, and the JSON object the same figures."""
    folder = tmp_path / "p"
    options = ("--target", "mesh16", "--effort", "0", "--phases", "2", "--samples-per-phase", "8")
    compiled = wsec("compile", small_model, "-o", folder, *options, columns=200)
    assert compiled.exit_code == 0, compiled.output
    estimated = wsec("estimate", folder, columns=200).stdout
    result = json.loads(wsec("estimate", folder, "--json").stdout)
    total = sum(phase["batch_cycles"] for phase in result["phases"])
    assert (len(result["phases"]), result["samples_per_phase"], result["latency_cycles"]) == (2, 8, total)
    assert result["interval_cycles"] == -(-total // 8)
    for printed in (compiled.stdout, estimated):
        lines = [line.split() for line in printed.splitlines()]
        assert [line[1] for line in lines if line[:1] == ["phase"]] == ["0", "1"]
        assert ["batch", f"{total:,}", "cycles", "for", "8", "samples"] in lines
    cycles = "cycles for kernels and edges alone, loads and crossings, "
    assert cycles in compiled.stdout
    assert wsec("run", folder, "--verify").exit_code == 0


def test_each_phase_is_a_line_with_what_it_costs() -> None:
    """Work, fill, load and crossings apart, and a line for the whole batch; nothing where nothing takes turns."""
    first = PhaseEstimate(
        kernels=3,
        cores_used=40,
        interval_cycles=1000,
        interval_bound_cycles=900,
        fill_cycles=2500,
        outside_cycles=10,
        weight_bytes=4096,
        load_cycles=24,
        words_in=0,
        words_out=128,
        crossing_cycles=6,
        batch_cycles=24 + 2500 + 2 * 1006,
        name="phase 0",
    )
    second = PhaseEstimate(1, 1, 10, 10, 0, 1, 1, 1, 1, 0, 1, 1 + 2 * 11, "phase 1")
    assert phase_facts((first, second), 2) == [
        (
            "phase 0",
            (
                "3 kernels on 40 cores, interval 1,000 cycles, fill 2,500, load 24 for 4,096 bytes of weights, "
                "crossings 6 for 0 words in and 128 out"
            ),
        ),
        (
            "phase 1",
            (
                "1 kernel on 1 core, interval 10 cycles, fill 0, load 1 for 1 byte of weights, "
                "crossings 1 for 1 word in and 0 out"
            ),
        ),
        ("batch", "4,559 cycles for 2 samples"),
    ]
    assert phase_facts((), 1) == []
    apart = (replace(first, name="wafer 0, phase 0"), replace(second, name="wafer 1, phase 1", wafer=1))
    assert [label for label, _ in phase_facts(apart, 2)] == ["wafer 0, phase 0", "wafer 1, phase 1"]
