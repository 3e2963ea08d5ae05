"""What a simulation says that does not come to its end."""

from __future__ import annotations

import numpy as np
import pytest
from fabric_programs import broadcast_line, hop, line, program

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.instructions import Loop, Operation, Receive, Send, Vector
from wsec.runtime.simulator.routes import Port, Route, SwitchPosition
from wsec.runtime.simulator.simulation import Outcome, Simulation
from wsec.runtime.simulator.switching import RampFilters, SwitchTurns


def message(simulation: Simulation, max_cycles: int = 10_000) -> str:
    """The error that the simulation ends with."""
    with pytest.raises(WsecError) as raised:
        simulation.run_to_end(max_cycles)
    return str(raised.value)


def test_a_circular_wait_is_found_and_told() -> None:
    """Two cores that send to each other more than the fabric holds before they receive."""
    there = (
        hop(0, 0, 0, Port.RAMP, Port.EAST),
        hop(1, 0, 0, Port.WEST, Port.EAST),
        hop(2, 0, 0, Port.WEST, Port.RAMP),
    )
    back = (
        hop(2, 0, 1, Port.RAMP, Port.WEST),
        hop(1, 0, 1, Port.EAST, Port.WEST),
        hop(0, 0, 1, Port.EAST, Port.RAMP),
    )
    programs = (
        program(0, 0, Send(0, 60, 0), Receive(1, 60, 0)),
        program(2, 0, Send(1, 60, 0), Receive(0, 60, 0)),
    )
    assert message(Simulation((*there, *back), programs, width=3, height=1)) == (
        "error[WSEC594]: the fabric waits in a circle\n"
        "  where:    cycle 19\n"
        "  found:    2 of 2 programs are not over, 38 words are on their way\n"
        "            core (0, 0) waits to send on colour 0\n"
        "            colour 0 is full from router (0, 0) to router (2, 0)\n"
        "            colour 0 has 5 words that core (2, 0) does not receive\n"
        "            core (2, 0) waits to send on colour 1\n"
        "            colour 1 is full from router (2, 0) to router (0, 0)\n"
        "            colour 1 has 5 words that core (0, 0) does not receive\n"
        "            which closes the circle\n"
        "  try:      the plan is broken: compile it again, and report it if that does not help"
    )


def test_a_starving_receiver_is_traced_to_the_core_that_sent_too_little() -> None:
    """The chain ends in a program that is over."""
    programs = (
        program(0, 0, Send(0, 3, 0)),
        program(2, 0, Receive(0, 4, 0)),
        program(1, 0, Receive(0, 3, 0)),
    )
    assert message(Simulation(line(3), programs, width=3, height=1)) == (
        "error[WSEC594]: the fabric waits for what never comes\n"
        "  where:    cycle 10\n"
        "  found:    1 of 3 programs are not over, 0 words are on their way\n"
        "            core (2, 0) waits to receive on colour 0\n"
        "            core (0, 0) has come to the end of its program\n"
        "  try:      the plan is broken: compile it again, and report it if that does not help"
    )


def test_words_that_nobody_receives_are_an_error_too() -> None:
    """A stream that overshoots: all programs are over, and words are left."""
    programs = (program(0, 0, Send(0, 3, 0)), program(1, 0, Receive(0, 2, 0)))
    simulation = Simulation(line(2), programs, width=2, height=1)
    assert message(simulation).splitlines()[2:5] == [
        "  found:    0 of 2 programs are not over, 1 words are on their way",
        "            colour 0 has 1 words that core (1, 0) does not receive",
        "            core (1, 0) has come to the end of its program",
    ]
    again = simulation.run()
    assert again.outcome is Outcome.STUCK
    assert again.cycles == simulation.run().cycles
    assert (again.finished == simulation.run().finished).all()


def test_a_core_without_a_program_never_sends() -> None:
    """The route is there, the program is not."""
    simulation = Simulation(line(2), (program(1, 0, Receive(0, 1, 0)),), width=2, height=1)
    assert "            core (0, 0) has no program" in message(simulation).splitlines()


def test_a_simulation_that_is_cut_off_says_what_was_waiting_and_can_go_on() -> None:
    """The sender is not at its first word yet."""
    routes, (_, receivers) = broadcast_line(12, 5)
    sender = program(0, 0, Loop(50, (Vector(Operation.COPY, 8, 16, 0, 8),)), Send(0, 5, 0))
    simulation = Simulation(routes, (sender, receivers), width=12, height=1)
    assert message(simulation, 100) == (
        "error[WSEC595]: the simulation was cut off before it was over\n"
        "  where:    cycle 100\n"
        "  found:    12 of 12 programs are not over, 0 words are on their way\n"
        "            core (0, 0) computes\n"
        + "".join(f"            core ({x}, 0) waits to receive on colour 0\n" for x in range(1, 8))
        + "            ... and 4 more\n"
        "  try:      allow more cycles, or simulate a smaller region"
    )
    assert simulation.run(50).cycles == 100  # time does not run backwards
    result = simulation.run()
    assert result.outcome is Outcome.FINISHED
    assert result.cycles == 400 + 5 + 11 + 5
    assert result.input_stalls[0, 1] == 400 + 6


