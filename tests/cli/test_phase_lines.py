"""What `wsec compile` and `wsec estimate` print of phases that take turns."""

from __future__ import annotations

from wsec.cli.summary import phase_facts
from wsec.runtime.phase_estimate import PhaseEstimate


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
    )
    second = PhaseEstimate(1, 1, 10, 10, 0, 1, 1, 1, 1, 0, 1, 1 + 2 * 11)
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
