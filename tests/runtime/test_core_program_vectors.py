"""Loops and vectors that core programs walk through operands by: what is computed, in which order, at which cost."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsec.runtime.programs.kinds.tiles import Axis, Tile, row_major, vectors
from wsec.runtime.simulator.instructions import (
    LOOP_DEPTH,
    CoreProgram,
    Instruction,
    Loop,
    Operation,
    ProgramArea,
    Vector,
)
from wsec.runtime.simulator.simulation import Simulation
from wsec.runtime.simulator.timing import EngineTiming

if TYPE_CHECKING:
    from numpy.typing import NDArray

TIMING = EngineTiming(issue_cycles=3, loop_cycles=7, word_cycles=2, lanes=4, divide_cycles=11)


def run(instructions: list[Instruction], memory: NDArray[np.float32]) -> tuple[NDArray[np.float32], int]:
    """What one engine leaves in its memory, and the cycles it takes."""
    area = ProgramArea(0, 0, 1, 1, CoreProgram(tuple(instructions)), memory.size)
    simulation = Simulation((), (area,), width=1, height=1, engines=TIMING)
    simulation.memory(0, 0)[:] = memory
    cycles = simulation.run_to_end().cycles
    return simulation.memory(0, 0).copy(), cycles


def shape_of(instruction: Instruction) -> tuple[int, ...]:
    """Iterations of the loops, the outermost first, and the length of the vector."""
    sizes = []
    while isinstance(instruction, Loop):
        sizes.append(instruction.count)
        (instruction,) = instruction.body
    assert isinstance(instruction, Vector)
    return (*sizes, instruction.length)


def laid(generator: np.random.Generator, sizes: dict[str, int], address: int) -> Tile:
    """The loops dense in memory, in any order."""
    order = generator.permutation(list(sizes))
    tile = row_major(address, {str(label): sizes[str(label)] for label in order})
    return Tile(address, tuple(sorted(tile.axes, key=lambda axis: list(sizes).index(axis.label))))


@given(
    st.lists(
        st.tuples(st.integers(1, 3), st.booleans(), st.sampled_from(("left", "right", "both"))), max_size=7
    ),
    st.integers(0, 99),
)
def test_every_element_sees_its_sum_in_order(loops: list[tuple[int, bool, str]], seed: int) -> None:
    """Whatever the loops and layouts, seven deep too: bit for bit the sum that is written down."""
    generator = np.random.default_rng(seed)
    sizes = {f"l{index}": size for index, (size, _, _) in enumerate(loops)}
    summed = [f"l{index}" for index, (_, adds, _) in enumerate(loops) if adds]
    kept = {label: size for label, size in sizes.items() if label not in summed}
    follows = {
        side: {f"l{i}": size for i, (size, _, follower) in enumerate(loops) if follower in {side, "both"}}
        for side in ("left", "right")
    }
    tiles, words = [], 0
    for held in (kept, follows["left"], follows["right"]):
        tiles.append(laid(generator, held, words))
        words += math.prod(held.values())
    memory = generator.standard_normal(words).astype(np.float32)

    def place(tile: Tile, at: dict[str, int]) -> int:
        return tile.address + sum(at[axis.label] * axis.stride for axis in tile.axes)

    expected = memory.copy()
    for index in np.ndindex(*kept.values()):
        for inner in np.ndindex(*(sizes[label] for label in summed)):
            at = dict(zip(kept, index, strict=True)) | dict(zip(summed, inner, strict=True))
            result, left, right = (place(tile, at) for tile in tiles)
            expected[result] = expected[result] + expected[left] * expected[right]
    found, _ = run(vectors(Operation.FMA, *tiles, summed=summed), memory)
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


def test_the_longest_loops_are_innermost() -> None:
    """A matrix product: the columns are the vector, the sum the loop around it, the rows around that."""
    a, b, y = row_major(0, {"m": 3, "k": 5}), row_major(15, {"k": 5, "n": 7}), row_major(50, {"m": 3, "n": 7})
    (instruction,) = vectors(Operation.FMA, y, a, b, summed=("k",))
    assert shape_of(instruction) == (3, 5, 7)
    _, cycles = run([instruction], np.zeros(71, np.float32))
    assert cycles == 3 * 5 * (3 + math.ceil(7 / 4) * 2) + 3 * 7


def test_a_dot_product_is_one_vector() -> None:
    """Of the loops that are summed the last may be the vector."""
    a, b = row_major(0, {"c": 4, "k": 64}), row_major(256, {"c": 4, "k": 64})
    (instruction,) = vectors(Operation.FMA, Tile(512), a, b, summed=("c", "k"))
    assert shape_of(instruction) == (256,)
    (instruction,) = vectors(Operation.FMA, Tile(512), a, Tile(256, (Axis("c", 4, 1),)), summed=("k", "c"))
    assert shape_of(instruction) == (64, 4)  # k is longer, but c comes last in the sum


def test_whole_blocks_are_one_vector() -> None:
    """Loops that go on where the next begins are walked as one, also with an operand that stays."""
    block = row_major(1, {"a": 4, "b": 5, "c": 6})
    (instruction,) = vectors(Operation.DIVIDE, block, block, Tile(0))
    assert shape_of(instruction) == (120,)
    _, cycles = run([instruction], np.ones(121, np.float32))
    assert cycles == 3 + 120 * 11


def test_loops_beyond_the_depth_are_written_out() -> None:
    """The shortest, which are outermost; their iterations cost nothing."""
    sizes = {f"l{index}": 2 + index for index in range(LOOP_DEPTH + 2)}
    spaced = Tile(
        0, tuple(Axis(label, size, 100**index) for index, (label, size) in enumerate(sizes.items()))
    )
    instructions = vectors(Operation.COPY, spaced, spaced)
    assert [shape_of(item) for item in instructions] == [(3, 4, 5, 6, 7)] * 2


def test_loops_of_different_lengths_are_refused() -> None:
    """Two operands with the same label and another number of iterations contradict each other."""
    with pytest.raises(ValueError, match="loop m has 3 and 4 iterations"):
        vectors(Operation.ADD, row_major(0, {"m": 3}), row_major(3, {"m": 4}))
