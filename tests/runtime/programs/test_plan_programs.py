"""Plans made by hand, circuits and all, simulated: what the contract says of settings, and what is told where they are wrong."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np
import pytest
from onnx import helper
from plan_records import Array, make_model, make_plan

from wsec.compiler.errors import WsecError
from wsec.compiler.plan import (
    HOST,
    ChainStep,
    Circuit,
    Collective,
    Cycles,
    Kernel,
    KernelInput,
    KernelOutput,
    MemoryLedger,
    Phase,
    Rectangle,
    RouterArea,
    Wafer,
)
from wsec.compiler.plan_io import LoadedPlan
from wsec.compiler.sharding import Mesh, MeshAxis, Sharding, cut, whole
from wsec.runtime.programs.simulate import simulate_plan

if TYPE_CHECKING:
    from pathlib import Path

    import onnx

_LEDGER, _CYCLES = MemoryLedger(0, 0, 0, 0), Cycles(1, 1, 1)


def _loaded(
    model: onnx.ModelProto, kernel: Kernel, circuits: tuple[Circuit, ...], folder: Path
) -> LoadedPlan:
    """The plan of one kernel at the west edge of a region as wide as it is; its links are direct."""
    loaded = make_plan(model, [kernel], folder)
    phase = loaded.plan.wafers[0].phases[0]
    links = tuple(dataclasses.replace(link, direct=link.target != HOST) for link in phase.links)
    named = {"in": links[0].name, "out": links[1].name}
    circuits = tuple(dataclasses.replace(each, name=named.get(each.name, each.name)) for each in circuits)
    width, height = kernel.rectangle.width, kernel.rectangle.height
    wafer = Wafer((Phase((kernel,), links, None, circuits),))
    plan = dataclasses.replace(loaded.plan, region_width=width, region_height=height, wafers=(wafer,))
    return LoadedPlan(plan, loaded.folder)


def _area(x: int, y: int, width: int, height: int, *positions: str) -> RouterArea:
    return RouterArea(x, y, width, height, positions)


def _relu(folder: Path, out: tuple[RouterArea, ...]) -> tuple[LoadedPlan, dict[str, Array]]:
    """Relu on 4 x 2 cores; words come along the rows from the west, and leave by `out`."""
    inputs: dict[str, Array] = {"x": np.random.default_rng(0).standard_normal((4, 8)).astype(np.float32)}
    model = make_model([helper.make_node("Relu", ["x"], ["y"], name="relu")], inputs, ["y"])
    mesh = Mesh((MeshAxis("d0", 2, "rows"), MeshAxis("d1", 4, "columns")))
    sharding = Sharding((cut(4, 2, ("d0",)), cut(8, 4, ("d1",))))
    kernel = Kernel(
        name="relu",
        kind="elementwise",
        operators=("relu",),
        arguments={},
        split={"d0": 2, "d1": 4},
        rectangle=Rectangle(0, 0, 4, 2),
        mesh=mesh,
        inputs=(KernelInput("e0", "x", "float32", constant=False, sharding=sharding),),
        outputs=(KernelOutput("y", "float32", sharding),),
        chain=(ChainStep("Relu", ("e0",), "y", "float32", {}),),
        memory=_LEDGER,
        cycles=_CYCLES,
    )
    spread = (_area(0, 0, 3, 2, "W>ER"), _area(3, 0, 1, 2, "W>R"))
    return _loaded(
        model, kernel, (Circuit(0, "link", "in", spread), Circuit(1, "link", "out", out)), folder
    ), inputs


@pytest.mark.parametrize("samples", [1, 2, 5])
@pytest.mark.parametrize(
    "gather",
    [
        (_area(0, 0, 1, 2, "R>E"), _area(1, 0, 3, 2, "R>E", "W>E")),
        (_area(0, 0, 1, 2, "R>E"), _area(1, 0, 3, 2, "W>E", "R>E")),
        (
            _area(0, 1, 1, 1, "R>N"),
            _area(1, 1, 3, 1, "R>N"),
            _area(0, 0, 1, 1, "S>E", "R>E"),
            _area(1, 0, 3, 1, "R>E", "W>E", "S>E"),
        ),
    ],
    ids=["own words first", "own words last", "one lane for two rows"],
)
def test_settings_alone_say_the_order(gather: tuple[RouterArea, ...], samples: int, tmp_path: Path) -> None:
    """Any order in which routers let words pass, and any number of lanes, brings each word to its place."""
    loaded, inputs = _relu(tmp_path, gather)
    result = simulate_plan(loaded, inputs, samples=samples)
    assert result.equal
    np.testing.assert_array_equal(result.outputs["y"], np.maximum(inputs["x"], 0))


def test_the_host_is_a_lane_away(tmp_path: Path) -> None:
    """The sixteen words of a row take a cycle each, and four hops to the last core; ports count all words."""
    loaded, inputs = _relu(tmp_path, (_area(0, 0, 1, 2, "R>E"), _area(1, 0, 3, 2, "R>E", "W>E")))
    result = simulate_plan(loaded, inputs)
    arrived = result.phases[0].kernels[0].samples[0].arrived
    assert arrived[0] < arrived[1]
    assert arrived[1] >= 16 + 4
    assert result.phases[0].busiest_port == (
        2,
        0,
        "east",
        16 + 12,
    )  # to the last core, and of three cores to the host


def _sum(folder: Path, middle: tuple[str, ...]) -> tuple[LoadedPlan, dict[str, Array]]:
    """The sums of two rows over three cores of a row, by a chain on one colour whose middle core has these positions."""
    inputs: dict[str, Array] = {"x": np.random.default_rng(1).standard_normal((2, 9)).astype(np.float32)}
    axes = np.array([1], np.int64)
    node = helper.make_node("ReduceSum", ["x", "axes"], ["y"], name="sum", keepdims=1)
    model = make_model([node], inputs, ["y"], {"axes": axes})
    mesh = Mesh((MeshAxis("d1", 3, "columns"),))
    kernel = Kernel(
        name="sum",
        kind="reduction",
        operators=("sum",),
        arguments={"operation": "sum", "axes": (1,), "keepdims": 1, "count": 9},
        split={"d1": 3},
        rectangle=Rectangle(0, 0, 3, 1),
        mesh=mesh,
        inputs=(
            KernelInput(
                "x", "x", "float32", constant=False, sharding=Sharding((whole(2), cut(9, 3, ("d1",))))
            ),
        ),
        outputs=(KernelOutput("y", "float32", Sharding((whole(2), whole(1)), root=("d1",))),),
        chain=(),
        memory=_LEDGER,
        cycles=_CYCLES,
        collectives=(Collective("reduce", "d1", "chain", 0, 2),),
    )
    chain = (_area(0, 0, 1, 1, "E>R"), _area(1, 0, 1, 1, *middle), _area(2, 0, 1, 1, "R>W"))
    circuits = (
        Circuit(0, "link", "in", (_area(0, 0, 2, 1, "W>ER"), _area(2, 0, 1, 1, "W>R"))),
        Circuit(1, "link", "out", (_area(0, 0, 1, 1, "R>E"), _area(1, 0, 2, 1, "W>E"))),
        Circuit(20, "reduce", "sum", chain, "rows"),
    )
    return _loaded(model, kernel, circuits, folder), inputs


def test_a_chain_on_one_colour(tmp_path: Path) -> None:
    """Cores that send and receive on one colour receive all words before they send."""
    loaded, inputs = _sum(tmp_path, ("E>R", "R>W"))
    result = simulate_plan(loaded, inputs, samples=3)
    assert result.equal
    np.testing.assert_allclose(result.outputs["y"], inputs["x"].sum(axis=1, keepdims=True), rtol=1e-5)


def test_a_cyclic_wait_is_told_with_kernel_and_circuit(tmp_path: Path) -> None:
    """A router that waits for its core before it lets the words pass that the core waits for is found, not hung on."""
    loaded, inputs = _sum(tmp_path, ("R>W", "E>R"))
    with pytest.raises(WsecError) as caught:
        simulate_plan(loaded, inputs)
    found = str(caught.value)
    assert found.startswith("error[WSEC594]: the fabric waits")
    assert "core (1, 0) waits to receive on colour 20: reduce along rows of sum, kernel sum\n" in found
    assert "which closes the circle" in found
    assert "reduce along rows of sum, kernel sum" in found


def test_a_colour_set_twice_is_told(tmp_path: Path) -> None:
    """Two areas on one core are refused with the link, the core and the colour."""
    loaded, inputs = _relu(tmp_path, (_area(0, 0, 4, 2, "R>E"), _area(3, 0, 1, 1, "R>E")))
    with pytest.raises(WsecError) as caught:
        simulate_plan(loaded, inputs)
    assert str(caught.value) == (
        "error[WSEC591]: the routes do not fit together\n"
        f"  where:    {loaded.plan.wafers[0].phases[0].links[1].name}, core (3, 0), colour 1\n"
        "  expected: one setting of a colour on a core\n"
        "  found:    two areas set it\n"
        "  try:      `wsec check-plan` lists what is wrong with the plan; compile the model again"
    )


def test_words_in_a_circle_are_told(tmp_path: Path) -> None:
    """Settings that lead words back to where they were are refused before the first cycle."""
    circle = (
        _area(0, 0, 1, 1, "S>E"),
        _area(1, 0, 1, 1, "W>S"),
        _area(1, 1, 1, 1, "N>W"),
        _area(0, 1, 1, 1, "E>N"),
    )
    loaded, inputs = _relu(tmp_path, circle)
    with pytest.raises(WsecError, match="do not fit together") as caught:
        simulate_plan(loaded, inputs)
    assert "they run in a circle" in str(caught.value)


def test_a_core_without_a_way_out_is_told(tmp_path: Path) -> None:
    """A core that holds words and is no source of its link's circuit is named."""
    loaded, inputs = _relu(tmp_path, (_area(0, 0, 1, 1, "R>E"), _area(1, 0, 3, 1, "R>E", "W>E")))
    with pytest.raises(WsecError) as caught:
        simulate_plan(loaded, inputs)
    assert "column 0, row 1 of relu has none" in str(caught.value)


