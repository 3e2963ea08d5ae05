"""Routes, programs, targets and sizes that cannot be simulated."""

from __future__ import annotations

import dataclasses

import pytest
from fabric_programs import hop, line, program, straight

from wsec.compiler.errors import WsecError
from wsec.compiler.target import MatrixUnit, load_target
from wsec.runtime.simulator.assembly import assemble
from wsec.runtime.simulator.instructions import (
    CoreProgram,
    Join,
    Loop,
    Operation,
    ProgramArea,
    Receive,
    ReceiveCombineSend,
    Send,
    Start,
    Vector,
)
from wsec.runtime.simulator.routes import Port, Route, SwitchPosition
from wsec.runtime.simulator.simulation import Simulation
from wsec.runtime.simulator.size import bytes_text, seconds_text, simulation_size
from wsec.runtime.simulator.timing import EngineTiming, FabricTiming, engine_timing, fabric_timing


def refused(*routes: Route, programs: tuple[ProgramArea, ...] = (), limit_bytes: int = 10**8) -> str:
    """The message on a grid of 3 x 2 cores."""
    with pytest.raises(WsecError) as raised:
        Simulation(routes, programs, width=3, height=2, limit_bytes=limit_bytes)
    return str(raised.value)


@pytest.mark.parametrize(
    ("route", "found"),
    [
        (straight((2, 0, 2, 1), 0, Port.RAMP, Port.RAMP), "2 x 1 cores from (2, 0), colour 0"),
        (straight((0, 0, 1, 1), 24, Port.RAMP, Port.RAMP), "1 x 1 cores from (0, 0), colour 24"),
        (straight((0, -1, 1, 1), 3, Port.RAMP, Port.RAMP), "1 x 1 cores from (0, -1), colour 3"),
        (straight((0, 0, 0, 1), 3, Port.RAMP, Port.RAMP), "0 x 1 cores from (0, 0), colour 3"),
    ],
)
def test_a_route_outside_the_machine(route: Route, found: str) -> None:
    """Rectangle and colour are checked before anything is laid out."""
    assert refused(route) == (
        "error[WSEC590]: a route lies outside the machine\n"
        f"  where:    the route of colour {route.colour} at ({route.x}, {route.y})\n"
        "  expected: a rectangle inside 3 x 2 cores, and a colour below 24\n"
        f"  found:    {found}\n"
        "  try:      the plan is broken: compile it again"
    )


CIRCLE = (
    hop(0, 0, 2, Port.SOUTH, Port.EAST),
    hop(1, 0, 2, Port.WEST, Port.SOUTH),
    hop(1, 1, 2, Port.NORTH, Port.WEST),
    hop(0, 1, 2, Port.EAST, Port.NORTH),
)


@pytest.mark.parametrize(
    ("routes", "where", "expected", "found"),
    [
        (
            (*line(3), hop(1, 0, 0, Port.RAMP, Port.RAMP)),
            "core (1, 0), colour 0",
            "one setting of a colour on a core",
            "two routes set it",
        ),
        (
            (hop(2, 0, 0, Port.RAMP, Port.EAST),),
            "core (2, 0), colour 0",
            "a neighbour that takes the colour from there",
            "words leave to the east, where no route takes them",
        ),
        (
            (hop(0, 0, 0, Port.RAMP, Port.EAST), hop(1, 0, 0, Port.SOUTH, Port.RAMP)),
            "core (0, 0), colour 0",
            "a neighbour that takes the colour from there",
            "words leave to the east, where no route takes them",
        ),
        (
            (hop(1, 0, 7, Port.SOUTH, Port.RAMP),),
            "core (1, 0), colour 7",
            "a neighbour in the south that sends it",
            "no route feeds it",
        ),
        (
            CIRCLE,
            "core (0, 0), colour 2",
            "a stream that starts at a core",
            "the route goes round in a circle",
        ),
    ],
)
def test_routes_that_do_not_fit_together(
    routes: tuple[Route, ...], where: str, expected: str, found: str
) -> None:
    """Every loose end is named by core and colour."""
    assert refused(*routes) == (
        "error[WSEC591]: the routes do not fit together\n"
        f"  where:    {where}\n  expected: {expected}\n  found:    {found}\n"
        "  try:      the plan is broken: compile it again"
    )


