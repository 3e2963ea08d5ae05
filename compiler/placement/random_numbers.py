"""Random numbers for compiled searches: the same on every machine."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.native import compiled

if TYPE_CHECKING:
    from numpy.typing import NDArray

_LUCK: Final = np.array([round(-math.log((at + 0.5) / 4096) * 2**20) / 2**20 for at in range(4096)])
"""Quantiles of the exponential distribution, rounded so that they are the same with every mathematical library."""


def random_state(*seeds: int) -> NDArray[np.uint64]:
    """The state of a random stream of its own for each sequence of seeds."""
    return np.random.SeedSequence(seeds).generate_state(1, np.uint64) | np.uint64(1)


@compiled
def draw(state: NDArray[np.uint64], below: int) -> int:
    """A random whole number in 0 ... `below` - 1. Marsaglia, "Xorshift RNGs" (2003)."""
    number = state[0]
    number ^= number << np.uint64(13)
    number ^= number >> np.uint64(7)
    number ^= number << np.uint64(17)
    state[0] = number
    # Compiled, int() of an unsigned number stays unsigned, and sums of both kinds are floats.
    return np.int64((number >> np.uint64(11)) % np.uint64(below))  # type: ignore[return-value]


@compiled
def draw_exponential(state: NDArray[np.uint64]) -> float:
    """A random number of the exponential distribution: what annealing tolerates, over the temperature."""
    return _LUCK[draw(state, 4096)]  # type: ignore[no-any-return]