@pytest.mark.parametrize("positions", [("Q>E",), ("W>",), ("WE",), ("",), ("W>E W>E",), ("W>E",) * 5])
def test_a_position_that_is_none_is_told(positions: tuple[str, ...], tmp_path: Path) -> None:
    """A spoilt plan is refused with its circuit and core before anything runs."""
    loaded, inputs = _relu(tmp_path, (_area(0, 0, 1, 2, *positions), _area(1, 0, 3, 2, "R>E", "W>E")))
    with pytest.raises(WsecError) as caught:
        simulate_plan(loaded, inputs)
    assert caught.value.code == "WSEC591"
    assert "out, area at core (0, 0)" in str(caught.value)


@pytest.mark.parametrize(
    ("place", "found"),
    [
        ((-1, 0, 2, 1), "2 x 1 cores from (-1, 0)"),
        ((3, 0, 2, 1), "2 x 1 cores from (3, 0)"),
        ((0, -1, 1, 2), "1 x 2 cores from (0, -1)"),
        ((0, 1, 4, 2), "4 x 2 cores from (0, 1)"),
        ((0, 0, 0, 1), "0 x 1 cores from (0, 0)"),
        ((0, 0, 1, 0), "1 x 0 cores from (0, 0)"),
        ((2, 0, -1, 1), "-1 x 1 cores from (2, 0)"),
        ((10**9, 0, 1, 1), "1 x 1 cores from (1000000000, 0)"),
        ((0, 0, 2**40, 1), "1099511627776 x 1 cores from (0, 0)"),
    ],
    ids=["left", "right", "over", "under", "no columns", "no rows", "negative", "far away", "huge"],
)
def test_routers_outside_of_the_region_are_told(
    place: tuple[int, int, int, int], found: str, tmp_path: Path
) -> None:
    """A rectangle that reaches out of the region, or is empty, is refused with circuit, colour, rectangle and region."""
    good = (_area(0, 0, 1, 2, "R>E"), _area(1, 0, 3, 2, "R>E", "W>E"))
    loaded, inputs = _relu(tmp_path, (*good, _area(*place, "R>E")))
    with pytest.raises(WsecError) as caught:
        simulate_plan(loaded, inputs)
    assert str(caught.value) == (
        "error[WSEC590]: a route lies outside the machine\n"
        f"  where:    {loaded.plan.wafers[0].phases[0].links[1].name}, colour 1\n"
        "  expected: a rectangle inside the region of 4 x 2 cores\n"
        f"  found:    {found}\n"
        "  try:      `wsec check-plan` lists what is wrong with the plan; compile the model again"
    )


