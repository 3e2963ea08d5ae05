"""What a simulation says that does not come to its end."""

from __future__ import annotations

import pytest
from fabric_programs import broadcast_line, hop, line, program

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.instructions import Loop, Operation, Receive, Send, Vector
from wsec.runtime.simulator.routes import Port
from wsec.runtime.simulator.simulation import Outcome, Simulation


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