@pytest.mark.parametrize(
    ("programs", "where", "expected", "found"),
    [
        (
            (program(3, 0),),
            "program 0",
            "a rectangle inside 3 x 2 cores",
            "1 x 1 cores from (3, 0)",
        ),
        (
            (program(1, 0), program(1, 0)),
            "program 1",
            "one program a core",
            "1 x 1 cores from (1, 0), where program 0 is",
        ),
        (
            (program(0, 0, Loop(2, (Vector(Operation.FMA, 0, 0, 4, 4, steps=((0, 0, 4),)),)), words=10),),
            "program 0, FMA",
            "addresses from 0 to 9",
            "addresses from 0 to 11",
        ),
        (
            (program(0, 0, Vector(Operation.COPY, -2, 0, 0, 1)),),
            "program 0, COPY",
            "addresses from 0 to 63",
            "addresses from -2 to 0",
        ),
        (
            (program(0, 0, Send(0, 1, 0)), program(1, 0, Send(0, 1, 0))),
            "the program of core (1, 0)",
            "a route from the core",
            "it sends colour 0",
        ),
        (
            (program(0, 0, Receive(9, 1, 0)),),
            "the program of core (0, 0)",
            "a route into the core",
            "it receives colour 9",
        ),
    ],
)
def test_programs_that_do_not_fit_their_place(
    programs: tuple[ProgramArea, ...], where: str, expected: str, found: str
) -> None:
    """Places, addresses and colours are checked before the first cycle."""
    assert refused(*line(3), programs=programs) == (
        "error[WSEC593]: a core program does not fit its place\n"
        f"  where:    {where}\n  expected: {expected}\n  found:    {found}\n"
        "  try:      the plan is broken: compile it again"
    )


def test_programs_that_mean_nothing() -> None:
    """Mistakes of whoever writes programs, not of users."""
    with pytest.raises(
        ValueError, match=r"Send\(colour=0, count=-1, source=0\) has a negative count, length or number"
    ):
        assemble(CoreProgram((Send(0, -1, 0),)))
    with pytest.raises(ValueError, match="has 0 tasks beside the main one, and none is number 1"):
        assemble(CoreProgram((Start(1),)))
    with pytest.raises(ValueError, match="has 1 tasks beside the main one, and none is number 0"):
        assemble(CoreProgram((Join(0),), ((),)))
    with pytest.raises(ValueError, match="a loop runs -3 times"):
        assemble(CoreProgram((Loop(-3, ()),)))
    nested: tuple[Loop, ...] = ()
    for _ in range(5):
        nested = (Loop(1, nested),)
    with pytest.raises(ValueError, match="loops nest deeper than 4"):
        assemble(CoreProgram(nested))
    with pytest.raises(ValueError, match="a simulation takes one thread or more, not 0"):
        Simulation((), (), width=1, height=1, threads=0)
    with pytest.raises(ValueError, match=r"core \(0, 0\) has no program"):
        Simulation((), (), width=1, height=1).memory(0, 0)


def test_a_fabric_of_parts_of_cycles_cannot_be_simulated() -> None:
    """Estimates take 1.02 cycles a hop on average; a simulation needs whole ones."""
    target = load_target("wse2")
    odd = dataclasses.replace(target, fabric=dataclasses.replace(target.fabric, hop_cycles=1.02))
    with pytest.raises(WsecError) as raised:
        fabric_timing(odd)
    assert str(raised.value) == (
        "error[WSEC592]: the fabric of the target cannot be simulated\n"
        "  where:    target wse2, fabric.hop_cycles\n"
        "  expected: 1 or 2\n"
        "  found:    1.02\n"
        "  try:      estimates take any value; for a simulation choose a target whose fabric has these"
    )


def test_an_element_type_that_the_target_does_not_compute_cannot_be_simulated() -> None:
    """The target says nothing of its lanes."""
    with pytest.raises(WsecError) as raised:
        engine_timing(load_target("wse2"), "float8")
    assert raised.value.code == "WSEC592"
    assert raised.value.where == "target wse2, core.lanes.float8"


