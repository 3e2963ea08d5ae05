"""Notes of a plan: where a figure rests on a vendor's word, the measured one stands beside it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from small_models import residual_network

import wsec
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from pathlib import Path


def test_a_slow_host_link_is_said_with_its_cycles(tmp_path: Path) -> None:
    """8,112 bytes of input at 1 MB/s take 8.112 ms: said where that is slower than the pipeline, else not."""
    target = load_target("mesh16")
    slow = replace(target, host=replace(target.host, measured_bits_per_second=8e6))
    fast = replace(target, host=replace(target.host, measured_bits_per_second=8e15))
    model = residual_network(tmp_path)
    cycles = f"{round(3 * 26 * 26 * 4 / 1e6 * target.clock_hz):,} cycles"
    notes = wsec.compile(model, target=slow, effort=0).record.notes
    assert [
        note for note in notes if "0.001 GB/s that copies were measured to reach" in note and cycles in note
    ]
    assert not [
        note for note in wsec.compile(model, target=fast, effort=0).record.notes if "host link" in note
    ]
