"""What the report says of hand-made plans: places, times, work, limits, and pictures of the fabric."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from small_plans import two_products

from wsec.compiler.plan import (
    ChainStep,
    Circuit,
    Cycles,
    MemoryLedger,
    Phase,
    PhaseSummary,
    PlacementSummary,
    Rectangle,
    Route,
    RouterArea,
    Wafer,
)
from wsec.compiler.sharding import Sharding, whole
from wsec.runtime.estimate import estimate
from wsec.runtime.fullest_core import resident_core
from wsec.runtime.operations import operations_of
from wsec.runtime.report.contents import contents_of
from wsec.runtime.report.fabric_maps import (
    colours_of,
    fabric_map,
    tile_side,
    traffic_of,
)
from wsec.runtime.report.limits import limits_of, room_of
from wsec.runtime.report.timeline import Stage, timeline_of
from wsec.runtime.report.work import roofline_point

if TYPE_CHECKING:
    from pathlib import Path

    from wsec.compiler.plan import Argument, Kernel, Link, Plan

CYCLES = {"first": Cycles(300, 50, 400, 7), "second": Cycles(200, 100, 80, 900)}
LINK_CYCLES = {"first.a": 30, "second.a": 20, "y.out": 10}


def plan_of(folder: Path) -> Plan:
    """The two products; the first is bound by memory, the second by words in and out. Links run over two lanes of three cores."""
    plan = two_products(folder).plan
    lanes = Route(2, Rectangle(0, 0, 1, 2), Rectangle(2, 0, 1, 2))

    def kernel(item: Kernel) -> Kernel:
        outputs = tuple(replace(output, slots=100) for output in item.outputs)
        return replace(item, cycles=CYCLES[item.name], memory=MemoryLedger(1000, 200, 30, 4), outputs=outputs)

    def link(item: Link) -> Link:
        cycles = LINK_CYCLES[item.name]
        return replace(item, words=40, cycles=cycles, interval=cycles - 5, slots=100, routes=(lanes,))

    phase = Phase(tuple(map(kernel, plan.kernels())), tuple(map(link, plan.links())))
    return replace(plan, wafers=(Wafer((phase,)),))


def in_turns(plan: Plan) -> Plan:
    """The same kernels in two phases that take turns on batches of three samples."""
    (phase,) = plan.wafers[0].phases
    placed = PlacementSummary(450, 400, 1.0, "test", interrupted=False)
    phases = tuple(
        Phase(
            (kernel,),
            tuple(link for link in phase.links if link.target == kernel.name),
            PhaseSummary(placed, 4000, load, 10, 10, 6),
        )
        for kernel, load in zip(phase.kernels, (1000, 0), strict=True)
    )
    return replace(plan, wafers=(Wafer(phases),), samples_per_phase=3)


def test_a_sample_over_time(tmp_path: Path) -> None:
    """Kernels begin when their words have come, and take their work; the stage ends with the last word out."""
    plan = plan_of(tmp_path)
    timeline = timeline_of(plan, estimate(plan))
    assert timeline.starts == (30, 30 + 450 + 20)
    assert timeline.ends == (480, 500 + 300)
    assert timeline.stages == (Stage(0, 0, "sample", 30, 810),)


def test_phases_in_turn_follow_each_other(tmp_path: Path) -> None:
    """Load, work, crossing; a phase without a load begins at once, and the last stage ends with the round."""
    plan = in_turns(plan_of(tmp_path))
    result = estimate(plan)
    timeline = timeline_of(plan, result)
    assert [(stage.phase, stage.what) for stage in timeline.stages] == [
        (0, "load"),
        (0, "work"),
        (0, "crossing"),
        (1, "work"),
        (1, "crossing"),
    ]
    assert timeline.stages[0] == Stage(0, 0, "load", 0, 1000)
    for before, after in zip(timeline.stages, timeline.stages[1:], strict=False):
        assert before.end == after.start
    assert (
        timeline.stages[-1].end == result.latency_cycles == sum(each.batch_cycles for each in result.phases)
    )
    assert timeline.stages[2].end - timeline.stages[2].start == 3 * 6
    assert timeline.starts[0] >= 1000
    assert timeline.starts[1] >= timeline.stages[3].start


def test_operations_are_multiply_adds_and_fused_steps(tmp_path: Path) -> None:
    """5 x 9 results of 8 products each and a Relu; 5 x 4 of 9."""
    first, second = plan_of(tmp_path).kernels()
    assert operations_of(first) == 5 * 9 * 8 + 5 * 9
    assert operations_of(second) == 5 * 4 * 9


def of_kind(
    kernel: Kernel,
    kind: str,
    result: tuple[int, ...],
    arguments: dict[str, Argument],
    **inputs: tuple[int, ...],
) -> Kernel:
    """A kernel with operands and a result of these extents."""

    def shape(extents: tuple[int, ...]) -> Sharding:
        return Sharding(tuple(map(whole, extents)))

    entries = tuple(
        replace(kernel.inputs[0], role=role, sharding=shape(extents)) for role, extents in inputs.items()
    )
    outputs = (replace(kernel.outputs[0], sharding=shape(result)),)
    return replace(kernel, kind=kind, arguments=arguments, inputs=entries, outputs=outputs, chain=())


def test_operations_of_other_kinds(tmp_path: Path) -> None:
    """Convolutions, attention and pooling by their definitions; all else by its results."""
    kernel = next(plan_of(tmp_path).kernels())
    convolution = of_kind(kernel, "convolution", (1, 1, 6, 4, 4), {}, x=(1, 1, 3, 4, 4), w=(1, 6, 3, 5, 5))
    assert operations_of(convolution) == 6 * 16 * 3 * 25
    upwards = of_kind(
        kernel, "transposed_convolution", (1, 1, 6, 9, 9), {}, x=(1, 1, 3, 4, 4), w=(1, 3, 6, 2, 2)
    )
    assert operations_of(upwards) == 3 * 16 * 6 * 4
    names: dict[str, Argument] = {"q": ("b0", "m", "d"), "k": ("b0", "t", "d"), "v": ("b0", "t", "n")}
    attention = of_kind(kernel, "attention", (2, 7, 8), names, q=(2, 7, 16), k=(2, 9, 16), v=(2, 9, 8))
    assert operations_of(attention) == 2 * 7 * 9 * (16 + 8)
    pooling = of_kind(kernel, "pooling", (1, 3, 2, 2), {"window": (3, 3)}, x=(1, 3, 6, 6))
    assert operations_of(pooling) == 12 * 9
    reduction = of_kind(kernel, "reduction", (4, 1), {}, x=(4, 30))
    assert operations_of(reduction) == 4 * 30
    lstm = of_kind(kernel, "recurrent", (5, 1, 2, 6), {}, x=(5, 2, 3), w=(1, 4, 6, 3), r=(1, 4, 6, 6))
    assert operations_of(lstm) == 5 * 2 * (4 * 6 * 3 + 4 * 6 * 6)
    experts = of_kind(
        kernel, "experts", (1, 7, 8), {"chosen": 2}, x=(1, 7, 8), w1=(16, 8, 2, 5), w2=(16, 5, 8)
    )
    assert operations_of(experts) == 7 * 2 * (8 * 2 * 5 + 5 * 8)  # of two experts of sixteen
    step = ChainStep("Relu", ("result",), "s0", "float32", {})
    assert operations_of(replace(of_kind(kernel, "reshape", (12,), {}, x=(12,)), chain=(step, step))) == 36


def test_no_kernel_is_above_its_roofs(tmp_path: Path) -> None:
    """Words and cycles are those of the record: the ramp carries a word a cycle, the lanes do so many operations."""
    plan = plan_of(tmp_path)
    for kernel in plan.kernels():
        point = roofline_point(kernel, plan.target)
        cores = kernel.rectangle.width * kernel.rectangle.height
        assert point.performance == point.operations / cores / kernel.cycles.total
        assert point.performance <= point.intensity * plan.target.fabric.link_words_per_cycle
        assert point.performance <= point.roof == plan.target.core.lanes["float32"]


def test_limits_begin_with_the_bottleneck(tmp_path: Path) -> None:
    """Then by cycles; each says why, in the numbers of the plan, and what would help, by what binds it."""
    plan = plan_of(tmp_path)
    result = estimate(plan)
    limits = limits_of(plan, result)
    assert (limits[0].kind, limits[0].name, limits[0].cycles) == ("kernel", "second", 1200)
    assert (result.bottleneck.kind, result.bottleneck.name) == (limits[0].kind, limits[0].name)
    assert limits[0].advice.startswith(
        "Words that links bring and take set its pace, through the ramps of 4 cores."
    )
    assert limits[1].advice.startswith(
        "The ports of core memory set its pace. Elements of fewer bytes than float32"
    )
    assert [limit.cycles for limit in limits[1:]] == sorted(
        (each.cycles for each in limits[1:]), reverse=True
    )
    assert all(limit.reason and limit.advice for limit in limits)
    assert len({(limit.kind, limit.name) for limit in limits}) == len(limits)
    free = 16 * 16 - result.wafers[0].cores_used
    assert room_of(plan, result).startswith(f"{free} cores of the region are in no kernel")


def test_limits_of_phases_name_their_loads(tmp_path: Path) -> None:
    """A sample's share of a load, and that larger batches share it further."""
    plan = in_turns(plan_of(tmp_path))
    loads = [limit for limit in limits_of(plan, estimate(plan)) if limit.kind == "load"]
    assert [(limit.name, limit.cycles) for limit in loads] == [("phase 0", 334)]
    assert "--samples-per-phase 6" in loads[0].advice


