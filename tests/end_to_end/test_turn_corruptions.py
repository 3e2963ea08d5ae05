"""Honesty of plans whose kernels take turns: what would hide cycles, or bring nothing, is caught by the checker."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from decoder_models import Decoder
from small_models import residual_network

from wsec.compiler.plan import HOST, TurnLoad
from wsec.compiler.plan_checker import check_plan
from wsec.driver import Options, compile_model

if TYPE_CHECKING:
    from collections.abc import Callable

    from wsec.compiler.plan import Collective, Exchange, Kernel, Link, Phase, Wafer
    from wsec.compiler.plan import Plan as PlanRecord
    from wsec.loaded_plan import Plan

    Spoil = Callable[[PlanRecord], PlanRecord]


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A tiny decoder in turns."""
    folder = tmp_path_factory.mktemp("plan")
    path = Decoder(form="standard").save(folder)
    return compile_model(path, Options(target="wse3", region=(8, 8), mode="sequential"), folder / "d.plan")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """A residual network whose kernels are all there at once."""
    path = residual_network(tmp_path_factory.mktemp("model"))
    options = Options(target="wse2", region=(60, 60), mode="pipelined", effort=0.0)
    return compile_model(path, options, tmp_path_factory.mktemp("pipeline") / "net.plan")


def _wafers(record: PlanRecord, change: Callable[[Wafer], Wafer]) -> PlanRecord:
    return replace(record, wafers=tuple(map(change, record.wafers)))


def _phases(record: PlanRecord, change: Callable[[Phase], Phase]) -> PlanRecord:
    return _wafers(record, lambda wafer: replace(wafer, phases=tuple(map(change, wafer.phases))))


def _kernels(change: Callable[[Kernel], Kernel]) -> Spoil:
    return lambda record: _phases(
        record, lambda phase: replace(phase, kernels=tuple(map(change, phase.kernels)))
    )


def _links(change: Callable[[Link], Link]) -> Spoil:
    return lambda record: _phases(record, lambda phase: replace(phase, links=tuple(map(change, phase.links))))


def _collectives(change: Callable[[Collective], Collective]) -> Spoil:
    return _kernels(lambda kernel: replace(kernel, collectives=tuple(map(change, kernel.collectives))))


def _exchanges(change: Callable[[Exchange], Exchange]) -> Spoil:
    return _links(lambda link: replace(link, exchanges=tuple(map(change, link.exchanges))))


def _at_the_root(kernel: Kernel) -> Kernel:
    """Nothing is combined, and nothing is said to be everywhere."""
    outputs = tuple(replace(output, everywhere=False) for output in kernel.outputs)
    return replace(kernel, collectives=(), outputs=outputs)


def _across(exchange: Exchange) -> Exchange:
    return replace(exchange, along="rows" if exchange.along == "columns" else "columns")


def _host_for_free(link: Link) -> Link:
    return replace(link, cycles=0) if HOST in (link.source, link.target) else link


def _without_communication(kernel: Kernel) -> Kernel:
    return replace(kernel, cycles=replace(kernel.cycles, communication=0))


def _a_cycle_less(record: PlanRecord) -> PlanRecord:
    interval = record.placement.interval - 1
    return replace(record, placement=replace(record.placement, interval=interval, interval_bound=1))


OF_TURNS: dict[str, tuple[Spoil, str]] = {
    "sums left at the root": (
        _kernels(_at_the_root),
        "a result that cores of a turn combine lies everywhere behind it",
    ),
    "no words": (
        _collectives(lambda item: replace(item, words=0)),
        "an all-reduce carries the block of the result",
    ),
    "never": (
        _collectives(lambda item: replace(item, times=0)),
        "an all-reduce carries the block of the result",
    ),
    "groups of a thousand": (
        _collectives(lambda item: replace(item, algorithm="two_level", group=1000)),
        "groups are those of the algorithm",
    ),
    "groups of nobody": (
        _collectives(lambda item: replace(item, algorithm="two_level", group=0)),
        "groups are those of the algorithm",
    ),
    "a ring from the middle": (
        _collectives(lambda item: replace(item, algorithm="ring", group=0, root="middle")),
        "a tree and a ring begin at the first core",
    ),
    "no time for sums": (
        _kernels(_without_communication),
        "a core takes the words of all-reduces from its router",
    ),
    "segments of one core": (
        _exchanges(lambda item: replace(item, segment=1, offset=0)),
        "an exchange is between several cores of a line, in segments of which the first may be shorter",
    ),
    "segments beyond the region": (
        _exchanges(lambda item: replace(item, segment=9, offset=0)),
        "an exchange is between several cores of a line, in segments of which the first may be shorter",
    ),
    "exchanges across": (_exchanges(_across), "what a core needs lies on the line of its exchanges"),
    "a host without time": (_links(_host_for_free), "what passes the host's link takes its time there"),
    "a cycle less": (_a_cycle_less, "the interval has room for all turns"),
    "overlapped": (
        lambda record: _wafers(record, lambda wafer: replace(wafer, overlapped=True)),
        "weights come in for the next phase where a wafer streams",
    ),
    "no samples": (
        lambda record: replace(record, samples_per_phase=0),
        "a phase works on a sample at least",
    ),
}

OF_PIPELINES: dict[str, tuple[Spoil, str]] = {
    "shared chains": (
        _kernels(lambda kernel: replace(kernel, chain_cores=2)),
        "cores share a chain where kernels take turns",
    ),
    "loads": (
        lambda record: _phases(record, lambda phase: replace(phase, load=TurnLoad(0, ahead=True))),
        "the weights of a turn of a sequential wafer come in for every sample",
    ),
    "two phases": (
        lambda record: _wafers(record, lambda wafer: replace(wafer, phases=wafer.phases * 2)),
        "all kernels of a pipelined wafer are there at once",
    ),
}


@pytest.mark.parametrize("name", OF_TURNS)
def test_turns_that_are_spoilt_are_found(name: str, plan: Plan) -> None:
    """By the rule that is broken; the untouched plan has no findings, or this would prove nothing."""
    spoil, rule = OF_TURNS[name]
    assert plan.check() == ()
    found = check_plan(spoil(plan.record), plan.folder / "model.onnx")
    assert rule in {finding.rule for finding in found}


@pytest.mark.parametrize("name", OF_PIPELINES)
def test_what_only_turns_have_is_found_elsewhere(name: str, pipeline: Plan) -> None:
    """By the rule that is broken."""
    spoil, rule = OF_PIPELINES[name]
    assert pipeline.check() == ()
    found = check_plan(spoil(pipeline.record), pipeline.folder / "model.onnx")
    assert rule in {finding.rule for finding in found}
