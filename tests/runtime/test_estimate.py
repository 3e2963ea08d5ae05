"""Interval, latency and bottleneck of hand-made plans whose cycles can be added up on paper."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING

import msgspec
import pytest
from small_plans import two_products
from trace_reader import read_trace

from wsec.compiler.errors import WsecError
from wsec.compiler.layouts import LayoutShare
from wsec.compiler.plan import (
    HOST,
    Cycles,
    MemoryLedger,
    Phase,
    PhaseSummary,
    PlacementSummary,
    Rectangle,
    Route,
    Wafer,
)
from wsec.runtime.estimate import SplitShare, estimate
from wsec.runtime.estimate_trace import SAMPLES, estimate_trace

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Kernel, Link, Plan

CYCLES = {"first": Cycles(300, 50, 400), "second": Cycles(200, 100, 80)}
LINK_CYCLES = {"first.a": 30, "second.a": 20, "y.out": 10}
LANES = Route(0, Rectangle(0, 0, 1, 4), Rectangle(5, 0, 1, 4))


def plan_of(folder: Path, *, slots: int = 100) -> Plan:
    """The two products on 6 and 4 cores; the first is bound by memory, 450 cycles in all, the second takes 300."""
    plan = two_products(folder).plan

    def kernel(item: Kernel) -> Kernel:
        outputs = tuple(replace(output, slots=slots) for output in item.outputs)
        memory = MemoryLedger(1000, 200, 30, 4)
        return replace(item, cycles=CYCLES[item.name], outputs=outputs, memory=memory)

    def link(item: Link) -> Link:
        cycles = LINK_CYCLES[item.name]
        return replace(item, words=40, cycles=cycles, interval=cycles - 5, slots=slots, routes=(LANES,))

    phase = Phase(tuple(map(kernel, plan.kernels())), tuple(map(link, plan.links())))
    return replace(plan, wafers=(Wafer((phase,)),))


def test_lanes_that_are_never_idle(tmp_path: Path) -> None:
    """5 x 9 x 8 multiply-adds and 45 sums, then 5 x 4 x 9 multiply-adds, over 256 cores of one lane; and over those of each kernel."""
    result = estimate(plan_of(tmp_path))
    assert [kernel.operations for kernel in result.kernels] == [405, 180]
    assert (result.ideal_cycles, result.ideal_share) == (math.ceil(585 / 256), 3 / 450)
    assert [kernel.lane_share for kernel in result.kernels] == [405 / 6 / 300, 180 / 4 / 200]


def test_a_pipeline_of_two_kernels(tmp_path: Path) -> None:
    """The slowest kernel sets the interval, all of them and the links the latency."""
    plan = plan_of(tmp_path)
    result = estimate(plan)
    assert result.interval_cycles == 450
    assert result.latency_cycles == 30 + 450 + 20 + 300 + 10
    assert (result.bottleneck.kind, result.bottleneck.name) == ("kernel", "first")
    assert (
        result.bottleneck.reason
        == "300 cycles of arithmetic, 400 of memory, 50 of communication, 0 of words in and out"
    )
    assert result.utilisation == (300 * 6 + 200 * 4) / (450 * 16 * 16)
    assert (result.fullest_core_bytes, result.fullest_kernel, result.memory_bytes) == (
        1234,
        "first",
        1234 * 10,
    )
    assert result.clock_hz == plan.target.clock_hz
    assert result.samples_per_second == plan.target.clock_hz / 450
    assert result.interval_seconds == 450 / plan.target.clock_hz
    assert result.latency_seconds == 810 / plan.target.clock_hz


def test_serial_arithmetic_keeps_one_core_busy(tmp_path: Path) -> None:
    """The other cores of an unsplit kernel hold data and do not count as computing."""
    plan = plan_of(tmp_path)
    (phase,) = plan.wafers[0].phases
    first, second = phase.kernels
    serial = replace(phase, kernels=(replace(first, kind="unsplit"), second))
    result = estimate(replace(plan, wafers=(Wafer((serial,)),)))
    assert result.utilisation == (300 * 1 + 200 * 4) / (450 * 16 * 16)
    assert result.split == SplitShare(operators=3, split_operators=1, arithmetic=800 / 1100)


def test_each_kernel_and_link_has_its_line(tmp_path: Path) -> None:
    """Arithmetic and memory overlap, communication does not; the largest part is named."""
    result = estimate(plan_of(tmp_path))
    assert [(k.name, k.cores, k.total_cycles, k.bound_by) for k in result.kernels] == [
        ("first", 6, 450, "memory"),
        ("second", 4, 300, "compute"),
    ]
    assert {link.name: link.cycles for link in result.links} == LINK_CYCLES
    assert msgspec.to_builtins(result)["kernels"][0]["operators"] == ("first", "activation")


def test_a_slow_link_is_the_bottleneck(tmp_path: Path) -> None:
    """With its words and lanes, and that others are counted too where these alone would be faster."""
    plan = plan_of(tmp_path)
    (phase,) = plan.wafers[0].phases
    links = tuple(replace(link, interval=5000) if link.name == "second.a" else link for link in phase.links)
    result = estimate(replace(plan, wafers=(Wafer((replace(phase, links=links),)),)))
    assert result.interval_cycles == 5000
    assert (result.bottleneck.kind, result.bottleneck.name) == ("link", "second.a")
    assert result.bottleneck.reason == (
        "40 words over 4 lanes take 5,000 cycles, all words on the busiest wire counted"
    )


def test_too_few_buffers_are_the_bottleneck(tmp_path: Path) -> None:
    """A result that waits to be sent holds up the kernel where there is one buffer."""
    result = estimate(plan_of(tmp_path, slots=1))
    assert result.bottleneck.kind == "buffers"
    assert result.interval_cycles > 450


def test_the_way_in_is_the_bottleneck(tmp_path: Path) -> None:
    """160 bytes in and 80 out, each direction with the whole rate of the host."""
    plan = plan_of(tmp_path)
    target = replace(plan.target, host=replace(plan.target.host, bits_per_second=plan.target.clock_hz))
    result = estimate(replace(plan, target=target))
    assert result.interval_cycles == result.host_cycles == 160 * 8
    assert result.interval_bound_cycles == 160 * 8 > plan.placement.interval_bound
    assert (result.bottleneck.kind, result.bottleneck.name) == ("host", HOST)
    assert result.bottleneck.reason == "1,280 cycles to bring one sample in and its result out"


def test_phases_take_turns(tmp_path: Path) -> None:
    """The same kernels one after the other on one wafer: each loads, fills, and works on all samples before the next begins."""
    plan = plan_of(tmp_path)
    (phase,) = plan.wafers[0].phases
    first, second = phase.kernels
    into = {
        name: tuple(link for link in phase.links if link.target == name) for name in ("first", "second", HOST)
    }
    found = PlacementSummary(450, 400, 0.0, "", interrupted=False)
    phases = (
        Phase((first,), into["first"], PhaseSummary(found, 64, 1000, 0, 7, 70)),
        Phase((second,), (*into["second"], *into[HOST]), PhaseSummary(found, 32, 500, 7, 0, 70)),
    )
    alone = estimate(replace(plan, wafers=(Wafer(phases),)))
    work = (30 + 450, 20 + 300 + 10)
    assert alone.interval_cycles == alone.latency_cycles == 1000 + 500 + sum(work) + 2 * 70
    assert (alone.bottleneck.kind, alone.bottleneck.name) == ("load", "phase 0")
    assert alone.bottleneck.reason == (
        "its weights, 64 bytes, take 1,000 cycles to come in for each batch of 1 sample"
    )
    many = estimate(replace(plan, wafers=(Wafer(phases),), samples_per_phase=20))
    assert [phase.fill_cycles for phase in many.phases] == [30, 30]
    assert [phase.batch_cycles for phase in many.phases] == [
        1000 + 30 + 20 * (450 + 70),
        500 + 30 + 20 * (300 + 70),
    ]
    assert many.latency_cycles == sum(phase.batch_cycles for phase in many.phases)
    assert many.interval_cycles == -(-many.latency_cycles // 20)
    assert (many.bottleneck.kind, many.bottleneck.name) == ("kernel", "first")


def test_a_trace_shows_when_each_is_at_work(tmp_path: Path) -> None:
    """The first sample as the latency counts it, further ones an interval apart; words of links with their counter."""
    plan = plan_of(tmp_path)
    found = estimate(plan)
    read = read_trace(json.loads(json.dumps(estimate_trace(plan, found))))
    interval = found.interval_cycles
    assert [span[:2] for span in read.named("first")] == [
        (30 + number * interval, 480 + number * interval) for number in range(SAMPLES)
    ]
    assert read.named("second")[0][:2] == (500, 800)
    assert read.named("link y.out")[0][:2] == (800, 810)
    assert found.latency_cycles == 810
    assert read.counters[0, "links in use"][:2] == [(0, {"links": 1}), (30, {"links": 0})]


def test_a_trace_of_phases_shows_one_round(tmp_path: Path) -> None:
    """Weights come in before the samples of a phase, and the round ends with the latency of a batch."""
    plan = plan_of(tmp_path)
    wafer = plan.wafers[0]
    (phase,) = wafer.phases
    first, second = phase.kernels
    summary = PhaseSummary(PlacementSummary(9, 9, 0.0, "", interrupted=False), 80, 40, 6, 6, 7)
    turns = tuple(
        Phase(
            (kernel,),
            tuple(link for link in phase.links if kernel.name in (link.source, link.target)),
            summary,
        )
        for kernel in (first, second)
    )
    plan = replace(plan, wafers=(Wafer(turns, wafer.placement),), samples_per_phase=2)
    found = estimate(plan)
    read = read_trace(estimate_trace(plan, found))
    one, two = read.named("phases")
    assert (one[0], one[1], two[1]) == (0, two[0], found.latency_cycles)
    assert [span[:2] for span in read.named("weights")] == [(0, 40), (two[0], two[0] + 40)]
    assert all(len(read.named(kernel.name)) == 2 for kernel in (first, second))
    assert min(begin for begin, *_ in read.named("second")) >= two[0] + 40


def test_an_empty_plan(tmp_path: Path) -> None:
    """A model whose outputs are its inputs has no kernels and takes only the way in and out."""
    result = estimate(replace(plan_of(tmp_path), wafers=(Wafer((Phase((), ()),)),)))
    assert (result.latency_cycles, result.fullest_kernel, result.utilisation) == (0, "", 0.0)
    assert result.interval_cycles == result.host_cycles


def test_message_kernels_that_wait_for_each_other(tmp_path: Path) -> None:
    """WSEC565: no latency can be given."""
    plan = plan_of(tmp_path)
    (phase,) = plan.wafers[0].phases
    links = tuple(replace(link, source="second") if link.name == "first.a" else link for link in phase.links)
    with pytest.raises(WsecError) as caught:
        estimate(replace(plan, wafers=(Wafer((replace(phase, links=links),)),)))
    assert str(caught.value) == (
        "error[WSEC565]: kernels wait for each other\n"
        "  where:    first, second\n"
        "  expected: links that form no circle\n"
        "  found:    2 kernels that cannot begin\n"
        "  try:      `wsec check-plan` lists what is wrong with the plan; compile the model again"
    )


def test_links_between_kernels_are_straight_or_redistribute(tmp_path: Path) -> None:
    """Counted with their words; those from and to the host are neither."""
    result = estimate(plan_of(tmp_path))
    assert {link.name: link.straight for link in result.links} == {
        "first.a": None,
        "second.a": False,
        "y.out": None,
    }
    assert result.layouts == LayoutShare(links=1, straight_links=0, words=40, straight_words=0)
