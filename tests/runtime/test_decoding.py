"""Tokens per second, first token, energy and bounds of plans with a KV cache, with cycles that can be added up on paper."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import pytest
from small_plans import two_products

from wsec.compiler.cost.collectives import all_reduce_cycles
from wsec.compiler.cost.middle_collectives import all_reduce_costs
from wsec.compiler.plan import Collective, Cycles, KernelInput, MemoryLedger, Phase, State, Value, Wafer
from wsec.compiler.sharding import Sharding, cut, whole
from wsec.runtime.decoding import DecodePoint, decode_estimate
from wsec.runtime.estimate import estimate
from wsec.runtime.published_figures import FIGURES

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Plan

HEADS, CONTEXT, SIZE, LAYERS = 2, 16, 8, 1


def _decoder(
    folder: Path, *, layers: int = LAYERS, shape: tuple[int, ...] = (1, HEADS, CONTEXT, SIZE)
) -> Plan:
    """Two products, of which the second is said to read a KV cache; watts are 100."""
    plan = two_products(folder).plan
    first, second = plan.kernels()
    product = second.inputs[1]
    kept = replace(product, role="k", constant=False, state=True)
    cached: KernelInput = kept
    kernels = (
        replace(first, cycles=Cycles(300, 50, 400), memory=MemoryLedger(1000, 100, 100, 8192)),
        replace(
            second,
            inputs=(*second.inputs, cached),
            cycles=Cycles(200, 100, 80),
            memory=MemoryLedger(1000, 100, 100, 8192, states=5000),
        ),
    )
    phase = plan.wafers[0].phases[0]
    states = tuple(
        State(f"past.{number}", f"present.{number}", "float32", shape) for number in range(2 * layers)
    )
    return replace(
        plan,
        wafers=(Wafer((Phase(kernels, phase.links),)),),
        states=states,
        target=replace(plan.target, power_watts=100.0),
        inputs=(*plan.inputs, Value("input_ids", "int64", (shape[0], 1))),
    )


def test_a_step_goes_at_the_pace_of_the_latency(tmp_path: Path) -> None:
    """The next token needs the last one: the interval of the pipeline is of no use to a sequence."""
    plan = _decoder(tmp_path)
    result = estimate(plan)
    found = decode_estimate(plan, result)
    assert found is not None
    assert found.step_cycles == result.latency_cycles > result.interval_cycles
    assert result.samples_per_second == found.tokens_per_second  # what diffs, reports and limits compare
    assert found.tokens_per_second == pytest.approx(plan.target.clock_hz / result.latency_cycles)
    assert found.joules_per_token == pytest.approx(100 * result.latency_seconds)
    assert (found.layers, found.batch, found.context, found.tokens) == (1, 1, CONTEXT, 1)
    assert found.first_token.seconds == pytest.approx(CONTEXT / 2 * result.latency_seconds)


def test_cycles_are_shared_out_among_their_causes(tmp_path: Path) -> None:
    """Weights, cache and communication are those of the kernels; the rest of the step is words on their way."""
    plan = _decoder(tmp_path)
    result = estimate(plan)
    found = decode_estimate(plan, result)
    assert found is not None
    assert found.cycles_of == {
        "weights": 400,
        "KV cache": 200,
        "other arithmetic": 0,
        "collectives": 0,
        "steps": 150,
        "words": result.latency_cycles - 750,
        "wafer hops": 0,
    }


@pytest.mark.parametrize("root", ["first", "middle"])
def test_all_reduces_are_told_from_steps(tmp_path: Path, root: Literal["first", "middle"]) -> None:
    """By the formula that the plan was made with, and never more than the kernel's communication."""
    plan = _decoder(tmp_path)
    first, second = plan.kernels()
    axis = first.mesh.axes[0]
    shared = Collective("all_reduce", axis.name, "chain", 0, words=3, times=2, root=root)
    wafers = (
        Wafer((replace(plan.wafers[0].phases[0], kernels=(replace(first, collectives=(shared,)), second)),)),
    )
    plan = replace(plan, wafers=wafers)
    result = estimate(plan)
    found = decode_estimate(plan, result)
    assert found is not None
    fabric = plan.target.fabric
    if root == "first":
        once = float(all_reduce_cycles("chain", 3, axis.size, fabric))
    else:
        line = (np.array([3.0]), np.array([float(axis.size)]), np.array([1.0]))
        once = float(all_reduce_costs(*line, plan.target, ("chain",)).cycles[0])
    assert found.cycles_of["collectives"] == min(50, round(2 * once)) > 0
    assert found.cycles_of["collectives"] + found.cycles_of["steps"] == 150


