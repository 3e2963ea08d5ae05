"""Words in routers: latency, multicast, turns, shared links, back-pressure, and the same for any number of threads."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from fabric_programs import broadcast_line, hop, line, program
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.runtime.simulator.instructions import (
    CoreProgram,
    Join,
    Loop,
    Operation,
    ProgramArea,
    Receive,
    Send,
    Start,
    Vector,
)
from wsec.runtime.simulator.routes import Port, Route
from wsec.runtime.simulator.simulation import Outcome, Simulation, SimulationResult
from wsec.runtime.simulator.timing import FabricTiming


@pytest.mark.parametrize(("cores", "words"), [(2, 1), (2, 40), (7, 1), (16, 33)])
@pytest.mark.parametrize(
    ("hop_cycles", "ramp_cycles", "queue_words"), [(1, 2, 4), (2, 2, 4), (1, 3, 2), (2, 0, 2)]
)
def test_a_broadcast_takes_the_cycles_of_the_textbook(
    cores: int, words: int, hop_cycles: int, ramp_cycles: int, queue_words: int
) -> None:
    """Words, hops, both ramps and the cycle of the engine: B + L + 2 T_R + 1 of arXiv 2404.15888, at full rate."""
    routes, programs = broadcast_line(cores, words)
    timing = FabricTiming(hop_cycles, ramp_cycles, queue_words)
    simulation = Simulation(routes, programs, width=cores, height=1, fabric=timing)
    simulation.memory(0, 0)[:] = np.arange(words)
    result = simulation.run_to_end()
    assert result.cycles == words + hop_cycles * (cores - 1) + 2 * ramp_cycles + 1
    assert (simulation.memories(1) == np.arange(words)).all()
    assert (result.link_words[0, :-1, Port.EAST] == words).all()
    assert result.finished[0, 0] == words


def test_a_queue_of_one_word_halves_the_rate() -> None:
    """A word that left makes room for the next one in the next cycle only."""
    routes, programs = broadcast_line(8, 100)
    one = Simulation(routes, programs, width=8, height=1, fabric=FabricTiming(queue_words=1)).run_to_end()
    four = Simulation(routes, programs, width=8, height=1).run_to_end()
    assert one.cycles - four.cycles == 99


def test_a_route_turns_a_corner_and_branches() -> None:
    """East, then north and south at once: both ends receive everything, at the same time."""
    routes = (
        hop(0, 1, 5, Port.RAMP, Port.EAST),
        hop(1, 1, 5, Port.WEST, Port.NORTH, Port.SOUTH),
        hop(1, 0, 5, Port.SOUTH, Port.RAMP),
        hop(1, 2, 5, Port.NORTH, Port.RAMP),
    )
    programs = (
        program(0, 1, Send(5, 9, 0)),
        program(1, 0, Receive(5, 9, 0)),
        program(1, 2, Receive(5, 9, 3)),
    )
    simulation = Simulation(routes, programs, width=2, height=3)
    simulation.memory(0, 1)[:9] = np.arange(9)
    result = simulation.run_to_end()
    assert result.finished[:, 1].tolist() == [9 + 2 + 5, -1, 9 + 2 + 5]
    assert (simulation.memory(1, 0)[:9] == np.arange(9)).all()
    assert (simulation.memory(1, 2)[3:12] == np.arange(9)).all()
    assert result.link_words[1, 1].tolist() == [9, 0, 9, 0, 0]


def shared_link(words: int) -> SimulationResult:
    """Two streams from cores of their own meet in (1, 0) and share the link east of it."""
    routes = (
        *(hop(0, 0, 0, Port.RAMP, Port.EAST), hop(1, 0, 0, Port.WEST, Port.EAST)),
        *(hop(2, 0, 0, Port.WEST, Port.EAST), hop(3, 0, 0, Port.WEST, Port.RAMP)),
        *(hop(1, 1, 1, Port.RAMP, Port.NORTH), hop(1, 0, 1, Port.SOUTH, Port.EAST)),
        *(hop(2, 0, 1, Port.WEST, Port.SOUTH), hop(2, 1, 1, Port.NORTH, Port.RAMP)),
    )
    programs = (
        program(0, 0, Send(0, words, 0)),
        program(1, 1, Send(1, words, 0)),
        program(3, 0, Receive(0, words, 0)),
        program(2, 1, Receive(1, words, 0)),
    )
    return Simulation(routes, programs, width=4, height=2).run_to_end()


def test_two_streams_on_a_link_take_turns() -> None:
    """Each has every second cycle, and the wait for the link is counted where it happens."""
    result = shared_link(50)
    alone = 50 + 3 + 5
    assert {int(result.finished[0, 3]), int(result.finished[1, 2])} <= {alone + 48, alone + 49, alone + 50}
    assert result.link_words[0, 1, Port.EAST] == 100
    assert result.link_stalls[0, 1] > 0
    assert result.link_stalls.sum() == result.link_stalls[0, 1]


def test_back_pressure_holds_words_until_the_core_takes_them() -> None:
    """A receiver that computes first fills the queues behind it, up to its sender; nothing is lost."""
    late = (Loop(20, (Vector(Operation.FMA, 0, 0, 0, 10),)), Receive(0, 60, 0))
    programs = (program(0, 0, Send(0, 60, 0)), ProgramArea(1, 0, 2, 1, CoreProgram(late), 64))
    simulation = Simulation(line(3), programs, width=3, height=1)
    simulation.memory(0, 0)[:60] = np.arange(60)
    result = simulation.run_to_end()
    assert result.cycles == 260
    # In queues wait 6 words in the first router, 4 in the next, and in the second's the 5 more that its ramp holds.
    assert result.finished[0, 0] > 200
    assert result.output_stalls[0, 0] > 180
    assert result.ramp_stalls[0, 1] > 180
    assert result.room_stalls[0, 0] > 180
    assert (simulation.memories(1)[:, :60] == np.arange(60)).all()


SIDE = 16


@st.composite
def streams(draw: st.DrawFn) -> list[tuple[int, int, int, int, int]]:
    """Up to a dozen streams between cores of a grid: from, to, and words."""
    corner = st.integers(0, SIDE - 1)
    return draw(
        st.lists(st.tuples(corner, corner, corner, corner, st.integers(1, 40)), min_size=1, max_size=12)
    )


def route_of(colour: int, stream: tuple[int, int, int, int, int]) -> list[Route]:
    """First along the row, then along the column."""
    x, y, to_x, to_y, _ = stream
    source, routes = Port.RAMP, []
    while (x, y) != (to_x, to_y):
        if x != to_x:
            output = Port.EAST if to_x > x else Port.WEST
        else:
            output = Port.SOUTH if to_y > y else Port.NORTH
        routes.append(hop(x, y, colour, source, output))
        x += (output == Port.EAST) - (output == Port.WEST)
        y += (output == Port.SOUTH) - (output == Port.NORTH)
        source = Port((output + 2) % 4)
    return [*routes, hop(x, y, colour, source, Port.RAMP)]


def program_of(ends: list[Send | Receive]) -> CoreProgram:
    """All ends of streams at a core, at the same time."""
    starts = [Start(1 + index) for index in range(len(ends))]
    return CoreProgram((*starts, Join(1)), tuple((end,) for end in ends))


def simulate_streams(
    chosen: list[tuple[int, int, int, int, int]], threads: int
) -> tuple[Simulation, SimulationResult]:
    """All streams at once, each end a task of its core; stream i sends 100 i, 100 i + 1 ... and ends at 40 (i + 12)."""
    tasks: dict[tuple[int, int], list[Send | Receive]] = {}
    for colour, (x, y, to_x, to_y, words) in enumerate(chosen):
        tasks.setdefault((x, y), []).append(Send(colour, words, 40 * colour))
        tasks.setdefault((to_x, to_y), []).append(Receive(colour, words, 40 * (colour + 12)))
    programs = [ProgramArea(x, y, 1, 1, program_of(ends), 40 * 24) for (x, y), ends in tasks.items()]
    routes = [route for colour, stream in enumerate(chosen) for route in route_of(colour, stream)]
    simulation = Simulation(routes, programs, width=SIDE, height=SIDE, threads=threads)
    for colour, (x, y, _, _, words) in enumerate(chosen):
        simulation.memory(x, y)[40 * colour : 40 * colour + words] = 100 * colour + np.arange(words)
    return simulation, simulation.run(20_000)


@settings(deadline=None, max_examples=40)
@given(streams())
def test_every_word_arrives_once_and_in_order(chosen: list[tuple[int, int, int, int, int]]) -> None:
    """Streams of any sources and ends, sharing links and cores."""
    simulation, result = simulate_streams(chosen, threads=1)
    assert result.outcome is Outcome.FINISHED
    for colour, (_, _, x, y, words) in enumerate(chosen):
        at = 40 * (colour + 12)
        assert (simulation.memory(x, y)[at : at + words] == 100 * colour + np.arange(words)).all()
    hops = sum(words * (abs(x - to_x) + abs(y - to_y) + 1) for x, y, to_x, to_y, words in chosen)
    assert result.word_hops == hops == result.link_words.sum()


@settings(deadline=None, max_examples=5)
@given(streams())
def test_threads_change_nothing(chosen: list[tuple[int, int, int, int, int]]) -> None:
    """Neither cycles nor what waited where nor the numbers, with two bands and with three."""
    simulation, one = simulate_streams(chosen, threads=1)
    for threads in (2, 3):
        other_simulation, other = simulate_streams(chosen, threads)
        for field in dataclasses.fields(SimulationResult):
            assert np.array_equal(getattr(other, field.name), getattr(one, field.name)), field.name
        assert (other_simulation.engines.memory == simulation.engines.memory).all()
