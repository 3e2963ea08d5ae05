"""The compiler counts the instructions that core programs issue: against those programs, made for random loops."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from wsec.compiler.cost.instruction_walks import walks
from wsec.runtime.programs.kinds.tiles import Axis, Tile, vectors
from wsec.runtime.simulator.instructions import Instruction, Loop, Operation, Vector


def counted(body: list[Instruction]) -> tuple[int, int, int]:
    """Elements of a vector, vectors, and turns of loops whose body is not one instruction alone."""
    length, times, turns = 1, 0, 0
    for step in body:
        if isinstance(step, Loop):
            length, inside, further = counted(list(step.body))
            times += step.count * inside
            alone = len(step.body) == 1 and isinstance(step.body[0], Vector)
            turns += step.count * (further + (not alone))
        elif isinstance(step, Vector):
            length, times = step.length, times + 1
    return length, times, turns


@given(
    free=st.lists(st.integers(1, 6), max_size=5),
    summed=st.lists(st.integers(1, 6), max_size=3),
)
def test_vectors_and_turns_are_those_of_the_program(free: list[int], summed: list[int]) -> None:
    """Loops that never lie dense, so that none are joined: strides are primes apart."""
    sizes = [*free, *summed]
    axes = [Axis(str(at), size, 1000 ** (len(sizes) - at)) for at, size in enumerate(sizes) if size > 1]
    kept = [axis for axis in axes if int(axis.label) < len(free)]
    names = [str(at) for at in range(len(free), len(sizes))]
    program = vectors(Operation.FMA, Tile(0, tuple(kept)), Tile(0, tuple(axes)), summed=names)
    found = walks(
        np.array([sizes], np.int64).reshape(1, -1),
        np.array([False] * len(free) + [True] * len(summed), np.bool_),
    )
    assert tuple(found[0]) == counted(program)
