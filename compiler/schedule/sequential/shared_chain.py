"""Chains behind a reduction, shared by the cores of the line around the one where partial results come together.

One core of a line would compute the chain of all its elements. The cores around it, which have nothing to do, take equal parts, along the
first dimension of the block that is longer than one, where that is faster: the result goes out to them, with what else the chain reads, and what they made comes back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from wsec.compiler.cost.block_sizes import first_long_dimension, output_bytes
from wsec.compiler.cost.collectives import gather, scatter
from wsec.compiler.cost.kernel_cost import compute_cycles
from wsec.compiler.kernels.loop_nest import LoopRole

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from wsec.compiler.kernels.loop_nest import LoopNest
    from wsec.compiler.target import Target

    Array = NDArray[np.float64]

_SIZES: Final = (2, 4, 8, 16, 32)


@dataclass(frozen=True, slots=True, eq=False)
class SharedChain:
    """How many cores share the chain of each split, and what that changes; [splits].

    Attributes:
        saved: Cycles that the root does not compute.
        passed: Cycles in which words go out and come back.
        cores: That share it, the root included; 1 where it computes alone.
    """

    saved: Array
    passed: Array
    cores: NDArray[np.int64]


def shared_chain(nest: LoopNest, parts: Array, target: Target) -> SharedChain:
    """The fastest number of cores for each split, parts [splits, loops]; weights of the chain lie on all cores already."""
    found = SharedChain(np.zeros(len(parts)), np.zeros(len(parts)), np.ones(len(parts), np.int64))
    reduced = [at for at, loop in enumerate(nest.loops) if loop.role is LoopRole.REDUCTION]
    if nest.chain_work is None or not reduced:
        return found
    blocks = np.ceil(np.array([loop.extent for loop in nest.loops], dtype=np.float64) / parts)
    alone = compute_cycles(nest.chain_work, nest, blocks, target)
    words = np.ceil(output_bytes(nest, blocks) / target.fabric.word_bytes)
    on_a_line = parts[:, reduced].max(axis=1)
    read = sum(item.role[:1] == "e" and not item.constant for item in nest.inputs)
    long = first_long_dimension(nest.outputs[0], nest, blocks)
    for most in _SIZES:
        size = np.ceil(long / most)
        share, cores = size / long, np.ceil(long / size)
        part = np.ceil(words * share)
        passed = (1 + read) * scatter(part, cores).cycles(target.fabric)
        passed = np.ceil(passed + gather(part, cores).cycles(target.fabric))
        saved = alone * (1 - share)
        better = (on_a_line >= cores) & (saved - passed > found.saved - found.passed)
        found = SharedChain(
            np.where(better, saved, found.saved),
            np.where(better, passed, found.passed),
            np.where(better, cores, found.cores).astype(np.int64),
        )
    return found
