"""A plan with circuits passes; spoilt in any of many ways, it is found out by the right rule."""

from __future__ import annotations

import pytest
from circuit_corruptions import CIRCUIT_CORRUPTIONS, CircuitCorruption
from legal_plans import network_model
from plans_with_circuits import plan_with_circuits

from wsec.compiler.plan_checker import check_plan


def test_the_untouched_plan_passes() -> None:
    """Without this, the tests below would prove nothing."""
    assert [str(finding) for finding in check_plan(plan_with_circuits(), network_model())] == []


@pytest.mark.parametrize("corruption", CIRCUIT_CORRUPTIONS, ids=lambda corruption: str(corruption.name))
def test_corruptions_are_found(corruption: CircuitCorruption) -> None:
    """Each leads to a finding of its code."""
    plan = plan_with_circuits()
    spoilt = corruption.apply(plan)
    assert spoilt != plan
    codes = {finding.code for finding in check_plan(spoilt, network_model())}
    assert corruption.code in codes
