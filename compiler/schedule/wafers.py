"""A model over several wafers: its kernels divided, those of each wafer planned on a grid of its own, the plans joined."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from wsec.compiler.cost.crossings import crossings_of, wafer_link_cycles, words_between
from wsec.compiler.errors import WsecError
from wsec.compiler.plan import Wafer
from wsec.compiler.schedule.division import (
    Parts,
    WaferPlans,
    fewest,
    joined_phases,
    plan_parts,
    plan_whole,
    summary_of,
    summary_of_parts,
)

if TYPE_CHECKING:
    import onnx_ir as ir

    from wsec.compiler.planning import Decision, Planner
    from wsec.compiler.target import Target


def plan_wafers(planner: Planner, lowered: ir.Model, wafers: int | None) -> WaferPlans:
    """Plan a lowered model for so many wafers, or for the fewest that it fits on where none are said.

    Raises:
        WsecError: WSEC3xx where it does not fit; WSEC361 no such number of wafers, WSEC363 the target has no link
            between wafers.
    """
    return fewest(lambda count: _plan_exactly(planner, lowered, count), wafers)


def _plan_exactly(planner: Planner, lowered: ir.Model, wafers: int) -> WaferPlans:
    if wafers == 1:
        return plan_whole(planner, lowered)
    if planner.target.wafer_link is None:
        raise no_wafer_link(planner.target)
    parts = Parts("wafer", wafers, wafer_link_cycles(1, planner.target), "longest")
    return _joined(*plan_parts(planner, lowered, parts), planner.target)


def _joined(decisions: tuple[Decision, ...], bound: int, target: Target) -> WaferPlans:
    """The plans of the wafers as one; what came from outside now comes from its producer."""
    summaries = tuple(summary_of(decision) for decision in decisions)
    wafers = tuple(
        Wafer((phase,), summary)
        for phase, summary in zip(
            joined_phases([decision.phase for decision in decisions]), summaries, strict=True
        )
    )
    across = words_between(crossings_of(wafers), len(wafers))
    interval = max(
        *(summary.interval for summary in summaries), math.ceil(wafer_link_cycles(max(across), target))
    )
    return WaferPlans(wafers, decisions, summary_of_parts(decisions, interval, bound))


def no_wafer_link(target: Target) -> WsecError:
    """WSEC363: several wafers of a target that has no link between them."""
    return WsecError(
        "WSEC363",
        "the target has no link between wafers",
        where=f"target {target.name}",
        expected="a table [wafer_link] with seconds_per_hop and bits_per_second",
        found="none",
        hint="use one wafer, or a target with such a link; docs/targets.md describes the table",
    )