def test_a_matrix_unit_cannot_be_simulated() -> None:
    """Core programs are made of vector instructions: cycles of a machine that has more would be those of another."""
    target = load_target("wse2")
    unit = MatrixUnit(rows=4, columns=16, depth=16, loops=3, start_cycles=8)
    with pytest.raises(WsecError) as raised:
        engine_timing(dataclasses.replace(target, core=dataclasses.replace(target.core, matrix_unit=unit)))
    assert str(raised.value) == (
        "error[WSEC592]: the fabric of the target cannot be simulated\n"
        "  where:    target wse2, core.matrix_unit\n"
        "  expected: no matrix unit: programs of vector instructions are simulated\n"
        "  found:    4 x 16 x 16\n"
        "  try:      estimates take any value; for a simulation choose a target whose fabric has these"
    )


def test_positions_that_no_switch_has() -> None:
    """Five of them, none, or one without an output."""
    east = SwitchPosition(Port.RAMP, (Port.EAST,))
    for positions, found in (
        ((east,) * 5, "R>E, R>E, R>E, R>E, R>E"),
        ((), "none"),
        ((east, SwitchPosition(Port.WEST, ())), "R>E, W>"),
    ):
        assert refused(Route(0, 0, 1, 1, 0, positions)).splitlines()[:4] == [
            "error[WSEC590]: a route lies outside the machine",
            "  where:    the route of colour 0 at (0, 0)",
            "  expected: 1 to 4 positions of the switch, each with an output",
            f"  found:    {found}",
        ]


def test_timings_come_from_the_target() -> None:
    """Only steps as wide as the write port pay for bank conflicts."""
    assert fabric_timing(load_target("wse3")) == FabricTiming(2, 2, 4, 24)
    wse2, mesh = load_target("wse2"), load_target("mesh16")
    core = wse2.core
    assert engine_timing(wse2, "float16") == EngineTiming(
        core.issue_cycles, core.loop_cycles, 10, core.wide_step_cycles, 4, 50, 40
    )
    core = mesh.core
    assert engine_timing(mesh) == EngineTiming(core.issue_cycles, core.loop_cycles, 10, 1, 1, 50, 40)


def test_a_simulation_that_is_too_large_says_what_it_would_take() -> None:
    """Without laying anything out, with a region that would fit."""
    routes = (
        straight((0, 0, 1, 1000), 0, Port.RAMP, Port.EAST),
        straight((1, 0, 998, 1000), 0, Port.WEST, Port.EAST),
        straight((999, 0, 1, 1000), 0, Port.WEST, Port.RAMP),
    )
    senders = ProgramArea(0, 0, 1, 1000, CoreProgram((Loop(10, (Send(0, 100, 0),)),)), 100)
    with pytest.raises(WsecError) as raised:
        Simulation(routes, (senders,), width=1000, height=1000, limit_bytes=95_000_000)
    assert str(raised.value) == (
        "error[WSEC350]: the simulation is too large\n"
        "  where:    1000 x 1000 cores\n"
        "  expected: at most 95 MB\n"
        "  found:    381 MB and about 125 s for 1e+09 words over links\n"
        "  try:      simulate a region of about 499x499"
    )


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0 bytes"),
        (1000, "1,000 bytes"),
        (95_000_000, "95 MB"),
        (4 * 2**30, "4,295 MB"),
        (2.5e13, "25 TB"),
        (9e18, "9,000 PB"),
        (10**40, "more than 10,000 PB"),
    ],
)
def test_sizes_have_units_that_people_read(number: float, text: str) -> None:
    """No number of megabytes with twenty digits, nor 0 MB that are too many."""
    assert bytes_text(number) == text


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0.4, "0 s"),
        (125, "125 s"),
        (3600, "60 minutes"),
        (86400, "24 hours"),
        (1e7, "116 days"),
        (1e30, "more than 10,000 years"),
    ],
)
def test_times_have_units_that_people_read(number: float, text: str) -> None:
    """Likewise."""
    assert seconds_text(number) == text


def test_the_size_counts_all_words_that_are_sent() -> None:
    """Tasks, loops and reductions in the stream send too; words that stay in memory cross nothing."""
    task = (Send(0, 5, 0), Vector(Operation.COPY, 0, 3, 0, 3))
    areas = [
        ProgramArea(
            0, 0, 1, 1, CoreProgram((Start(1), ReceiveCombineSend(Operation.ADD, 1, 0, 7, 0)), (task,)), 8
        )
    ]
    assert simulation_size(line(3), areas, FabricTiming()).word_hops == (5 + 7) * 3