def test_links_without_lanes_are_reshardings(tmp_path: Path) -> None:
    """Of kernels that take turns on the same cores no route is drawn, and no advice is given on lanes."""
    plan = plan_of(tmp_path)
    (phase,) = plan.wafers[0].phases
    links = tuple(replace(link, routes=()) for link in phase.links)
    plan = replace(plan, wafers=(Wafer((replace(phase, links=links),)),))
    result = estimate(plan)
    found = {limit.name: limit for limit in limits_of(plan, result) if limit.kind == "link"}
    assert found["first.a"].reason == "40 words take 25 cycles from one layout to the next"
    assert "lanes" not in found["first.a"].advice
    assert contents_of(plan, result)["links"]["paths"] == [[], [], []]
    assert not traffic_of(plan.wafers[0].phases[0], plan, None).any()


def test_pictures_of_the_fabric(tmp_path: Path) -> None:
    """Three links with 20 words a lane on two lanes of three cores; lanes of one colour."""
    plan = plan_of(tmp_path)
    (phase,) = plan.wafers[0].phases
    traffic, colours = traffic_of(phase, plan, None), colours_of(phase, plan)
    wanted = np.zeros((16, 16))
    wanted[:2, :3] = 1
    np.testing.assert_allclose(traffic, 60 * wanted)
    np.testing.assert_array_equal(colours, wanted)
    areas = (RouterArea(0, 0, 4, 1, ("R>E",)), RouterArea(3, 0, 1, 3, ("W>R",)))
    circuits = tuple(Circuit(colour, "link", "x", areas) for colour in (0, 1, 1))
    held = colours_of(replace(phase, circuits=circuits), plan)
    assert held[0].tolist() == [2, 2, 2, 2] + [0] * 12
    assert held[:, 3].tolist() == [2, 2, 2] + [0] * 13