GATHER = (
    hop(0, 0, 0, Port.RAMP, Port.EAST),
    Route(
        *(1, 0, 1, 1, 0),
        (SwitchPosition(Port.RAMP, (Port.EAST,)), SwitchPosition(Port.WEST, (Port.EAST,))),
    ),
    hop(2, 0, 0, Port.WEST, Port.EAST),
    hop(3, 0, 0, Port.WEST, Port.RAMP),
)
"""Core 1 sends three words, then lets pass two of core 0."""

TURNS = SwitchTurns(*np.array([(1, 0, 0, 3), (1, 0, 1, 2)]).T)


def test_a_switch_that_waits_for_words_is_named() -> None:
    """Core 1 sends one word too few: core 3 and what core 0 sent wait behind its switch."""
    programs = (
        program(0, 0, Send(0, 2, 0)),
        program(1, 0, Send(0, 2, 0)),
        program(3, 0, Receive(0, 5, 0)),
    )
    simulation = Simulation(GATHER, programs, width=4, height=1, turns=TURNS)
    assert message(simulation).splitlines()[2:5] == [
        "  found:    1 of 3 programs are not over, 2 words are on their way",
        "            core (3, 0) waits to receive on colour 0",
        "            core (1, 0) has come to the end of its program",
    ]


def test_a_position_that_never_comes_is_named() -> None:
    """Core 1 lets pass two words of core 0 a round, which sends three: the last waits for a turn of core 1."""
    programs = (program(0, 0, Send(0, 3, 0)), program(1, 0, Send(0, 3, 0)), program(3, 0, Receive(0, 5, 0)))
    simulation = Simulation(GATHER, programs, width=4, height=1, turns=TURNS)
    assert message(simulation).splitlines()[2:6] == [
        "  found:    0 of 3 programs are not over, 1 words are on their way",
        "            words from the west wait in router (1, 0)",
        "            router (1, 0) stays at R>E of colour 0 for 3 more words",
        "            core (1, 0) has come to the end of its program",
    ]


def test_words_that_come_by_another_position_do_not_help() -> None:
    """The switch of core 1 sends to the north what core 0 sends, and core 2 waits for a turn of its ramp."""
    routes = (
        hop(0, 1, 0, Port.RAMP, Port.EAST),
        Route(
            *(1, 1, 1, 1, 0),
            (SwitchPosition(Port.WEST, (Port.NORTH,)), SwitchPosition(Port.RAMP, (Port.EAST,))),
        ),
        hop(1, 0, 0, Port.SOUTH, Port.RAMP),
        hop(2, 1, 0, Port.WEST, Port.RAMP),
    )
    turns = SwitchTurns(*np.array([(4, 0, 0, 7), (4, 0, 1, 2)]).T)
    programs = (
        program(0, 1, Send(0, 5, 0)),
        program(1, 1, Send(0, 2, 0)),
        program(1, 0, Receive(0, 5, 0)),
        program(2, 1, Receive(0, 2, 0)),
    )
    simulation = Simulation(routes, programs, width=3, height=2, turns=turns)
    assert message(simulation).splitlines()[2:6] == [
        "  found:    1 of 4 programs are not over, 2 words are on their way",
        "            core (2, 1) waits to receive on colour 0",
        "            router (1, 1) stays at W>N of colour 0 for 2 more words",
        "            core (0, 1) has come to the end of its program",
    ]


def test_a_filter_that_drops_is_named() -> None:
    """Core 2 is to skip four words before it takes one, and three come."""
    programs = (
        program(0, 0, Send(0, 3, 0)),
        program(1, 0, Receive(0, 3, 0)),
        program(2, 0, Receive(0, 1, 0)),
    )
    filters = RampFilters(*np.array([(2, 0, 4, 1)]).T)
    simulation = Simulation(line(3), programs, width=3, height=1, filters=filters)
    assert message(simulation).splitlines()[2:5] == [
        "  found:    1 of 3 programs are not over, 0 words are on their way",
        "            core (2, 0) waits to receive on colour 0, where a filter drops 1 more words",
        "            core (0, 0) has come to the end of its program",
    ]


def test_two_switches_that_wait_for_each_other_are_a_circle() -> None:
    """Each of two cores has the other's words first, and sends its own only in the turn after."""
    positions = {
        0: (SwitchPosition(Port.EAST, (Port.RAMP,)), SwitchPosition(Port.RAMP, (Port.EAST,))),
        1: (SwitchPosition(Port.WEST, (Port.RAMP,)), SwitchPosition(Port.RAMP, (Port.WEST,))),
    }
    routes = tuple(Route(x, 0, 1, 1, 0, positions[x]) for x in (0, 1))
    turns = SwitchTurns(*np.array([(x, 0, position, 2) for x in (0, 1) for position in (0, 1)]).T)
    programs = tuple(program(x, 0, Send(0, 2, 0), Receive(0, 2, 4)) for x in (0, 1))
    simulation = Simulation(routes, programs, width=2, height=1, turns=turns)
    assert message(simulation).splitlines() == [
        "error[WSEC594]: the fabric waits in a circle",
        "  where:    cycle 3",
        "  found:    2 of 2 programs are not over, 4 words are on their way",
        "            router (1, 0) stays at W>R of colour 0 for 2 more words",
        "            router (0, 0) stays at E>R of colour 0 for 2 more words",
        "            which closes the circle",
        "  try:      the plan is broken: compile it again, and report it if that does not help",
    ]
