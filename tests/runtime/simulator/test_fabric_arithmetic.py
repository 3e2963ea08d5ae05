"""Programs that compute: cycles of the textbook, and the numbers of numpy in the same order, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from fabric_programs import (
    broadcast_line,
    chain_reduce,
    hop,
    product_of_vector_and_matrix,
    program,
)

from wsec.runtime.simulator.instructions import (
    CoreProgram,
    Join,
    Loop,
    Operation,
    ProgramArea,
    Receive,
    ReceiveCombine,
    ReceiveFma,
    Send,
    Start,
    Vector,
    Wait,
)
from wsec.runtime.simulator.routes import Port
from wsec.runtime.simulator.simulation import Simulation
from wsec.runtime.simulator.timing import EngineTiming, FabricTiming


@pytest.mark.parametrize(("cores", "words"), [(2, 1), (3, 20), (9, 17)])
@pytest.mark.parametrize("ramp_cycles", [1, 2])
def test_a_chain_reduces_in_the_cycles_of_the_textbook(cores: int, words: int, ramp_cycles: int) -> None:
    """B + (2 T_R + 2)(P - 1) of arXiv 2404.15888, and the sum from the far end on in fp32."""
    routes, programs = chain_reduce(cores, words)
    simulation = Simulation(routes, programs, width=cores, height=1, fabric=FabricTiming(1, ramp_cycles))
    data = np.random.default_rng(cores).normal(size=(cores, words)).astype(np.float32)
    for x in range(cores):
        simulation.memory(x, 0)[:] = data[x]
    assert simulation.run_to_end().cycles == words + (2 * ramp_cycles + 2) * (cores - 1)
    expected = data[-1]
    for row in data[-2::-1]:
        expected = row + expected
    assert (simulation.memory(0, 0) == expected).all()


def test_a_tree_reduces_as_numpy_does_in_the_same_order() -> None:
    """Four cores: 1 into 0 and 3 into 2 at once, then 2 into 0 past the router of 1."""
    routes = (
        *(hop(1, 0, 0, Port.RAMP, Port.WEST), hop(0, 0, 0, Port.EAST, Port.RAMP)),
        *(hop(3, 0, 0, Port.RAMP, Port.WEST), hop(2, 0, 0, Port.EAST, Port.RAMP)),
        *(
            hop(2, 0, 1, Port.RAMP, Port.WEST),
            hop(1, 0, 1, Port.EAST, Port.WEST),
            hop(0, 0, 1, Port.EAST, Port.RAMP),
        ),
    )
    programs = (
        program(0, 0, ReceiveCombine(Operation.ADD, 0, 30, 0), ReceiveCombine(Operation.ADD, 1, 30, 0)),
        program(1, 0, Send(0, 30, 0)),
        program(2, 0, ReceiveCombine(Operation.ADD, 0, 30, 0), Send(1, 30, 0)),
        program(3, 0, Send(0, 30, 0)),
    )
    simulation = Simulation(routes, programs, width=4, height=1)
    data = np.random.default_rng(4).normal(size=(4, 30)).astype(np.float32)
    for x in range(4):
        simulation.memory(x, 0)[:30] = data[x]
    simulation.run_to_end()
    assert (simulation.memory(0, 0)[:30] == (data[0] + data[1]) + (data[2] + data[3])).all()


@pytest.mark.parametrize(("columns", "rows", "tile"), [(2, 2, 3), (5, 4, 7)])
def test_a_product_on_a_mesh_is_that_of_numpy_in_the_same_order(columns: int, rows: int, tile: int) -> None:
    """Y = x W with x along the rows and partial sums up the columns: fp32, product rounded before the sum."""
    routes, programs = product_of_vector_and_matrix(columns, rows, tile)
    simulation = Simulation(routes, programs, width=columns, height=rows)
    random = np.random.default_rng(tile)
    vector = random.normal(size=(rows, tile)).astype(np.float32)
    matrix = random.normal(size=(rows, columns, tile, tile)).astype(np.float32)
    for y in range(rows):
        simulation.memory(0, y)[tile : 2 * tile] = vector[y]
        for x in range(columns):
            simulation.memory(x, y)[2 * tile :] = matrix[y, x].reshape(-1)
    simulation.run_to_end()
    for x in range(columns):
        partial = np.zeros((rows, tile), np.float32)
        for y in range(rows):
            for index in range(tile):
                partial[y] += vector[y, index] * matrix[y, x, index]
        expected = partial[-1]
        for row in partial[-2::-1]:
            expected = expected + row
        assert (simulation.memory(x, 0)[:tile] == expected).all()


def alone(*main: object, timing: EngineTiming, tasks: tuple[object, ...] = ()) -> tuple[int, np.ndarray]:
    """Cycles of a core that talks to nobody, and its memory, which held 0, 1, 2 ..."""
    area = ProgramArea(0, 0, 1, 1, CoreProgram(main, tasks), 16)  # type: ignore[arg-type]  # shorter to write
    simulation = Simulation((), (area,), width=1, height=1, engines=timing)
    simulation.memory(0, 0)[:] = np.arange(16)
    return simulation.run_to_end().cycles, simulation.memory(0, 0)


def test_vectors_in_memory_take_what_the_lanes_need() -> None:
    """Ten elements on four lanes are three steps; each instruction and each vector after the first is issued."""
    timing = EngineTiming(issue_cycles=2, word_cycles=1.5, lanes=4)
    cycles, memory = alone(Vector(Operation.ADD, 0, 4, 5, 10), timing=timing)
    assert cycles == 7  # 2 + 3 * 1.5, rounded up
    assert memory[:4].tolist() == [9, 11, 13, 15]
    cycles, memory = alone(
        Loop(3, (Vector(Operation.FMA, 8, 1, 2, 2, (1, 0, 1), ((2, 1, 2),)),)), timing=timing
    )
    assert cycles == 11  # 3 * (2 + 1.5), rounded up
    assert memory[8:14].tolist() == [10, 12, 18, 21, 30, 34]
    assert alone(Vector(Operation.COPY, 0, 12, 0, 4), Vector(Operation.SUBTRACT, 4, 4, 4, 2), timing=timing)[
        1
    ][:7].tolist() == [12, 13, 14, 15, 0, 0, 6]


def test_parts_of_cycles_add_up() -> None:
    """A hundred vectors of 1.25 cycles are 125 cycles, not 200."""
    assert (
        alone(Loop(100, (Vector(Operation.COPY, 0, 1, 0, 1),)), timing=EngineTiming(word_cycles=1.25))[0]
        == 125
    )


def test_loops_nest_and_cost_what_they_cost() -> None:
    """An iteration of a loop costs; around one instruction alone it costs its issue only; no iteration is none."""
    copy = Vector(Operation.COPY, 0, 1, 0, 1)
    none = Loop(0, (Vector(Operation.NEGATE, 0, 0, 0, 16),))
    timing = EngineTiming(issue_cycles=3, loop_cycles=10)
    assert alone(Loop(2, (Loop(3, (copy,)),)), none, timing=timing)[0] == 2 * (3 * (3 + 1) + 10)
    assert alone(Loop(2, (Loop(3, (copy, copy)),)), timing=timing)[0] == 2 * (3 * (2 * (3 + 1) + 10) + 10)


def test_tasks_take_turns_and_are_waited_for() -> None:
    """What follows a join sees what the task wrote; setting it off costs a switch, once more for the second time."""
    cycles, memory = alone(
        Start(1),
        Join(1),
        Vector(Operation.ADD, 0, 0, 0, 2),
        Start(1),
        Join(1),
        timing=EngineTiming(task_switch_cycles=7),
        tasks=((Vector(Operation.COPY, 0, 10, 0, 2),),),  # its two elements: two cycles
    )
    assert cycles == 2 * (7 + 2) + 2
    assert memory[:2].tolist() == [10, 11]


def test_a_barrier_drops_its_word_and_wakes_the_task() -> None:
    """A word to a waiting core, 6 cycles on its way, then the word's cycle and the switch."""
    routes = (hop(0, 0, 3, Port.RAMP, Port.EAST), hop(1, 0, 3, Port.WEST, Port.RAMP))
    programs = (program(0, 0, Send(3, 1, 0)), program(1, 0, Wait(3)))
    timing = EngineTiming(task_switch_cycles=10)
    simulation = Simulation(routes, programs, width=2, height=1, engines=timing)
    simulation.memory(0, 0)[0] = 5
    assert simulation.run_to_end().cycles == 6 + 1 + 10
    assert not simulation.memory(1, 0).any()


def test_a_stream_into_products_runs_at_the_rate_of_the_vectors() -> None:
    """Words wait while the vector of the one before is multiplied: 10 words of 8 elements, 1 element a cycle."""
    routes, (sender, _) = broadcast_line(2, 10)
    receiver = program(1, 0, ReceiveFma(0, 10, 0, 8, 8), words=88)
    assert Simulation(routes, (sender, receiver), width=2, height=1).run_to_end().cycles == 6 + 10 * 8


def test_a_core_that_sends_and_receives_shares_its_datapath() -> None:
    """Two tasks of 50 words each take 100 cycles, not 50: one word a cycle, in or out."""
    routes = (hop(0, 0, 0, Port.RAMP, Port.EAST), hop(1, 0, 0, Port.WEST, Port.RAMP))
    back = (hop(1, 0, 1, Port.RAMP, Port.WEST), hop(0, 0, 1, Port.EAST, Port.RAMP))
    areas = [
        ProgramArea(x, 0, 1, 1, CoreProgram((Start(1), Receive(1 - x, 50, 0)), ((Send(x, 50, 0),),)), 50)
        for x in (0, 1)
    ]
    result = Simulation((*routes, *back), areas, width=2, height=1).run_to_end()
    assert 100 <= result.cycles <= 112