def test_tiles_hold_the_greatest_number_of_their_cores() -> None:
    """Also at the far edge, where a tile reaches over the region; the greatest is 255."""
    numbers = np.zeros((5, 7))
    numbers[4, 6], numbers[0, 1] = 10.0, 5.0
    picture = fabric_map(numbers, 3)
    levels = np.frombuffer(base64.b64decode(picture.levels), np.uint8).reshape(picture.rows, picture.columns)
    assert (picture.rows, picture.columns, picture.height, picture.width, picture.most) == (2, 3, 6, 9, 10.0)
    assert levels.tolist() == [[128, 0, 0], [0, 0, 255]]
    assert set(base64.b64decode(fabric_map(np.zeros((2, 2)), 1).levels)) == {0}


@pytest.mark.parametrize(("wafers", "least"), [(1, 1), (4, 2), (400, 4)])
def test_many_phases_have_coarser_pictures(tmp_path: Path, wafers: int, least: int) -> None:
    """So that the page stays small, however many there are; of small regions something is left to see."""
    plan = replace(plan_of(tmp_path), region_width=300, region_height=200)
    plan = replace(plan, wafers=plan.wafers * wafers)
    side = tile_side(plan)
    assert side >= least
    assert -(-300 // side) * -(-200 // side) * wafers <= 200_000 or side == 300 // 16


def test_contents_are_plain_and_of_one_length(tmp_path: Path) -> None:
    """They become JSON, every column has an entry for each kernel, and ends of links are numbers of kernels."""
    for plan in (plan_of(tmp_path), in_turns(plan_of(tmp_path))):
        contents = json.loads(json.dumps(contents_of(plan, estimate(plan))))
        assert {len(column) for column in contents["kernels"].values()} == {2}
        assert contents["kernels"]["name"] == ["first", "second"]
        assert contents["links"]["target"][:2] == [0, 1]
        assert contents["links"]["source"][:2] == [-1, 0]
        assert contents["links"]["paths"][0] == [[2, 0, 1, 2, 1]]
        assert [contents["kernels"][entry][0] for entry in contents["ledger"]][:4] == [1000, 200, 30, 4]
        phases = len(plan.wafers[0].phases)
        assert [part["takes_turns"] for part in contents["parts"]] == [phases > 1] * phases


def test_limits_of_equal_layers_are_one_entry(tmp_path: Path) -> None:
    """Kernels with equal numbers are said once, with how many there are, and leave room for others."""
    plan = plan_of(tmp_path)
    (phase,) = plan.wafers[0].phases
    first, second = phase.kernels
    copies = [replace(first, name=f"layer{number}", operators=(f"layer{number}",)) for number in range(12)]
    slower = replace(first, name="slower", cycles=Cycles(300, 50, 401, 7))
    many = replace(plan, wafers=(Wafer((replace(phase, kernels=(*copies, slower, second), links=()),)),))
    limits = limits_of(many, estimate(many))
    named = [(limit.name, limit.alike) for limit in limits if limit.kind == "kernel"]
    assert sorted(named) == [("layer0", 11), ("second", 0), ("slower", 0)]
    assert len({limit.name for limit in limits}) == len(limits)


def test_the_fullest_core_of_a_sequential_wafer(tmp_path: Path) -> None:
    """Weights and states of all kernels that share a core, what the largest turn works with, and the largest code."""
    plan = plan_of(tmp_path)
    (phase,) = plan.wafers[0].phases
    places = (Rectangle(0, 0, 4, 4), Rectangle(3, 3, 4, 4))
    kernels = tuple(
        replace(kernel, rectangle=place, memory=memory)
        for kernel, place, memory in zip(
            phase.kernels,
            places,
            (MemoryLedger(1000, 200, 30, 4, 7), MemoryLedger(500, 300, 0, 6)),
            strict=True,
        )
    )
    wafer = Wafer(tuple(Phase((kernel,), ()) for kernel in kernels), mode="sequential")
    found = resident_core(wafer, plan)
    assert (found.resident, found.working, found.code, found.total) == (1507, 300, 6, 1813)
    plan = replace(plan, wafers=(wafer,))
    (said,) = contents_of(plan, estimate(plan))["residents"]
    assert said == {"wafer": 0, "resident": 1507, "working": 300, "code": 6}