@pytest.mark.parametrize("colour", [-1, 24, 2**40])
def test_colours_that_routers_do_not_have_are_told(colour: int, tmp_path: Path) -> None:
    """A colour over the fabric's is refused with the circuit, before the size of the simulation is looked at."""
    loaded, inputs = _relu(tmp_path, (_area(0, 0, 1, 2, "R>E"), _area(1, 0, 3, 2, "R>E", "W>E")))
    phase = loaded.plan.wafers[0].phases[0]
    circuits = (phase.circuits[0], dataclasses.replace(phase.circuits[1], colour=colour))
    wafer = dataclasses.replace(
        loaded.plan.wafers[0], phases=(dataclasses.replace(phase, circuits=circuits),)
    )
    broken = dataclasses.replace(loaded, plan=dataclasses.replace(loaded.plan, wafers=(wafer,)))
    with pytest.raises(WsecError) as caught:
        simulate_plan(broken, inputs, limit_bytes=1)
    assert str(caught.value) == (
        "error[WSEC590]: a route lies outside the machine\n"
        f"  where:    {phase.links[1].name}\n"
        f"  expected: a colour from 0 to {broken.plan.target.fabric.colours - 1}\n"
        f"  found:    colour {colour}\n"
        "  try:      `wsec check-plan` lists what is wrong with the plan; compile the model again"
    )
