"""Buffers: where memory is ample nothing waits for one; where it is not, kernels wait, and the estimate says so."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from small_models import residual_network

import wsec
from wsec.compiler.errors import WsecError
from wsec.compiler.target import load_target

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.target import Target


def target_with(data_bytes: int) -> Target:
    """The small mesh with so much memory for data on each core."""
    target = load_target("mesh16")
    return replace(target, core=replace(target.core, sram_bytes=target.core.code_reserve_bytes + data_bytes))


def test_ample_memory_gives_every_sample_a_buffer(tmp_path: Path) -> None:
    """The interval is that of the slowest kernel, link or host; no sample waits for a buffer."""
    plan = wsec.compile(residual_network(tmp_path), target=target_with(1 << 20), effort=0)
    estimate = plan.estimate()
    kernels = max(kernel.cycles.total for kernel in plan.record.kernels())
    links = max(link.interval for link in plan.record.links())
    assert estimate.interval_cycles == max(kernels, links, estimate.host_cycles)


def test_scarce_memory_costs_buffers_and_cycles(tmp_path: Path) -> None:
    """The plan stays legal and right; it says that kernels wait, and its interval is that of the buffers."""
    model = residual_network(tmp_path)
    ample = wsec.compile(model, target=target_with(1 << 20), effort=0).estimate()
    plan = wsec.compile(model, target=target_with(3072), effort=0)
    assert any("too small for a full pipeline" in note for note in plan.record.notes)
    assert any(kernel.turns for kernel in plan.record.kernels())
    assert plan.check() == ()
    assert plan.verify().passed
    estimate = plan.estimate()
    assert estimate.bottleneck.kind == "buffers"
    assert estimate.interval_cycles > ample.interval_cycles
    assert estimate.interval_cycles <= estimate.latency_cycles


def test_too_little_memory_is_said_with_numbers(tmp_path: Path) -> None:
    """No fewer than one buffer can be tried: the error is that of the leanest attempt."""
    with pytest.raises(WsecError) as caught:
        wsec.compile(residual_network(tmp_path), target=target_with(3072), region=(10, 10), effort=0)
    assert caught.value.code == "WSEC321"
    assert "<= 100" in caught.value.found or "<= 100" in caught.value.expected
