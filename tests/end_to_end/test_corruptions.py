"""Honesty: a good plan that is spoilt in any of many ways is caught by the checker or by the numbers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from corruptions import CORRUPTIONS, Corruption
from small_models import residual_network

import wsec
from wsec.compiler.errors import WsecError
from wsec.compiler.plan_checker import check_plan
from wsec.compiler.plan_io import LoadedPlan
from wsec.runtime.oracle import verify

if TYPE_CHECKING:
    from wsec.compiler.plan import Plan as PlanRecord


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> wsec.Plan:
    """A compiled residual network on a region where every kernel is cut."""
    path = residual_network(tmp_path_factory.mktemp("corruptions"))
    return wsec.compile(path, target="wse2", region=(60, 60), effort=0.1)


def spoilt(plan: wsec.Plan, corruption: Corruption) -> PlanRecord:
    """The plan after the corruption, which must have changed it."""
    record = corruption.apply(plan.record)
    assert record != plan.record
    return record


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda corruption: str(corruption.name))
def test_the_checker_or_the_numbers_catch_it(corruption: Corruption, plan: wsec.Plan) -> None:
    """The untouched plan passes both; the spoilt one fails at least one of them."""
    record = spoilt(plan, corruption)
    if check_plan(record, plan.folder / "model.onnx"):
        return
    try:
        verification = verify(LoadedPlan(record, plan.folder), None)
    except WsecError:
        return
    assert not verification.passed


def test_the_untouched_plan_passes(plan: wsec.Plan) -> None:
    """Without this, the tests above would prove nothing."""
    assert plan.check() == ()
    assert plan.verify().passed


def test_numbers_alone_catch_a_halo_that_no_link_brings(plan: wsec.Plan) -> None:
    """The executor gives a shard only what links bring: without the checker, a short halo still shows."""
    starved = ""
    links = []
    for link in plan.record.links():
        dimensions = list(link.sharding.dimensions)
        for position, dimension in enumerate(dimensions):
            if not starved and dimension.block > abs(dimension.step) and dimension.axes:
                dimensions[position] = replace(dimension, block=dimension.block - 1)
                starved = link.target
        links.append(replace(link, sharding=replace(link.sharding, dimensions=tuple(dimensions))))
    assert starved
    (wafer,) = plan.record.wafers
    phase = replace(wafer.phases[0], links=tuple(links))
    record = replace(plan.record, wafers=(replace(wafer, phases=(phase,)),))
    verification = verify(LoadedPlan(record, plan.folder), None)
    assert not verification.passed
    assert verification.divergence is not None
    assert verification.divergence.kernel == starved