def test_fewer_positions_cost_less_only_below_a_block(tmp_path: Path) -> None:
    """A cache in blocks of 8 positions: with 8 of 16 filled one core still reads a whole block, with 4 half of one."""
    plan = _decoder(tmp_path)
    first, second = plan.kernels()
    axis = second.mesh.axes[0].name
    kept = second.inputs[-1]
    halves = Sharding((whole(HEADS), cut(CONTEXT, 2, (axis,)), whole(SIZE)))
    second = replace(
        second,
        inputs=(*second.inputs[:-1], replace(kept, sharding=halves)),
        arguments={**second.arguments, "k": ("b0", "t", "d")},
    )
    plan = replace(plan, wafers=(Wafer((replace(plan.wafers[0].phases[0], kernels=(first, second)),)),))
    found = decode_estimate(plan, estimate(plan))
    assert found is not None
    assert found.cache_block == CONTEXT // 2
    cycles = {each.context: each.cycles for each in found.table if each.batch == 1}
    assert cycles[CONTEXT] == cycles[CONTEXT // 2] == found.step_cycles
    assert cycles[CONTEXT // 4] == found.step_cycles - 100
    assert cycles[2 * CONTEXT] == found.step_cycles + 200
    assert {each.context for each in found.table if each.as_planned} == {2, 4, 8, 16}


def test_the_table_grows_with_context_and_batch(tmp_path: Path) -> None:
    """Attention is in proportion to the context; a batch takes no longer than its sequences one by one; what has no room is said."""
    plan = _decoder(tmp_path)
    found = decode_estimate(plan, estimate(plan))
    assert found is not None
    table: dict[tuple[int, int], DecodePoint] = {(each.context, each.batch): each for each in found.table}
    assert table[CONTEXT, 1].cycles == found.step_cycles
    assert table[2 * CONTEXT, 1].cycles == found.step_cycles + 200
    assert table[CONTEXT // 2, 1].cycles == found.step_cycles - 100
    for (context, batch), point in table.items():
        assert point.cycles <= batch * table[context, 1].cycles
        assert point.tokens_per_second >= table[context, 1].tokens_per_second * (1 - 1e-9)
        bytes_needed = 1000 + 8192 + 200 * batch + 5000 * batch * max(1.0, context / CONTEXT)
        expected = (context <= CONTEXT and batch == 1) or bytes_needed <= plan.target.core.sram_bytes
        assert point.fits == expected
    assert {point.fits for point in found.table} == {True, False}


def test_published_figures_are_found_by_the_dimensions_of_the_model(tmp_path: Path) -> None:
    """And of another model there are none; they change no estimate."""
    (layers, heads, size, vocabulary), figures = next(iter(FIGURES.items()))
    plan = _decoder(tmp_path, layers=layers, shape=(1, heads, CONTEXT, size))
    outputs = (*plan.outputs, Value("logits", "float32", (1, 1, vocabulary)))
    with_logits = replace(plan, outputs=outputs)
    found = decode_estimate(with_logits, estimate(with_logits))
    other = decode_estimate(plan, estimate(plan))
    assert found is not None
    assert other is not None
    assert found.published == figures
    assert other.published == ()
    assert found.tokens_per_second == other.tokens_per_second


def test_other_plans_have_no_such_figures(tmp_path: Path) -> None:
    """Without states there is nothing to decode."""
    plan = two_products(tmp_path).plan
    assert decode_estimate(plan, estimate(plan)) is None
