"""Vectors: every operation with numpy's bits, strides and steps, tables and lists, and what they may touch."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fabric_programs import hop
from hypothesis import given, settings
from hypothesis import strategies as st

from wsec.compiler.errors import WsecError
from wsec.runtime.simulator.assembly import assemble
from wsec.runtime.simulator.instructions import (
    COMBINING,
    CopyListed,
    CoreProgram,
    Instruction,
    LookUp,
    Loop,
    Operation,
    ProgramArea,
    Receive,
    ReceiveCombine,
    ReceiveCombineSend,
    ReceiveListed,
    Send,
    SendListed,
    Vector,
    WordLists,
)
from wsec.runtime.simulator.routes import Port
from wsec.runtime.simulator.simulation import Simulation
from wsec.runtime.simulator.timing import EngineTiming

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]

SPECIAL = (0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, 2.5, 87.5, 89.0, -104.5, 1e-45, 3.4e38, -3.4e38)
VALUES = np.array([*SPECIAL, math.inf, -math.inf, math.nan, *(0.37 * k - 7 for k in range(40))], np.float32)


def in_double(function: Callable[..., Array]) -> Callable[..., Array]:
    """Computed in double and rounded once."""
    return lambda *operands: function(*(operand.astype(np.float64) for operand in operands)).astype(
        np.float32
    )


def larger(left: Array, right: Array) -> Array:
    """The right one only if it is greater, or no number while the left one is."""
    return np.where((left >= right) | np.isnan(left), left, right)


def smaller(left: Array, right: Array) -> Array:
    """The right one only if it is less, or no number while the left one is."""
    return np.where((left <= right) | np.isnan(left), left, right)


EXPECTED: dict[Operation, Callable[[Array, Array, Array], Array]] = {
    Operation.FMA: lambda held, left, right: held + left * right,
    Operation.ADD: lambda _, left, right: left + right,
    Operation.SUBTRACT: lambda _, left, right: left - right,
    Operation.MULTIPLY: lambda _, left, right: left * right,
    Operation.DIVIDE: lambda _, left, right: left / right,
    Operation.MAXIMUM: lambda _, left, right: larger(left, right),
    Operation.MINIMUM: lambda _, left, right: smaller(left, right),
    Operation.POWER: lambda _, left, right: in_double(np.power)(left, right),
    Operation.EQUAL: lambda _, left, right: left == right,
    Operation.GREATER: lambda _, left, right: left > right,
    Operation.GREATER_OR_EQUAL: lambda _, left, right: left >= right,
    Operation.COPY_WHERE: lambda held, left, right: np.where(right != 0, left, held),
    Operation.COPY: lambda _, left, _right: left,
    Operation.NEGATE: lambda _, left, _right: -left,
    Operation.ABSOLUTE: lambda _, left, _right: np.abs(left),
    Operation.SIGN: lambda _, left, _right: np.sign(left),
    Operation.FLOOR: lambda _, left, _right: np.floor(left),
    Operation.CEILING: lambda _, left, _right: np.ceil(left),
    Operation.ROUND: lambda _, left, _right: np.rint(left),
    Operation.IS_NAN: lambda _, left, _right: np.isnan(left),
    Operation.SQUARE_ROOT: lambda _, left, _right: np.sqrt(left),
    Operation.EXP: lambda _, left, _right: in_double(np.exp)(left),
    Operation.EXP_MINUS_ONE: lambda _, left, _right: in_double(np.expm1)(left),
    Operation.LOG: lambda _, left, _right: in_double(np.log)(left),
    Operation.LOG_ONE_PLUS: lambda _, left, _right: in_double(np.log1p)(left),
    Operation.TANH: lambda _, left, _right: in_double(np.tanh)(left),
    Operation.ERF: lambda _, left, _right: np.array([math.erf(x) for x in left], np.float32),
    Operation.SINE: lambda _, left, _right: in_double(np.sin)(left),
    Operation.COSINE: lambda _, left, _right: in_double(np.cos)(left),
}


def bits(values: Array) -> list[int]:
    """The bits of each, all that is no number alike."""
    values = np.asarray(values, np.float32)
    return np.where(np.isnan(values), np.float32(np.nan), values).view(np.uint32).tolist()  # type: ignore[no-any-return]


def alone(
    *main: Instruction,
    memory: Array,
    timing: EngineTiming | None = None,
    lists: tuple[WordLists, ...] = (),
) -> tuple[int, Array]:
    """Cycles of a core that talks to nobody, and its memory."""
    area = ProgramArea(0, 0, 1, 1, CoreProgram(main), len(memory), lists)
    simulation = Simulation((), (area,), width=1, height=1, engines=timing)
    simulation.memory(0, 0)[:] = memory
    return simulation.run_to_end().cycles, simulation.memory(0, 0)


@pytest.mark.parametrize("operation", list(Operation), ids=lambda operation: operation.name.lower())
def test_an_operation_has_the_bits_of_numpy(operation: Operation) -> None:
    """Of all pairs of special and ordinary values, infinities, zeros of either sign and what is no number."""
    left, right = (axis.reshape(-1) for axis in np.meshgrid(VALUES, VALUES))
    held = np.roll(left, 5)
    words = left.size
    vector = Vector(operation, 0, words, 2 * words, words)
    _, memory = alone(vector, memory=np.concatenate([held, left, right]))
    with np.errstate(all="ignore"):
        expected = EXPECTED[operation](held, left, right)
    assert bits(memory[:words]) == bits(expected)


@pytest.mark.parametrize("operation", sorted(COMBINING), ids=lambda operation: operation.name.lower())
def test_words_are_combined_with_what_is_held_on_the_left(operation: Operation) -> None:
    """On the way through a core, and where they end."""
    routes = (
        *(hop(0, 0, 0, Port.RAMP, Port.EAST), hop(1, 0, 0, Port.WEST, Port.RAMP)),
        *(hop(1, 0, 1, Port.RAMP, Port.EAST), hop(2, 0, 1, Port.WEST, Port.RAMP)),
    )
    words = VALUES.size
    mains: tuple[Instruction, ...] = (
        Send(0, words, 0),
        ReceiveCombineSend(operation, 0, 1, words, 0),
        ReceiveCombine(operation, 1, words, 0),
    )
    areas = [ProgramArea(x, 0, 1, 1, CoreProgram((main,)), words) for x, main in enumerate(mains)]
    simulation = Simulation(routes, areas, width=3, height=1)
    held = [np.roll(VALUES, 7 * x) for x in range(3)]
    for x in range(3):
        simulation.memory(x, 0)[:] = held[x]
    simulation.run_to_end()
    with np.errstate(all="ignore"):
        combine = EXPECTED[operation]
        expected = combine(VALUES, held[2], combine(VALUES, held[1], held[0]))
    assert bits(simulation.memory(2, 0)) == bits(expected)
    assert bits(simulation.memory(1, 0)) == bits(held[1])


LENGTH = st.integers(0, 4)
STEP = st.integers(-3, 3)
TRIPLE = st.tuples(STEP, STEP, STEP)


@st.composite
def nests(draw: st.DrawFn) -> tuple[tuple[int, ...], Vector]:
    """Loops around a vector, with steps for some of the outermost, whose addresses start in the middle of the memory."""
    counts = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
    steps = tuple(draw(st.lists(TRIPLE, max_size=len(counts))))
    operation = draw(st.sampled_from([Operation.FMA, Operation.SUBTRACT, Operation.COPY, Operation.NEGATE]))
    return counts, Vector(operation, 64, 96, 128, draw(LENGTH), draw(TRIPLE), steps)


def touched(counts: tuple[int, ...], vector: Vector) -> list[tuple[int, int, int]]:
    """The addresses of each element, in the order in which they are computed."""
    found = []
    for iterations in np.ndindex(*counts):
        moves = list(zip(iterations, vector.steps, strict=False))
        for element in range(vector.length):
            result, left, right = (
                address + element * vector.strides[place] + sum(at * step[place] for at, step in moves)
                for place, address in enumerate((vector.result, vector.left, vector.right))
            )
            found.append((result, left, right))
    return found


def nested(counts: tuple[int, ...], body: Instruction) -> Instruction:
    """The instruction in its loops."""
    for count in counts[::-1]:
        body = Loop(count, (body,))
    return body


@settings(deadline=None, max_examples=150)
@given(nests())
def test_strides_and_steps_walk_as_they_say(nest: tuple[tuple[int, ...], Vector]) -> None:
    """Element by element and iteration by iteration, as a loop in numpy does, also where results are read again."""
    counts, vector = nest
    expected = np.random.default_rng(vector.length).normal(size=192).astype(np.float32)
    _, memory = alone(nested(counts, vector), memory=expected)
    for result, left, right in touched(counts, vector):
        expected[result] = EXPECTED[vector.operation](expected[result], expected[left], expected[right])
    assert bits(memory) == bits(expected)


@settings(deadline=None, max_examples=150)
@given(nests())
def test_the_reach_of_a_vector_is_exact(nest: tuple[tuple[int, ...], Vector]) -> None:
    """The lowest and the highest address of all that its loops ever touch, and nothing if they touch nothing."""
    counts, vector = nest
    operands = 2 if vector.operation >= Operation.COPY else 3
    addresses = [address for row in touched(counts, vector) for address in row[:operands]]
    expected = [min(addresses), max(addresses) + 1] if addresses else [0, 0]
    reach = assemble(CoreProgram((nested(counts, vector),))).reach
    assert reach[len(counts)].tolist() == expected
    assert not np.delete(reach, len(counts), axis=0).any()


def test_the_reach_of_words_and_tables_is_exact() -> None:
    """Of runs of words, and of a table whose row is known only as it runs: all of it."""
    program = CoreProgram(
        (Send(0, 3, 5), Receive(0, 0, 5), Loop(2, (LookUp(9, 20, 3, 1, 4, 2, ((2, 8, 1),)),)))
    )
    assert assemble(program).reach.tolist() == [[5, 8], [0, 0], [0, 0], [3, 36], [0, 0], [0, 0]]


def test_rows_are_looked_up_by_number() -> None:
    """Rows 10 to 13 of a table; a number outside, a fraction below and what is no number give zeros."""
    numbers = [12.0, 10.0, 13.0, 14.0, 9.0, 9.5, math.nan, math.inf]
    memory = np.array([*numbers, *range(100, 112), *[7.0] * 24], np.float32)
    look_up = LookUp(20, 8, 0, 10, 4, 3, ((3, 0, 1),))
    timing = EngineTiming(issue_cycles=2, lanes=2)
    cycles, memory = alone(Loop(8, (look_up,)), memory=memory, timing=timing)
    assert memory[20:].reshape(8, 3).tolist() == [
        *([106, 107, 108], [100, 101, 102], [109, 110, 111]),
        *[[0, 0, 0]] * 5,
    ]
    assert cycles == 8 * (2 + 2)


def listed(*lists: list[int]) -> WordLists:
    """A list for each core."""
    starts = np.cumsum([0, *(len(each) for each in lists)])
    return WordLists(starts, np.array([address for each in lists for address in each], np.int32))


def test_words_go_by_the_lists_of_each_core() -> None:
    """Two senders of one program, whose lists differ in length and order, and receivers that scatter."""
    routes = [
        hop(x, y, 0, source, out)
        for y in (0, 1)
        for x, source, out in ((0, Port.RAMP, Port.EAST), (1, Port.WEST, Port.RAMP))
    ]
    send = ProgramArea(
        0, 0, 1, 2, CoreProgram((SendListed(0, 1),)), 8, (listed([], [1]), listed([7, 0, 7], [3]))
    )
    receive = ProgramArea(1, 0, 1, 2, CoreProgram((ReceiveListed(0, 0),)), 8, (listed([2, 1, 5], [4]),))
    simulation = Simulation(routes, (send, receive), width=2, height=2)
    simulation.memory(0, 0)[:] = 10 + np.arange(8)
    simulation.memory(0, 1)[:] = 20 + np.arange(8)
    simulation.run_to_end()
    assert simulation.memory(1, 0).tolist() == [0, 10, 17, 0, 0, 17, 0, 0]
    assert simulation.memory(1, 1).tolist() == [0, 0, 0, 0, 23, 0, 0, 0]


def test_listed_words_are_copied_one_a_cycle() -> None:
    """In order, so that a word that was written is read again; an empty list costs the issue."""
    lists = (listed([0, 1, 2]), listed([1, 2, 7]), listed([]))
    program = (CopyListed(0, 1), CopyListed(2, 2))
    timing = EngineTiming(issue_cycles=2, lanes=4)
    cycles, memory = alone(*program, memory=np.arange(8), lists=lists, timing=timing)
    assert memory.tolist() == [0, 0, 0, 3, 4, 5, 6, 0]
    assert cycles == 2 + 3 + 2


def test_lists_that_do_not_fit() -> None:
    """An address outside the memory is the plan's fault; a list that is not there, or of another length, the program's."""

    def build(main: Instruction, *lists: WordLists) -> None:
        Simulation((), (ProgramArea(0, 0, 1, 1, CoreProgram((main,)), 8, lists),), width=1, height=1)

    with pytest.raises(WsecError) as raised:
        build(CopyListed(0, 1), listed([3]), listed([8]))
    assert str(raised.value).splitlines()[:4] == [
        "error[WSEC593]: a core program does not fit its place",
        "  where:    program 0, list 1",
        "  expected: addresses from 0 to 7",
        "  found:    addresses from 0 to 8",
    ]
    with pytest.raises(ValueError, match="program 0 names list 1 of 1"):
        build(CopyListed(0, 1), listed([3]))
    with pytest.raises(ValueError, match="program 0 copies between lists 0 and 1 of other lengths"):
        build(CopyListed(0, 1), listed([3]), listed([3, 4]))
    with pytest.raises(ValueError, match="list 0 of program 0 is not one for each of its cores"):
        build(SendListed(0, 0), listed([3], [4]))
    with pytest.raises(ValueError, match="words cannot be received by DIVIDE"):
        build(ReceiveCombine(Operation.DIVIDE, 0, 1, 0))
    with pytest.raises(ValueError, match="has more steps than the 0 loops around it"):
        build(Vector(Operation.COPY, 0, 0, 0, 1, steps=((1, 1, 1),)))


@pytest.mark.parametrize(
    ("operation", "cycles"),
    [
        (Operation.ADD, 2 + 3 * 1.5),
        (Operation.SQUARE_ROOT, 2 + 10 * 7),
        (Operation.DIVIDE, 2 + 10 * 7),
        (Operation.TANH, 2 + 10 * 5),
    ],
)
def test_elements_cost_what_their_operation_costs(operation: Operation, cycles: float) -> None:
    """Ten elements: by the lanes, or one after the other where the machine divides or computes by series."""
    timing = EngineTiming(issue_cycles=2, word_cycles=1.5, lanes=4, divide_cycles=7, transcendental_cycles=5)
    assert alone(Vector(operation, 0, 10, 20, 10), memory=np.ones(30), timing=timing)[0] == math.ceil(cycles)
